/* Reading what a client's segment or frame holds: names first, then events, each a checked copy. */
#pragma once

#include "agent/ingest/client.h"
#include "agent/ingest/ingest.h"
#include "proto/wire/frame_reader.h"

/* What every drain needs; one for all clients, on the loop's thread. */
struct drain {
    const struct ingest_ops *ops;
    void *userdata;
    struct ingest_stats *stats;
    uint64_t now_unix_ns; /* nothing happened later than this */
    struct lane_record_copy copy;
};

struct drain_pass {
    uint64_t events;  /* called back */
    double fill;      /* of all its lanes: what waits for a checkpoint, 0 to 1 */
    double lane_fill; /* of the fullest one */
    double fresh;     /* of the lane that filled fastest: what was new in this pass, 0 to 1 */
    bool is_complete; /* false: @events_max was reached */
};

/* Reads a segment: acquires the heads of all lanes, then reads all names, then the events up to
 * those heads; so a name is known before the first event that carries it. A bad record ends its
 * lane. */
struct drain_pass drain_segment(struct drain *drain, struct client *client, uint64_t events_max);

/* Counts and logs the rings that could not be opened. */
void drain_report_faults(struct drain *drain, const struct client *client);

/* Takes a whole frame, or nothing of it. Returns 0, or enum refusal with the reason. A frame seen
 * before is skipped. */
int drain_frame(struct drain *drain, struct client *client, struct view message,
                const char **ret_what) __attribute__((warn_unused_result));
