/* What a caller gave for a statement: its text and options, checked, and copied where they must
 * outlive his call. */
#pragma once

#include "base/view.h"
#include "include/weir/statement.h"

struct arguments {
    struct view sql;                 /* with a NUL behind it */
    struct weir_statement_opts opts; /* whole, whatever the caller's size */
    void *owned;                     /* of a copy */
};

/* Borrows. Refuses as WEIR_ERROR_USAGE what cannot be; @doing: "weir_execute", … */
int arguments_check(struct arguments *arguments, const char *sql,
                    const struct weir_statement_opts *opts, const char *doing,
                    struct weir_error **ret_error);
/* Makes a checked one its own: one allocation. */
int arguments_keep(struct arguments *arguments, struct weir_error **ret_error);
void arguments_deinit(struct arguments *arguments);
