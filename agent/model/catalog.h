/* Every metric that leaves the agent, declared once in catalog.def and expanded into specs,
 * encoders, documentation and dashboards' checks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The instrumentation scope of everything that leaves the agent, on every way out; its version is
 * WEIR_VERSION. */
#define CATALOG_SCOPE "weir"

enum metric_kind {
    METRIC_COUNTER, /* monotonic sum */
    METRIC_UPDOWN,  /* non-monotonic sum: cumulative whatever the temporality */
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
};

enum metric_value {
    METRIC_INT,
    METRIC_DOUBLE,
};

enum metric_id {
#define METRIC(id, name, unit, kind, value, description) METRIC_##id,
#include "agent/model/catalog.def"
#undef METRIC
    METRIC_ID_END
};

struct metric_spec {
    const char *name;
    const char *unit; /* UCUM */
    enum metric_kind kind;
    enum metric_value value;
    const char *description;
};

/* METRIC_ID_END entries, indexed by enum metric_id. */
extern const struct metric_spec metric_catalog[];
