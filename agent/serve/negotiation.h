/* Which exposition format and coding a scraper takes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/serve/exposition.h"

enum { CONTENT_TYPE_MAX = 160 };

struct negotiation {
    enum exposition_format format;
    char content_type[CONTENT_TYPE_MAX];
    bool gzip;
};

/* @accept and @accept_encoding: the request's headers, NULL if absent. What nobody serves gets text
 * 0.0.4. */
void negotiate(const char *accept, const char *accept_encoding, struct negotiation *ret);
