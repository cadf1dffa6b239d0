/* From OpenTelemetry's names to Prometheus's, by the translation strategy
 * UnderscoreEscapingWithSuffixes. Results are always legal in every exposition format. */
#pragma once

#include <stddef.h>

#include "agent/model/catalog.h"
#include "base/view.h"

enum { PROMETHEUS_NAME_MAX = 256, PROMETHEUS_UNIT_MAX = 64 };

/* The family's name with its unit but without `_total`; longer ones are cut. */
void prometheus_family_name(const struct metric_spec *spec, char ret[PROMETHEUS_NAME_MAX]);

/* The unit as a word: "seconds", "bytes_per_second"; "" if it has none. */
void prometheus_unit(const char *ucum, char ret[PROMETHEUS_UNIT_MAX]);

void prometheus_label_name(struct view key, char ret[PROMETHEUS_NAME_MAX]);
