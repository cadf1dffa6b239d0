/* A message after the hello: a frame with its records, and, for the other side, an answer. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/wire/frame_reader.h"
#include "proto/wire/message_codec.h"
#include "proto/wire/record_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static volatile uint64_t sink; /* so that nothing read is left out */

static void touch(const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < length; i++)
        sink += byte[i];
}

static void read_record(const struct record_header *record)
{
    const struct event_context *context = record_context(record);

    touch(record, record->length);
    if (context)
        touch(context, sizeof(*context));
    if (record->kind == RECORD_NAME)
        touch(record_name_text(record).bytes, record_name_text(record).length);
    if (record->kind == RECORD_PARAMETERS)
        touch(record_parameter_bytes(record).bytes, record_parameter_bytes(record).length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct lane_record_copy copy;
    const struct view message = {(const char *)bytes, length};
    const struct record_header *record;
    struct frame_reader reader;
    struct answer answer;
    uint32_t count = 0;

    if (frame_open(&reader, message) == 0) {
        while (frame_next(&reader, &copy, &record)) {
            count++;
            if (record_check(record) == 0)
                read_record(record);
        }
        if (count != reader.record_count || reader.left.length != 0)
            abort();
    }
    if (answer_decode(message, &answer) == 0)
        touch(answer.text.bytes, answer.text.length);
    return 0;
}
