/* The client's load: threads that acquire, work and release for as long as they are asked to, and
 * keep account of each outcome and of how late it came. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/weir/pool.h"

enum load_work {
    WORK_ACQUIRE,     /* and nothing else */
    WORK_STATEMENT,   /* weir_execute() */
    WORK_TRANSACTION, /* begin, execute, commit */
    WORK_RUN,         /* weir_transaction_run() */
    WORK_EVENT,       /* as WORK_STATEMENT, with weir_acquire_start() and its descriptor */
};

/* Threads that do the same. */
struct load_group {
    unsigned threads;
    enum load_work work;
    const char *sql; /* $1, if it is there, is the round's own text: "THREAD-ROUND" */
};

enum { LOAD_GROUPS_MAX = 8, LOAD_THREADS_MAX = 64 };

struct load_opts {
    struct weir_pool *pool;
    struct load_group groups[LOAD_GROUPS_MAX];
    unsigned group_count;
    int32_t acquire_ms;   /* 0: the pool's */
    int32_t statement_ms; /* 0: the pool's */
    int32_t is_prepared;
    unsigned hold_us; /* after the work, before the release */
    unsigned pace_us; /* after each round */
    unsigned rounds;  /* of each thread; 0: until it is stopped */
};

/* "THREADS:acquire", "THREADS:statement:SQL", … False: it is not of that form. */
bool load_group_parse(const char *text, struct load_group *ret);

void load_start(const struct load_opts *opts);
/* From now on the first success is told, and the moment when each thread has had one. */
void load_mark(const char *name);
/* Rounds that succeeded and rounds that failed so far. */
void load_count(uint64_t *ret_ok, uint64_t *ret_failed);
/* Every thread has done its rounds, or was told that the pool is draining. */
bool load_is_over(void);
/* Ends it after the rounds that are under way. */
void load_stop(void);
/* Sums for the last line. */
json_t *load_sums(void);
