/* Spans: a copy of everything, shared by reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "agent/model/span.h"

static void *use_and_unref(void *userdata)
{
    const struct span *span = userdata;
    size_t length = strlen(span->name) + strlen(span->tracestate);

    span_unref(span);
    return (void *)length;
}

static void spans_are_copies_shared_between_threads(void **state)
{
    char name[] = "SELECT orders", tracestate[] = "a=1";
    const struct attribute item = attribute_int("x", 1);
    const struct attributes *resource = attributes_new(&item, 1);
    const struct attributes *attributes = attributes_new(NULL, 0);
    const struct span *span = span_new(&(struct span){.trace_id = {1},
                                                      .span_id = {2},
                                                      .name = name,
                                                      .tracestate = tracestate,
                                                      .start_unix_ns = 3,
                                                      .status = SPAN_ERROR,
                                                      .resource = resource,
                                                      .attributes = attributes});
    pthread_t threads[3];
    (void)state;

    attributes_unref(resource);
    attributes_unref(attributes);
    memset(name, 'x', sizeof(name) - 1);
    memset(tracestate, 'x', sizeof(tracestate) - 1);
    assert_string_equal(span->name, "SELECT orders");
    assert_string_equal(span->tracestate, "a=1");
    assert_int_equal(span->trace_id[0], 1);
    assert_int_equal(span->status, SPAN_ERROR);
    assert_int_equal(span->resource->items[0].value.integer, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, use_and_unref, (void *)(uintptr_t)span_ref(span)), 0);
    assert_null(span_unref(span));
    for (size_t i = 0; i < 3; i++) {
        void *length;
        assert_int_equal(pthread_join(threads[i], &length), 0);
        assert_int_equal((size_t)length, 16);
    }
    assert_null(span_ref(NULL));
    assert_null(span_unref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_copies_shared_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
