#include "proto/wire/hello.h"
#include "shim/probe/hello.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

enum { RESOURCE_MAX = 8 << 10, SERVICE_MAX = 256, EXECUTABLE_MAX = 256 };

#ifndef WEIR_VERSION
#error "the build says the version"
#endif

/* Written by hello_prepare() before the attach thread starts, read-only afterwards. */
static struct {
    char service[SERVICE_MAX];
    char resource[RESOURCE_MAX];
    char executable[EXECUTABLE_MAX];
    struct process_identity identity;
} said;

static void variable_copy(const char *name, char *to, size_t size)
{
    const char *value = secure_getenv(name);
    size_t length = value ? strlen(value) : 0;

    /* A list of attributes that is cut in its middle would say something else. */
    if (length >= size)
        length = 0;
    if (length)
        memcpy(to, value, length);
    to[length] = '\0';
}

static void executable_find(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const char *base;

    if (length <= 0)
        return;
    path[length] = '\0';
    base = strrchr(path, '/');
    base = base ? base + 1 : path;
    memcpy(said.executable, base, strnlen(base, sizeof(said.executable) - 1));
}

void hello_prepare(const struct process_identity *identity)
{
    memset(&said, 0, sizeof(said));
    said.identity = *identity;
    variable_copy("OTEL_SERVICE_NAME", said.service, sizeof(said.service));
    if (!said.service[0])
        memcpy(said.service, identity->service_name, sizeof(said.service));
    variable_copy("OTEL_RESOURCE_ATTRIBUTES", said.resource, sizeof(said.resource));
    executable_find();
}

static_assert((int)SERVICE_MAX == (int)IDENTITY_TEXT_MAX, "one is copied into the other");

/* False means that it did not fit: the hello goes without it. */
static void attribute_say(struct hello_writer *writer, const char *key, const char *value)
{
    (void)hello_attribute(writer, view_from(key), view_from(value));
}

size_t hello_make(const struct segment *segment, bool has_pidfd, char bytes[HELLO_SIZE_MAX])
{
    struct hello_writer writer;
    struct hello_fields fields = {
        .kind = has_pidfd ? HELLO_SEGMENT : HELLO_SEGMENT_WITHOUT_PIDFD,
        .pid = (uint32_t)syscall(SYS_getpid),
        .monotonic_ns = clock_monotonic_ns(),
        .realtime_ns = clock_realtime_ns(),
    };
    const char *shim_name = said.identity.shim_name;

    memcpy(fields.client_id, segment->header->segment_id, sizeof(fields.client_id));
    hello_begin(&writer, bytes, HELLO_SIZE_MAX, &fields);
    attribute_say(&writer, HELLO_KEY_SHIM_NAME, *shim_name ? shim_name : "probe");
    attribute_say(&writer, HELLO_KEY_SHIM_VERSION, WEIR_VERSION);
    attribute_say(&writer, HELLO_KEY_SERVICE, said.service);
    attribute_say(&writer, HELLO_KEY_EXECUTABLE, said.executable);
    attribute_say(&writer, HELLO_KEY_LIBRARY, said.identity.library);
    attribute_say(&writer, HELLO_KEY_RESOURCE, said.resource);
    return hello_end(&writer);
}
