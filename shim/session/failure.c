/* An error is one piece of memory: its words, and behind them its texts. If there is no memory for
 * it, the error is a static one that says so. */
#include "shim/session/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/session/attempt_text.h"

enum { MESSAGE_MAX = 1024, FAILURE_TEXTS = 6 };

enum failure_text {
    TEXT_MESSAGE,
    TEXT_DETAIL,
    TEXT_HINT,
    TEXT_CONSTRAINT,
    TEXT_TABLE,
    TEXT_COLUMN,
};

struct weir_error {
    enum weir_error_category category;
    enum weir_refusal refusal;
    bool is_retryable;
    bool has_survived;
    bool is_static;
    char sqlstate[6];
    size_t length;                 /* of all this */
    uint32_t texts[FAILURE_TEXTS]; /* where they begin */
};

static struct weir_error memory_error = {
    .category = WEIR_ERROR_MEMORY,
    .has_survived = true,
    .is_static = true,
};

/* ---- making ---------------------------------------------------------------------------------- */

static struct weir_error *error_make(enum weir_error_category category,
                                     const char *const texts[FAILURE_TEXTS])
{
    struct weir_error *error;
    size_t length = sizeof(*error), size;

    for (unsigned i = 0; i < FAILURE_TEXTS; i++)
        length += (texts[i] ? strlen(texts[i]) : 0) + 1;
    error = calloc(1, length);
    if (!error)
        return &memory_error;
    error->category = category;
    error->has_survived = true;
    error->length = length;
    length = sizeof(*error);
    for (unsigned i = 0; i < FAILURE_TEXTS; i++) {
        size = texts[i] ? strlen(texts[i]) : 0;
        error->texts[i] = (uint32_t)length;
        if (size)
            memcpy((char *)error + length, texts[i], size);
        length += size + 1;
    }
    return error;
}

static struct weir_error *error_make_plain(enum weir_error_category category, const char *message)
{
    const char *texts[FAILURE_TEXTS] = {[TEXT_MESSAGE] = message};

    return error_make(category, texts);
}

static void error_set_sqlstate(struct weir_error *error, const char *sqlstate)
{
    if (error->is_static || !sqlstate || strlen(sqlstate) != 5)
        return;
    memcpy(error->sqlstate, sqlstate, sizeof(error->sqlstate));
    error->is_retryable = sqlstate_is_retryable(sqlstate);
}

/* Of errors that no SQLSTATE explains: what a later try may find different. */
static bool category_is_retryable(enum weir_error_category category)
{
    return category == WEIR_ERROR_TIMEOUT || category == WEIR_ERROR_CONNECTION ||
           category == WEIR_ERROR_TOO_MANY_CONNECTIONS || category == WEIR_ERROR_REFUSED ||
           category == WEIR_ERROR_SERIALIZATION || category == WEIR_ERROR_DEADLOCK ||
           category == WEIR_ERROR_LOCK;
}

static int __attribute__((format(printf, 3, 0)))
failure_va(struct weir_error **ret_error, enum weir_error_category category, const char *format,
           va_list arguments)
{
    char message[MESSAGE_MAX];

    if (!ret_error || *ret_error)
        return (int)category;
    (void)vsnprintf(message, sizeof(message), format, arguments); /* cut if it is longer */
    *ret_error = error_make_plain(category, message);
    if (!(*ret_error)->is_static)
        (*ret_error)->is_retryable = category_is_retryable(category);
    return (int)category;
}

int failure(struct weir_error **ret_error, enum weir_error_category category, const char *format,
            ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)failure_va(ret_error, category, format, arguments);
    va_end(arguments);
    return (int)category;
}

int failure_refused(struct weir_error **ret_error, enum weir_refusal refusal, const char *format,
                    ...)
{
    bool is_first = ret_error && !*ret_error;
    va_list arguments;

    va_start(arguments, format);
    (void)failure_va(ret_error, WEIR_ERROR_REFUSED, format, arguments);
    va_end(arguments);
    if (is_first && !(*ret_error)->is_static)
        (*ret_error)->refusal = refusal;
    return (int)WEIR_ERROR_REFUSED;
}

int failure_memory(struct weir_error **ret_error)
{
    if (ret_error && !*ret_error)
        *ret_error = &memory_error;
    return (int)WEIR_ERROR_MEMORY;
}

struct weir_error *failure_copy(const struct weir_error *error)
{
    struct weir_error *copy;

    if (!error)
        return NULL;
    if (error->is_static)
        return &memory_error;
    copy = malloc(error->length);
    if (!copy)
        return &memory_error;
    memcpy(copy, error, error->length);
    return copy;
}

struct weir_error *failure_passed_on(const struct weir_error *cause, const char *format, ...)
{
    struct weir_error *error;
    char message[MESSAGE_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); /* cut if it is longer */
    va_end(arguments);
    error = error_make_plain(cause->category, message);
    error_set_sqlstate(error, cause->sqlstate);
    if (!error->is_static)
        error->is_retryable = cause->is_retryable;
    failure_set_survived(error, cause->has_survived);
    return error;
}

void failure_set_survived(struct weir_error *error, bool survived)
{
    if (error && !error->is_static)
        error->has_survived = survived;
}

/* ---- of results ------------------------------------------------------------------------------ */

/* Without line ends: a message is one line. Cut if it is longer. */
static void line_copy(const char *text, char *line, size_t capacity)
{
    size_t length = 0;

    for (; text && *text && length + 1 < capacity; text++)
        line[length++] = *text == '\n' || *text == '\r' ? ' ' : *text;
    while (length && line[length - 1] == ' ')
        length--;
    line[length] = '\0';
}

/* What libpq itself says, without the server: about the connection, or about how it was called. */
static enum weir_error_category category_of_libpq(const char *message, const PGconn *conn)
{
    if (PQstatus(conn) != CONNECTION_OK)
        return WEIR_ERROR_CONNECTION;
    /* Translated where libpq was built with translations: then it is a wrong use, as all else. */
    return strstr(message, "out of memory") ? WEIR_ERROR_MEMORY : WEIR_ERROR_USAGE;
}

static enum weir_error_category category_of_result(const char *sqlstate, const char *message,
                                                   const PGconn *conn)
{
    if (!sqlstate)
        return category_of_libpq(message, conn);
    /* The server also calls it a violation when a caller's parameters do not fit his statement. */
    if (!strcmp(sqlstate, "08P01") && PQstatus(conn) == CONNECTION_OK)
        return WEIR_ERROR_USAGE;
    return sqlstate_category(sqlstate);
}

int failure_of_result(struct weir_error **ret_error, const PGresult *result, const PGconn *conn)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    char message[MESSAGE_MAX];
    enum weir_error_category category;
    const char *texts[FAILURE_TEXTS] = {
        [TEXT_MESSAGE] = message,
        [TEXT_DETAIL] = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
        [TEXT_HINT] = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
        [TEXT_CONSTRAINT] = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
        [TEXT_TABLE] = PQresultErrorField(result, PG_DIAG_TABLE_NAME),
        [TEXT_COLUMN] = PQresultErrorField(result, PG_DIAG_COLUMN_NAME),
    };

    line_copy(primary ? primary : PQresultErrorMessage(result), message, sizeof(message));
    category = category_of_result(sqlstate, message, conn);
    if (!ret_error || *ret_error)
        return (int)category;
    *ret_error = error_make(category, texts);
    if (sqlstate)
        error_set_sqlstate(*ret_error, sqlstate);
    else if (!(*ret_error)->is_static)
        (*ret_error)->is_retryable = category_is_retryable(category);
    failure_set_survived(*ret_error, PQstatus(conn) == CONNECTION_OK);
    return (int)category;
}

/* ---- of connections -------------------------------------------------------------------------- */

/* Without the lines that only the verbose form has: where in the server's source. */
static void attempt_message(const char *doing, const char *text, char message[MESSAGE_MAX])
{
    char line[MESSAGE_MAX];
    const char *location = strstr(text, "\nLOCATION:  ");
    size_t length = location ? (size_t)(location - text) : strlen(text);
    char *cut = strndup(text, length);

    line_copy(cut ? cut : text, line, sizeof(line));
    free(cut);
    (void)snprintf(message, MESSAGE_MAX, "%s: %s", doing, *line ? line : "the connection is lost");
}

int failure_of_connection(struct weir_error **ret_error, const PGconn *conn, const char *doing)
{
    struct attempt_text told;
    char message[MESSAGE_MAX];

    attempt_text_read(PQerrorMessage(conn), PQconnectionNeedsPassword(conn), &told);
    if (!ret_error || *ret_error)
        return (int)told.category;
    attempt_message(doing, PQerrorMessage(conn), message);
    *ret_error = error_make_plain(told.category, message);
    error_set_sqlstate(*ret_error, told.sqlstate);
    if (!(*ret_error)->is_static)
        (*ret_error)->is_retryable = told.is_retryable;
    failure_set_survived(*ret_error, false);
    return (int)told.category;
}

int failure_of_libpq(struct weir_error **ret_error, const PGconn *conn, const char *doing)
{
    char message[MESSAGE_MAX];
    enum weir_error_category category = category_of_libpq(PQerrorMessage(conn), conn);

    if (category == WEIR_ERROR_CONNECTION)
        return failure_of_connection(ret_error, conn, doing);
    line_copy(PQerrorMessage(conn), message, sizeof(message));
    return failure(ret_error, category, "%s: %s", doing, message);
}

/* ---- reading --------------------------------------------------------------------------------- */

static const char *error_text(const struct weir_error *error, enum failure_text text)
{
    if (!error || error->is_static)
        return error && text == TEXT_MESSAGE ? "out of memory" : "";
    return (const char *)error + error->texts[text];
}

enum weir_error_category weir_error_category(const struct weir_error *error)
{
    return error ? error->category : WEIR_OK;
}

const char *weir_error_category_name(enum weir_error_category category)
{
    static const char *const names[] = {
        [WEIR_OK] = "ok",
        [WEIR_ERROR_TIMEOUT] = "timeout",
        [WEIR_ERROR_DRAINING] = "draining",
        [WEIR_ERROR_REFUSED] = "refused",
        [WEIR_ERROR_CANCELLED] = "cancelled",
        [WEIR_ERROR_CONNECTION] = "connection",
        [WEIR_ERROR_AUTHENTICATION] = "authentication",
        [WEIR_ERROR_TOO_MANY_CONNECTIONS] = "too_many_connections",
        [WEIR_ERROR_HOOK] = "hook",
        [WEIR_ERROR_CONSTRAINT] = "constraint",
        [WEIR_ERROR_SERIALIZATION] = "serialization",
        [WEIR_ERROR_DEADLOCK] = "deadlock",
        [WEIR_ERROR_SYNTAX] = "syntax",
        [WEIR_ERROR_PERMISSION] = "permission",
        [WEIR_ERROR_RESOURCE] = "resource",
        [WEIR_ERROR_DATA] = "data",
        [WEIR_ERROR_TRANSACTION] = "transaction",
        [WEIR_ERROR_LOCK] = "lock",
        [WEIR_ERROR_OBJECT] = "object",
        [WEIR_ERROR_RAISED] = "raised",
        [WEIR_ERROR_UNSUPPORTED] = "unsupported",
        [WEIR_ERROR_SERVER] = "server",
        [WEIR_ERROR_COMMIT_UNKNOWN] = "commit_unknown",
        [WEIR_ERROR_USAGE] = "usage",
        [WEIR_ERROR_MEMORY] = "memory",
    };
    unsigned number = (unsigned)category;

    if (number >= sizeof(names) / sizeof(names[0]) || !names[number])
        return "unknown";
    return names[number];
}

const char *weir_error_sqlstate(const struct weir_error *error)
{
    return error ? error->sqlstate : "";
}

const char *weir_error_message(const struct weir_error *error)
{
    return error_text(error, TEXT_MESSAGE);
}

const char *weir_error_detail(const struct weir_error *error)
{
    return error_text(error, TEXT_DETAIL);
}

const char *weir_error_hint(const struct weir_error *error)
{
    return error_text(error, TEXT_HINT);
}

const char *weir_error_constraint(const struct weir_error *error)
{
    return error_text(error, TEXT_CONSTRAINT);
}

const char *weir_error_table(const struct weir_error *error)
{
    return error_text(error, TEXT_TABLE);
}

const char *weir_error_column(const struct weir_error *error)
{
    return error_text(error, TEXT_COLUMN);
}

enum weir_refusal weir_error_refusal(const struct weir_error *error)
{
    return error ? error->refusal : WEIR_REFUSAL_NONE;
}

int weir_error_is_retryable(const struct weir_error *error)
{
    return error && error->is_retryable;
}

int weir_error_connection_survived(const struct weir_error *error)
{
    return error && error->has_survived;
}

void weir_error_free(struct weir_error *error)
{
    if (error && !error->is_static)
        free(error);
}

enum weir_failure failure_probe_word(enum weir_error_category category)
{
    switch (category) {
    case WEIR_OK:
        return WEIR_FAILURE_NONE;
    case WEIR_ERROR_TIMEOUT:
        return WEIR_FAILURE_TIMEOUT;
    case WEIR_ERROR_DRAINING:
        return WEIR_FAILURE_DRAINING;
    case WEIR_ERROR_REFUSED:
        return WEIR_FAILURE_REFUSED;
    case WEIR_ERROR_CANCELLED:
        return WEIR_FAILURE_CANCELLED;
    case WEIR_ERROR_CONNECTION:
    case WEIR_ERROR_COMMIT_UNKNOWN:
        return WEIR_FAILURE_CONNECTION_LOST;
    case WEIR_ERROR_AUTHENTICATION:
    case WEIR_ERROR_TOO_MANY_CONNECTIONS:
    case WEIR_ERROR_HOOK:
        return WEIR_FAILURE_CONNECT_FAILED;
    case WEIR_ERROR_CONSTRAINT:
    case WEIR_ERROR_SERIALIZATION:
    case WEIR_ERROR_DEADLOCK:
    case WEIR_ERROR_SYNTAX:
    case WEIR_ERROR_PERMISSION:
    case WEIR_ERROR_RESOURCE:
    case WEIR_ERROR_DATA:
    case WEIR_ERROR_TRANSACTION:
    case WEIR_ERROR_LOCK:
    case WEIR_ERROR_OBJECT:
    case WEIR_ERROR_RAISED:
    case WEIR_ERROR_UNSUPPORTED:
    case WEIR_ERROR_SERVER:
        return WEIR_FAILURE_SQLSTATE;
    case WEIR_ERROR_USAGE:
    case WEIR_ERROR_MEMORY:
        return WEIR_FAILURE_CLIENT;
    }
    return WEIR_FAILURE_CLIENT;
}
