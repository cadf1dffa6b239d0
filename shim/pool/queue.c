#include "shim/pool/queue.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- tenants --------------------------------------------------------------------------------- */

static struct tenant **tenant_bucket(struct queue *queue, uint64_t hash)
{
    return &queue->buckets[hash & (TENANT_BUCKETS - 1)];
}

/* Takes out every tenant that holds nothing and waits for nothing. */
static void tenants_tidy(struct queue *queue)
{
    for (unsigned i = 0; i < TENANT_BUCKETS; i++) {
        struct tenant **at = &queue->buckets[i];
        while (*at) {
            struct tenant *tenant = *at;
            if (tenant->used || tenant->line.first) {
                at = &tenant->bucket_next;
                continue;
            }
            *at = tenant->bucket_next;
            free(tenant);
            queue->tenants--;
        }
    }
}

struct tenant *queue_tenant(struct queue *queue, const char *name)
{
    uint64_t hash = name ? XXH3_64bits(name, strlen(name)) : 0;
    struct tenant **bucket = tenant_bucket(queue, hash), *tenant;

    for (tenant = *bucket; tenant; tenant = tenant->bucket_next)
        if (tenant->hash == hash)
            return tenant;
    if (queue->tenants >= TENANTS_MAX)
        tenants_tidy(queue);
    if (queue->tenants >= TENANTS_MAX)
        return &queue->others;
    tenant = calloc(1, sizeof(*tenant));
    if (!tenant)
        return &queue->others;
    tenant->hash = hash;
    tenant->bucket_next = *bucket;
    *bucket = tenant;
    queue->tenants++;
    return tenant;
}

void queue_deinit(struct queue *queue)
{
    for (unsigned i = 0; i < TENANT_BUCKETS; i++)
        while (queue->buckets[i]) {
            struct tenant *tenant = queue->buckets[i];
            queue->buckets[i] = tenant->bucket_next;
            free(tenant);
        }
    queue->tenants = 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct line *line_of(struct queue *queue, const struct waiter *waiter)
{
    return waiter->tenant ? &waiter->tenant->line : &queue->everyone;
}

static void line_show(struct queue *queue, struct line *line)
{
    line->before = NULL;
    line->next = queue->lines;
    if (line->next)
        line->next->before = line;
    queue->lines = line;
}

static void line_hide(struct queue *queue, struct line *line)
{
    if (line->next)
        line->next->before = line->before;
    if (line->before)
        line->before->next = line->next;
    else
        queue->lines = line->next;
    line->next = line->before = NULL;
}

void queue_enter(struct queue *queue, struct waiter *waiter)
{
    struct line *line = line_of(queue, waiter);
    struct waiter *before;

    if (!waiter->ticket)
        waiter->ticket = ++queue->tickets;
    if (!line->first)
        line_show(queue, line);
    /* One that queues again comes near the front, so look from there if it is not the newest. */
    before = line->last;
    if (before && before->ticket > waiter->ticket)
        for (before = NULL; (before ? before->next : line->first)->ticket < waiter->ticket;)
            before = before ? before->next : line->first;
    waiter->before = before;
    waiter->next = before ? before->next : line->first;
    *(before ? &before->next : &line->first) = waiter;
    *(waiter->next ? &waiter->next->before : &line->last) = waiter;
    waiter->line = line;
    queue->waiting++;
    queue->async_waiting += waiter->event_fd >= 0;
}

void queue_leave(struct queue *queue, struct waiter *waiter)
{
    struct line *line = waiter->line;

    *(waiter->before ? &waiter->before->next : &line->first) = waiter->next;
    *(waiter->next ? &waiter->next->before : &line->last) = waiter->before;
    waiter->next = waiter->before = NULL;
    waiter->line = NULL;
    if (!line->first)
        line_hide(queue, line);
    queue->waiting--;
    queue->async_waiting -= waiter->event_fd >= 0;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static uint32_t line_used(const struct line *line)
{
    const struct tenant *tenant = line->first->tenant;

    return tenant ? tenant->used : 0;
}

struct waiter *queue_next(const struct queue *queue, const struct queue_rule *rule)
{
    const struct line *best = NULL;

    for (const struct line *line = queue->lines; line; line = line->next) {
        uint32_t used = line_used(line);
        if (used >= rule->share)
            continue;
        if (!best || (rule->is_fair && used < line_used(best)) ||
            ((!rule->is_fair || used == line_used(best)) &&
             line->first->ticket < best->first->ticket))
            best = line;
    }
    return best ? best->first : NULL;
}

struct waiter *queue_any(const struct queue *queue)
{
    return queue->lines ? queue->lines->first : NULL;
}

uint32_t queue_servable(const struct queue *queue, const struct queue_rule *rule, uint32_t most)
{
    uint32_t count = 0;

    if (rule->share == UINT32_MAX)
        return queue->waiting < most ? queue->waiting : most;
    for (const struct line *line = queue->lines; line && count < most; line = line->next) {
        uint32_t used = line_used(line), room = used < rule->share ? rule->share - used : 0;
        for (const struct waiter *waiter = line->first; waiter && room && count < most;
             waiter = waiter->next, room--)
            count++;
    }
    return count;
}
