#include "agent/model/rows.h"

#include <string.h>

/* In memory: u8 table, u8 key length, u32 value length, key, value. */
enum { ROW_HEAD = 6 };

void rows_init(struct rows *rows, size_t bytes_max)
{
    buffer_init(&rows->bytes, bytes_max);
    rows->count = 0;
}

void rows_deinit(struct rows *rows)
{
    buffer_deinit(&rows->bytes);
    rows->count = 0;
}

void rows_put(struct rows *rows, enum row_table table, struct view key, struct view value)
{
    size_t whole = rows->bytes.length;
    uint32_t value_length = (uint32_t)value.length;
    char head[ROW_HEAD] = {(char)table, (char)key.length};

    if (key.length > ROW_KEY_MAX || value.length > UINT32_MAX) {
        rows->bytes.failed = true;
        return;
    }
    memcpy(head + 2, &value_length, sizeof(value_length));
    buffer_append(&rows->bytes, head, sizeof(head));
    buffer_append(&rows->bytes, key.bytes, key.length);
    buffer_append(&rows->bytes, value.bytes, value.length);
    if (rows->bytes.failed)
        rows->bytes.length = whole; /* those that fit can still be walked over */
    else
        rows->count++;
}

void rows_move(struct rows *rows, struct rows *from)
{
    if (from->count)
        buffer_append(&rows->bytes, from->bytes.bytes, from->bytes.length);
    if (!rows->bytes.failed)
        rows->count += from->count;
    rows->bytes.failed |= from->bytes.failed;
    buffer_clear(&from->bytes);
    from->count = 0;
}

bool rows_next(const struct rows *rows, size_t *offset, struct row *ret)
{
    const char *at = rows->bytes.bytes + *offset;
    uint32_t value_length;

    if (*offset >= rows->bytes.length)
        return false;
    memcpy(&value_length, at + 2, sizeof(value_length));
    ret->table = (enum row_table)(uint8_t)at[0];
    ret->key = (struct view){at + ROW_HEAD, (uint8_t)at[1]};
    ret->value = (struct view){ret->key.bytes + ret->key.length, value_length};
    *offset += ROW_HEAD + ret->key.length + value_length;
    return true;
}

void row_write_u8(struct buffer *value, uint8_t v)
{
    buffer_append(value, &v, sizeof(v));
}

void row_write_u32(struct buffer *value, uint32_t v)
{
    buffer_append(value, &v, sizeof(v));
}

void row_write_u64(struct buffer *value, uint64_t v)
{
    buffer_append(value, &v, sizeof(v));
}

void row_write_double(struct buffer *value, double v)
{
    buffer_append(value, &v, sizeof(v));
}

void row_write_view(struct buffer *value, struct view v)
{
    row_write_u32(value, (uint32_t)v.length);
    buffer_append(value, v.bytes, v.length);
}

static bool row_read(struct row_reader *reader, void *ret, size_t size)
{
    if (reader->failed || size > reader->bytes.length - reader->offset) {
        reader->failed = true;
        memset(ret, 0, size);
        return false;
    }
    memcpy(ret, reader->bytes.bytes + reader->offset, size);
    reader->offset += size;
    return true;
}

uint8_t row_read_u8(struct row_reader *reader)
{
    uint8_t v;
    (void)row_read(reader, &v, sizeof(v)); /* the failure is sticky */
    return v;
}

uint32_t row_read_u32(struct row_reader *reader)
{
    uint32_t v;
    (void)row_read(reader, &v, sizeof(v));
    return v;
}

uint64_t row_read_u64(struct row_reader *reader)
{
    uint64_t v;
    (void)row_read(reader, &v, sizeof(v));
    return v;
}

double row_read_double(struct row_reader *reader)
{
    double v;
    (void)row_read(reader, &v, sizeof(v));
    return v;
}

struct view row_read_view(struct row_reader *reader)
{
    uint32_t length = row_read_u32(reader);
    struct view view = {NULL, 0};

    if (reader->failed || length > reader->bytes.length - reader->offset) {
        reader->failed = true;
        return view;
    }
    view = (struct view){reader->bytes.bytes + reader->offset, length};
    reader->offset += length;
    return view;
}
