#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/trace/identity.h"

static const uint8_t client[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct event_head head_of(uint16_t kind, uint64_t hold, uint32_t sequence)
{
    return (struct event_head){
        .header = {.kind = kind, .time_ns = 7}, .hold_id = hold, .sequence = sequence};
}

/* Ids are promised to stay the same over restarts, and so over versions: these were made once. */
static void ids_stay_the_same(void **state)
{
    static const uint8_t span[8] = {0xf2, 0xf0, 0x92, 0x35, 0x21, 0xde, 0x4f, 0xf3};
    static const uint8_t trace[16] = {0xb3, 0x45, 0x68, 0x9e, 0x0b, 0xea, 0x34, 0x60,
                                      0x90, 0x9e, 0xad, 0xb4, 0x09, 0x69, 0x79, 0xa8};
    struct event_head head = head_of(RECORD_STATEMENT, 42, 3);
    uint8_t span_id[8], trace_id[16];

    (void)state;
    identity_span(client, &head, span_id);
    identity_trace(client, &head, trace_id);
    assert_memory_equal(span_id, span, 8);
    assert_memory_equal(trace_id, trace, 16);
}

/* In a hold, an id depends on nothing that is only known when the event is over. */
static void inside_a_hold(void **state)
{
    struct event_head first = head_of(RECORD_STATEMENT, 42, 3), second = first;
    uint8_t a[8], b[8], trace_a[16], trace_b[16];

    (void)state;
    second.header.time_ns = 99;
    second.header.number = 5;
    second.flags = EVENT_HAS_CONTEXT;
    second.target = 77;
    identity_span(client, &first, a);
    identity_span(client, &second, b);
    assert_memory_equal(a, b, 8);
    second.sequence = 4;
    identity_span(client, &second, b);
    assert_memory_not_equal(a, b, 8);
    identity_trace(client, &first, trace_a);
    identity_trace(client, &second, trace_b);
    assert_memory_equal(trace_a, trace_b, 16); /* one trace for a hold */
    second = head_of(RECORD_CONNECT, 42, 3);
    identity_span(client, &second, b);
    assert_memory_not_equal(a, b, 8);
    second = head_of(RECORD_STATEMENT, 43, 3);
    identity_span(client, &second, b);
    identity_trace(client, &second, trace_b);
    assert_memory_not_equal(a, b, 8);
    assert_memory_not_equal(trace_a, trace_b, 16);
    identity_span((const uint8_t[16]){0}, &first, b);
    assert_memory_not_equal(a, b, 8);
}

static void outside_a_hold(void **state)
{
    struct event_head first = head_of(RECORD_STATEMENT, 0, 0), second = first;
    uint8_t a[8], b[8];

    (void)state;
    identity_span(client, &first, a);
    second.header.number = 1;
    identity_span(client, &second, b);
    assert_memory_not_equal(a, b, 8);
    second = first;
    second.header.time_ns++;
    identity_span(client, &second, b);
    assert_memory_not_equal(a, b, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_stay_the_same),
        cmocka_unit_test(inside_a_hold),
        cmocka_unit_test(outside_a_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
