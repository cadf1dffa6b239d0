#include "agent/store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { POLL_MS = 50, PATH_SIZE = 4096 };

int directory_lock(const char *path, uint32_t wait_ms, int *ret_fd)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * (long)NS_PER_MS};
    uint64_t deadline_ns = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    int CLEANUP(closep) fd = -1;
    char file[PATH_SIZE];

    if (mkdir(path, 0750) < 0 && errno != EEXIST)
        return -errno;
    if ((size_t)snprintf(file, sizeof(file), "%s/lock", path) >= sizeof(file))
        return -ENAMETOOLONG;
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (clock_monotonic_ns() >= deadline_ns)
            return DIRECTORY_E_TAKEN;
        (void)nanosleep(&pause, NULL);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}
