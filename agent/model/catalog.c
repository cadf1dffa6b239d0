#include "agent/model/catalog.h"

const struct metric_spec metric_catalog[] = {
#define METRIC(id, name, unit, kind, value, description)                                           \
    [METRIC_##id] = {name, unit, METRIC_##kind, METRIC_##value, description},
#include "agent/model/catalog.def"
#undef METRIC
};
