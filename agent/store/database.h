/* The checkpoint's file: rows of opaque bytes by table and key, in SQLite. One owner at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/model/rows.h"
#include "base/cleanup.h"

struct database;

/* Opens @file or makes it. A file that is damaged, or was written by a newer version, is renamed
 * (never deleted) and a new one begun; @note then says so, else it is empty. Returns 0 or negative
 * errno, with @note saying what SQLite said. */
int database_open(const char *file, struct database **ret, char *note, size_t note_size)
    __attribute__((warn_unused_result));
struct database *database_close(struct database *database);
CLEANUP_DEFINE(struct database *, database_closep, database_close)

/* Every row, in the order of enum row_table. Views are borrowed for the call. 0 or negative errno.
 */
typedef void (*database_row_fn)(void *userdata, const struct row *row);
int database_load(struct database *database, database_row_fn fn, void *userdata)
    __attribute__((warn_unused_result));

/* All of @rows or nothing. 0 or negative errno; database_error() has SQLite's own words. */
int database_commit(struct database *database, const struct rows *rows)
    __attribute__((warn_unused_result));
const char *database_error(const struct database *database);
