/* Walks a snapshot family by family: metrics stand in catalog order in every resource, so one
 * cursor a resource finds each family's points without searching. */
#include "agent/serve/exposition.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/serve/exposition_protobuf.h"
#include "agent/serve/exposition_text.h"
#include "agent/serve/translate.h"
#include "base/cleanup.h"

static void labels_deinitp(struct labels *labels)
{
    labels_deinit(labels);
}

const struct exemplar_point *exposition_exemplar(const struct metric_point *point, double lower,
                                                 double upper)
{
    const struct exemplar_point *latest = NULL;

    for (uint32_t i = 0; i < point->exemplar_count; i++) {
        const struct exemplar_point *exemplar = &point->exemplars[i];
        if (!(exemplar->value > lower) || !(exemplar->value <= upper))
            continue;
        if (!latest || exemplar->time_unix_ns > latest->time_unix_ns)
            latest = exemplar;
    }
    return latest;
}

/* Two resources may differ in what they say of themselves and still be one target. */
static bool is_same_target(const struct labels *labels, const struct attributes *other,
                           struct labels *space)
{
    labels_cut(space, 0, 0);
    labels_add_resource(space, other);
    return strcmp(label_value(labels, 0), label_value(space, 0)) == 0 &&
           strcmp(label_value(labels, 1), label_value(space, 1)) == 0;
}

static void targets_write(const struct snapshot *snapshot, const struct exposition_writer *ops,
                          void *writer, struct labels *labels)
{
    static const struct exposition_family family = {.name = "target_info",
                                                    .unit = "",
                                                    .help = "What each target says of itself.",
                                                    .kind = METRIC_GAUGE,
                                                    .value = METRIC_INT,
                                                    .is_info = true};
    const struct metric_point one = {.value.integer = 1};
    CLEANUP(labels_deinitp) struct labels space;

    labels_init(&space);
    ops->begin(writer, &family);
    for (uint32_t i = 0; i < snapshot->resource_count; i++) {
        bool is_known = false;
        labels_cut(labels, 0, 0);
        labels_add_resource(labels, snapshot->resources[i].resource);
        for (uint32_t k = 0; k < i && !is_known; k++)
            is_known = is_same_target(labels, snapshot->resources[k].resource, &space);
        if (is_known)
            continue;
        labels_add_attributes(labels, snapshot->resources[i].resource, true);
        ops->point(writer, labels, &one);
    }
    ops->end(writer);
}

static void points_write(const struct resource_metrics *resource,
                         const struct metric_points *metric, const struct exposition_writer *ops,
                         void *writer, struct labels *labels)
{
    labels_cut(labels, 0, 0);
    labels_add_resource(labels, resource->resource);
    labels_add_scope(labels);
    size_t count = labels->count, length = labels->text.length;

    for (uint32_t i = 0; i < metric->point_count; i++) {
        labels_cut(labels, count, length);
        labels_add_attributes(labels, metric->points[i].attributes, false);
        if (!labels->text.failed)
            ops->point(writer, labels, &metric->points[i]);
    }
}

static void family_write(const struct snapshot *snapshot, enum metric_id id, uint32_t *cursors,
                         const struct exposition_writer *ops, void *writer, struct labels *labels)
{
    const struct metric_spec *spec = &metric_catalog[id];
    char name[PROMETHEUS_NAME_MAX], unit[PROMETHEUS_UNIT_MAX];
    bool has_begun = false;

    prometheus_family_name(spec, name);
    prometheus_unit(spec->unit, unit);
    struct exposition_family family = {.name = name,
                                       .unit = unit,
                                       .help = spec->description,
                                       .kind = spec->kind,
                                       .value = spec->value};
    for (uint32_t i = 0; i < snapshot->resource_count; i++) {
        const struct resource_metrics *resource = &snapshot->resources[i];
        if (cursors[i] == resource->metric_count || resource->metrics[cursors[i]].metric != id)
            continue;
        const struct metric_points *metric = &resource->metrics[cursors[i]++];
        if (metric->point_count == 0)
            continue;
        if (!has_begun)
            ops->begin(writer, &family);
        has_begun = true;
        points_write(resource, metric, ops, writer, labels);
    }
    if (has_begun)
        ops->end(writer);
}

static int snapshot_write(const struct snapshot *snapshot, const struct exposition_writer *ops,
                          void *writer)
{
    CLEANUP(labels_deinitp) struct labels labels;
    CLEANUP(freep) uint32_t *cursors = calloc(snapshot->resource_count + 1u, sizeof(*cursors));

    labels_init(&labels);
    if (!cursors)
        return -ENOMEM;
    if (snapshot->resource_count > 0)
        targets_write(snapshot, ops, writer, &labels);
    for (int id = 0; id < METRIC_ID_END; id++)
        family_write(snapshot, (enum metric_id)id, cursors, ops, writer, &labels);
    return labels.text.failed ? -ENOMEM : 0;
}

int exposition_write(const struct snapshot *snapshot, enum exposition_format format,
                     struct buffer *out)
{
    static const struct snapshot nothing;
    int r;

    if (!snapshot)
        snapshot = &nothing;
    if (format == EXPOSITION_PROTOBUF) {
        CLEANUP(protobuf_writer_deinit) struct protobuf_writer writer;
        protobuf_writer_init(&writer, out);
        r = snapshot_write(snapshot, &protobuf_writer_ops, &writer);
        if (r == 0 && writer.has_failed)
            r = -ENOMEM;
    } else {
        struct text_writer writer = {.out = out,
                                     .is_openmetrics = format == EXPOSITION_OPENMETRICS};
        r = snapshot_write(snapshot, &text_writer_ops, &writer);
        text_writer_ops.finish(&writer);
    }
    if (r == 0 && out->failed)
        r = -EFBIG;
    return r;
}
