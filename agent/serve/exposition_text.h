/* Prometheus's text format 0.0.4 and OpenMetrics 1.0. */
#pragma once

#include "agent/serve/exposition.h"

struct text_writer {
    struct buffer *out;
    bool is_openmetrics;
    const struct exposition_family *family; /* between begin and end */
};

extern const struct exposition_writer text_writer_ops;
