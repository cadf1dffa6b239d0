/* A memfd of a fixed size: made and sealed through syscall(), since glibc 2.17 knows no wrapper. */
#include "shim/probe/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "shim/probe/descriptor.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 0x0002U
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS   1033
#define F_SEAL_SEAL   0x0001
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW   0x0004
#endif
#ifndef GRND_NONBLOCK
#define GRND_NONBLOCK 0x0001
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { EPOCH_SHIFT = 8 }; /* an agent would have to forget 255 times before a child to collide */

_Atomic(const struct segment *) segment_current;

size_t segment_size_parse(const char *text)
{
    char *end = NULL;
    unsigned long long value;
    unsigned shift = 0;

    if (!text || *text < '0' || *text > '9')
        return SEGMENT_SIZE_DEFAULT;
    value = strtoull(text, &end, 10);
    if (!strcmp(end, "KiB"))
        shift = 10;
    else if (!strcmp(end, "MiB"))
        shift = 20;
    else if (!strcmp(end, "GiB"))
        shift = 30;
    else if (*end)
        return SEGMENT_SIZE_DEFAULT;
    if (value > (unsigned long long)SEGMENT_SIZE_MAX >> shift)
        return SEGMENT_SIZE_MAX;
    value <<= shift;
    if (value < SEGMENT_SIZE_MIN)
        return SEGMENT_SIZE_MIN;
    return align_up((size_t)value, SEGMENT_PAGE);
}

/* A file grown beyond RLIMIT_FSIZE raises SIGXFSZ, which kills a program that did not ask for us.
 */
static int segment_size_limit(size_t *size)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= *size)
        return 0;
    if (limit.rlim_cur < SEGMENT_SIZE_MIN)
        return -EFBIG;
    *size = (size_t)limit.rlim_cur & ~(size_t)(SEGMENT_PAGE - 1);
    return 0;
}

static void segment_find_parts(struct segment_header *header, struct segment *segment)
{
    segment->header = header;
    segment->process = segment_process(header);
    segment->pools = segment_pools(header);
    segment->slots = segment_slots(header);
    segment->waiters = segment_waiters(header);
    segment->names = segment_names(header);
    segment->lanes = (char *)segment_lane(header, 0);
    segment->size = header->segment_size;
    segment->lane_stride = header->lane_stride;
    segment->lane_count = header->lane_count;
    segment->pool_count = header->pool_count;
    segment->slot_count = header->slot_count;
    segment->waiter_count = header->waiter_count;
}

/* Fills a fresh mapping, all zeros so far. */
static int segment_fill(struct segment_header *header, size_t size, uint32_t generation)
{
    int r;

    if (syscall(SYS_getrandom, header->segment_id, sizeof(header->segment_id), GRND_NONBLOCK) !=
        (long)sizeof(header->segment_id))
        return -EIO;
    r = segment_plan(size, header);
    if (r < 0)
        return r;
    header->created_monotonic_ns = clock_monotonic_ns();
    header->created_realtime_ns = clock_realtime_ns();
    header->pid = (uint32_t)syscall(SYS_getpid);
    atomic_store_explicit(&header->epoch, generation << EPOCH_SHIFT | 1, memory_order_relaxed);
    segment_init_rings(header);
    return 0;
}

/* A private page with one word that fork wipes. Kernels before 4.14 cannot; then fork.c's handler
 * alone clears it, and a bare clone() is not noticed. */
static int segment_alive_map(const _Atomic uint32_t **ret_alive)
{
    void *page =
        mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    (void)madvise(page, SEGMENT_PAGE, MADV_WIPEONFORK); /* see above */
    atomic_store_explicit((_Atomic uint32_t *)page, 1, memory_order_relaxed);
    *ret_alive = page;
    return 0;
}

static int segment_memory_create(size_t size, int *ret_fd)
{
    CLEANUP(closep)
    int fd = (int)syscall(SYS_memfd_create, "weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    fd = descriptor_above_standard(fd);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0)
        return -errno;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    *ret_fd = steal_fd(&fd);
    return 0;
}

int segment_create(size_t size, uint32_t generation, struct segment *ret_segment, int *ret_fd)
{
    CLEANUP(closep) int fd = -1;
    void *base;
    int r;

    r = segment_size_limit(&size);
    if (r < 0)
        return r;
    r = segment_memory_create(size, &fd);
    if (r < 0)
        return r;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    if (madvise(base, size, MADV_DONTFORK) < 0)
        r = -errno;
    (void)madvise(base, size, MADV_NOHUGEPAGE); /* only a wish: touch few pages */
    if (r == 0)
        r = segment_fill(base, size, generation);
    if (r == 0)
        r = segment_alive_map(&ret_segment->alive);
    if (r < 0) {
        (void)munmap(base, size); /* our own mapping: cannot fail */
        return r;
    }
    segment_find_parts(base, ret_segment);
    ret_segment->generation = generation;
    *ret_fd = steal_fd(&fd);
    return 0;
}

void segment_shadow(const struct segment *segment)
{
    /* If something else lies there already (an older kernel takes the address as a hint), then
     * there is nothing that we may do. */
    void *base = mmap(segment->header, segment->size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (base != MAP_FAILED && base != (void *)segment->header)
        (void)munmap(base, segment->size);
}
