#include "agent/ingest/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ingest/ingest.h"
#include "agent/ingest/utf8.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum {
    HELLO_TEXT_MAX = 4 * HELLO_LENGTH_MAX, /* a bad byte becomes three */
    /* A difference of the two clocks' readings below this is how long reading took. */
    CLOCK_NOISE_NS = 1000 * 1000,
};

/* The hello's attributes as a set. Keys and values become UTF-8 here, where strangers come in. */
static const struct attributes *client_attributes(const struct hello *hello)
{
    struct attribute items[HELLO_ATTRIBUTES_MAX];
    const struct attributes *attributes;
    struct buffer text;
    size_t offset = 0;

    buffer_init(&text, HELLO_TEXT_MAX);
    for (uint16_t i = 0; i < hello->attribute_count; i++) {
        size_t before = text.length;
        utf8_append_clean(&text, hello->attributes[i].key);
        items[i].key.length = text.length - before;
        before = text.length;
        utf8_append_clean(&text, hello->attributes[i].value);
        items[i].type = ATTRIBUTE_STRING;
        items[i].value.string.length = text.length - before;
    }
    if (text.failed) {
        buffer_deinit(&text);
        return NULL;
    }
    for (uint16_t i = 0; i < hello->attribute_count; i++) {
        items[i].key.bytes = text.bytes + offset;
        offset += items[i].key.length;
        items[i].value.string.bytes = text.bytes + offset;
        offset += items[i].value.string.length;
    }
    attributes = attributes_new(items, hello->attribute_count);
    buffer_deinit(&text);
    return attributes;
}

/* How far its CLOCK_MONOTONIC is behind ours. CLOCK_REALTIME is one for all, so the two pairs tell,
 * however long the hello lay in the backlog. */
static int64_t client_clock_offset(const struct client_opts *opts)
{
    int64_t theirs = (int64_t)(opts->hello->realtime_ns - opts->hello->monotonic_ns);
    int64_t ours = (int64_t)(opts->now_realtime_ns - opts->now_monotonic_ns);
    int64_t offset = (int64_t)((uint64_t)theirs - (uint64_t)ours);

    return offset > -CLOCK_NOISE_NS && offset < CLOCK_NOISE_NS ? 0 : offset;
}

void client_set_wall(struct client *client, uint64_t now_monotonic_ns, uint64_t now_realtime_ns)
{
    client->process.wall_offset_ns =
        (int64_t)(now_realtime_ns - now_monotonic_ns + (uint64_t)client->clock_offset_ns);
}

int client_new(const struct client_opts *opts, bool *ret_bad_resource, struct client **ret)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return -ENOMEM;
    client->pidfd = -1;
    client->on_died = opts->on_died;
    client->userdata = opts->userdata;
    client->handles = opts->handles;
    client->since_ns = opts->now_monotonic_ns;
    client->version =
        (struct message_version){opts->hello->version_major, opts->hello->version_minor};
    client->process.pid = opts->hello->pid;
    client->process.is_frames = opts->hello->kind == HELLO_FRAMES;
    memcpy(client->process.client_id, opts->hello->client_id, sizeof(client->process.client_id));
    client->clock_offset_ns = client_clock_offset(opts);
    client_set_wall(client, opts->now_monotonic_ns, opts->now_realtime_ns);
    client->process.hello = client_attributes(opts->hello);
    if (client->process.hello)
        client->process.resource =
            resource_from_hello(client->process.hello, opts->defaults, ret_bad_resource);
    if (!client->process.resource) {
        (void)client_free(client);
        return -ENOMEM;
    }
    *ret = client;
    return 0;
}

static void client_on_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    struct handle_count *handles = client->handles;

    free(client);
    handle_count_down(handles);
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    (void)attributes_unref(client->process.hello);
    (void)attributes_unref(client->process.resource);
    segment_map_close(&client->map);
    free(client->lanes);
    free(client->pools);
    if (client->pidfd < 0) {
        free(client);
        return NULL;
    }
    uv_close((uv_handle_t *)&client->death, client_on_closed);
    (void)close(client->pidfd); /* nothing is written through it */
    return NULL;
}

static void client_on_death(uv_poll_t *poll, int status, int events)
{
    struct client *client = poll->data;
    (void)status; /* an error of polling is as final */
    (void)events;

    (void)uv_poll_stop(poll); /* readable for ever */
    client->on_died(client->userdata, client);
}

int client_watch_death(struct client *client, uv_loop_t *loop, int pidfd)
{
    int r = uv_poll_init(loop, &client->death, pidfd);

    if (r < 0)
        return r;
    client->death.data = client;
    client->pidfd = pidfd;
    client->handles->open++;
    (void)uv_poll_start(&client->death, UV_READABLE, client_on_death); /* never fails here */
    return 0;
}

/* Opens one ring, where @stored says if there is one. 0 or SEGMENT_MAP_E_REFUSED. */
static int client_open_ring(struct lane_reader *reader, struct lane *lane, uint32_t stride,
                            const struct ring_position *stored, struct segment_refusal *refusal)
{
    int r;

    /* A ring that cannot be opened is one lost; reader->fault says so ever after. */
    r = lane_reader_open(reader, lane, stride);
    if (r != 0 || !stored)
        return 0;
    r = lane_reader_resume(reader, stored->position, stored->number);
    if (r != LANE_RESUME_E_BEYOND)
        return 0;
    *refusal = (struct segment_refusal){REFUSAL_POSITION,
                                        "it was read further, before, than it is written now"};
    return SEGMENT_MAP_E_REFUSED;
}

int client_adopt_segment(struct client *client, struct segment_map *map,
                         const struct position *stored, struct segment_refusal *ret_refusal)
{
    const struct segment_layout *layout = &map->layout;
    char *base = (char *)map->header;
    int r;

    if (stored && (stored->is_frames || stored->lane_count != layout->lane_count)) {
        *ret_refusal = (struct segment_refusal){REFUSAL_POSITION, "it had another number of lanes"};
        return SEGMENT_MAP_E_REFUSED;
    }
    client->lanes = calloc(layout->lane_count, sizeof(*client->lanes));
    if (!client->lanes)
        return -ENOMEM;
    r = client_open_ring(&client->names, (struct lane *)(void *)(base + layout->names_offset),
                         layout->names_stride, stored ? &stored->names : NULL, ret_refusal);
    for (uint32_t i = 0; r == 0 && i < layout->lane_count; i++) {
        char *lane = base + layout->lanes_offset + (uint64_t)i * layout->lane_stride;
        r = client_open_ring(&client->lanes[i], (struct lane *)(void *)lane, layout->lane_stride,
                             stored ? &stored->lanes[i] : NULL, ret_refusal);
    }
    if (r != 0)
        return r;
    client->map = *map;
    *map = (struct segment_map){0};
    if (stored) {
        memcpy(client->dropped, stored->dropped, sizeof(client->dropped));
        client->has_row = true;
        client->changes = 1; /* the next commit moves the tails, which may stand before */
    }
    return 0;
}

void client_adopt_frames(struct client *client, const struct position *stored)
{
    if (!stored || !stored->is_frames)
        return;
    client->frame = stored->frame;
    client->frame_acked = client->frame_committed = stored->frame_saved;
    client->changes = stored->is_unsaved;
    client->events = stored->events;
    client->read = stored->read;
    client->events_known = true;
    memcpy(client->dropped, stored->dropped, sizeof(client->dropped));
    client->has_row = true;
}

void client_position(const struct client *client, struct position *ret)
{
    *ret = (struct position){
        .is_frames = client->process.is_frames,
        .is_unsaved = client->changes != client->changes_saved,
    };
    memcpy(ret->client_id, client->process.client_id, sizeof(ret->client_id));
    memcpy(ret->dropped, client->dropped, sizeof(ret->dropped));
    if (ret->is_frames) {
        ret->frame = client->frame;
        ret->frame_saved = client->frame_committed;
        ret->events = client->events;
        ret->read = client->read;
        return;
    }
    ret->lane_count = client->map.layout.lane_count;
    ret->names = (struct ring_position){client->names.position, client->names.number};
    for (uint32_t i = 0; i < ret->lane_count; i++) {
        ret->lanes[i] = (struct ring_position){client->lanes[i].position, client->lanes[i].number};
        ret->dropped[DROP_READ_BY_OTHER] += client->lanes[i].missed;
    }
}

void client_commit(struct client *client)
{
    client->changes_saved = client->changes_frozen;
    client->has_row = true;
    if (client->process.is_frames) {
        client->frame_committed = client->frozen.frame;
        return;
    }
    lane_reader_commit(&client->names, client->frozen.names.position);
    for (uint32_t i = 0; i < client->frozen.lane_count; i++)
        lane_reader_commit(&client->lanes[i], client->frozen.lanes[i].position);
}

/* Adds one lane's part. */
static void client_count_lane(const struct lane_reader *lane, struct ingest_counts *counts)
{
    /* What it says it recorded can be no more than it has room for, and one just being published.
     */
    const uint64_t most = lane->number + lane->capacity / RECORD_ALIGN + 1;
    uint64_t recorded = lane_reader_recorded(lane);

    if (lane->number_known && recorded > most)
        recorded = most;
    counts->recorded += recorded;
    if (lane->fault)
        counts->dropped[DROP_CORRUPT] += recorded - lane->number;
    else
        counts->in_lanes += recorded - lane->number;
    counts->dropped[DROP_READ_BY_OTHER] += lane->missed;
    counts->read += lane->number;
}

static void client_count_segment(const struct client *client, struct ingest_counts *ret)
{
    static const enum drop_cause causes[] = {
        [SEGMENT_DROP_LANES_BUSY] = DROP_LANES_BUSY,
        [SEGMENT_DROP_LANES_FULL] = DROP_LANES_FULL,
        [SEGMENT_DROP_TOO_LARGE] = DROP_TOO_LARGE,
    };
    struct segment_header *header = client->map.header;

    for (uint32_t i = 0; i < client->map.layout.lane_count; i++)
        client_count_lane(&client->lanes[i], ret);
    ret->read -= ret->dropped[DROP_READ_BY_OTHER] + ret->dropped[DROP_UNKNOWN_KIND];
    for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
        uint64_t dropped = atomic_load_explicit(&header->dropped[i], memory_order_relaxed);
        ret->dropped[causes[i]] += dropped;
        ret->recorded += dropped;
    }
    ret->names_refused = atomic_load_explicit(&header->names_refused, memory_order_relaxed);
    ret->slots_refused = atomic_load_explicit(&header->slots_refused, memory_order_relaxed);
    ret->waiters_refused = atomic_load_explicit(&header->waiters_refused, memory_order_relaxed);
    ret->pools_refused = atomic_load_explicit(&header->pools_refused, memory_order_relaxed);
}

void client_counts(const struct client *client, struct ingest_counts *ret)
{
    *ret = (struct ingest_counts){0};
    memcpy(ret->dropped, client->dropped, sizeof(ret->dropped));
    if (client->process.is_frames) {
        ret->recorded = client->events;
        ret->read = client->read;
        return;
    }
    client_count_segment(client, ret);
}

uint64_t client_progress(const struct client *client)
{
    uint64_t progress = client->changes;

    if (client->map.header)
        progress += board_read_process(&client->map.board).progress;
    return progress;
}
