/* Errors: every code that PostgreSQL has is covered by a rule of the table, and each goes where
 * weir/error.h says. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/session/attempt_text.h"
#include "shim/session/failure.h"

static const char *const rules[] = {
#define CLASS(class, category, again, why) class,
#define CODE(code, category, again, why)   code,
#include "shim/session/sqlstate.def"
#undef CLASS
#undef CODE
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

static bool has_rule(const char *state, size_t length)
{
    for (unsigned i = 0; i < RULES; i++)
        if (strlen(rules[i]) == length && !memcmp(rules[i], state, length))
            return true;
    return false;
}

/* The newest installed server's own list. */
static FILE *errcodes_open(void)
{
    glob_t found;
    FILE *file = NULL;
    long newest = 0;

    if (glob("/usr/share/postgresql/*/errcodes.txt", 0, NULL, &found))
        return NULL;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        long version = strtol(found.gl_pathv[i] + strlen("/usr/share/postgresql/"), NULL, 10);
        if (version <= newest)
            continue;
        newest = version;
        if (file)
            (void)fclose(file);
        file = fopen(found.gl_pathv[i], "r");
    }
    globfree(&found);
    return file;
}

static void test_every_code_of_postgresql(void **state)
{
    char line[512], code[6], kind[2], name[128];
    unsigned codes = 0, errors = 0;
    FILE *file = errcodes_open();

    (void)state;
    if (!file) {
        print_message("no errcodes.txt: the PostgreSQL server is not installed here\n");
        skip();
    }
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%5[0-9A-Z] %1[EWS] %127s", code, kind, name) != 3)
            continue;
        codes++;
        errors += *kind == 'E';
        print_message("%s %s %-22s%s %s\n", code, kind,
                      weir_error_category_name(sqlstate_category(code)),
                      sqlstate_is_retryable(code) ? " retry" : "", name);
        if (!has_rule(code, 2))
            fail_msg("no rule for the class of %s (%s)", code, name);
        assert_string_not_equal(weir_error_category_name(sqlstate_category(code)), "unknown");
        assert_int_not_equal(sqlstate_category(code), WEIR_OK);
    }
    (void)fclose(file);
    print_message("%u codes, %u of them errors; %u rules\n", codes, errors, RULES);
    assert_in_range(codes, 200, 1000);
}

static void test_where_codes_go(void **state)
{
    static const struct {
        const char *code;
        enum weir_error_category category;
        bool is_retryable;
    } expected[] = {
        {"08000", WEIR_ERROR_CONNECTION, true},
        {"08006", WEIR_ERROR_CONNECTION, true},
        {"08P01", WEIR_ERROR_CONNECTION, false},
        {"57P01", WEIR_ERROR_CONNECTION, true},
        {"57P02", WEIR_ERROR_CONNECTION, true},
        {"57P03", WEIR_ERROR_CONNECTION, true},
        {"28000", WEIR_ERROR_AUTHENTICATION, false},
        {"28P01", WEIR_ERROR_AUTHENTICATION, false},
        {"53300", WEIR_ERROR_TOO_MANY_CONNECTIONS, true},
        {"23505", WEIR_ERROR_CONSTRAINT, false},
        {"40001", WEIR_ERROR_SERIALIZATION, true},
        {"40P01", WEIR_ERROR_DEADLOCK, true},
        {"40003", WEIR_ERROR_COMMIT_UNKNOWN, false},
        {"08007", WEIR_ERROR_COMMIT_UNKNOWN, false},
        {"42601", WEIR_ERROR_SYNTAX, false},
        {"42P01", WEIR_ERROR_SYNTAX, false},
        {"42501", WEIR_ERROR_PERMISSION, false},
        {"25006", WEIR_ERROR_PERMISSION, false},
        {"53200", WEIR_ERROR_RESOURCE, true},
        {"54001", WEIR_ERROR_RESOURCE, false},
        {"22012", WEIR_ERROR_DATA, false},
        {"21000", WEIR_ERROR_DATA, false},
        {"25P02", WEIR_ERROR_TRANSACTION, false},
        {"2D000", WEIR_ERROR_TRANSACTION, false},
        {"3B001", WEIR_ERROR_TRANSACTION, false},
        {"40000", WEIR_ERROR_TRANSACTION, false},
        {"55P03", WEIR_ERROR_LOCK, true},
        {"55006", WEIR_ERROR_LOCK, true},
        {"3D000", WEIR_ERROR_OBJECT, false},
        {"3F000", WEIR_ERROR_OBJECT, false},
        {"55000", WEIR_ERROR_OBJECT, false},
        {"P0001", WEIR_ERROR_RAISED, false},
        {"38000", WEIR_ERROR_RAISED, false},
        {"39000", WEIR_ERROR_RAISED, false},
        {"2F000", WEIR_ERROR_RAISED, false},
        {"09000", WEIR_ERROR_RAISED, false},
        {"0A000", WEIR_ERROR_UNSUPPORTED, false},
        {"57014", WEIR_ERROR_CANCELLED, false},
        {"XX000", WEIR_ERROR_SERVER, false},
        {"58030", WEIR_ERROR_SERVER, false},
        {"F0000", WEIR_ERROR_SERVER, false},
        {"ZZ999", WEIR_ERROR_SERVER, false}, /* somebody's own */
        {"", WEIR_ERROR_SERVER, false},
        {"4000", WEIR_ERROR_SERVER, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (sqlstate_category(expected[i].code) != expected[i].category)
            fail_msg("%s is %s", expected[i].code,
                     weir_error_category_name(sqlstate_category(expected[i].code)));
        assert_int_equal(sqlstate_is_retryable(expected[i].code), expected[i].is_retryable);
    }
    assert_int_equal(sqlstate_category(NULL), WEIR_ERROR_SERVER);
}

/* A rule of a code that says what its class says is one too many. */
static void test_no_rule_is_idle(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RULES; i++) {
        char other[6];
        if (strlen(rules[i]) != 5)
            continue;
        /* A code of that class that nobody defined. */
        (void)snprintf(other, sizeof(other), "%.2sZZZ", rules[i]);
        if (sqlstate_category(other) == sqlstate_category(rules[i]) &&
            sqlstate_is_retryable(other) == sqlstate_is_retryable(rules[i]))
            fail_msg("%s says what its class says", rules[i]);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(rules[i], rules[j]);
    }
}

static void test_names_and_words_of_categories(void **state)
{
    unsigned named = 0;

    (void)state;
    for (int i = 0; i < 64; i++) {
        const char *name = weir_error_category_name((enum weir_error_category)i);
        named += strcmp(name, "unknown") != 0;
        for (int j = 0; j < i && strcmp(name, "unknown") != 0; j++)
            assert_string_not_equal(name, weir_error_category_name((enum weir_error_category)j));
    }
    assert_int_equal(named, 25);
    assert_string_equal(weir_error_category_name(WEIR_ERROR_COMMIT_UNKNOWN), "commit_unknown");
    assert_int_equal(failure_probe_word(WEIR_OK), WEIR_FAILURE_NONE);
    assert_int_equal(failure_probe_word(WEIR_ERROR_TIMEOUT), WEIR_FAILURE_TIMEOUT);
    assert_int_equal(failure_probe_word(WEIR_ERROR_CONSTRAINT), WEIR_FAILURE_SQLSTATE);
    assert_int_equal(failure_probe_word(WEIR_ERROR_COMMIT_UNKNOWN), WEIR_FAILURE_CONNECTION_LOST);
}

static void test_errors_of_our_own(void **state)
{
    struct weir_error *error = NULL, *copy;
    char long_text[4000];

    (void)state;
    assert_int_equal(failure(NULL, WEIR_ERROR_USAGE, "nobody hears it"), WEIR_ERROR_USAGE);
    assert_int_equal(failure(&error, WEIR_ERROR_TIMEOUT, "no connection in %d ms", 5),
                     WEIR_ERROR_TIMEOUT);
    assert_string_equal(weir_error_message(error), "no connection in 5 ms");
    assert_string_equal(weir_error_sqlstate(error), "");
    assert_string_equal(weir_error_detail(error), "");
    assert_true(weir_error_connection_survived(error));
    assert_true(weir_error_is_retryable(error));
    /* The first one stays. */
    assert_int_equal(failure(&error, WEIR_ERROR_USAGE, "later"), WEIR_ERROR_USAGE);
    assert_int_equal(weir_error_category(error), WEIR_ERROR_TIMEOUT);
    failure_set_survived(error, false);
    copy = failure_copy(error);
    weir_error_free(error);
    assert_string_equal(weir_error_message(copy), "no connection in 5 ms");
    assert_false(weir_error_connection_survived(copy));
    weir_error_free(copy);

    error = NULL;
    assert_int_equal(failure_refused(&error, WEIR_REFUSAL_SHED, "too late"), WEIR_ERROR_REFUSED);
    assert_int_equal(weir_error_refusal(error), WEIR_REFUSAL_SHED);
    weir_error_free(error);

    error = NULL;
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    (void)failure(&error, WEIR_ERROR_USAGE, "%s", long_text);
    assert_in_range(strlen(weir_error_message(error)), 500, 2000);
    weir_error_free(error);

    error = NULL;
    assert_int_equal(failure_memory(&error), WEIR_ERROR_MEMORY);
    assert_int_equal(weir_error_category(error), WEIR_ERROR_MEMORY);
    assert_string_equal(weir_error_message(error), "out of memory");
    assert_ptr_equal(failure_copy(error), error); /* needs none itself */
    weir_error_free(error);
}

static void test_nothing_is_accepted_everywhere(void **state)
{
    (void)state;
    assert_int_equal(weir_error_category(NULL), WEIR_OK);
    assert_string_equal(weir_error_message(NULL), "");
    assert_string_equal(weir_error_sqlstate(NULL), "");
    assert_string_equal(weir_error_detail(NULL), "");
    assert_string_equal(weir_error_hint(NULL), "");
    assert_string_equal(weir_error_constraint(NULL), "");
    assert_string_equal(weir_error_table(NULL), "");
    assert_string_equal(weir_error_column(NULL), "");
    assert_int_equal(weir_error_refusal(NULL), WEIR_REFUSAL_NONE);
    assert_int_equal(weir_error_is_retryable(NULL), 0);
    assert_int_equal(weir_error_connection_survived(NULL), 0);
    assert_null(failure_copy(NULL));
    weir_error_free(NULL);
}

static void test_texts_of_failed_attempts(void **state)
{
    static const struct {
        const char *text;
        enum weir_error_category category;
        const char *sqlstate;
        bool is_retryable;
    } expected[] = {
        /* verbose, in any language */
        {"Verbindung fehlgeschlagen: FATAL:  28P01: Passwort-Authentifizierung fehlgeschlagen\n"
         "LOCATION:  auth_failed, auth.c:335\n",
         WEIR_ERROR_AUTHENTICATION, "28P01", false},
        {"failed: FATAL:  53300: sorry, too many clients already\n",
         WEIR_ERROR_TOO_MANY_CONNECTIONS, "53300", true},
        {"failed: FATAL:  57P03\n", WEIR_ERROR_CONNECTION, "57P03", true},
        {"failed: FATAL:  3D000: database \"x\" does not exist\n", WEIR_ERROR_OBJECT, "3D000",
         false},
        /* English */
        {"failed: FATAL:  password authentication failed for user \"x\"\n",
         WEIR_ERROR_AUTHENTICATION, "28P01", false},
        {"failed: FATAL:  no pg_hba.conf entry for host \"1.2.3.4\", SSL off\n",
         WEIR_ERROR_AUTHENTICATION, "28000", false},
        {"failed: FATAL:  role \"x\" does not exist\n", WEIR_ERROR_AUTHENTICATION, "28000", false},
        {"failed: FATAL:  sorry, too many clients already\n", WEIR_ERROR_TOO_MANY_CONNECTIONS,
         "53300", true},
        {"failed: FATAL:  too many connections for role \"x\"\n", WEIR_ERROR_TOO_MANY_CONNECTIONS,
         "53300", true},
        {"failed: FATAL:  the database system is starting up\n", WEIR_ERROR_CONNECTION, "57P03",
         true},
        {"failed: FATAL:  the database system is shutting down\n", WEIR_ERROR_CONNECTION, "57P03",
         true},
        {"failed: FATAL:  database \"x\" does not exist\n", WEIR_ERROR_OBJECT, "3D000", false},
        {"failed: Connection refused\n\tIs the server running on that host?\n",
         WEIR_ERROR_CONNECTION, "", true},
        {"could not translate host name \"x\" to address: Name or service not known\n",
         WEIR_ERROR_CONNECTION, "", true},
        {"failed: server does not support SSL, but SSL was required\n", WEIR_ERROR_CONNECTION, "",
         false},
        {"failed: SSL error: certificate verify failed\n", WEIR_ERROR_CONNECTION, "", false},
        {"SSL SYSCALL error: EOF detected\n", WEIR_ERROR_CONNECTION, "", true},
        {"server closed the connection unexpectedly\n", WEIR_ERROR_CONNECTION, "", true},
        {"fe_sendauth: no password supplied\n", WEIR_ERROR_AUTHENTICATION, "", false},
        {"", WEIR_ERROR_CONNECTION, "", true},
        {":  ", WEIR_ERROR_CONNECTION, "", true},
        {":  28P0", WEIR_ERROR_CONNECTION, "", true},
    };
    struct attempt_text told;

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        attempt_text_read(expected[i].text, false, &told);
        if (told.category != expected[i].category ||
            strcmp(told.sqlstate, expected[i].sqlstate) != 0 ||
            told.is_retryable != expected[i].is_retryable)
            fail_msg("%s: %s %s %d", expected[i].text, weir_error_category_name(told.category),
                     told.sqlstate, told.is_retryable);
    }
    /* In a language that is not read: libpq knows that a password was asked for. */
    attempt_text_read("kein Passwort angegeben\n", true, &told);
    assert_int_equal(told.category, WEIR_ERROR_AUTHENTICATION);
    assert_false(told.is_retryable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_of_postgresql),
        cmocka_unit_test(test_where_codes_go),
        cmocka_unit_test(test_no_rule_is_idle),
        cmocka_unit_test(test_names_and_words_of_categories),
        cmocka_unit_test(test_texts_of_failed_attempts),
        cmocka_unit_test(test_errors_of_our_own),
        cmocka_unit_test(test_nothing_is_accepted_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
