/* What a checkpoint writes: rows of opaque bytes by table and key. The stages encode and decode
 * their own rows; the store knows only bytes. Immutable once handed over. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/view.h"

/* Tables of the checkpoint. Numbers are on disk: never reuse one. */
enum row_table {
    ROWS_RESOURCES = 1,
    ROWS_SERIES = 2,
    ROWS_STATEMENTS = 3,
    ROWS_POOLS = 4,
    ROWS_NAMES = 5,
    ROWS_LEDGER = 6,
    ROWS_POSITIONS =
        7,          /* key: client id; value: position and number of each ring, or frame number */
    ROWS_SPANS = 8, /* spans not yet exported */
    ROWS_END
};

enum { ROW_KEY_MAX = 64 };

struct rows {
    struct buffer bytes;
    size_t count;
};

/* An empty @value deletes the row. Failure is sticky in rows->bytes.failed; the rows before it stay
 * whole. */
void rows_init(struct rows *rows, size_t bytes_max);
void rows_deinit(struct rows *rows);
void rows_put(struct rows *rows, enum row_table table, struct view key, struct view value);

/* Appends all of @from, which is empty afterwards. */
void rows_move(struct rows *rows, struct rows *from);

struct row {
    enum row_table table;
    struct view key, value;
};
/* Walks: *offset starts at 0. False at the end. */
bool rows_next(const struct rows *rows, size_t *offset, struct row *ret);

/* Encoding of values: little-endian fields appended one after the other; reading past the end is
 * sticky, so that callers check once. */
struct row_reader {
    struct view bytes;
    size_t offset;
    bool failed;
};
void row_write_u8(struct buffer *value, uint8_t v);
void row_write_u32(struct buffer *value, uint32_t v);
void row_write_u64(struct buffer *value, uint64_t v);
void row_write_double(struct buffer *value, double v);
void row_write_view(struct buffer *value, struct view v); /* u32 length, bytes */
uint8_t row_read_u8(struct row_reader *reader);
uint32_t row_read_u32(struct row_reader *reader);
uint64_t row_read_u64(struct row_reader *reader);
double row_read_double(struct row_reader *reader);
struct view row_read_view(struct row_reader *reader);
