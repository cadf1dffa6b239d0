#include "agent/serve/access.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* The host without its port and brackets. */
static struct view host_name(const char *host)
{
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return (struct view){host, 0};
        return (struct view){host + 1, (size_t)(end - host - 1)};
    }
    return (struct view){host, strcspn(host, ":")};
}

bool access_host_allowed(const char *host, const char *configured)
{
    static const char *const allowed[] = {"localhost", "127.0.0.1", "::1"};
    struct view name = host_name(host);

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (strlen(allowed[i]) == name.length &&
            strncasecmp(allowed[i], name.bytes, name.length) == 0)
            return true;
    }
    return name.length > 0 && strlen(configured) == name.length &&
           strncasecmp(configured, name.bytes, name.length) == 0;
}

bool access_origin_allowed(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; host && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t length = strlen(schemes[i]);
        if (strncasecmp(origin, schemes[i], length) == 0 && strcasecmp(origin + length, host) == 0)
            return true;
    }
    return false;
}

bool access_token_allowed(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    size_t token_length = strlen(token);

    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *given = authorization + sizeof(scheme) - 1;
    size_t given_length = strlen(given);
    uint8_t difference = given_length != token_length;
    for (size_t i = 0; i < given_length; i++)
        difference |= (uint8_t)(given[i] ^ token[token_length > 0 ? i % token_length : 0]);
    return difference == 0 && token_length > 0;
}
