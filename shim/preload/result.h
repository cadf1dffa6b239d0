/* Reads a PGresult into an outcome. */
#pragma once

#include "shim/preload/libpq.h"
#include "shim/preload/outcome.h"

/* @result may be NULL. What @ret holds is @result's. */
void result_read(const struct libpq *libpq, PGconn *conn, PGresult *result, struct outcome *ret);
/* Why libpq refused to send. */
enum weir_failure result_refusal(const struct libpq *libpq, const PGconn *conn);
