/* System calls go through syscall() here: glibc 2.17 knows no fstat symbol, and a sanitizer's books
 * on descriptors do not know that the attach thread has a table of its own. */
#include "shim/probe/descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool descriptor_identify(struct descriptor *descriptor)
{
    struct stat status;

    if (syscall(SYS_fstat, descriptor->fd, &status) < 0)
        return false;
    descriptor->device = status.st_dev;
    descriptor->inode = status.st_ino;
    return true;
}

int descriptor_above_standard(int fd)
{
    int moved;

    if (fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)syscall(SYS_close, fd); /* nothing was written to it */
    return moved;
}

struct descriptor descriptor_take(int fd)
{
    struct descriptor taken = {.fd = fd};

    if (fd >= 0 && descriptor_identify(&taken))
        return taken;
    if (fd >= 0)
        (void)syscall(SYS_close, fd);
    return (struct descriptor){.fd = -1};
}

bool descriptor_is_ours(const struct descriptor *descriptor)
{
    struct descriptor now = {.fd = descriptor->fd};

    return now.fd >= 0 && descriptor_identify(&now) && now.device == descriptor->device &&
           now.inode == descriptor->inode;
}

void descriptor_close(struct descriptor *descriptor)
{
    if (descriptor_is_ours(descriptor))
        (void)syscall(SYS_close, descriptor->fd); /* nothing useful can be done with an error */
    *descriptor = (struct descriptor){.fd = -1};
}
