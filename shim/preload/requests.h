/* What was sent on one connection and is not answered yet, oldest first. Outside of pipeline mode
 * that is one request at most. Bounded: a pipeline with more is not followed to its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/preload/prepared.h"
#include "shim/preload/script.h"

enum { REQUESTS_MAX = 1 << 16 };

enum request_kind {
    REQUEST_SCRIPT,   /* a simple query: any number of statements, a result for each */
    REQUEST_TEXT,     /* one statement in the extended protocol */
    REQUEST_PREPARED, /* … by its name */
    REQUEST_PARSE,
    REQUEST_CLOSE,  /* of a prepared statement, by the protocol's message */
    REQUEST_SILENT, /* is answered, but no statement: describe, close a portal */
    REQUEST_SYNC,   /* the end of a pipeline's part */
};

struct request {
    enum request_kind kind;
    uint32_t flags;               /* enum weir_statement_flag */
    const void *caller;           /* in the program */
    struct script script;         /* SCRIPT, TEXT */
    char *kept;                   /* owned: the script's text, if it outlives the call */
    struct prepared_text *text;   /* PREPARED, PARSE; a reference; NULL: not known */
    char name[PREPARED_NAME_MAX]; /* PARSE, CLOSE */
    uint8_t name_length;
};

struct requests {
    struct request *ring; /* NULL: none yet */
    uint32_t capacity;    /* a power of two */
    uint32_t first;
    uint32_t count;
};

void requests_deinit(struct requests *requests);
/* A place behind the others, zeroed; NULL: full, or memory ran out. Moves the others. */
struct request *requests_push(struct requests *requests);
void requests_pop_oldest(struct requests *requests);
void requests_pop_newest(struct requests *requests);

static inline struct request *requests_at(const struct requests *requests, uint32_t index)
{
    return &requests->ring[(requests->first + index) & (requests->capacity - 1)];
}

static inline struct request *requests_oldest(const struct requests *requests)
{
    return requests->count ? requests_at(requests, 0) : NULL;
}

static inline struct request *requests_newest(const struct requests *requests)
{
    return requests->count ? requests_at(requests, requests->count - 1) : NULL;
}
