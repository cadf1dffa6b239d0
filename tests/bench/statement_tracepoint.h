/* The peer's event: three integers, as a minimal tracepoint around a statement would carry. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER weir_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./statement_tracepoint.h"

#if !defined(STATEMENT_TRACEPOINT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define STATEMENT_TRACEPOINT_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    weir_bench, statement,
    LTTNG_UST_TP_ARGS(uint64_t, fingerprint, uint64_t, duration_ns, uint64_t, rows),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, fingerprint, fingerprint)
                            lttng_ust_field_integer(uint64_t, duration_ns, duration_ns)
                                lttng_ust_field_integer(uint64_t, rows, rows)))

#endif

#include <lttng/tracepoint-event.h>
