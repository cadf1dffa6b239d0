#include "agent/ingest/drain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proto/wire/record_check.h"

static_assert(LANE_FAULT_END <= sizeof(((struct ingest_stats *)0)->lanes_bad) / sizeof(uint64_t),
              "a counter for each fault");

/* A record may have been timed on another core a moment after we looked at our clock. */
#define CLOCK_SLACK_NS (10 * NS_PER_MS)

static void drain_event(struct drain *drain, struct client *client,
                        const struct record_header *record)
{
    struct observation observation = {
        .process = &client->process,
        .time_unix_ns = record->time_ns + (uint64_t)client->process.wall_offset_ns,
        .head = (const struct event_head *)(const void *)record,
        .context = record_context(record),
    };

    if (observation.time_unix_ns > drain->now_unix_ns + CLOCK_SLACK_NS)
        observation.time_unix_ns = drain->now_unix_ns;
    drain->stats->events++;
    drain->ops->on_observation(drain->userdata, &observation);
}

static void drain_name(struct drain *drain, struct client *client,
                       const struct record_header *record)
{
    drain->stats->names++;
    drain->ops->on_name(drain->userdata, &client->process,
                        (const struct record_name *)(const void *)record, record_name_text(record));
}

static void drain_log_lane(struct drain *drain, const struct client *client, const char *ring,
                           const struct lane_reader *reader)
{
    char line[200];

    drain->stats->lanes_bad[reader->fault]++;
    (void)snprintf(line, sizeof(line),
                   "process %u: its %s is not read any more: %s at byte %llu; the writer is broken",
                   client->process.pid, ring, lane_fault_token(reader->fault),
                   (unsigned long long)reader->position);
    drain->ops->on_log(drain->userdata, true, line);
}

void drain_report_faults(struct drain *drain, const struct client *client)
{
    if (client->names.fault)
        drain_log_lane(drain, client, "names ring", &client->names);
    for (uint32_t i = 0; i < client->map.layout.lane_count; i++) {
        if (client->lanes[i].fault)
            drain_log_lane(drain, client, "lane", &client->lanes[i]);
    }
}

/* A record that its ring cannot hold: kind or content are impossible. */
static void drain_condemn(struct drain *drain, struct lane_reader *reader, int check)
{
    drain->stats->records_bad[check]++;
    lane_reader_condemn(reader);
}

static void drain_names_record(struct drain *drain, struct client *client,
                               const struct record_header *record)
{
    int r = record_check(record);

    client->changes++;
    if (r == RECORD_E_UNKNOWN_KIND)
        drain->stats->unknown_kinds++;
    else if (r != 0 || record->kind != RECORD_NAME)
        drain_condemn(drain, &client->names, r != 0 ? r : RECORD_E_ENUM);
    else
        drain_name(drain, client, record);
}

static void drain_names(struct drain *drain, struct client *client)
{
    struct lane_reader *reader = &client->names;
    const struct record_header *record;

    if (reader->fault)
        return;
    if (lane_reader_look(reader) == 0) {
        while (lane_reader_next(reader, &drain->copy, &record) == 0)
            drain_names_record(drain, client, record);
    }
    /* There is one ring of them: rather than that a new text finds no room, one that was read
     * leaves before the checkpoint. Should we die now, the next agent has them announced anew. */
    if (!reader->fault && lane_reader_used(reader) > reader->capacity / 2)
        lane_reader_commit(reader, reader->position);
    if (reader->fault)
        drain_log_lane(drain, client, "names ring", reader);
}

/* Reads up to @events_max records; returns how many. */
static uint64_t drain_lane(struct drain *drain, struct client *client, struct lane_reader *reader,
                           uint64_t events_max)
{
    const struct record_header *record;
    uint64_t count = 0;

    while (count < events_max && lane_reader_next(reader, &drain->copy, &record) == 0) {
        int r = record_check(record);
        client->changes++;
        if (r == RECORD_E_UNKNOWN_KIND) {
            drain->stats->unknown_kinds++;
            client->dropped[DROP_UNKNOWN_KIND]++;
        } else if (r != 0 || record->kind == RECORD_NAME || record->kind == RECORD_POOL_STATE) {
            drain_condemn(drain, reader, r != 0 ? r : RECORD_E_ENUM);
        } else {
            drain_event(drain, client, record);
        }
        count++;
    }
    if (reader->fault)
        drain_log_lane(drain, client, "lane", reader);
    return count;
}

struct drain_pass drain_segment(struct drain *drain, struct client *client, uint64_t events_max)
{
    struct drain_pass pass = {.is_complete = true};
    uint64_t used = 0, capacity = 0, named = client->names.position;

    for (uint32_t i = 0; i < client->map.layout.lane_count; i++) {
        struct lane_reader *lane = &client->lanes[i];
        if (!lane->fault && lane_reader_look(lane) != 0)
            drain_log_lane(drain, client, "lane", lane);
    }
    drain_names(drain, client);
    if (!client->names.fault)
        pass.fresh = (double)(client->names.position - named) / client->names.capacity;
    for (uint32_t i = 0; i < client->map.layout.lane_count; i++) {
        struct lane_reader *lane = &client->lanes[i];
        double fresh = (double)(lane->head - lane->position) / lane->capacity;
        double fill = (double)lane_reader_used(lane) / lane->capacity;

        if (lane->fault)
            continue;
        used += lane_reader_used(lane);
        capacity += lane->capacity;
        pass.events += drain_lane(drain, client, lane, events_max - pass.events);
        pass.is_complete = pass.is_complete && (lane->fault || lane->position == lane->head);
        if (fresh > pass.fresh)
            pass.fresh = fresh;
        if (fill > pass.lane_fill)
            pass.lane_fill = fill;
    }
    pass.fill = capacity ? (double)used / (double)capacity : 0;
    return pass;
}

/* True if the record is one that frames count. */
static bool frame_record_is_event(const struct record_header *record)
{
    return record->kind != RECORD_NAME && record->kind != RECORD_POOL_STATE;
}

/* Looks at all records before any is taken. */
static int drain_check_frame(struct drain *drain, const struct client *client,
                             struct frame_reader reader, const char **ret_what)
{
    const struct record_header *record;
    uint32_t number = (uint32_t)client->events;
    bool known = client->events_known;

    while (frame_next(&reader, &drain->copy, &record)) {
        int r = record_check(record);
        if (r != 0 && r != RECORD_E_UNKNOWN_KIND) {
            drain->stats->records_bad[r]++;
            *ret_what = "a frame holds an impossible record";
            return REFUSAL_MALFORMED;
        }
        if (!frame_record_is_event(record))
            continue;
        if (known && record->number - number > INT32_MAX) {
            *ret_what = "a frame's event numbers go backwards";
            return REFUSAL_MALFORMED;
        }
        number = record->number + 1;
        known = true;
    }
    return 0;
}

/* Events that the client made and did not send: before our time, or for want of room. */
static void frame_count_event(struct client *client, uint32_t number)
{
    uint32_t gap = number - (uint32_t)client->events;

    client->dropped[client->events_known ? DROP_LANES_FULL : DROP_READ_BY_OTHER] += gap;
    client->events += (uint64_t)gap + 1;
    client->events_known = true;
}

static void frame_take_pool(struct client *client, const struct record_header *record)
{
    const struct record_pool_state *state = (const struct record_pool_state *)(const void *)record;
    struct live_pool *pool = NULL;

    if (!client->pools)
        client->pools = calloc(SEGMENT_POOLS, sizeof(*client->pools));
    if (!client->pools)
        return; /* its gauges are missing; the next state tries again */
    for (uint32_t i = 0; i < client->pool_count && !pool; i++) {
        if (client->pools[i].target == state->head.target)
            pool = &client->pools[i];
    }
    if (!pool && client->pool_count == SEGMENT_POOLS)
        return;
    if (!pool)
        pool = &client->pools[client->pool_count++];
    *pool = (struct live_pool){
        .process = &client->process,
        .target = state->head.target,
        .flags = (state->head.flags & POOL_STATE_HAS_WAITERS ? POOL_HAS_WAITERS : 0u) |
                 (state->head.flags & POOL_STATE_HAS_LIMITS ? POOL_HAS_LIMITS : 0u),
        .connections_max = state->connections_max,
        .connections_min = state->connections_min,
        .idle_max = state->idle_max,
        .idle_min = state->idle_min,
        .used = state->used,
        .idle = state->idle,
        .waiting = state->waiting,
        .connecting = state->connecting,
        .timeouts = state->timeouts,
        .used_peak = state->used,
        .waiting_peak = state->waiting,
    };
}

static void frame_take_record(struct drain *drain, struct client *client,
                              const struct record_header *record)
{
    if (frame_record_is_event(record))
        frame_count_event(client, record->number);
    if (record_check(record) == RECORD_E_UNKNOWN_KIND) {
        drain->stats->unknown_kinds++;
        if (frame_record_is_event(record))
            client->dropped[DROP_UNKNOWN_KIND]++;
        return;
    }
    if (record->kind == RECORD_NAME) {
        drain_name(drain, client, record);
    } else if (record->kind == RECORD_POOL_STATE) {
        frame_take_pool(client, record);
    } else {
        client->read++;
        drain_event(drain, client, record);
    }
}

int drain_frame(struct drain *drain, struct client *client, struct view message,
                const char **ret_what)
{
    const struct record_header *record;
    struct frame_reader reader;
    int r;

    *ret_what = "a frame's lengths do not add up";
    r = frame_open(&reader, message);
    if (r == REFUSAL_UNEXPECTED)
        *ret_what = "a message that is no frame";
    if (r != 0)
        return r;
    if (reader.number <= client->frame) {
        drain->stats->frames_again++;
        return 0;
    }
    r = drain_check_frame(drain, client, reader, ret_what);
    if (r != 0)
        return r;
    while (frame_next(&reader, &drain->copy, &record))
        frame_take_record(drain, client, record);
    client->frame = reader.number;
    client->changes++;
    drain->stats->frames++;
    return 0;
}
