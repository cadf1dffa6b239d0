/* Parameters in the log: which may be seen, and what they look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/session/keyed_hash.h"
#include "shim/session/parameters.h"

/* The reference vectors of SipHash-2-4: key 00 … 0f, input 00, 01, …, of these lengths. */
static void test_hash_is_siphash(void **state)
{
    static const struct {
        size_t length;
        uint64_t hash;
    } vectors[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    struct hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char bytes[16];

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_int_equal(keyed_hash(key, bytes, vectors[i].length), vectors[i].hash);
}

static void test_which_are_open(void **state)
{
    static const struct {
        const char *sql;
        uint64_t open;
        const char *words;
    } expected[] = {
        {"SELECT * FROM t WHERE id = $1", 1, NULL},
        {"SELECT * FROM t WHERE $1 = id AND t.state <> $2", 3, NULL},
        {"SELECT * FROM t WHERE id = $1 AND password = $2", 1, NULL},
        {"SELECT * FROM t WHERE (id = $1 OR api_token = $2) AND name LIKE $3", 5, NULL},
        {"SELECT * FROM t WHERE id IN ($1, $2, $3)", 7, NULL},
        {"SELECT * FROM t WHERE pin IN ($1, $2)", 0, NULL},
        {"SELECT * FROM t WHERE shipping = $1", 1, NULL},
        {"SELECT * FROM t WHERE id = ANY($1::int[])", 1, NULL},
        {"SELECT * FROM t WHERE lower(email) = lower($1)", 1, NULL},
        {"SELECT * FROM t WHERE lower(email) = lower($1)", 0, "phone, EMAIL"},
        {"SELECT $1", 0, NULL},
        {"SELECT $1::int = $2", 0, NULL},
        {"SELECT * FROM t WHERE a = $1 LIMIT $2 OFFSET $3", 1, NULL},
        {"SELECT * FROM t WHERE a BETWEEN $1 AND $2", 1, NULL},
        {"SELECT * FROM t WHERE data->>'password' = $1", 0, NULL},
        {"SELECT * FROM t WHERE data->>'city' = $1", 1, NULL},
        {"SELECT * FROM t WHERE crypt($1, salt) = hash", 0, NULL},
        {"SELECT * FROM t WHERE \"Card Number\" = $1", 0, NULL},
        {"SELECT * FROM t WHERE U&\"p\\0061ssword\" = $1", 0, NULL},
        {"UPDATE t SET name = $1, secret = $2, state = $3 WHERE id = $4", 13, NULL},
        {"UPDATE t SET a = CASE WHEN b = $1 THEN $2 ELSE $3 END", 1, NULL},
        {"INSERT INTO t (name, password, age) VALUES ($1, $2, $3)", 5, NULL},
        {"INSERT INTO t (name, password) VALUES ($1, crypt($2, gen_salt('bf'))), ($3, $4)", 5,
         NULL},
        {"INSERT INTO t (name, age) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET ssn = $3", 3,
         NULL},
        {"INSERT INTO t VALUES ($1, $2)", 0, NULL},
        {"INSERT INTO t (a, b) SELECT $1, $2", 0, NULL},
        {"INSERT INTO s.\"T\" AS x (a, \"card no\") VALUES ($1, $2) RETURNING a", 1, NULL},
        {"SELECT f(name => $1, secret => $2)", 0, NULL},
        {"CALL f(name := $1)", 1, NULL},
        /* Open in one place and not in another. */
        {"SELECT * FROM t WHERE name = $1 OR password = $1", 0, NULL},
        {"SELECT * FROM t WHERE a = $0 AND b = $99", 0, NULL},
        {"SELECT * FROM t WHERE a = $64", UINT64_C(1) << 63, NULL},
        {"((((((", 0, NULL},
        {"INSERT INTO (((((", 0, NULL},
        {"))))) a = $1", 1, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        uint64_t open = parameters_open(view_from(expected[i].sql), false, expected[i].words);
        if (open != expected[i].open)
            fail_msg("%s: %#llx", expected[i].sql, (unsigned long long)open);
    }
}

struct shown {
    struct options options;
    struct weir_statement_opts opts;
};

static char *show(const char *sql, int rule, int count, const char *const *values,
                  const int *lengths, const int *formats)
{
    struct weir_statement_opts opts = {
        .size = sizeof(opts),
        .parameters = rule + 1,
        .count = count,
        .values = values,
        .lengths = lengths,
        .formats = formats,
    };
    struct options options = {0};

    return parameters_show(view_from(sql), &opts, &options, false);
}

static void test_redacted(void **state)
{
    static const char *const values[] = {"it's", "hunter2", NULL, "a\nb\x7f\\", "\xc3\xbc"};
    static const char sql[] =
        "SELECT 1 FROM t WHERE a = $1 AND password = $2 AND c = $3 AND d = $4 AND e = $5";
    char *text = show(sql, WEIR_PARAMETERS_REDACTED, 5, values, NULL, NULL);

    (void)state;
    assert_non_null(text);
    assert_non_null(strstr(text, "$1 = 'it''s', $2 = #"));
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, ", $3 = NULL, $4 = 'a\\x0ab\\x7f\\\\', $5 = '\xc3\xbc'"));
    free(text);
}

static void test_long_and_binary(void **state)
{
    char long_value[200];
    const char *const values[] = {long_value, "\0\1secret"};
    const int lengths[] = {0, 8}, formats[] = {0, 1};
    char *text;

    (void)state;
    /* A character of two bytes stands across the 64th. */
    memset(long_value, 'x', sizeof(long_value) - 1);
    long_value[sizeof(long_value) - 1] = '\0';
    memcpy(long_value + 63, "\xc3\xbc", 2);
    text = show("SELECT 1 FROM t WHERE a = $1 AND b = $2", WEIR_PARAMETERS_REDACTED, 2, values,
                lengths, formats);
    assert_non_null(text);
    assert_int_equal(strspn(text + strlen("$1 = '"), "x"), 63);
    assert_non_null(strstr(text, "x'…, $2 = #"));
    assert_null(strstr(text, "secret"));
    free(text);
}

/* Equal values look equal, others do not, and none is readable. */
static void test_hashed(void **state)
{
    static const char *const values[] = {"42", "42", "43"};
    char *text = show("SELECT 1 FROM t WHERE a IN ($1, $2, $3)", WEIR_PARAMETERS_HASHED, 3, values,
                      NULL, NULL);
    char hashes[3][20];

    (void)state;
    assert_non_null(text);
    assert_int_equal(
        sscanf(text, "$1 = #%16s, $2 = #%16s, $3 = #%16s", hashes[0], hashes[1], hashes[2]), 3);
    hashes[0][16] = hashes[1][16] = hashes[2][16] = '\0';
    assert_string_equal(hashes[0], hashes[1]);
    assert_string_not_equal(hashes[0], hashes[2]);
    assert_null(strstr(text, "'"));
    free(text);
}

static void test_off_and_many(void **state)
{
    const char *values[100];
    char *text;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        values[i] = "v";
    assert_null(show("SELECT $1", WEIR_PARAMETERS_OFF, 1, values, NULL, NULL));
    assert_null(show("SELECT 1", WEIR_PARAMETERS_REDACTED, 0, NULL, NULL, NULL));
    text = show("SELECT $1", WEIR_PARAMETERS_HASHED, 100, values, NULL, NULL);
    assert_non_null(strstr(text, "$64 = #"));
    assert_null(strstr(text, "$65"));
    assert_non_null(strstr(text, ", …"));
    free(text);
}

/* What the environment allows is read once: each word in a process of its own. */
static int shown_with(const char *word)
{
    static const char *const values[] = {"plain"};
    int status;
    pid_t child = fork();

    if (child == 0) {
        char *text;
        (void)setenv("WEIR_PARAMETERS", word, 1);
        text =
            show("SELECT 1 FROM t WHERE a = $1", WEIR_PARAMETERS_REDACTED, 1, values, NULL, NULL);
        _exit(!text                   ? WEIR_PARAMETERS_OFF
              : strstr(text, "plain") ? WEIR_PARAMETERS_REDACTED
                                      : WEIR_PARAMETERS_HASHED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_environment_bounds(void **state)
{
    (void)state;
    assert_int_equal(shown_with("off"), WEIR_PARAMETERS_OFF);
    assert_int_equal(shown_with("hashed"), WEIR_PARAMETERS_HASHED);
    assert_int_equal(shown_with("redacted"), WEIR_PARAMETERS_REDACTED);
    assert_int_equal(shown_with("all of them, please"), WEIR_PARAMETERS_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_is_siphash),
        cmocka_unit_test(test_which_are_open),
        /* before anything in this process reads the environment */
        cmocka_unit_test(test_environment_bounds),
        cmocka_unit_test(test_redacted),
        cmocka_unit_test(test_long_and_binary),
        cmocka_unit_test(test_hashed),
        cmocka_unit_test(test_off_and_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
