/* From the text of one statement to its normalized text and fingerprint, in one pass, without
 * allocation, without reading past the end, without ever copying a literal.
 *
 * The rules (literals, signs, folding, generated names, comments, fingerprint tokens) are in
 * proto/wire/TEXT.md, since clients in other languages must agree on them; the vectors that hold
 * everybody to them are in proto/wire/conformance. Pure: any thread, no state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

enum {
    NORMALIZE_INPUT_MAX = 64 << 10, /* bytes of a statement that are read */
    NORMALIZE_TEXT_MAX = 16384,     /* bytes of normalized text that are kept: NAME_TEXT_MAX */
};

enum normalize_option {
    NORMALIZE_BACKSLASH_STRINGS = 1u << 0, /* standard_conforming_strings = off */
    NORMALIZE_KEEP_LISTS = 1u << 1,        /* for tests against a scanner: no folding of lists */
    NORMALIZE_KEEP_SIGNS = 1u << 2,        /* … a minus is always an operator */
    NORMALIZE_KEEP_NAMES = 1u << 3,        /* … generated names keep their digits */
};

enum normalize_flag {
    NORMALIZED_CUT = 1u << 0,       /* input or text was longer than the maximum */
    NORMALIZED_MALFORMED = 1u << 1, /* an unterminated literal, identifier or comment */
};

/* The statements that a client library's observer must tell apart. */
enum statement_verb {
    VERB_EMPTY = 0, /* nothing but white space and comments: no call */
    VERB_OTHER,
    VERB_BEGIN,    /* BEGIN, START TRANSACTION */
    VERB_COMMIT,   /* COMMIT, END (the statement) */
    VERB_ROLLBACK, /* ROLLBACK, ABORT; not ROLLBACK TO */
    VERB_PREPARE,  /* SQL PREPARE name AS …; not PREPARE TRANSACTION */
    VERB_EXECUTE,
    VERB_DEALLOCATE,
    VERB_DISCARD,
    VERB_LISTEN,
    VERB_UNLISTEN,
    VERB_COPY,
    VERB_SET,
};

struct normalized {
    uint64_t fingerprint; /* 0 only for VERB_EMPTY */
    uint32_t text_length;
    uint32_t flags; /* enum normalize_flag */
    enum statement_verb verb;
};

/* Normalizes @sql, one statement (a trailing ';' is not part of the text). Writes at most
 * @capacity bytes to @text, without a NUL; text beyond it is cut and marked, the fingerprint is of
 * everything that was read. @text may be NULL with @capacity 0: fingerprint only. */
void normalize(struct view sql, uint32_t options, char *text, size_t capacity,
               struct normalized *ret);

/* One top-level statement of a string that may hold several. */
struct statement_part {
    struct view sql; /* without the ';' and the white space and comments around it */
    enum statement_verb verb;
    struct view name;    /* PREPARE, EXECUTE, DEALLOCATE, LISTEN: the name as written, else empty */
    struct view body;    /* PREPARE: what stands after AS */
    bool deallocate_all; /* DEALLOCATE ALL */
};

/* Finds the next top-level statement of @sql at or after *offset and moves *offset past its ';'.
 * False: none left. A ';' inside parentheses, a literal, a quoted name, a comment, or a BEGIN
 * ATOMIC body ends nothing. Statements without tokens are passed over. */
bool statement_split_next(struct view sql, uint32_t options, size_t *offset,
                          struct statement_part *ret);

/* Names compare as PostgreSQL compares them: unquoted folded to lower case, quoted as is. Writes
 * the folded name, at most @capacity bytes; returns its length, or 0 if it does not fit. */
size_t statement_name_fold(struct view name, char *folded, size_t capacity);

/* What sqlcommenter comments of @sql say, values URL-decoded. Empty if absent. Bytes live in the
 * caller's @arena of @arena_size bytes; what does not fit is left out. */
struct sql_comment {
    struct view traceparent; /* 55 characters of version 00, or what a later version looks like */
    struct view tracestate;
    struct view call_site; /* "route=… controller=… action=… framework=… application=… file=…" */
};

void sql_comment_read(struct view sql, char *arena, size_t arena_size, struct sql_comment *ret);

/* A key for caches of raw texts: equal for texts that differ only in a comment at their beginning
 * or end, else different with overwhelming probability. Keyed by @seed, so that nobody outside the
 * process can make collisions. *ret_commented tells whether a comment was left out. */
struct text_key {
    uint64_t low, high;
};

struct text_key text_key_of(struct view sql, uint64_t seed, bool *ret_commented);

/* XXH3-64 of a name's text, 0 replaced by 1: the id of every name but a statement's. */
uint64_t name_id(struct view text);
