#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/export/retry.h"

static void http_statuses(void **state)
{
    (void)state;
    for (long status = 100; status < 600; status++) {
        bool is_again = status == 429 || status == 502 || status == 503 || status == 504;
        enum outcome expected = status / 100 == 2 ? OUTCOME_ARRIVED
                                : is_again        ? OUTCOME_RETRY
                                                  : OUTCOME_REFUSED;
        assert_int_equal(retry_of_http(status), expected);
    }
}

static void grpc_statuses(void **state)
{
    static const bool is_again[17] = {
        [1] = true, [4] = true, [10] = true, [11] = true, [14] = true, [15] = true};

    (void)state;
    assert_int_equal(retry_of_grpc(0, false), OUTCOME_ARRIVED);
    for (int status = 1; status < 17; status++) {
        assert_int_equal(retry_of_grpc(status, false),
                         is_again[status] ? OUTCOME_RETRY : OUTCOME_REFUSED);
        assert_int_equal(retry_of_grpc(status, true),
                         is_again[status] || status == 8 ? OUTCOME_RETRY : OUTCOME_REFUSED);
    }
    assert_int_equal(retry_of_grpc(99, true), OUTCOME_REFUSED);
    assert_string_equal(retry_grpc_name(14), "UNAVAILABLE");
    assert_string_equal(retry_grpc_name(-1), "UNKNOWN");
}

/* google.rpc.Status{code: 14, details: [Any{type_url, value: RetryInfo{retry_delay}}]} by hand. */
#define TYPE   "type.googleapis.com/google.rpc.RetryInfo"
#define DETAIL "\x1a\x30\x0a\x28" TYPE "\x12\x04"

static void retry_info(void **state)
{
    static const char seconds[] = "\x08\x0e" DETAIL "\x0a\x02\x08\x05";
    static const char endless[] = "\x1a\x33\x0a\x28" TYPE "\x12\x07\x0a\x05\x08\xff\xff\xff\x7f";
    static const char without[] = "\x1a\x2c\x0a\x28" TYPE "\x12\x00";
    static const char other[] = "\x08\x0e\x1a\x03\x0a\x01x";
    uint64_t wait_ms = 1;

    (void)state;
    assert_true(retry_info_read(seconds, sizeof(seconds) - 1, &wait_ms));
    assert_int_equal(wait_ms, 5000);
    assert_true(retry_info_read(endless, sizeof(endless) - 1, &wait_ms));
    assert_int_equal(wait_ms, RETRY_AFTER_MAX_MS);
    assert_true(retry_info_read(without, sizeof(without) - 1, &wait_ms));
    assert_int_equal(wait_ms, 0);
    assert_false(retry_info_read(other, sizeof(other) - 1, &wait_ms));
    for (size_t length = 0; length < sizeof(seconds) - 1; length++)
        assert_false(retry_info_read(seconds, length, &wait_ms));
    assert_false(retry_info_read("\xff\xff\xff", 3, &wait_ms));
}

static void waits_grow_with_jitter(void **state)
{
    const struct retry_opts opts = {.first_ms = 1000, .most_ms = 5000, .give_up_ms = 60000};
    static const uint64_t bases[] = {1000, 1500, 2250, 3375, 5000, 5000};
    struct backoff least = {0}, most = {0}, middle = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        assert_int_equal(backoff_next_ms(&least, &opts, 0, 0), bases[i] / 2);
        assert_in_range(backoff_next_ms(&most, &opts, 0, UINT32_MAX), bases[i] * 3 / 2 - 2,
                        bases[i] * 3 / 2);
        assert_in_range(backoff_next_ms(&middle, &opts, 0, UINT32_MAX / 2), bases[i] - 2,
                        bases[i] + 1);
    }
}

static void a_servers_word_is_the_least(void **state)
{
    const struct retry_opts opts = {.first_ms = 1000, .most_ms = 5000, .give_up_ms = 60000};

    (void)state;
    for (uint32_t random = 0; random < UINT32_MAX - 0x01000000u; random += 0x01000000u) {
        struct backoff backoff = {0};
        assert_in_range(backoff_next_ms(&backoff, &opts, 20000, random), 20000, 30000);
        /* Growth goes on from it, up to the longest wait of ours. */
        assert_in_range(backoff_next_ms(&backoff, &opts, 0, random), 2500, 7500);
        assert_in_range(backoff_next_ms(&backoff, &opts, UINT64_MAX, random), RETRY_AFTER_MAX_MS,
                        (uint64_t)RETRY_AFTER_MAX_MS * 3 / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_statuses),
        cmocka_unit_test(grpc_statuses),
        cmocka_unit_test(retry_info),
        cmocka_unit_test(waits_grow_with_jitter),
        cmocka_unit_test(a_servers_word_is_the_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
