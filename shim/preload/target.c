#include "shim/preload/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts what is overlong. NULL and "" say nothing. */
static void text_set(char *to, size_t capacity, const char *from)
{
    if (from && *from)
        (void)snprintf(to, capacity, "%s", from);
}

#define TEXT_SET(member, from) text_set(member, sizeof(member), from)

static void option_set(struct target *target, const char *keyword, const char *value)
{
    if (!strcmp(keyword, "host"))
        TEXT_SET(target->address, value);
    else if (!strcmp(keyword, "hostaddr") && !*target->address)
        TEXT_SET(target->address, value);
    else if (!strcmp(keyword, "port"))
        TEXT_SET(target->port, value);
    else if (!strcmp(keyword, "dbname"))
        TEXT_SET(target->database, value);
    else if (!strcmp(keyword, "user") && !*target->database)
        TEXT_SET(target->database, value);
}

void target_of_environment(struct target *ret)
{
    *ret = (struct target){.port = "5432"};
    TEXT_SET(ret->address, secure_getenv("PGHOSTADDR"));
    TEXT_SET(ret->address, secure_getenv("PGHOST"));
    TEXT_SET(ret->port, secure_getenv("PGPORT"));
    TEXT_SET(ret->database, secure_getenv("PGUSER"));
    TEXT_SET(ret->database, secure_getenv("PGDATABASE"));
}

/* "key=value …" and URIs, by libpq's own reading. */
void target_add_conninfo(const struct libpq *libpq, const char *conninfo, struct target *target)
{
    PQconninfoOption *options;
    char *error = NULL;

    if (!conninfo || !*conninfo || !libpq->PQconninfoParse || !libpq->PQconninfoFree)
        return;
    options = libpq->PQconninfoParse(conninfo, &error);
    if (error && libpq->PQfreemem)
        libpq->PQfreemem(error);
    if (!options)
        return;
    for (const PQconninfoOption *option = options; option->keyword; option++)
        if (option->val)
            option_set(target, option->keyword, option->val);
    libpq->PQconninfoFree(options);
}

static bool is_conninfo(const char *database)
{
    return strchr(database, '=') || !strncmp(database, "postgres://", 11) ||
           !strncmp(database, "postgresql://", 13);
}

void target_add_params(const struct libpq *libpq, const char *const *keywords,
                       const char *const *values, int expand_dbname, struct target *target)
{
    for (unsigned i = 0; keywords && values && keywords[i]; i++) {
        if (!values[i] || !*values[i])
            continue;
        if (expand_dbname && !strcmp(keywords[i], "dbname") && is_conninfo(values[i]))
            target_add_conninfo(libpq, values[i], target);
        else
            option_set(target, keywords[i], values[i]);
    }
}

void target_add_login(const struct libpq *libpq, const char *host, const char *port,
                      const char *database, const char *login, struct target *target)
{
    if (database && is_conninfo(database)) {
        target_add_conninfo(libpq, database, target);
        database = NULL;
    }
    TEXT_SET(target->address, host);
    TEXT_SET(target->port, port);
    if (!*target->database)
        TEXT_SET(target->database, login);
    TEXT_SET(target->database, database);
}

bool target_of_connection(const struct libpq *libpq, const PGconn *conn, struct target *ret)
{
    if (!libpq->PQhost || !libpq->PQport || !libpq->PQdb)
        return false;
    *ret = (struct target){.port = "5432"};
    TEXT_SET(ret->address, libpq->PQhost(conn));
    TEXT_SET(ret->port, libpq->PQport(conn));
    TEXT_SET(ret->database, libpq->PQdb(conn));
    return true;
}

bool target_equal(const struct target *a, const struct target *b)
{
    return !strcmp(a->address, b->address) && !strcmp(a->port, b->port) &&
           !strcmp(a->database, b->database);
}
