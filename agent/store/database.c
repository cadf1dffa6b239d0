#include "agent/store/database.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
    SCHEMA_VERSION = 1, /* in user_version; grows with the meaning of the rows' bytes */
    PATH_SIZE = 4096,
    WAL_PAGES = 1000, /* checkpointed into the file beyond that */
};

struct database {
    sqlite3 *sqlite;
    sqlite3_stmt *put, *delete;
};

/* How opening went. */
enum database_state {
    DATABASE_GOOD,
    DATABASE_DAMAGED,
    DATABASE_NEWER,
    DATABASE_FAILED,
};

static int errno_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    default:
        return -EIO;
    }
}

struct database *database_close(struct database *database)
{
    if (!database)
        return NULL;
    (void)sqlite3_finalize(database->put); /* repeats the error of the last step */
    (void)sqlite3_finalize(database->delete);
    (void)sqlite3_close(database->sqlite);
    free(database);
    return NULL;
}

const char *database_error(const struct database *database)
{
    return sqlite3_errmsg(database->sqlite);
}

static int run(struct database *database, const char *sql)
{
    return sqlite3_exec(database->sqlite, sql, NULL, NULL, NULL);
}

static int read_number(struct database *database, const char *sql, int *ret)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(database->sqlite, sql, -1, &statement, NULL);

    if (r == SQLITE_OK) {
        r = sqlite3_step(statement);
        *ret = r == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
        r = r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
    }
    (void)sqlite3_finalize(statement);
    return r;
}

/* "ok", or what is wrong with the file: a page cut off shows here and not when it is opened. */
static int check_whole(struct database *database)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(database->sqlite, "PRAGMA quick_check(1)", -1, &statement, NULL);

    if (r == SQLITE_OK) {
        const char *said = NULL;
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW)
            said = (const char *)sqlite3_column_text(statement, 0);
        r = r != SQLITE_ROW ? r : said && strcmp(said, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(statement);
    return r;
}

static int prepare(struct database *database)
{
    int r = sqlite3_prepare_v3(database->sqlite,
                               "INSERT INTO rows (tbl, key, value) VALUES (?, ?, ?) "
                               "ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value",
                               -1, SQLITE_PREPARE_PERSISTENT, &database->put, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_prepare_v3(database->sqlite, "DELETE FROM rows WHERE tbl = ? AND key = ?", -1,
                               SQLITE_PREPARE_PERSISTENT, &database->delete, NULL);
    return r;
}

/* NORMAL writes no fsync per commit: a killed process loses nothing, since the kernel has the
 * pages. */
static enum database_state try_open(const char *file, struct database *database, int *ret_code)
{
    int version = 0;
    int r = sqlite3_open_v2(file, &database->sqlite,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (r == SQLITE_OK)
        r = run(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                          "PRAGMA busy_timeout = 2000; PRAGMA cache_size = -512;");
    if (r == SQLITE_OK)
        r = read_number(database, "PRAGMA user_version", &version);
    if (r == SQLITE_OK && version > SCHEMA_VERSION)
        return DATABASE_NEWER;
    if (r == SQLITE_OK)
        r = check_whole(database);
    if (r == SQLITE_OK && version < SCHEMA_VERSION)
        r = run(database, "BEGIN; CREATE TABLE IF NOT EXISTS rows (tbl INTEGER NOT NULL, key BLOB "
                          "NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID;"
                          "PRAGMA user_version = 1; COMMIT;");
    if (r == SQLITE_OK)
        r = prepare(database);
    *ret_code = r;
    if (r == SQLITE_OK)
        return DATABASE_GOOD;
    /* A table of another shape is as strange as a damaged page. */
    return (r & 0xff) == SQLITE_CORRUPT || (r & 0xff) == SQLITE_NOTADB || r == SQLITE_ERROR
               ? DATABASE_DAMAGED
               : DATABASE_FAILED;
}

static void forget(struct database *database)
{
    (void)sqlite3_finalize(database->put);
    (void)sqlite3_finalize(database->delete);
    (void)sqlite3_close(database->sqlite);
    *database = (struct database){0};
}

/* The write-ahead log belongs to the file and goes with it. */
static int set_aside(const char *file, const char *why, char *note, size_t note_size)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char from[PATH_SIZE], to[PATH_SIZE];
    unsigned long long now_s = clock_realtime_ns() / NS_PER_S;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        int a = snprintf(from, sizeof(from), "%s%s", file, suffixes[i]);
        int b = snprintf(to, sizeof(to), "%s.%s-%llu%s", file, why, now_s, suffixes[i]);
        if (a < 0 || b < 0 || (size_t)a >= sizeof(from) || (size_t)b >= sizeof(to))
            return -ENAMETOOLONG;
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    (void)snprintf(note, note_size, "%s is %s: kept as %s.%s-%llu, beginning anew", file, why, file,
                   why, now_s);
    return 0;
}

int database_open(const char *file, struct database **ret, char *note, size_t note_size)
{
    struct database *CLEANUP(database_closep) database = calloc(1, sizeof(*database));
    enum database_state state;
    int code = SQLITE_OK, r;

    note[0] = '\0';
    if (!database)
        return -ENOMEM;
    state = try_open(file, database, &code);
    if (state == DATABASE_DAMAGED || state == DATABASE_NEWER) {
        forget(database);
        r = set_aside(file, state == DATABASE_NEWER ? "newer" : "damaged", note, note_size);
        if (r < 0)
            return r;
        state = try_open(file, database, &code);
    }
    if (state != DATABASE_GOOD) {
        (void)snprintf(note, note_size, "%s: %s", file,
                       database->sqlite ? sqlite3_errmsg(database->sqlite) : sqlite3_errstr(code));
        return errno_of(code);
    }
    (void)sqlite3_wal_autocheckpoint(database->sqlite, WAL_PAGES); /* fails on misuse only */
    *ret = STEAL(database);
    return 0;
}

static struct view column_view(sqlite3_stmt *statement, int column)
{
    const char *bytes = sqlite3_column_blob(statement, column);

    return (struct view){bytes, (size_t)sqlite3_column_bytes(statement, column)};
}

int database_load(struct database *database, database_row_fn fn, void *userdata)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(database->sqlite, "SELECT tbl, key, value FROM rows ORDER BY tbl",
                               -1, &statement, NULL);

    while (r == SQLITE_OK || r == SQLITE_ROW) {
        r = sqlite3_step(statement);
        if (r != SQLITE_ROW)
            break;
        int table = sqlite3_column_int(statement, 0);
        struct row row = {(enum row_table)table, column_view(statement, 1),
                          column_view(statement, 2)};
        if (table > 0 && table < ROWS_END)
            fn(userdata, &row);
    }
    (void)sqlite3_finalize(statement);
    return r == SQLITE_DONE ? 0 : errno_of(r);
}

static int write_row(struct database *database, const struct row *row)
{
    sqlite3_stmt *statement = row->value.length ? database->put : database->delete;
    int r;

    if (row->value.length > INT_MAX)
        return SQLITE_TOOBIG;
    r = sqlite3_bind_int(statement, 1, (int)row->table);
    if (r == SQLITE_OK)
        r = sqlite3_bind_blob(statement, 2, row->key.bytes, (int)row->key.length, SQLITE_STATIC);
    if (r == SQLITE_OK && row->value.length)
        r = sqlite3_bind_blob(statement, 3, row->value.bytes, (int)row->value.length,
                              SQLITE_STATIC);
    if (r == SQLITE_OK)
        r = sqlite3_step(statement);
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    (void)sqlite3_clear_bindings(statement);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

int database_commit(struct database *database, const struct rows *rows)
{
    size_t offset = 0;
    struct row row;
    int r = run(database, "BEGIN IMMEDIATE");

    while (r == SQLITE_OK && rows_next(rows, &offset, &row))
        r = write_row(database, &row);
    if (r == SQLITE_OK)
        r = run(database, "COMMIT");
    if (r == SQLITE_OK)
        return 0;
    if (!sqlite3_get_autocommit(database->sqlite))
        (void)run(database, "ROLLBACK"); /* the error that matters is the first one */
    return errno_of(r);
}
