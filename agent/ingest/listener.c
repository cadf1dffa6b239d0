#include "agent/ingest/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/ingest/ingest.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { LOCK_RETRY_MS = 20, LISTEN_BACKLOG = 4096 };

int ingest_lock(const char *socket_path, uint32_t wait_ms, int *ret_fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_RETRY_MS * (long)NS_PER_MS};
    const uint64_t deadline = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof(".lock")];
    int CLEANUP(closep) fd = -1;

    if ((size_t)snprintf(path, sizeof(path), "%s.lock", socket_path) >= sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (clock_monotonic_ns() >= deadline)
            return INGEST_E_TAKEN;
        (void)nanosleep(&pause, NULL); /* woken early: looks early */
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int listener_open(const char *path, uint32_t mode, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX}, name = {.sun_family = AF_UNIX};
    int CLEANUP(closep) fd = -1;
    int length;

    length = snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    if (length <= 0 || (size_t)length >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    length =
        snprintf(address.sun_path, sizeof(address.sun_path), "%s.%ld.new", path, (long)getpid());
    if ((size_t)length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Left by an agent of the same number that was killed just here; ours alone, by the lock. */
    (void)unlink(address.sun_path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (chmod(address.sun_path, mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        rename(address.sun_path, path) < 0) {
        int error = errno;
        (void)unlink(address.sun_path);
        return -error;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int listener_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int listener_accept(int listener, int *spare, int *ret_fd)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if ((errno != EMFILE && errno != ENFILE) || *spare < 0)
        return -errno;
    /* Without a descriptor the connection would stay in the backlog and wake the loop for ever. */
    (void)close(*spare);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        (void)close(fd);
    *spare = listener_spare();
    return -EMFILE;
}
