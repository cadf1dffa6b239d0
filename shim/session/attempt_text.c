#include "shim/session/attempt_text.h"

#include <string.h>

#include "shim/session/failure.h"

/* What libpq's and the server's English texts say, where no SQLSTATE stands in the text. The first
 * that is found counts. What nothing here names is a connection that could not be made, and may be
 * made later. */
static const struct {
    const char *part;
    const char *sqlstate; /* NULL: the server did not say it */
    enum weir_error_category category;
    bool is_retryable;
} attempt_texts[] = {
    {"password authentication failed", "28P01", WEIR_ERROR_AUTHENTICATION, false},
    {"no pg_hba.conf entry", "28000", WEIR_ERROR_AUTHENTICATION, false},
    {"pg_hba.conf rejects", "28000", WEIR_ERROR_AUTHENTICATION, false},
    {"is not permitted to log in", "28000", WEIR_ERROR_AUTHENTICATION, false},
    {"authentication failed", "28000", WEIR_ERROR_AUTHENTICATION, false},
    {"no password supplied", NULL, WEIR_ERROR_AUTHENTICATION, false},
    {"too many clients already", "53300", WEIR_ERROR_TOO_MANY_CONNECTIONS, true},
    {"too many connections for", "53300", WEIR_ERROR_TOO_MANY_CONNECTIONS, true},
    {"remaining connection slots are reserved", "53300", WEIR_ERROR_TOO_MANY_CONNECTIONS, true},
    {"no more connections allowed", NULL, WEIR_ERROR_TOO_MANY_CONNECTIONS, true}, /* PgBouncer */
    {"is not currently accepting connections", "55000", WEIR_ERROR_OBJECT, false},
    {"is starting up", "57P03", WEIR_ERROR_CONNECTION, true},
    {"is shutting down", "57P03", WEIR_ERROR_CONNECTION, true},
    {"is in recovery mode", "57P03", WEIR_ERROR_CONNECTION, true},
    {"not yet accepting connections", "57P03", WEIR_ERROR_CONNECTION, true},
    {"not accepting connections", "57P03", WEIR_ERROR_CONNECTION, true},
    {"permission denied for database", "42501", WEIR_ERROR_PERMISSION, false},
    {"no such database", NULL, WEIR_ERROR_OBJECT, false}, /* PgBouncer */
    /* After those that name a role or a host: "role … does not exist". */
    {"role \"", "28000", WEIR_ERROR_AUTHENTICATION, false},
    {"database \"", "3D000", WEIR_ERROR_OBJECT, false},
    /* A connection under TLS that broke, before what TLS itself finds wrong. */
    {"SSL SYSCALL error", NULL, WEIR_ERROR_CONNECTION, true},
    {"closed unexpectedly", NULL, WEIR_ERROR_CONNECTION, true},
    {"unexpected eof", NULL, WEIR_ERROR_CONNECTION, true},
    {"SSL", NULL, WEIR_ERROR_CONNECTION, false},
    {"certificate", NULL, WEIR_ERROR_CONNECTION, false},
    {"GSSAPI", NULL, WEIR_ERROR_CONNECTION, false},
    {"invalid connection option", NULL, WEIR_ERROR_USAGE, false},
};

static bool is_sqlstate(const char *text)
{
    for (unsigned i = 0; i < 5; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'A' && text[i] <= 'Z'))
            return false;
    return true;
}

/* "FATAL:  28P01: password …", as libpq writes with PQERRORS_VERBOSE in any language. */
static bool sqlstate_in_text(const char *text, char sqlstate[6])
{
    for (const char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        if (strlen(at) < 9 || !is_sqlstate(at + 3) || (at[8] != ':' && at[8] != '\n'))
            continue;
        memcpy(sqlstate, at + 3, 5);
        sqlstate[5] = '\0';
        return true;
    }
    return false;
}

static void english_read(const char *text, bool needs_password, struct attempt_text *ret)
{
    *ret = (struct attempt_text){
        .category = needs_password ? WEIR_ERROR_AUTHENTICATION : WEIR_ERROR_CONNECTION,
        .is_retryable = !needs_password,
    };
    for (size_t i = 0; i < sizeof(attempt_texts) / sizeof(attempt_texts[0]); i++) {
        if (!strstr(text, attempt_texts[i].part))
            continue;
        ret->category = attempt_texts[i].category;
        ret->is_retryable = attempt_texts[i].is_retryable;
        if (attempt_texts[i].sqlstate)
            memcpy(ret->sqlstate, attempt_texts[i].sqlstate, sizeof(ret->sqlstate));
        return;
    }
}

void attempt_text_read(const char *text, bool needs_password, struct attempt_text *ret)
{
    char sqlstate[6];

    if (!sqlstate_in_text(text, sqlstate)) {
        english_read(text, needs_password, ret);
        return;
    }
    ret->category = sqlstate_category(sqlstate);
    ret->is_retryable = sqlstate_is_retryable(sqlstate);
    memcpy(ret->sqlstate, sqlstate, sizeof(ret->sqlstate));
}
