/* Where this agent runs, as far as it can be read without asking anybody. */
#pragma once

#include "agent/model/attributes.h"

struct environment {
    const struct attributes *attributes; /* what every resource gains where it is absent */
    char seed[256];                      /* pod and container, else machine: of instance ids */
};

/* @given: "key=value,…", percent-encoded. 0, -EINVAL (@given is wrong) or -ENOMEM. */
int environment_read(const char *given, struct environment *ret)
    __attribute__((warn_unused_result));
void environment_deinit(struct environment *environment);
