/* Who telemetry is about: a service instance (of the application, never of the agent), made from
 * what a client's hello says. Processes of one instance share one resource. */
#pragma once

#include <stdint.h>

#include "agent/model/attributes.h"

/* What the agent adds or falls back to; borrowed for the call. */
struct resource_defaults {
    struct view service_name;             /* the agent's default_service_name, may be empty */
    const struct attributes *environment; /* the agent's k8s.*, host.name …; added where absent */
    struct view instance_seed;            /* pod uid + container, else machine id */
};

/* @hello: attributes as the client sent them (HELLO_KEY_* of proto/wire/message.h among them).
 * OTEL_RESOURCE_ATTRIBUTES are decoded here: one bad escape discards the whole variable, and
 * *ret_bad_resource says so. The result has service.name and service.instance.id, no process.* and
 * no weir.* keys. NULL: out of memory. */
const struct attributes *resource_from_hello(const struct attributes *hello,
                                             const struct resource_defaults *defaults,
                                             bool *ret_bad_resource)
    __attribute__((warn_unused_result));

/* What newcomers share once there are as many services as the limit allows; it says so. */
const struct attributes *resource_overflow(void) __attribute__((warn_unused_result));

/* The attributes of "key=value,…", percent-encoded. NULL: an entry is wrong, or out of memory. */
const struct attributes *resource_attributes_from(struct view list)
    __attribute__((warn_unused_result));
