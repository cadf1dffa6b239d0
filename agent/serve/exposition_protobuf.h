/* Prometheus's delimited protobuf format: histograms in their classic and their native form. */
#pragma once

#include "agent/serve/exposition.h"

struct protobuf_space; /* messages to fill, grown as points need */

struct protobuf_writer {
    struct buffer *out;
    struct buffer family; /* the family being written: its length comes before it */
    const struct exposition_family *current;
    struct protobuf_space *space;
    bool has_failed;
};

void protobuf_writer_init(struct protobuf_writer *writer, struct buffer *out);
void protobuf_writer_deinit(struct protobuf_writer *writer);

extern const struct exposition_writer protobuf_writer_ops;
