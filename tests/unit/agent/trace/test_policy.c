#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/trace/policy.h"

static void samplers(void **state)
{
    static const struct {
        const char *sampler, *argument;
        int result;
        enum trace_mode mode;
        uint64_t threshold;
    } table[] = {
        {NULL, NULL, 0, TRACE_PARENT, TRACE_THRESHOLD_NONE},
        {"", "0.5", 0, TRACE_PARENT, TRACE_THRESHOLD_NONE},
        {"always_on", NULL, 0, TRACE_ALL, TRACE_THRESHOLD_NONE},
        {"Always_Off", NULL, 0, TRACE_KEPT, TRACE_THRESHOLD_NONE},
        {"parentbased_always_off", NULL, 0, TRACE_PARENT, TRACE_THRESHOLD_NONE},
        {"parentbased_always_on", NULL, 0, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", NULL, 0, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", "0.5", 0, TRACE_PARENT, UINT64_C(0x80000000000000)},
        {"parentbased_traceidratio", "0.25", 0, TRACE_PARENT, UINT64_C(0xc0000000000000)},
        {"parentbased_traceidratio", "0", 0, TRACE_PARENT, TRACE_THRESHOLD_NONE},
        {"parentbased_traceidratio", "1.0", 0, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", "2", TRACE_POLICY_E_ARGUMENT, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", "-0.1", TRACE_POLICY_E_ARGUMENT, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", "half", TRACE_POLICY_E_ARGUMENT, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"traceidratio", "nan", TRACE_POLICY_E_ARGUMENT, TRACE_PARENT, TRACE_THRESHOLD_ALL},
        {"jaeger_remote", NULL, TRACE_POLICY_E_UNKNOWN, TRACE_PARENT, TRACE_THRESHOLD_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct trace_policy policy;
        assert_int_equal(trace_policy_from_sampler(table[i].sampler, table[i].argument, &policy),
                         table[i].result);
        assert_int_equal(policy.mode, table[i].mode);
        assert_int_equal(policy.root_threshold, table[i].threshold);
    }
}

/* Only the last seven bytes count, the first of them most. */
static void randomness(void **state)
{
    struct trace_policy half = {TRACE_PARENT, UINT64_C(1) << 55};
    struct trace_policy all = {TRACE_PARENT, TRACE_THRESHOLD_ALL};
    struct trace_policy none = trace_policy_default();
    uint8_t id[16];

    (void)state;
    memset(id, 0xff, sizeof(id));
    assert_true(trace_policy_takes_root(&half, id));
    assert_false(trace_policy_takes_root(&none, id));
    id[9] = 0x7f;
    assert_false(trace_policy_takes_root(&half, id));
    memset(id + 9, 0, 7);
    assert_false(trace_policy_takes_root(&half, id));
    assert_true(trace_policy_takes_root(&all, id));
    id[9] = 0x80;
    memset(id, 0, 9);
    assert_true(trace_policy_takes_root(&half, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers),
        cmocka_unit_test(randomness),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
