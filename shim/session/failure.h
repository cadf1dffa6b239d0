/* Making errors: every file of the pool fails through these, and returns what they return. A NULL
 * @ret_error makes nothing. An error that is there already is never overwritten. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>

#include "include/weir/error.h"
#include "include/weir/probe.h"

/* An error of our own. Returns @category. */
int failure(struct weir_error **ret_error, enum weir_error_category category, const char *format,
            ...) __attribute__((format(printf, 3, 4)));
int failure_refused(struct weir_error **ret_error, enum weir_refusal refusal, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));
/* What @result says (PGRES_FATAL_ERROR and its like; libpq's errors without SQLSTATE too), on
 * @conn, whose state tells whether it survived. */
int failure_of_result(struct weir_error **ret_error, const PGresult *result, const PGconn *conn);
/* What @conn says in PQerrorMessage: a failed attempt or a lost connection. libpq keeps the
 * SQLSTATE of a failed attempt to itself, but writes it into that text if the connection was told
 * PQsetErrorVerbosity(conn, PQERRORS_VERBOSE) between PQconnectStart() and PQconnectPoll(): then it
 * is read there, in any language. Else the English texts of server and libpq are looked for
 * ("password authentication failed", "too many clients", …), and one in another language is taken
 * for a connection that could not be made and may be made later. */
int failure_of_connection(struct weir_error **ret_error, const PGconn *conn, const char *doing);
/* What libpq says when a call of it failed: a lost connection as above, else the caller's use. */
int failure_of_libpq(struct weir_error **ret_error, const PGconn *conn, const char *doing);
int failure_memory(struct weir_error **ret_error);
/* Another error with the same content. */
struct weir_error *failure_copy(const struct weir_error *error);
/* An error of the same kind, SQLSTATE and verdict, told to somebody else in other words. */
struct weir_error *failure_passed_on(const struct weir_error *cause, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Marks that the connection is gone, or is not. */
void failure_set_survived(struct weir_error *error, bool survived);

/* The category of an SQLSTATE, by code and then by class; and whether trying again may help. */
enum weir_error_category sqlstate_category(const char *sqlstate);
bool sqlstate_is_retryable(const char *sqlstate);
/* The probe's word for a category that no SQLSTATE explains. */
enum weir_failure failure_probe_word(enum weir_error_category category);
