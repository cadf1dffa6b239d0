/* Who waits, in which order. Everything here is under the pool's mutex but a waiter's own word.
 *
 * First come, first served. Where tenants are counted (a share limit or fairness) each tenant has
 * its own line, and the line of the tenant that holds least comes first; those at their limit are
 * passed over. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/weir/pool.h"

enum {
    TENANTS_MAX = 1024,    /* with lines of their own; those beyond share one */
    TENANT_BUCKETS = 2048, /* a power of two */
};

/* Where a waiter stands. Under the mutex. */
enum waiter_phase {
    WAITER_NEW = 0,
    WAITER_QUEUED,
    WAITER_SERVED,  /* has a slot that an errand makes ready */
    WAITER_GRANTED, /* its slot is ready */
    WAITER_FAILED,  /* see its error */
};

/* What the waiter itself has been told: a futex, told when the mutex is free again, so that who is
 * woken does not run into it. Once it is over nobody else touches the waiter. */
enum waiter_word {
    WORD_PENDING = 0,
    WORD_ASLEEP,
    WORD_OVER,
};

struct slot;
struct line;

struct waiter {
    struct waiter *next, *before; /* in its line */
    struct line *line;            /* NULL: not in the queue */
    struct weir_pool *pool;
    struct slot *slot;
    struct weir_error *error;
    uint64_t ticket;      /* lower came earlier; kept when it has to queue again */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    int event_fd;         /* -1: it sleeps on its state */
    char *settings;       /* SQL to run before it is handed out, or NULL */
    struct tenant *tenant;
    enum waiter_phase phase;
    bool is_cancelled;        /* by its canceller, before it was in the queue */
    struct waiter *told_next; /* of those that are to be told */
    _Atomic uint32_t word;    /* enum waiter_word */
    struct waiter *canceller_next, *canceller_before;
    struct weir_canceller *canceller;
};

struct line {
    struct waiter *first, *last;
    struct line *next, *before; /* among the lines in which somebody waits */
};

struct tenant {
    struct line line;
    struct tenant *bucket_next;
    uint64_t hash;
    uint32_t used; /* connections held */
};

struct queue {
    struct line everyone; /* without tenants */
    struct line *lines;   /* in which somebody waits */
    uint32_t waiting, async_waiting;
    uint64_t tickets;
    struct tenant others; /* tenants without a line of their own */
    uint32_t tenants;
    struct tenant *buckets[TENANT_BUCKETS];
};

/* The rule in force when choosing. */
struct queue_rule {
    uint32_t share; /* connections that a tenant may hold; UINT32_MAX: no limit */
    bool is_fair;
};

void queue_deinit(struct queue *queue);
/* The tenant of that name (NULL: none), counted from now on; never NULL. */
struct tenant *queue_tenant(struct queue *queue, const char *name);
/* Enters @waiter into its tenant's line (NULL: everyone's), by its ticket; a new one if it has
 * none. */
void queue_enter(struct queue *queue, struct waiter *waiter);
void queue_leave(struct queue *queue, struct waiter *waiter);
/* Whom to serve next; NULL: nobody who may be served. */
struct waiter *queue_next(const struct queue *queue, const struct queue_rule *rule);
/* Anybody; for failing them all. */
struct waiter *queue_any(const struct queue *queue);
/* How many waiters may be served, as far as @most. */
uint32_t queue_servable(const struct queue *queue, const struct queue_rule *rule, uint32_t most);
