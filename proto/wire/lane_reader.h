/* The reading half of a lane: one reader, which believes nothing that it reads.
 *
 * Head is acquired once a pass; each record is copied once into the reader's own memory and only
 * the copy is judged. The capacity is the one found when the lane was opened; the word in shared
 * memory is not read again. Reading frees nothing: lane_reader_commit() does, after a checkpoint.
 */
#pragma once

#include <stdalign.h>

#include "proto/wire/segment.h"

enum lane_fault {
    LANE_FAULT_NONE = 0,
    LANE_FAULT_MAGIC,       /* no lane stands here */
    LANE_FAULT_CAPACITY,    /* not the one that the segment's stride leaves */
    LANE_FAULT_HEAD_BACK,   /* head moved backwards */
    LANE_FAULT_HEAD_BEYOND, /* head further from tail than the lane is long */
    LANE_FAULT_HEAD_ALIGN,  /* head between two records */
    LANE_FAULT_LENGTH,      /* impossible length: zero, uneven, beyond head or the lane's end */
    LANE_FAULT_PAD,         /* a PAD that does not reach exactly to the lane's end */
    LANE_FAULT_NUMBER,      /* records missing or twice */
    LANE_FAULT_RECORD,      /* lane_reader_condemn(): the content is impossible */
    LANE_FAULT_END
};

enum lane_reader_outcome {
    LANE_READER_E_END = 1, /* nothing more up to the head of this pass */
    LANE_READER_E_BAD = 2, /* reader->fault says why; final */
};

struct lane_reader {
    struct lane *lane; /* shared memory */
    uint32_t capacity; /* checked when opened */
    enum lane_fault fault;
    uint64_t position; /* of the next record to read */
    uint64_t record;   /* position of the last record read */
    uint64_t head;     /* as acquired by the last look */
    uint64_t tail;     /* as we last stored it */
    uint64_t number;   /* records before position, PADs left out */
    bool number_known; /* else the first record read tells */
    uint64_t missed;   /* records before our first one that no checkpoint of ours covers: somebody
                          else read them */
};

/* Where one record is copied to; one for all lanes of a thread. */
struct lane_record_copy {
    alignas(RECORD_ALIGN) char bytes[RECORD_LENGTH_MAX];
};

/* @stride: bytes from this lane to the next, from a checked segment. Starts at the lane's own tail,
 * the number unknown until a record is read. On LANE_READER_E_BAD the reader is usable and reports
 * the same again. */
int lane_reader_open(struct lane_reader *reader, struct lane *lane, uint32_t stride)
    __attribute__((warn_unused_result));

enum lane_resume_outcome {
    LANE_RESUME_E_BEYOND = 1, /* @position lies beyond head: refuse the segment */
    LANE_RESUME_E_MOVED = 2,  /* the lane's own tail is further on: started there */
};
/* Goes on at @position, before the first look; tail moves with the next commit. With
 * LANE_RESUME_E_MOVED somebody else read: reader->missed says how many records once the next one
 * was read. */
int lane_reader_resume(struct lane_reader *reader, uint64_t position, uint64_t number)
    __attribute__((warn_unused_result));

/* Acquires head for the next pass. Returns 0 or LANE_READER_E_BAD. */
int lane_reader_look(struct lane_reader *reader) __attribute__((warn_unused_result));

/* Copies the next record up to the head of the last look. Returns 0, LANE_READER_E_END or
 * LANE_READER_E_BAD. *ret points into @copy. */
int lane_reader_next(struct lane_reader *reader, struct lane_record_copy *copy,
                     const struct record_header **ret) __attribute__((warn_unused_result));

/* The caller found the last record impossible: the lane ends before it. Once after a read. */
void lane_reader_condemn(struct lane_reader *reader);

/* A checkpoint covers everything before @position: the writer may use it again. */
void lane_reader_commit(struct lane_reader *reader, uint64_t position);

/* Bytes between our tail and the head of the last look: how full the lane is. */
static inline uint64_t lane_reader_used(const struct lane_reader *reader)
{
    return reader->head - reader->tail;
}

/* All records that the lane ever had, read or not; at least reader->number. May run ahead of head
 * by the one that is being published. */
uint64_t lane_reader_recorded(const struct lane_reader *reader);

const char *lane_fault_token(enum lane_fault fault);
