/* The labels of one series or info metric, translated and safe to expose: names are legal and
 * unique, values are valid UTF-8 without NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/model/attributes.h"
#include "base/buffer.h"

enum { LABELS_MAX = ATTRIBUTES_MAX + 16 };

/* Offsets into the text, which moves as it grows; both texts end with NUL. */
struct label {
    size_t name_at, value_at;
};

struct labels {
    struct buffer text;
    struct label items[LABELS_MAX];
    size_t count;
};

void labels_init(struct labels *labels);
void labels_deinit(struct labels *labels);

/* Cuts back to the first @count labels, whose text ends at @text_length. */
void labels_cut(struct labels *labels, size_t count, size_t text_length);

/* Adds a label whose name is legal already; one of the same name keeps the first value. */
void labels_add(struct labels *labels, const char *name, struct view value);

/* Adds @attributes. A key whose label is already there becomes `exported_…`, or with @keep_first is
 * left out; keys of @attributes that meet in one label are joined with `;`. */
void labels_add_attributes(struct labels *labels, const struct attributes *attributes,
                           bool keep_first);

/* What every series of a resource carries: job, instance, and the labels that dashboards join by
 * (service_name, cluster, namespace, pod) as far as the resource says them. */
void labels_add_resource(struct labels *labels, const struct attributes *resource);
void labels_add_scope(struct labels *labels);

static inline const char *label_name(const struct labels *labels, size_t i)
{
    return labels->text.bytes + labels->items[i].name_at;
}

static inline const char *label_value(const struct labels *labels, size_t i)
{
    return labels->text.bytes + labels->items[i].value_at;
}
