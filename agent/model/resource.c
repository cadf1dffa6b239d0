/* Who a process belongs to. The instance id, where the application gives none, is made from what
 * stays the same over restarts of its processes: a UUID of version 8 (RFC 9562: our own hash). */
#include "agent/model/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/model/utf8.h"
#include "proto/wire/message.h"

#define KEY_SERVICE_NAME "service.name"
#define KEY_INSTANCE_ID  "service.instance.id"

enum { OWN_COUNT = 5 }; /* attributes that a resource always has; others never take their place */

struct collected {
    struct attribute items[ATTRIBUTES_MAX];
    size_t count;
};

static void collect(struct collected *collected, struct attribute item)
{
    if (collected->count < ATTRIBUTES_MAX - OWN_COUNT)
        collected->items[collected->count++] = item;
}

static void collect_own(struct collected *collected, struct attribute item)
{
    collected->items[collected->count++] = item;
}

static bool has_prefix(struct view key, const char *prefix)
{
    size_t length = strlen(prefix);

    return key.length >= length && memcmp(key.bytes, prefix, length) == 0;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Percent-decodes to *at; false on a bad escape, or if what comes out is no UTF-8. */
static bool decode(struct view encoded, char **at, struct view *ret)
{
    char *begin = *at;

    while (encoded.length && (encoded.bytes[0] == ' ' || encoded.bytes[0] == '\t')) {
        encoded.bytes++;
        encoded.length--;
    }
    while (encoded.length &&
           (encoded.bytes[encoded.length - 1] == ' ' || encoded.bytes[encoded.length - 1] == '\t'))
        encoded.length--;
    for (size_t i = 0; i < encoded.length; i++) {
        char byte = encoded.bytes[i];
        if (byte == '%') {
            bool is_whole = encoded.length - i > 2;
            int high = is_whole ? hex_digit(encoded.bytes[i + 1]) : -1;
            int low = is_whole ? hex_digit(encoded.bytes[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        *(*at)++ = byte;
    }
    *ret = (struct view){begin, (size_t)(*at - begin)};
    return utf8_is_valid(*ret);
}

/* "k=v,k2=v2"; @decoded has room for the whole variable. False: discard everything. */
static bool parse_resource_variable(struct view variable, char *decoded,
                                    struct collected *collected)
{
    while (variable.length) {
        const char *comma = memchr(variable.bytes, ',', variable.length);
        size_t length = comma ? (size_t)(comma - variable.bytes) : variable.length;
        const char *equals = memchr(variable.bytes, '=', length);
        struct view key, value;

        if (length > 0) {
            if (!equals)
                return false;
            size_t key_length = (size_t)(equals - variable.bytes);
            if (!decode((struct view){variable.bytes, key_length}, &decoded, &key) ||
                !decode((struct view){equals + 1, length - key_length - 1}, &decoded, &value) ||
                key.length == 0)
                return false;
            collect(collected, (struct attribute){key, ATTRIBUTE_STRING, {.string = value}});
        }
        if (!comma)
            break;
        variable.bytes += length + 1;
        variable.length -= length + 1;
    }
    return true;
}

static struct view service_name(const struct attributes *hello, const struct collected *given,
                                const struct resource_defaults *defaults, char fallback[256])
{
    struct view name = attributes_text(hello, HELLO_KEY_SERVICE);

    for (size_t i = given->count; !name.length && i > 0; i--) { /* the last one wins here, too */
        const struct attribute *item = &given->items[i - 1];
        if (item->type == ATTRIBUTE_STRING && view_equal(item->key, VIEW_LITERAL(KEY_SERVICE_NAME)))
            name = item->value.string;
    }
    if (!name.length)
        name = defaults->service_name;
    if (!name.length)
        name = attributes_text(hello, HELLO_KEY_EXECUTABLE);
    if (name.length)
        return name;
    (void)snprintf(fallback, 256, "unknown_service");
    return view_from(fallback);
}

/* UUID of version 8 over service and place: equal for all processes of one instance. */
static struct view instance_id(struct view service, struct view seed, char text[37])
{
    XXH128_hash_t hash =
        XXH3_128bits_withSeed(seed.bytes, seed.length, XXH3_64bits(service.bytes, service.length));
    uint64_t high = (hash.high64 & ~UINT64_C(0xf000)) | UINT64_C(0x8000);
    uint64_t low = (hash.low64 & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62;

    (void)snprintf(text, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
                   (unsigned)(low >> 48), (unsigned long long)(low & UINT64_C(0xffffffffffff)));
    return (struct view){text, 36};
}

static bool is_of_process_alone(struct view key)
{
    return has_prefix(key, "process.") || has_prefix(key, "weir.");
}

static bool has_key(const struct collected *collected, struct view key)
{
    for (size_t i = 0; i < collected->count; i++) {
        if (view_equal(collected->items[i].key, key))
            return true;
    }
    return false;
}

const struct attributes *resource_from_hello(const struct attributes *hello,
                                             const struct resource_defaults *defaults,
                                             bool *ret_bad_resource)
{
    struct collected collected = {.count = 0};
    struct view variable = attributes_text(hello, HELLO_KEY_RESOURCE), service;
    char fallback[256], instance[37];
    char *CLEANUP(freep) decoded = malloc(variable.length + 1);

    if (!decoded)
        return NULL;
    *ret_bad_resource = false;
    for (size_t i = 0; hello && i < hello->count; i++) {
        if (!is_of_process_alone(hello->items[i].key))
            collect(&collected, hello->items[i]);
    }
    size_t before = collected.count;
    if (variable.length && !parse_resource_variable(variable, decoded, &collected)) {
        collected.count = before; /* one bad escape discards the whole variable */
        *ret_bad_resource = true;
    }
    size_t kept = before;
    for (size_t i = before; i < collected.count; i++) {
        if (!is_of_process_alone(collected.items[i].key))
            collected.items[kept++] = collected.items[i];
    }
    collected.count = kept;
    service = service_name(hello, &collected, defaults, fallback);
    for (size_t i = 0; defaults->environment && i < defaults->environment->count; i++) {
        if (!has_key(&collected, defaults->environment->items[i].key))
            collect(&collected, defaults->environment->items[i]);
    }
    if (!has_key(&collected, VIEW_LITERAL(KEY_INSTANCE_ID)))
        collect_own(&collected,
                    attribute_string(KEY_INSTANCE_ID,
                                     instance_id(service, defaults->instance_seed, instance)));
    collect_own(&collected, attribute_string(KEY_SERVICE_NAME, service));
    collect_own(&collected, attribute_string("telemetry.sdk.name", VIEW_LITERAL("weir")));
    collect_own(&collected, attribute_string("telemetry.sdk.language", VIEW_LITERAL("c")));
    collect_own(&collected, attribute_string("telemetry.sdk.version", VIEW_LITERAL(WEIR_VERSION)));
    return attributes_new(collected.items, collected.count);
}

const struct attributes *resource_overflow(void)
{
    const struct attribute items[] = {
        attribute_string("service.name", VIEW_LITERAL("other")),
        attribute_bool("otel.metric.overflow", true),
    };

    return attributes_new(items, sizeof(items) / sizeof(items[0]));
}

const struct attributes *resource_attributes_from(struct view list)
{
    struct collected collected = {.count = 0};
    char *CLEANUP(freep) decoded = malloc(list.length + 1);

    if (!decoded || !parse_resource_variable(list, decoded, &collected))
        return NULL;
    return attributes_new(collected.items, collected.count);
}
