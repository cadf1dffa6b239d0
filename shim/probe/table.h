/* weir_probe_v1: the functions of one copy of the probe, for all copies in the process. Grows at
 * its end only; size tells how far it goes. A call site that is to be derived is passed as @caller.
 */
#pragma once

#include <stdbool.h>

#include "base/view.h"
#include "include/weir/probe.h"

/* What a thread says of its request, while another is said for a moment. Opaque to who keeps it. */
struct probe_context {
    uint8_t trace_id[16];
    uint8_t parent_span_id[8];
    uint64_t tenant;
    uint64_t tracestate;
    uint32_t epoch;
    uint8_t trace_flags;
    bool has_context;
};

struct probe_table {
    size_t size;
    struct weir_probe_pool *(*pool_open)(const struct weir_probe_pool_opts *opts);
    void (*pool_limits)(struct weir_probe_pool *pool, const struct weir_probe_pool_opts *opts);
    void (*pool_close)(struct weir_probe_pool *pool);
    struct weir_probe_connection *(*connect_begin)(struct weir_probe_pool *pool,
                                                   const struct weir_probe_target *target);
    void (*connect_end)(struct weir_probe_connection *connection,
                        const struct weir_probe_connect_result *result);
    void (*connection_reset)(struct weir_probe_connection *connection);
    void (*connection_close)(struct weir_probe_connection *connection, enum weir_failure failure,
                             const char *sqlstate);
    void (*acquire_begin)(struct weir_probe_pool *pool, struct weir_probe_acquire *acquire,
                          const char *call_site, const void *caller);
    void (*acquire_end)(struct weir_probe_acquire *acquire,
                        struct weir_probe_connection *connection, enum weir_failure failure,
                        const char *sqlstate);
    void (*release)(struct weir_probe_connection *connection);
    void (*statement_begin)(struct weir_probe_connection *connection,
                            struct weir_probe_statement *statement, struct view sql, uint32_t flags,
                            const void *caller);
    void (*statement_begin_prepared)(struct weir_probe_connection *connection,
                                     struct weir_probe_statement *statement,
                                     const struct weir_probe_text *text, uint32_t flags,
                                     const void *caller);
    void (*statement_first_byte)(struct weir_probe_statement *statement);
    void (*statement_end)(struct weir_probe_statement *statement,
                          const struct weir_probe_statement_result *result);
    struct weir_probe_text *(*text_new)(const char *text, size_t text_length, uint32_t flags);
    void (*text_free)(struct weir_probe_text *text);
    void (*transaction_begin)(struct weir_probe_connection *connection, const void *caller);
    void (*transaction_end)(struct weir_probe_connection *connection,
                            enum weir_transaction_outcome outcome);
    void (*prepare)(struct weir_probe_connection *connection, const struct weir_probe_text *text,
                    enum weir_prepare_action action, uint64_t duration_ns, const char *sqlstate);
    void (*cancel)(struct weir_probe_connection *connection);
    void (*listening)(struct weir_probe_connection *connection, int is_listening);
    void (*tenant_set)(const char *tenant);
    void (*trace_set)(const char *traceparent, const char *tracestate);
    void (*call_site_set)(const char *call_site);
    void (*caller_set)(const void *return_address);
    void (*identify)(const struct weir_probe_identity *identity);
    void (*observed)(enum weir_observed observed, uint32_t library_version);
    void (*acquire_immediate)(struct weir_probe_pool *pool,
                              struct weir_probe_connection *connection, const char *call_site,
                              const void *caller);
    void (*release_noting)(struct weir_probe_connection *connection, uint32_t flags);
    void (*connects_covered)(int is_covered);
    int (*connects_are_covered)(void); /* asked by the preload, of the calling thread */
    /* For whoever sets tenant or trace for one acquire: the calling thread's own, taken away before
     * and put back after. */
    void (*context_save)(struct probe_context *ret);
    void (*context_restore)(const struct probe_context *context);
};

/* The functions of the process's one probe. */
const struct probe_table *probe_table(void);
