/* The newest statement of a connection, told without its literals while it is being replaced. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/probe/normalize.h"
#include "shim/session/newest.h"

static void test_literals_are_not_told(void **state)
{
    static struct newest newest;
    struct view sql = VIEW_LITERAL("SELECT * FROM t WHERE name = 'Nobody' AND id = 42");
    struct normalized normalized;
    char text[NEWEST_NORMALIZED_MAX];
    uint64_t fingerprint;

    (void)state;
    newest_read(&newest, text, &fingerprint);
    assert_string_equal(text, "");
    assert_int_equal(fingerprint, 0);
    newest_note(&newest, sql);
    newest_read(&newest, text, &fingerprint);
    normalize(sql, 0, NULL, 0, &normalized);
    assert_int_equal(fingerprint, normalized.fingerprint);
    assert_null(strstr(text, "Nobody"));
    assert_null(strstr(text, "42"));
    assert_non_null(strstr(text, "name"));
}

/* A text that is cut inside a literal does not show what is left of it. */
static void test_long_texts(void **state)
{
    static struct newest newest;
    char sql[4000], text[NEWEST_NORMALIZED_MAX];
    uint64_t fingerprint;

    (void)state;
    memset(sql, 's', sizeof(sql) - 1);
    memcpy(sql, "SELECT '", 8);
    sql[sizeof(sql) - 1] = '\0';
    newest_note(&newest, view_from(sql));
    newest_read(&newest, text, &fingerprint);
    assert_null(strstr(text, "sss"));
    assert_int_equal(fingerprint, 0);
}

static struct newest shared;
static _Atomic bool is_over;

static void *writer(void *userdata)
{
    (void)userdata;
    for (unsigned i = 0; !is_over; i++)
        newest_note(&shared, i % 2 ? VIEW_LITERAL("SELECT aaaaaaaaaaaaaaaa FROM aaaaaaaaaaaaaaaaa")
                                   : VIEW_LITERAL("SELECT bbbb FROM bbbb"));
    return NULL;
}

static void test_never_half_of_each(void **state)
{
    char text[NEWEST_NORMALIZED_MAX];
    uint64_t fingerprint;
    pthread_t thread;
    unsigned seen = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, writer, NULL), 0);
    for (unsigned i = 0; i < 20000 || seen < 100; i++) {
        newest_read(&shared, text, &fingerprint);
        seen += *text != '\0';
        if (*text && strcmp(text, "SELECT aaaaaaaaaaaaaaaa FROM aaaaaaaaaaaaaaaaa") != 0 &&
            strcmp(text, "SELECT bbbb FROM bbbb") != 0)
            fail_msg("torn: %s", text);
    }
    is_over = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_are_not_told),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_never_half_of_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
