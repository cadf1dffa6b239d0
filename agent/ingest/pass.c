/* Reading on a timer: seldom when nothing happens, often while lanes fill. */
#include "agent/ingest/state.h"
#include "base/clock.h"

enum {
    INTERVAL_IDLE_MS = 100,
    INTERVAL_BUSY_MS = 2,
    EVENTS_PER_PASS = 20000, /* some ten milliseconds of the loop */
    EVENTS_AT_ONCE = 400000, /* … some two hundred, where somebody waits for what is there */
};

/* A lane that fills by more than this between two looks is looked at twice as often, by less than
 * that half as often. */
#define FRESH_MANY 0.5
#define FRESH_FEW  0.125

void pass_set_wall(struct ingest *ingest, uint64_t now_ns)
{
    uint64_t realtime_ns = clock_realtime_ns();

    ingest->drain.now_unix_ns = realtime_ns;
    if (ingest->wall_set_ns && now_ns - ingest->wall_set_ns < NS_PER_S)
        return;
    ingest->wall_set_ns = now_ns;
    for (uint32_t i = 0; i < ingest->client_count; i++)
        client_set_wall(ingest->clients[i], now_ns, realtime_ns);
}

static struct drain_pass pass_over_clients(struct ingest *ingest, uint64_t events_max)
{
    struct drain_pass all = {.is_complete = true};

    ingest->first++;
    for (uint32_t i = 0; i < ingest->client_count; i++) {
        struct client *client = ingest->clients[(ingest->first + i) % ingest->client_count];
        if (!client->map.header)
            continue;
        /* At its end a pass reads no more events, but still learns how full the lanes are. */
        struct drain_pass pass = drain_segment(&ingest->drain, client, events_max - all.events);
        all.events += pass.events;
        all.is_complete = all.is_complete && pass.is_complete;
        if (pass.fill > all.fill)
            all.fill = pass.fill;
        if (pass.lane_fill > all.lane_fill)
            all.lane_fill = pass.lane_fill;
        if (pass.fresh > all.fresh)
            all.fresh = pass.fresh;
    }
    return all;
}

uint64_t pass_drain_all(struct ingest *ingest)
{
    pass_set_wall(ingest, clock_monotonic_ns());
    return pass_over_clients(ingest, EVENTS_AT_ONCE).events;
}

static void pass_say_unsaid(struct ingest *ingest, uint64_t now_ns)
{
    uint64_t unsaid;

    for (uint32_t cause = 0; cause < sizeof(ingest->limits) / sizeof(*ingest->limits); cause++) {
        if (log_limit_due(&ingest->limits[cause], now_ns, &unsaid))
            admission_say(ingest, cause, unsaid, "as said before");
    }
}

static uint64_t pass_next_interval(uint64_t interval_ms, const struct drain_pass *pass)
{
    if (!pass->is_complete)
        return INTERVAL_BUSY_MS;
    if (pass->fresh > FRESH_MANY)
        interval_ms /= 2;
    else if (pass->fresh < FRESH_FEW)
        interval_ms *= 2;
    if (interval_ms < INTERVAL_BUSY_MS)
        return INTERVAL_BUSY_MS;
    return interval_ms > INTERVAL_IDLE_MS ? INTERVAL_IDLE_MS : interval_ms;
}

static void pass_on_timer(uv_timer_t *timer)
{
    struct ingest *ingest = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    struct drain_pass pass;

    pass_set_wall(ingest, now_ns);
    pass = pass_over_clients(ingest, EVENTS_PER_PASS);
    admission_expire(ingest, now_ns);
    pass_say_unsaid(ingest, uv_now(ingest->loop) * NS_PER_MS + 1);
    ingest->interval_ms = pass_next_interval(ingest->interval_ms, &pass);
    if (!ingest->is_closing)
        (void)uv_timer_start(timer, pass_on_timer, ingest->interval_ms, 0); /* never fails here */
    /* What frames brought waits for a checkpoint, too: their acknowledgement is nothing else. */
    pass.events += ingest->frames_taken;
    ingest->frames_taken = 0;
    ingest->opts.ops->on_pass(ingest->opts.userdata,
                              &(struct ingest_pass){pass.events, pass.fill, pass.lane_fill});
}

void pass_start(struct ingest *ingest)
{
    ingest->interval_ms = INTERVAL_IDLE_MS;
    (void)uv_timer_start(&ingest->timer, pass_on_timer, INTERVAL_BUSY_MS, 0); /* never fails here */
}
