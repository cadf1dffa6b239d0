/* What is told of a statement while it runs: to the probe, to the caller's timing, to the slot for
 * reports of leaks and drains, and at its end to the log.
 *
 * A string of several statements is told as its single statements, each ended by its own result. A
 * statement alone ends when the server has said that it is ready again, since only then libpq knows
 * what became of the transaction; its change is told before the statement's end (weir/probe.h).
 * Where more follows (in a string, in a pipeline) the command's tag says it. */
#pragma once

#include "base/view.h"
#include "shim/session/pool.h"

struct account {
    struct slot *slot;
    const struct probe_table *probe;
    const void *caller;
    struct view sql;                        /* all of it; borrowed */
    const struct weir_statement_opts *opts; /* borrowed; NULL: none */
    const struct weir_probe_text *text;     /* of a prepared one; NULL: by sql */
    uint64_t wait_ns;
    uint64_t begin_ns, first_byte_ns, end_ns; /* first_byte_ns 0: not seen */
    uint64_t rows;   /* delivered in parts so far; WEIR_UNKNOWN at the end if not known */
    uint32_t traits; /* changes.h */
    uint32_t flags;  /* enum weir_statement_flag, for the end */
    bool is_open;
    bool is_logged; /* if it is slow or fails: one of the service's own */
    bool is_single; /* no other statement can come before the server is ready again */
    PGresult *last; /* of the statement that is to end; borrowed */

    /* the part of a string that runs */
    size_t offset; /* behind it */
    bool is_event; /* PREPARE, DEALLOCATE */
    uint64_t part_begin_ns;
    struct view part, body;
    struct weir_probe_statement room;
};

struct account_opts {
    struct view sql;
    const struct weir_statement_opts *opts;
    const struct weir_probe_text *text;
    const void *caller;
    uint32_t traits;
    uint32_t flags; /* enum weir_statement_flag */
    bool is_logged;
};

/* Something is sent, now. What @opts points to must live until the end. */
void account_begin(struct account *account, struct slot *slot, const struct account_opts *opts);
/* The answer's first byte is there. */
void account_first_byte(struct account *account);
/* A result of it; must live until the next call. */
void account_result(struct account *account, PGresult *result);
/* All is answered, or will not be: @category says why if @last does not. */
void account_end(struct account *account, enum weir_error_category category);
/* A pipeline's statement is answered by the result that was told last; more may follow. */
void account_end_within(struct account *account, enum weir_error_category category);

/* The transaction's state as libpq knows it, of a connection at rest, told to the probe if it is
 * news; also what direct use of the PGconn changed. */
void account_rest(struct slot *slot);

/* What the parts of a string that ran last are: for a COMMIT whose answer is missing. */
bool account_is_commit(const struct account *account);
