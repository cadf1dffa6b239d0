/* What one result of libpq says, taken out of it, so that matching results with what was sent needs
 * no libpq. Borrowed from the result. */
#pragma once

#include <stdint.h>

#include "include/weir/probe.h"

enum outcome_kind {
    OUTCOME_NOTHING, /* no result: everything that was sent is answered, or was never sent */
    OUTCOME_DONE,    /* a statement's end, or a describe's */
    OUTCOME_EMPTY,   /* a string without a statement */
    OUTCOME_ERROR,
    OUTCOME_ROWS, /* some of them, more to come */
    OUTCOME_COPY_IN,
    OUTCOME_COPY_OUT,
    OUTCOME_SYNC,    /* the end of a pipeline's part */
    OUTCOME_ABORTED, /* never executed, since something before it in its part failed */
};

/* As PQtransactionStatus tells. */
enum transaction_state {
    TRANSACTION_NOT_TOLD, /* something is under way */
    TRANSACTION_NONE,
    TRANSACTION_OPEN,
    TRANSACTION_FAILED,
    TRANSACTION_LOST, /* the connection is gone */
};

struct outcome {
    enum outcome_kind kind;
    enum transaction_state transaction; /* NOTHING: afterwards */
    const char *tag;                    /* DONE: "INSERT 0 1" */
    struct weir_probe_statement_result result;
};
