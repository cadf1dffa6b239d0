/* A client's memfd, checked and mapped; and the check that a descriptor is a pidfd. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "proto/wire/board_reader.h"
#include "proto/wire/segment_check.h"

struct segment_map {
    struct segment_header *header; /* NULL: nothing is mapped */
    struct segment_layout layout;
    struct board_view board;
    dev_t device; /* which file it is, since the descriptor is closed */
    ino_t inode;
    uint8_t *resident; /* board pages seen in use, one byte a page; others are not touched */
    size_t resident_pages;
};

/* Why a segment is refused, for the client and the log. */
struct segment_refusal {
    enum refusal reason;
    char what[120];
};

/* Checks @memfd (file system, seals, size, then the header's copy, and that it carries @id) and
 * maps it. The descriptor stays the caller's and is not needed afterwards. Returns 0, negative
 * errno, or SEGMENT_MAP_E_REFUSED with *ret_refusal. @room: bytes that may still be mapped. */
enum { SEGMENT_MAP_E_REFUSED = 1 };
int segment_map_open(struct segment_map *map, int memfd, const uint8_t id[16], uint64_t room,
                     struct segment_refusal *ret_refusal) __attribute__((warn_unused_result));
/* Twice is fine. */
void segment_map_close(struct segment_map *map);

/* True if @memfd is the file that is mapped. */
bool segment_map_is(const struct segment_map *map, int memfd);

/* Learns which of the board's pages the client has used. A page that nobody wrote would be made,
 * and charged to us, by reading it. */
void segment_map_look(struct segment_map *map);
/* False: @word, an aligned one of the board, lies on a page never used, and is zero. */
bool segment_map_touched(const struct segment_map *map, const void *word);

/* 0, or -EBADF if @fd is no pidfd. */
int pidfd_check(int fd) __attribute__((warn_unused_result));
