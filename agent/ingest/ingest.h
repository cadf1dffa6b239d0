/* The edge where clients come in: the socket, hello, segments and frames, names and events.
 *
 * Everything runs on the caller's libuv loop and thread. Ingest reads on its own timer (100 ms when
 * idle, down to 2 ms as lanes fill) and calls back; what it read is freed in the segments, and
 * acknowledged to frames clients, only after the caller's checkpoint:
 *
 *     ingest_freeze(ingest, rows)   positions of all that was called back so far
 *     … the store commits rows with the series of the same moment …
 *     ingest_commit(ingest)         tails move, acks go out        (or ingest_commit_failed())
 *
 * A client that lies costs itself, at most: it is refused or closed, or loses the lane concerned,
 * counted by cause. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/model/ledger.h"
#include "agent/model/live.h"
#include "agent/model/observation.h"
#include "agent/model/resource.h"
#include "agent/model/rows.h"
#include "proto/wire/message.h"
#include "proto/wire/record_check.h"

struct ingest;

enum client_end {
    CLIENT_DIED = 1, /* its pidfd says so */
    CLIENT_GONE = 2, /* hung up and stands still; without a pidfd nothing better can be known. It
                        may come back with the same id and goes on where it was */
};

/* A client's part of the ledger, in events (names and pool states are none), over its whole life,
 * whoever read them. recorded = read + in_lanes + dropped. */
struct ingest_counts {
    uint64_t recorded; /* published, or dropped by the shim */
    uint64_t read;     /* called back */
    uint64_t in_lanes; /* published and not read yet */
    uint64_t dropped[DROP_END];
    uint64_t names_refused, slots_refused, waiters_refused, pools_refused; /* by the shim */
};

/* A turn of the timer. What is full counts what waits for a checkpoint. */
struct ingest_pass {
    uint64_t events;  /* read in it; a frame taken since the last one counts as one more */
    double fill;      /* of all lanes of the client whose lanes are fullest, 0 to 1 */
    double lane_fill; /* of the fullest lane: then its writers take other ones */
};

/* Called on the loop. Everything is borrowed for the call, but for a process, which lives from
 * on_client until on_ended has returned. */
struct ingest_ops {
    void (*on_client)(void *userdata, const struct process *process);
    void (*on_name)(void *userdata, const struct process *process, const struct record_name *name,
                    struct view text);
    void (*on_observation)(void *userdata, const struct observation *observation);
    /* All that it left was read before. @board: its last state; of a frames client, its pools. */
    void (*on_ended)(void *userdata, const struct process *process, enum client_end end,
                     const struct live_board *board, const struct ingest_counts *counts);
    void (*on_pass)(void *userdata, const struct ingest_pass *pass);
    /* One line, no newline; said once per cause and ten seconds, with the number of times. */
    void (*on_log)(void *userdata, bool is_warning, const char *line);
};

struct ingest_opts {
    const char *socket_path;
    uint32_t socket_mode;  /* 0: 0666 */
    uint32_t clients_max;  /* 0: 1024; later ones are refused */
    uint32_t greeting_max; /* 0: 256 connections that have not said hello; the oldest gives way */
    uint64_t mapped_bytes_max;         /* 0: 8 GiB of segments, address space only */
    uint64_t buffered_bytes_max;       /* 0: 64 MiB of messages that are not complete */
    uint32_t hello_timeout_ms;         /* 0: 5,000; also for the rest of a frame */
    uint32_t gone_timeout_ms;          /* 0: 15,000: hung up and standing still */
    uint32_t stored_max;               /* 0: 1,024 positions of clients that are away */
    struct resource_defaults defaults; /* what it points to outlives ingest */
    const struct ingest_ops *ops;      /* outlives ingest; every function is set */
    void *userdata;
};

/* Waits up to @wait_ms for the lock beside the socket (@socket_path + ".lock"), which is held as
 * long as *ret_fd is open. Returns 0, negative errno, or INGEST_E_TAKEN: another agent serves this
 * socket. Blocks; call it before the loop runs. */
enum { INGEST_E_TAKEN = 1 };
int ingest_lock(const char *socket_path, uint32_t wait_ms, int *ret_fd)
    __attribute__((warn_unused_result));

/* Makes an ingest that does not listen yet. 0 or negative errno. */
int ingest_new(uv_loop_t *loop, const struct ingest_opts *opts, struct ingest **ret)
    __attribute__((warn_unused_result));
/* Takes back a row of ROWS_POSITIONS, before ingest_listen(). 0, -EBADMSG (skipped) or -ENOMEM. */
int ingest_restore(struct ingest *ingest, const struct row *row)
    __attribute__((warn_unused_result));
/* Binds a temporary name, renames it to the socket's, listens, and starts the timer. Call it with
 * the lock held: what stands at the path then is nobody's. 0 or negative errno. */
int ingest_listen(struct ingest *ingest) __attribute__((warn_unused_result));
/* Stops listening and reading, closes all clients without ending them, and calls @fn once the loop
 * has closed every handle; only then ingest_free() may be called. The socket's name is removed. */
typedef void (*ingest_closed_fn)(void *userdata);
void ingest_close(struct ingest *ingest, ingest_closed_fn fn, void *userdata);
/* After ingest_close() has called back, or if ingest_listen() was never called. NULL is fine. */
struct ingest *ingest_free(struct ingest *ingest);

/* Reads all that lies in all lanes now, before a checkpoint that somebody waits for. */
void ingest_drain(struct ingest *ingest);

/* Adds the positions that changed to @rows (ROWS_POSITIONS), and remembers them as frozen. One
 * freeze at a time: commit or commit_failed comes before the next. */
void ingest_freeze(struct ingest *ingest, struct rows *rows);
void ingest_commit(struct ingest *ingest);
void ingest_commit_failed(struct ingest *ingest);

/* Tells all clients, now and later, to stop or to go on recording. */
void ingest_stop_recording(struct ingest *ingest, bool stop);
/* Raises every segment's epoch: names are announced anew, since their texts were lost. */
void ingest_announce(struct ingest *ingest);

typedef void (*ingest_board_fn)(void *userdata, const struct live_board *board);
/* Looks at every client's board, one after the other. */
void ingest_look(struct ingest *ingest, ingest_board_fn fn, void *userdata);

typedef void (*ingest_counts_fn)(void *userdata, const struct process *process,
                                 const struct ingest_counts *counts);
/* Every living client's counts. */
void ingest_counts(struct ingest *ingest, ingest_counts_fn fn, void *userdata);

struct ingest_stats {
    uint32_t clients, frames_clients, greeting; /* now */
    uint64_t mapped_bytes, buffered_bytes;      /* now */
    uint32_t stored;                            /* positions of clients that are away */
    uint64_t accepted;                          /* connections, ever */
    uint64_t refused[REFUSAL_END];
    uint64_t hello_timeouts, frame_timeouts;
    uint64_t lanes_bad[16]; /* by enum lane_fault */
    uint64_t records_bad[RECORD_E_END];
    uint64_t unknown_kinds;
    uint64_t frames, frames_again; /* taken; seen a second time and skipped */
    uint64_t names, events;
    uint64_t evicted_positions;
    uint64_t out_of_memory;
};
struct ingest_stats ingest_stats(const struct ingest *ingest);
