#include "agent/ingest/segment_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

static int segment_refuse(struct segment_refusal *refusal, enum refusal reason, const char *what)
{
    refusal->reason = reason;
    (void)snprintf(refusal->what, sizeof(refusal->what), "%s", what); /* cut is enough */
    return SEGMENT_MAP_E_REFUSED;
}

/* The kind of file and its size, before anything is mapped. */
static int memfd_check(int memfd, struct stat *status, struct segment_refusal *refusal)
{
    struct statfs filesystem;
    int seals;

    if (fstat(memfd, status) < 0 || fstatfs(memfd, &filesystem) < 0)
        return -errno;
    if (filesystem.f_type == HUGETLBFS_MAGIC)
        return segment_refuse(refusal, REFUSAL_HUGE_PAGES, "the memfd lies on huge pages");
    if (!S_ISREG(status->st_mode) || filesystem.f_type != TMPFS_MAGIC)
        return segment_refuse(refusal, REFUSAL_DESCRIPTORS, "the first descriptor is no memfd");
    seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0)
        return segment_refuse(refusal, REFUSAL_DESCRIPTORS, "the first descriptor has no seals");
    if ((seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
        return segment_refuse(refusal, REFUSAL_SEALS,
                              "the memfd is not sealed against shrinking and growing");
    if (status->st_size < SEGMENT_SIZE_MIN || status->st_size > SEGMENT_SIZE_MAX)
        return segment_refuse(refusal, REFUSAL_SEGMENT_SIZE, "the memfd's size is out of range");
    return 0;
}

static int segment_map_check(struct segment_map *map, uint64_t size, const uint8_t id[16],
                             struct segment_refusal *refusal)
{
    unsigned char fixed[SEGMENT_FIXED_SIZE];
    const char *what = NULL;
    int r;

    memcpy(fixed, map->header, sizeof(fixed));
    r = segment_check(fixed, size, &map->layout, &what);
    if (r != 0) {
        refusal->reason = (enum refusal)r;
        (void)snprintf(refusal->what, sizeof(refusal->what),
                       "the segment's header is impossible for this agent: %s", what);
        return SEGMENT_MAP_E_REFUSED;
    }
    if (memcmp(map->layout.id, id, sizeof(map->layout.id)) != 0)
        return segment_refuse(refusal, REFUSAL_SEGMENT_LAYOUT, "segment_id differs from the hello");
    return 0;
}

int segment_map_open(struct segment_map *map, int memfd, const uint8_t id[16], uint64_t room,
                     struct segment_refusal *ret_refusal)
{
    struct stat status;
    uint64_t board;
    void *memory;
    int r;

    *map = (struct segment_map){0};
    r = memfd_check(memfd, &status, ret_refusal);
    if (r != 0)
        return r;
    if ((uint64_t)status.st_size > room)
        return segment_refuse(ret_refusal, REFUSAL_MAPPED_MAX,
                              "the agent maps no more segments; raise its limit");
    memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (memory == MAP_FAILED) {
        if (errno == EPERM || errno == EACCES)
            return segment_refuse(ret_refusal, REFUSAL_DESCRIPTORS, "the memfd is not writable");
        return -errno;
    }
    map->header = memory;
    map->layout.size = (uint64_t)status.st_size;
    r = segment_map_check(map, (uint64_t)status.st_size, id, ret_refusal);
    if (r != 0) {
        segment_map_close(map);
        return r;
    }
    map->board = board_view_of(memory, &map->layout);
    map->device = status.st_dev;
    map->inode = status.st_ino;
    board = map->layout.names_offset - map->layout.process_offset;
    map->resident_pages = (size_t)(board / SEGMENT_PAGE) + 2;
    map->resident = calloc(1, map->resident_pages);
    if (!map->resident) {
        segment_map_close(map);
        return -ENOMEM;
    }
    return 0;
}

void segment_map_close(struct segment_map *map)
{
    if (map->header)
        (void)munmap(map->header, (size_t)map->layout.size); /* fails for our own bugs only */
    free(map->resident);
    *map = (struct segment_map){0};
}

bool segment_map_is(const struct segment_map *map, int memfd)
{
    struct stat status;

    return fstat(memfd, &status) == 0 && status.st_dev == map->device &&
           status.st_ino == map->inode;
}

void segment_map_look(struct segment_map *map)
{
    const uint64_t first = map->layout.process_offset / SEGMENT_PAGE * SEGMENT_PAGE;
    unsigned char state[64];

    for (size_t page = 0; page < map->resident_pages; page += sizeof(state)) {
        size_t count = map->resident_pages - page;
        uint64_t offset = first + page * SEGMENT_PAGE;

        if (count > sizeof(state))
            count = sizeof(state);
        if (offset + count * SEGMENT_PAGE > map->layout.size)
            count = (size_t)((map->layout.size - offset) / SEGMENT_PAGE);
        if (count == 0)
            break;
        if (mincore((char *)map->header + offset, count * SEGMENT_PAGE, state) < 0)
            memset(state, 1, sizeof(state)); /* not to be known: read them all */
        /* A page once used may be swapped out later; it stays one that is read. */
        for (size_t i = 0; i < count; i++)
            map->resident[page + i] |= state[i] & 1u;
    }
}

bool segment_map_touched(const struct segment_map *map, const void *word)
{
    uint64_t offset = (uint64_t)((const char *)word - (const char *)map->header);
    uint64_t page = offset / SEGMENT_PAGE - map->layout.process_offset / SEGMENT_PAGE;

    return page >= map->resident_pages || map->resident[page];
}

static int pidfd_check_by_signal(int fd)
{
    /* Signal 0 is sent to nobody; only a pidfd gets so far as to be asked about permission. */
    if (syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 || errno == ESRCH || errno == EPERM)
        return 0;
    return -EBADF;
}

static void fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

int pidfd_check(int fd)
{
    char path[64], line[256];

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *CLEANUP(fclosep) file = fopen(path, "re");
    if (!file)
        return pidfd_check_by_signal(fd);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "Pid:", 4) == 0)
            return 0;
    }
    return -EBADF;
}
