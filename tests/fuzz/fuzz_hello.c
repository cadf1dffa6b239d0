/* The first message of a client. What is accepted must encode to a hello that says the same. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/wire/hello.h"
#include "proto/wire/message_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_again(const struct hello *hello)
{
    static char bytes[MESSAGE_PREFIX_SIZE + HELLO_LENGTH_MAX];
    static struct hello again;
    struct hello_fields fields = {.kind = hello->kind,
                                  .pid = hello->pid,
                                  .monotonic_ns = hello->monotonic_ns,
                                  .realtime_ns = hello->realtime_ns};
    struct hello_writer writer;
    uint16_t count = 0;
    size_t length;

    memcpy(fields.client_id, hello->client_id, sizeof(fields.client_id));
    hello_begin(&writer, bytes, sizeof(bytes), &fields);
    for (uint16_t i = 0; i < hello->attribute_count; i++) {
        if (!hello_attribute(&writer, hello->attributes[i].key, hello->attributes[i].value))
            abort();
    }
    length = hello_end(&writer);
    if (hello_decode((struct view){bytes + MESSAGE_PREFIX_SIZE, length - MESSAGE_PREFIX_SIZE},
                     &again) != 0)
        abort();
    for (uint16_t i = 0; i < hello->attribute_count; i++) {
        if (hello->attributes[i].value.length == 0)
            continue; /* the writer leaves empty ones out */
        if (!view_equal(hello->attributes[i].key, again.attributes[count].key) ||
            !view_equal(hello->attributes[i].value, again.attributes[count].value))
            abort();
        count++;
    }
    if (count != again.attribute_count || again.kind != hello->kind || again.pid != hello->pid)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct hello hello;

    if (hello_decode((struct view){(const char *)bytes, length}, &hello) == 0) {
        if (hello.version_major != 1 || hello.attribute_count > HELLO_ATTRIBUTES_MAX)
            abort();
        (void)hello_find(&hello, view_from(HELLO_KEY_SERVICE));
        check_again(&hello);
    }
    return 0;
}
