#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "shim/probe/clock.h"

/* Between two readings of the real clock; the allowance is the contract's. */
static void assert_between(uint64_t before_ns, uint64_t ours_ns, uint64_t after_ns)
{
    assert_true(ours_ns + 1000 >= before_ns);
    assert_true(ours_ns <= after_ns + 1000);
}

static void test_stays_beside_the_real_clock(void **state)
{
    uint64_t until_ns = clock_monotonic_ns() + 2 * NS_PER_S;
    uint64_t before_ns, ours_ns, after_ns = 0;

    (void)state;
    probe_clock_start();
    while (after_ns < until_ns) {
        before_ns = clock_monotonic_ns();
        ours_ns = probe_clock_ns();
        after_ns = clock_monotonic_ns();
        assert_between(before_ns, ours_ns, after_ns);
    }
}

static void test_after_sleeps(void **state)
{
    (void)state;
    for (long us = 1; us < 200000; us *= 3) {
        struct timespec wait = {.tv_nsec = us * 1000};
        uint64_t before_ns, ours_ns;
        (void)nanosleep(&wait, NULL);
        before_ns = clock_monotonic_ns();
        ours_ns = probe_clock_ns();
        assert_between(before_ns, ours_ns, clock_monotonic_ns());
    }
}

static void *reader(void *argument)
{
    uint64_t until_ns = clock_monotonic_ns() + NS_PER_S, wrong = 0, before_ns, ours_ns, after_ns;

    (void)argument;
    do {
        before_ns = clock_monotonic_ns();
        ours_ns = probe_clock_ns();
        after_ns = clock_monotonic_ns();
        wrong += ours_ns + 1000 < before_ns || ours_ns > after_ns + 1000;
    } while (after_ns < until_ns);
    return (void *)(uintptr_t)wrong;
}

static void test_with_threads(void **state)
{
    pthread_t threads[4];
    void *wrong;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stays_beside_the_real_clock),
        cmocka_unit_test(test_after_sleeps),
        cmocka_unit_test(test_with_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
