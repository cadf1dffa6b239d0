#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <pthread.h>

#include "shim/probe/text_cache.h"

enum { THREADS = 4, ROUNDS = 200000 };
#define KEY (UINT64_C(1) << 40)

/* Every bit of a key is as good as random, as a hash gives it. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static struct text_key key_of(uint64_t number)
{
    return (struct text_key){mix(2 * number + 1), mix(2 * number + 2)};
}

static struct text_known known_of(uint64_t number)
{
    return (struct text_known){.fingerprint = number * 31 + 5,
                               .epoch = (uint16_t)(number * 3),
                               .is_announced = number & 1,
                               .verb = (uint8_t)(number % 13),
                               .flags = (uint8_t)(number % 4)};
}

static void assert_known(const struct text_known *known, uint64_t number)
{
    struct text_known expected = known_of(number);

    assert_int_equal(known->fingerprint, expected.fingerprint);
    assert_int_equal(known->epoch, expected.epoch);
    assert_int_equal(known->is_announced, expected.is_announced);
    assert_int_equal(known->verb, expected.verb);
    assert_int_equal(known->flags, expected.flags);
}

static void test_finds_what_was_stored(void **state)
{
    struct text_known known = known_of(1), changed = known_of(2), found;

    (void)state;
    assert_false(text_cache_find(key_of(KEY), &found));
    text_cache_store(key_of(KEY), &known);
    assert_true(text_cache_find(key_of(KEY), &found));
    assert_known(&found, 1);
    text_cache_store(key_of(KEY), &changed); /* a later epoch, for one */
    assert_true(text_cache_find(key_of(KEY), &found));
    assert_known(&found, 2);
    assert_false(text_cache_find((struct text_key){key_of(KEY).low, key_of(KEY + 1).high}, &found));
    assert_int_not_equal(text_cache_seed(), 0);
    assert_int_equal(text_cache_seed(), text_cache_seed());
}

/* A million texts that come once must not push out those that come again and again. */
static void test_daily_texts_survive_a_stream(void **state)
{
    struct text_known known, found;
    uint64_t hits = 0, looks = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000000; i++) {
        uint64_t number = i % 10 == 0 ? i / 10 % 200 : 1000 + i;
        if (number < 200) {
            looks++;
            hits += text_cache_find(key_of(number), &found);
        }
        known = known_of(number);
        if (!text_cache_find(key_of(number), &found))
            text_cache_store(key_of(number), &known);
        else
            assert_known(&found, number);
    }
    assert_true(hits * 100 > looks * 95);
}

static void *writer(void *argument)
{
    uint64_t wrong = 0, random = (uintptr_t)argument;
    struct text_known known, found, expected;

    for (int i = 0; i < ROUNDS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t number = random >> 33 & 15;
        struct text_key key = key_of(number);
        key.low = key.low / 2048 * 2048; /* all of them want one set */
        if (text_cache_find(key, &found)) {
            expected = known_of(number);
            wrong += found.fingerprint != expected.fingerprint || found.verb != expected.verb ||
                     found.epoch != expected.epoch;
        } else {
            known = known_of(number);
            text_cache_store(key, &known);
        }
    }
    return (void *)(uintptr_t)wrong;
}

static void test_racing_writers_never_mix_texts(void **state)
{
    pthread_t threads[THREADS];
    void *wrong;

    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_stored),
        cmocka_unit_test(test_daily_texts_survive_a_stream),
        cmocka_unit_test(test_racing_writers_never_mix_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
