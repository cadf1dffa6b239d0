/* The text of an endpoint taken apart, and the URL or target made of it. */
#pragma once

#include "agent/export/settings.h"

/* Fills url, shown, host, port and is_tls of @endpoint, whose protocol is set. @path is appended to
 * an HTTP @text; NULL: it is used as is. @insecure counts for gRPC without a scheme only. Returns
 * 0, -ENOMEM, or EXPORT_E_WRONG with the reason, which shows neither user nor password. */
int endpoint_parse(struct export_endpoint *endpoint, const char *text, const char *path,
                   bool insecure, char *error, size_t error_size)
    __attribute__((warn_unused_result));
