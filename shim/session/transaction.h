/* Work in a transaction, once: trying it again is the pool's matter (weir_transaction_run). */
#pragma once

#include "include/weir/transaction.h"

struct work {
    weir_transaction_fn run;
    void *userdata;
    const struct weir_transaction_opts *opts;
    const void *caller;
};

/* Begins, works, commits, on a connection that is held; what fails is rolled back. *@ret_error must
 * be NULL. */
int transaction_attempt(struct weir_connection *connection, const struct work *work,
                        struct weir_error **ret_error);
