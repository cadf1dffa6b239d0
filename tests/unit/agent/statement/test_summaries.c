/* The cache of summaries: what it keeps, what leaves, and that its bounds hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>

#include "agent/statement/summaries.h"

static struct view find(struct summaries *summaries, uint64_t fingerprint, const char *text)
{
    return summaries_find(summaries, fingerprint, view_from(text));
}

static void answers_from_memory(void **state)
{
    CLEANUP(summaries_freep) struct summaries *summaries = NULL;
    struct summaries_opts opts = {.entries_max = 8, .bytes_max = 4096};

    (void)state;
    assert_int_equal(summaries_new(&opts, &summaries), 0);
    assert_true(view_equal(find(summaries, 7, "SELECT a FROM t"), view_from("SELECT t")));
    /* The first text decides: another spelling has the same fingerprint. */
    assert_true(view_equal(find(summaries, 7, "select a from T"), view_from("SELECT t")));
    struct summaries_stats stats = summaries_stats(summaries);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.unparsed, 0);
}

static void forgets_the_one_unused_longest(void **state)
{
    CLEANUP(summaries_freep) struct summaries *summaries = NULL;
    struct summaries_opts opts = {.entries_max = 3, .bytes_max = 4096};

    (void)state;
    assert_int_equal(summaries_new(&opts, &summaries), 0);
    for (uint64_t i = 1; i <= 3; i++)
        (void)find(summaries, i * 16, "SELECT a FROM t"); /* one bucket */
    (void)find(summaries, 16, "");
    (void)find(summaries, 64, "SELECT a FROM u"); /* 32 leaves */
    assert_int_equal(summaries_stats(summaries).evicted, 1);
    uint64_t misses = summaries_stats(summaries).misses;
    (void)find(summaries, 16, "");
    (void)find(summaries, 48, "");
    (void)find(summaries, 64, "");
    assert_int_equal(summaries_stats(summaries).misses, misses);
    (void)find(summaries, 32, "SELECT a FROM t");
    assert_int_equal(summaries_stats(summaries).misses, misses + 1);
}

static void keeps_its_bounds(void **state)
{
    CLEANUP(summaries_freep) struct summaries *summaries = NULL;
    struct summaries_opts opts = {.entries_max = 1000, .bytes_max = 2000};
    char text[64];
    size_t used = 0;

    (void)state;
    assert_int_equal(summaries_new(&opts, &summaries), 0);
    for (uint64_t i = 0; i < 20000; i++) {
        (void)snprintf(text, sizeof(text), "SELECT a FROM table_%d WHERE b = $1", (int)i);
        (void)find(summaries, i * UINT64_C(0x9e3779b97f4a7c15), text);
        assert_true(summaries_stats(summaries).bytes <= 2000);
        if (i == 2000)
            used = mallinfo2().uordblks;
    }
    assert_true(summaries_stats(summaries).entries > 10);
    /* The parser's memory does not grow with what it parsed. */
    assert_true(mallinfo2().uordblks <= used + 64 * 1024);
}

static void works_without_room(void **state)
{
    CLEANUP(summaries_freep) struct summaries *summaries = NULL;
    struct summaries_opts opts = {0};

    (void)state;
    assert_int_equal(summaries_new(&opts, &summaries), 0);
    assert_true(view_equal(find(summaries, 1, "DELETE FROM t"), view_from("DELETE t")));
    assert_true(view_equal(find(summaries, 1, "DELETE FROM t"), view_from("DELETE t")));
    assert_int_equal(summaries_stats(summaries).entries, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_from_memory),
        cmocka_unit_test(forgets_the_one_unused_longest),
        cmocka_unit_test(keeps_its_bounds),
        cmocka_unit_test(works_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
