#include "agent/serve/labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/model/catalog.h"
#include "agent/serve/number.h"
#include "agent/serve/translate.h"
#include "agent/serve/utf8.h"

enum { LABELS_TEXT_MAX = 1024 * 1024 };

void labels_init(struct labels *labels)
{
    buffer_init(&labels->text, LABELS_TEXT_MAX);
    labels->count = 0;
}

void labels_deinit(struct labels *labels)
{
    buffer_deinit(&labels->text);
}

void labels_cut(struct labels *labels, size_t count, size_t text_length)
{
    labels->count = count;
    labels->text.length = text_length;
}

static size_t label_find(const struct labels *labels, const char *name, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (strcmp(label_name(labels, i), name) == 0)
            return i;
    }
    return LABELS_MAX;
}

static void label_append(struct labels *labels, const char *name, struct view before,
                         struct view value)
{
    if (labels->count == LABELS_MAX || labels->text.failed)
        return;
    struct label *label = &labels->items[labels->count];
    label->name_at = labels->text.length;
    buffer_append(&labels->text, name, strlen(name) + 1);
    label->value_at = labels->text.length;
    if (before.length > 0) {
        buffer_append(&labels->text, before.bytes, before.length);
        buffer_append_char(&labels->text, ';');
    }
    utf8_append(&labels->text, value);
    buffer_append_char(&labels->text, '\0');
    if (!labels->text.failed)
        labels->count++;
}

void labels_add(struct labels *labels, const char *name, struct view value)
{
    if (label_find(labels, name, 0, labels->count) == LABELS_MAX)
        label_append(labels, name, (struct view){NULL, 0}, value);
}

static struct view attribute_text(const struct attribute *attribute, char *space, size_t size)
{
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return attribute->value.string;
    case ATTRIBUTE_INT:
        (void)snprintf(space, size, "%" PRId64, attribute->value.integer);
        break;
    case ATTRIBUTE_BOOL:
        return attribute->value.boolean ? VIEW_LITERAL("true") : VIEW_LITERAL("false");
    case ATTRIBUTE_DOUBLE:
        number_format(attribute->value.number, space, size);
        break;
    }
    return view_from(space);
}

/* Puts @value behind the one that label @i has: as a new label in its place. */
static void label_join(struct labels *labels, size_t i, struct view value)
{
    char name[PROMETHEUS_NAME_MAX + 16];
    char *before = strdup(label_value(labels, i));

    if (!before) {
        labels->text.failed = true;
        return;
    }
    (void)snprintf(name, sizeof(name), "%s", label_name(labels, i));
    size_t count = labels->count;
    if (count < LABELS_MAX) {
        label_append(labels, name, view_from(before), value);
        if (labels->count > count)
            labels->items[i] = labels->items[--labels->count];
    }
    free(before);
}

void labels_add_attributes(struct labels *labels, const struct attributes *attributes,
                           bool keep_first)
{
    size_t taken = labels->count;

    for (size_t i = 0; i < attributes->count; i++) {
        char name[PROMETHEUS_NAME_MAX + 16] = "exported_", space[64];
        char *translated = name + strlen("exported_");

        prometheus_label_name(attributes->items[i].key, translated);
        struct view value = attribute_text(&attributes->items[i], space, sizeof(space));
        bool is_taken = label_find(labels, translated, 0, taken) < LABELS_MAX ||
                        strcmp(translated, "le") == 0 || strcmp(translated, "quantile") == 0;
        if (is_taken && keep_first)
            continue;
        const char *used = is_taken ? name : translated;
        size_t same = label_find(labels, used, taken, labels->count);
        if (same < LABELS_MAX)
            label_join(labels, same, value);
        else
            label_append(labels, used, (struct view){NULL, 0}, value);
    }
}

void labels_add_resource(struct labels *labels, const struct attributes *resource)
{
    static const struct {
        const char *label, *key;
    } joined[] = {
        {"service_name", "service.name"},
        {"cluster", "k8s.cluster.name"},
        {"namespace", "k8s.namespace.name"},
        {"pod", "k8s.pod.name"},
    };
    struct view space = attributes_text(resource, "service.namespace");
    struct view name = attributes_text(resource, "service.name");
    size_t at = labels->count;

    labels_add(labels, "job", name);
    if (space.length > 0 && labels->count > at) {
        char prefix[PROMETHEUS_NAME_MAX];
        (void)snprintf(prefix, sizeof(prefix), "%.*s/%.*s", (int)space.length, space.bytes,
                       (int)name.length, name.bytes);
        labels_cut(labels, at, labels->items[at].name_at);
        labels_add(labels, "job", view_from(prefix));
    }
    labels_add(labels, "instance", attributes_text(resource, "service.instance.id"));
    for (size_t i = 0; i < sizeof(joined) / sizeof(joined[0]); i++) {
        struct view value = attributes_text(resource, joined[i].key);
        if (value.length > 0)
            labels_add(labels, joined[i].label, value);
    }
}

void labels_add_scope(struct labels *labels)
{
    labels_add(labels, "otel_scope_name", view_from(CATALOG_SCOPE));
    labels_add(labels, "otel_scope_version", view_from(WEIR_VERSION));
}
