#include "shim/probe/attach.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proto/wire/message_codec.h"
#include "shim/probe/descriptor.h"
#include "shim/probe/hello.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

#define SOCKET_DEFAULT "/run/weir/agent.sock"

enum {
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 5000,
    STACK_BYTES = 64 << 10,
    INBOX_BYTES = 1024, /* longer messages of a newer agent are skipped */
};

enum table {
    TABLE_SHARED = 0, /* our descriptors lie in the program's table */
    TABLE_PRIVATE,    /* the thread has copies; the program's table still has the first ones */
    TABLE_CLEAN,      /* … and those are closed */
};

/* Written before the thread starts, then by the thread alone. */
static struct {
    const struct segment *segment;
    struct sockaddr_un address;
    struct descriptor memory;
    struct descriptor socket;
    char inbox[INBOX_BYTES];
    size_t inbox_length;
    size_t skip; /* bytes of a message that is too long for the inbox */
    bool is_welcome;
    bool is_private;
} attach;

/* What lies in the program's table: the owner of the process's mutex closes it. */
static struct descriptor first_memory = {.fd = -1}, first_socket = {.fd = -1};
static _Atomic uint32_t table;

static char hello_bytes[HELLO_SIZE_MAX]; /* the thread's; before it starts, the starter's */

/* In a table of our own nobody else can have put another file. */
static bool attach_has(const struct descriptor *descriptor)
{
    return descriptor->fd >= 0 && (attach.is_private || descriptor_is_ours(descriptor));
}

static void attach_address(void)
{
    const char *path = secure_getenv("WEIR_SOCKET");
    size_t length;

    if (!path || !*path)
        path = SOCKET_DEFAULT;
    length = strlen(path);
    memset(&attach.address, 0, sizeof(attach.address));
    if (length >= sizeof(attach.address.sun_path))
        return; /* no such socket can exist: an empty path connects to nothing */
    attach.address.sun_family = AF_UNIX;
    memcpy(attach.address.sun_path, path, length);
}

/* One sendmsg: the whole hello fits the socket's buffer or the agent is stuck, and then we come
 * again later. */
static int hello_send(int fd, int memory)
{
    const struct segment *segment = attach.segment;
    char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    int descriptors[2] = {memory, -1};
    struct iovec part = {.iov_base = hello_bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    size_t count = 1;
    struct cmsghdr *rights;
    long sent;

    descriptors[1] = (int)syscall(SYS_pidfd_open, (pid_t)syscall(SYS_getpid), 0);
    if (descriptors[1] >= 0)
        count = 2;
    part.iov_len = hello_make(segment, count == 2, hello_bytes);
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
    sent = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count == 2)
        (void)syscall(SYS_close, descriptors[1]);
    return sent == (long)part.iov_len ? 0 : -EAGAIN;
}

/* Connects and says hello, without waiting. Returns 0 or negative errno. */
static int attach_once(void)
{
    struct descriptor connected;
    int fd, r;

    if (!attach.address.sun_family)
        return -ENAMETOOLONG;
    if (!attach_has(&attach.memory))
        return -EBADF;
    fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    fd = descriptor_above_standard(fd);
    if (fd < 0)
        return -errno;
    connected = descriptor_take(fd);
    if (connected.fd < 0)
        return -EBADF;
    r = 0;
    if (syscall(SYS_connect, fd, &attach.address, sizeof(attach.address)) < 0)
        r = -errno;
    if (r == 0)
        r = hello_send(fd, attach.memory.fd);
    if (r < 0) {
        descriptor_close(&connected);
        return r;
    }
    attach.socket = connected;
    attach.inbox_length = 0;
    attach.skip = 0;
    return 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Leaves the program's descriptor table with copies of our two descriptors and of nothing else.
 * close_range() copies only the part of the table below its range; the rest is closed at once, so
 * that no peer of the program waits for an end of file that we hold up. */
static void table_leave(void)
{
    int memory = attach.memory.fd, connection = attach.socket.fd;
    int low = connection < 0 || memory < connection ? memory : connection;
    int high = memory > connection ? memory : connection;

    if (low < 0)
        return;
    if (syscall(SYS_close_range, (unsigned)high + 1, UINT_MAX, CLOSE_RANGE_UNSHARE) < 0)
        return;
    if (low > 0)
        (void)syscall(SYS_close_range, 0U, (unsigned)low - 1, 0U);
    if (high - low > 1)
        (void)syscall(SYS_close_range, (unsigned)low + 1, (unsigned)high - 1, 0U);
    /* The program may have been quicker: from now on nothing changes any more. */
    if (!descriptor_is_ours(&attach.memory))
        attach.memory.fd = -1;
    if (!descriptor_is_ours(&attach.socket))
        attach.socket.fd = -1;
    attach.is_private = true;
    /* Partner: the acquire in attach_has_leftovers(). */
    atomic_store_explicit(&table, TABLE_PRIVATE, memory_order_release);
}

static void attach_drop(void)
{
    if (attach_has(&attach.socket))
        (void)syscall(SYS_close, attach.socket.fd);
    attach.socket.fd = -1;
    attach.is_welcome = false;
}

/* What the agent says is good to know and changes nothing: its word on recording stands in the
 * segment. A refusal is followed by its hang-up. */
static void inbox_judge(struct view message)
{
    struct answer answer;

    if (!answer_decode(message, &answer) && answer.kind == MESSAGE_WELCOME)
        attach.is_welcome = true;
}

/* Takes whole messages off the inbox. */
static void inbox_take(void)
{
    uint32_t length;

    while (attach.inbox_length >= sizeof(length)) {
        memcpy(&length, attach.inbox, sizeof(length));
        if (length > sizeof(attach.inbox) - sizeof(length)) {
            attach.skip = length - (attach.inbox_length - sizeof(length));
            attach.inbox_length = 0;
            return;
        }
        if (attach.inbox_length - sizeof(length) < length)
            return;
        inbox_judge((struct view){attach.inbox + sizeof(length), length});
        attach.inbox_length -= sizeof(length) + length;
        memmove(attach.inbox, attach.inbox + sizeof(length) + length, attach.inbox_length);
    }
}

/* Reads what came. Returns 0, or negative errno when the agent is gone. */
static int attach_receive(void)
{
    char *to = attach.inbox + attach.inbox_length;
    size_t room = sizeof(attach.inbox) - attach.inbox_length;
    long got;

    if (attach.skip && attach.skip < room)
        room = attach.skip;
    got = syscall(SYS_recvfrom, attach.socket.fd, to, room, MSG_DONTWAIT, NULL, NULL);
    if (got == 0)
        return -EPIPE;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (attach.skip) {
        attach.skip -= (size_t)got;
        return 0;
    }
    attach.inbox_length += (size_t)got;
    inbox_take();
    return 0;
}

/* Sleeps until the agent speaks or goes. A descriptor that the program closed meanwhile shows as an
 * invalid one, or is found to be another file's. */
static void attach_watch(void)
{
    struct pollfd watched = {.fd = attach.socket.fd, .events = POLLIN};
    long r = syscall(SYS_ppoll, &watched, 1UL, NULL, NULL, 0UL);

    if (r < 0 && errno == EINTR)
        return;
    if (r < 0 || !attach_has(&attach.socket) || (watched.revents & POLLNVAL) ||
        attach_receive() < 0)
        attach_drop();
}

static void attach_sleep(long wait_ms)
{
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};

    (void)syscall(SYS_ppoll, NULL, 0UL, &wait, NULL, 0UL); /* woken early: tries early */
}

static void *attach_main(void *argument)
{
    long retry_ms = RETRY_MIN_MS;

    (void)argument;
    table_leave();
    for (;;) {
        while (attach.socket.fd >= 0) {
            attach_watch();
            if (attach.is_welcome)
                retry_ms = RETRY_MIN_MS;
        }
        attach_sleep(retry_ms);
        retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
        (void)attach_once(); /* failed: the socket is still none, so we sleep longer */
    }
    return NULL;
}

/* A small stack unless the program's thread-local storage, which lies on it, needs a larger one. */
static void attach_thread_start(void)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int r;

    if (pthread_attr_init(&attributes))
        return;
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before)) {
        (void)pthread_attr_destroy(&attributes);
        return;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES); /* else the default size */
    r = pthread_create(&thread, &attributes, attach_main, NULL);
    if (r == EINVAL) {
        (void)pthread_attr_destroy(&attributes);
        if (!pthread_attr_init(&attributes)) {
            (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
            (void)pthread_create(&thread, &attributes, attach_main, NULL); /* else no thread */
        }
    }
    (void)pthread_attr_destroy(&attributes);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- the starter ----------------------------------------------------------------------------- */

void attach_start(const struct segment *segment, const struct process_identity *identity,
                  int memory)
{
    attach.segment = segment;
    attach.memory = descriptor_take(memory);
    attach.socket = (struct descriptor){.fd = -1};
    attach.is_private = false;
    attach.is_welcome = false;
    atomic_store_explicit(&table, TABLE_SHARED, memory_order_relaxed);
    attach_address();
    hello_prepare(identity);
    (void)attach_once(); /* no agent: the thread goes on trying */
    first_memory = attach.memory;
    first_socket = attach.socket;
    attach_thread_start();
}

bool attach_has_leftovers(void)
{
    return atomic_load_explicit(&table, memory_order_acquire) == TABLE_PRIVATE;
}

void attach_leftovers_close(void)
{
    if (!attach_has_leftovers())
        return;
    descriptor_close(&first_socket);
    descriptor_close(&first_memory);
    atomic_store_explicit(&table, TABLE_CLEAN, memory_order_relaxed);
}

void attach_fork_child(void)
{
    descriptor_close(&first_socket);
    descriptor_close(&first_memory);
    /* The thread's own, if it shared the table; else these numbers are not ours, and are left. */
    descriptor_close(&attach.socket);
    descriptor_close(&attach.memory);
    atomic_store_explicit(&table, TABLE_SHARED, memory_order_relaxed);
}
