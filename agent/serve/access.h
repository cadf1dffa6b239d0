/* Who may ask: guards against web pages that a person visits reaching the local API. Pure. */
#pragma once

#include <stdbool.h>

#include "base/view.h"

/* @host: the Host header. True for localhost, loopback literals and @configured, at any port. */
bool access_host_allowed(const char *host, const char *configured);

/* @origin: the Origin header. Only a page of this very server may ask. */
bool access_origin_allowed(const char *origin, const char *host);

/* @authorization: the Authorization header, may be NULL. Takes the same time for any wrong token.
 */
bool access_token_allowed(const char *authorization, const char *token);
