/* Options of a pool: what is refused and in which words, structs of other releases, and what the
 * environment lays over them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/session/options_table.h"

static struct weir_pool_opts opts_good(void)
{
    struct weir_pool_opts opts;

    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = "main";
    opts.conninfo = "host=db dbname=shop";
    return opts;
}

static void refuses(const struct weir_pool_opts *opts, const char *message)
{
    struct weir_pool_opts checked = {.size = 4711};
    struct weir_error *error = NULL;

    assert_int_equal(options_check(opts, &checked, &error), WEIR_ERROR_USAGE);
    assert_int_equal(weir_error_category(error), WEIR_ERROR_USAGE);
    assert_string_equal(weir_error_message(error), message);
    assert_int_equal(checked.size, 4711);
    weir_error_free(error);
    assert_int_equal(options_check(opts, &checked, NULL), WEIR_ERROR_USAGE);
}

static void accepts(const struct weir_pool_opts *opts, struct weir_pool_opts *ret)
{
    struct weir_error *error = NULL;

    if (options_check(opts, ret, &error) != 0)
        fail_msg("%s", weir_error_message(error));
    assert_int_equal(ret->size, sizeof(*ret));
}

static void defaults_can_be(void **state)
{
    struct weir_pool_opts opts = opts_good(), checked;

    (void)state;
    assert_int_equal(opts.size, sizeof(opts));
    accepts(&opts, &checked);
    assert_memory_equal(&opts, &checked, sizeof(opts));
    assert_int_equal(opts.connections_max, 10);
    assert_int_equal(opts.acquire_timeout_ms, 5000);
    assert_int_equal(opts.statement_timeout_ms, WEIR_NEVER);
    assert_int_equal(opts.parameters, WEIR_PARAMETERS_OFF);
    opts.conninfo = NULL; /* then libpq's own variables say where */
    accepts(&opts, &checked);
    assert_string_equal(checked.conninfo, "");
}

static void names_each_number_out_of_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_entry *entry = &option_table[i];
        int64_t wrong[] = {(int64_t)entry->least - 1, (int64_t)entry->most + 1, INT32_MIN};
        for (size_t j = 0; j < 3; j++) {
            struct weir_pool_opts opts = opts_good(), checked;
            struct weir_error *error = NULL;
            char begin[128];
            *option_field(entry, &opts) = (int32_t)wrong[j];
            assert_int_equal(options_check(&opts, &checked, &error), WEIR_ERROR_USAGE);
            (void)snprintf(begin, sizeof(begin), "%s: %d is not between %d and %d", entry->field,
                           (int32_t)wrong[j], entry->least, entry->most);
            assert_memory_equal(weir_error_message(error), begin, strlen(begin));
            weir_error_free(error);
        }
        bool may_never = entry->kind == OPTION_KIND_TIME_OR_NEVER;
        struct weir_pool_opts opts = opts_good(), checked;
        *option_field(entry, &opts) = WEIR_NEVER;
        assert_int_equal(options_check(&opts, &checked, NULL), may_never ? 0 : WEIR_ERROR_USAGE);
    }
}

static void says_what_is_allowed(void **state)
{
    struct weir_pool_opts opts = opts_good();

    (void)state;
    opts.acquire_timeout_ms = 0;
    refuses(&opts, "acquire_timeout_ms: 0 is not between 1 and 86400000");
    opts.acquire_timeout_ms = WEIR_NEVER;
    refuses(&opts, "acquire_timeout_ms: WEIR_NEVER is not between 1 and 86400000");
    opts = opts_good();
    opts.idle_timeout_ms = 0;
    refuses(&opts, "idle_timeout_ms: 0 is not between 1 and 2000000000 and not WEIR_NEVER");
    opts = opts_good();
    opts.reset = 4;
    refuses(&opts, "reset: 4 is not between 0 and 3 (changed, all, list, nothing)");
    opts = opts_good();
    opts.connections_min = 12;
    refuses(&opts, "connections_min: 12 is more than connections_max (10)");
    opts.connections_max = 12;
    struct weir_pool_opts checked;
    accepts(&opts, &checked);
    opts = opts_good();
    opts.backoff_min_ms = 1001;
    refuses(&opts, "backoff_min_ms: 1001 is more than backoff_max_ms (1000)");
    opts = opts_good();
    opts.reset = WEIR_RESET_LIST;
    refuses(&opts, "reset_statements: there are none, and reset is list");
    opts.reset_statements = " ; ;\n";
    refuses(&opts, "reset_statements: there are none, and reset is list");
    opts.reset_statements = "RESET ALL";
    accepts(&opts, &checked);
}

static void names_are_short_and_plain(void **state)
{
    struct weir_pool_opts opts = opts_good(), checked;
    char name[65];

    (void)state;
    opts.name = NULL;
    refuses(&opts, "name: a pool needs one");
    opts.name = "";
    refuses(&opts, "name: a pool needs one");
    opts.name = "main pool";
    refuses(&opts, "name: 'main pool' has something else than letters, digits, '-', '_' and '.'");
    memset(name, 'a', 64);
    name[64] = '\0';
    opts.name = name;
    refuses(&opts, "name: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is longer than 63 bytes");
    name[63] = '\0';
    accepts(&opts, &checked);
    opts.name = "Read-only_2.eu";
    accepts(&opts, &checked);
}

/* Whatever libpq has to say about it, no part of the conninfo gets out. */
static void conninfo_is_never_told(void **state)
{
    static const struct {
        const char *conninfo, *message;
    } examples[] = {
        {"host=db password", "conninfo: missing \"=\" after ..."},
        {"host=db password=a\"b hunter2 c", "conninfo: missing \"=\" after ..."},
        {"host=db hunter2=1", "conninfo: invalid connection option ..."},
        {"password='hunter2", "conninfo: unterminated quoted string in connection info string"},
        {"postgresql://u:hunter2@[::1/shop",
         "conninfo: end of string reached when looking for matching \"]\" in IPv6 host address in "
         "URI ..."},
        {"postgresql://u@h/d?hunter2", "conninfo: missing key/value separator \"=\" in URI query "
                                       "parameter ..."},
        {"postgresql://u@h/d?password=hunter2=x",
         "conninfo: extra key/value separator \"=\" in URI query parameter ..."},
        {"postgresql://u@h/d?hunter2=x", "conninfo: invalid URI query parameter ..."},
        {"postgresql://u:hunter2%zz@h/d", "conninfo: invalid percent-encoded token ..."},
        {"postgresql://u:hunter2%00@h/d",
         "conninfo: forbidden value %00 in percent-encoded value ..."},
        {"postgresql://u:p@[::1]hunter2/d", "conninfo: unexpected character ..."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct weir_pool_opts opts = opts_good(), checked;
        struct weir_error *error = NULL;
        opts.conninfo = examples[i].conninfo;
        assert_int_equal(options_check(&opts, &checked, &error), WEIR_ERROR_USAGE);
        assert_null(strstr(weir_error_message(error), "hunter"));
        assert_string_equal(weir_error_message(error), examples[i].message);
        weir_error_free(error);
    }
}

static void takes_structs_of_other_releases(void **state)
{
    struct {
        struct weir_pool_opts opts;
        uint64_t unknown[2];
    } longer = {.opts = opts_good()};
    struct weir_pool_opts checked, opts = opts_good();
    char message[160];

    (void)state;
    longer.opts.size = sizeof(longer);
    accepts(&longer.opts, &checked);
    longer.unknown[1] = (uint64_t)1 << 63;
    (void)snprintf(message, sizeof(message),
                   "size: %zu has options beyond the %zu bytes that this libweir knows",
                   sizeof(longer), sizeof(opts));
    refuses(&longer.opts, message);

    /* only what lies before idle_timeout_ms is the caller's: the rest may be anything */
    opts.size = offsetof(struct weir_pool_opts, idle_timeout_ms);
    assert_int_equal(opts.size % _Alignof(struct weir_pool_opts), 0);
    opts.connections_max = 33;
    memset((char *)&opts + opts.size, 0xa5, sizeof(opts) - opts.size);
    accepts(&opts, &checked);
    assert_int_equal(checked.connections_max, 33);
    assert_int_equal(checked.idle_timeout_ms, 600000);
    assert_null(checked.redact);
    assert_null(checked.after_release);

    opts.size = 0;
    refuses(&opts, "size: 0 is no size of struct weir_pool_opts: begin with weir_pool_opts_init()");
    opts = opts_good();
    opts.size -= 1; /* would end inside a field */
    (void)snprintf(message, sizeof(message),
                   "size: %zu is no size of struct weir_pool_opts: begin with "
                   "weir_pool_opts_init()",
                   opts.size);
    refuses(&opts, message);
    refuses(NULL, "a pool needs options: none are given");
}

static void init_keeps_to_its_size(void **state)
{
    struct {
        struct weir_pool_opts opts;
        unsigned char behind[32];
    } room;

    (void)state;
    memset(&room, 0xa5, sizeof(room));
    weir_pool_opts_init(&room.opts, offsetof(struct weir_pool_opts, lifetime_ms));
    assert_int_equal(room.opts.size, offsetof(struct weir_pool_opts, lifetime_ms));
    assert_int_equal(room.opts.idle_timeout_ms, 600000);
    assert_int_equal((uint32_t)room.opts.lifetime_ms, 0xa5a5a5a5);
    weir_pool_opts_init(&room.opts, sizeof(room.opts) + 8); /* a newer header's */
    assert_int_equal(room.opts.lifetime_ms, 1800000);
    assert_int_equal(room.behind[7], 0);
    assert_int_equal(room.behind[8], 0xa5);
    weir_pool_opts_init(NULL, sizeof(room.opts));
}

static void copies_and_shows(void **state)
{
    char name[] = "main", redact[] = "email";
    struct weir_pool_opts opts = opts_good(), checked, shown;
    struct options options;

    (void)state;
    opts.name = name;
    opts.redact = redact;
    opts.hook_userdata = &options;
    opts.lifetime_ms = WEIR_NEVER;
    accepts(&opts, &checked);
    assert_int_equal(options_init(&options, &checked), 0);
    name[0] = redact[0] = 'X';
    options_show(&options, &shown);
    assert_string_equal(shown.name, "main");
    assert_string_equal(shown.redact, "email");
    assert_null(shown.reset_statements);
    assert_ptr_equal(shown.hook_userdata, &options);
    assert_true(OPTION_NS(&options, lifetime_ms) == UINT64_MAX);
    assert_true(OPTION_NS(&options, acquire_timeout_ms) == 5000000000u);
    checked.connections_max = 77;
    options_change(&options, &checked);
    assert_int_equal(OPTION_OF(&options, connections_max), 77);
    options_deinit(&options);
    options_deinit(&options);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void reads_texts(void **state)
{
    static const struct {
        const char *name, *text;
        int32_t value;
        const char *reason; /* NULL: @value */
    } examples[] = {
        {"acquire_timeout", "250ms", 250, NULL},
        {"acquire_timeout", "5s", 5000, NULL},
        {"acquire_timeout", "10m", 600000, NULL},
        {"acquire_timeout", "1h", 3600000, NULL},
        {"acquire_timeout", "1.5s", 1500, NULL},
        {"acquire_timeout", "0.25h", 900000, NULL},
        {"acquire_timeout", "1.000m", 60000, NULL},
        {"acquire_timeout", "0ms", 0, NULL}, /* the range is options_check()'s */
        {"acquire_timeout", "2147483646ms", 2147483646, NULL},
        {"acquire_timeout", "2147483647ms", 0, "is more than an option can hold"},
        {"acquire_timeout", "597h", 0, "is more than an option can hold"},
        {"acquire_timeout", "18446744073709551616ms", 0, "is more than an option can hold"},
        {"acquire_timeout", "99999999999999999999999h", 0, "is more than an option can hold"},
        {"acquire_timeout", "0.0001s", 0, "is no whole number of milliseconds"},
        {"acquire_timeout", "1.5ms", 0, "is no whole number of milliseconds"},
        {"acquire_timeout", "0.0000000000001h", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "5", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "-5s", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "5 s", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "5s ", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "5S", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", ".5s", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "5.s", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "1e3ms", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "s", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"acquire_timeout", "never", 0, "cannot be: this time has to come"},
        {"lifetime", "never", WEIR_NEVER, NULL},
        {"lifetime", "NEVER", WEIR_NEVER, NULL},
        {"lifetime", "nevers", 0, "is no time as 250ms, 5s, 10m or 1h"},
        {"connections_max", "16", 16, NULL},
        {"connections_max", "016", 16, NULL},
        {"connections_max", "2147483647", 2147483647, NULL},
        {"connections_max", "2147483648", 0, "is more than an option can hold"},
        {"connections_max", "99999999999999999999", 0, "is more than an option can hold"},
        {"connections_max", "16 ", 0, "is no whole number"},
        {"connections_max", "+1", 0, "is no whole number"},
        {"connections_max", "-1", 0, "is no whole number"},
        {"connections_max", "0x10", 0, "is no whole number"},
        {"connections_max", "1.5", 0, "is no whole number"},
        {"connections_max", "never", 0, "is no whole number"},
        {"lifetime_jitter", "30", 30, NULL},
        {"lifetime_jitter", "30%", 30, NULL},
        {"lifetime_jitter", "30%%", 0, "is no whole number of percent"},
        {"shedding", "true", 1, NULL},
        {"learn_server", "False", 0, NULL},
        {"shedding", "1", 0, "is neither true nor false"},
        {"reset", "changed", WEIR_RESET_CHANGED, NULL},
        {"reset", "all", WEIR_RESET_ALL, NULL},
        {"reset", "list", WEIR_RESET_LIST, NULL},
        {"reset", "Nothing", WEIR_RESET_NOTHING, NULL},
        {"reset", "2", 0, "is none of changed, all, list and nothing"},
        {"parameters", "off", WEIR_PARAMETERS_OFF, NULL},
        {"parameters", "hashed", WEIR_PARAMETERS_HASHED, NULL},
        {"parameters", "redacted", WEIR_PARAMETERS_REDACTED, NULL},
        {"parameters", "redact", 0, "is none of off, hashed and redacted"},
        {"acquire_timeout_ms", "5s", 0, "is no option of a pool"},
        {"acquire", "5s", 0, "is no option of a pool"},
        {"", "5s", 0, "is no option of a pool"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct weir_pool_opts opts = opts_good(), before = opts;
        const char *reason = NULL;
        bool is_read =
            option_parse(&opts, view_from(examples[i].name), view_from(examples[i].text), &reason);
        if (examples[i].reason) {
            if (is_read || strcmp(reason, examples[i].reason) != 0)
                fail_msg("%s '%s': %s", examples[i].name, examples[i].text,
                         is_read ? "was read" : reason);
            assert_memory_equal(&opts, &before, sizeof(opts));
            continue;
        }
        if (!is_read)
            fail_msg("%s '%s': %s", examples[i].name, examples[i].text, reason);
        for (size_t j = 0; j < OPTION_COUNT; j++) {
            bool is_meant = view_equal(option_table[j].name, view_from(examples[i].name));
            assert_int_equal(option_value(&option_table[j], &opts),
                             is_meant ? examples[i].value
                                      : option_value(&option_table[j], &before));
        }
    }
}

static void reads_no_further_than_the_view(void **state)
{
    static const char text[] = {'5', 's', 'x'};
    struct weir_pool_opts opts = opts_good();
    const char *reason;

    (void)state;
    assert_true(
        option_parse(&opts, VIEW_LITERAL("acquire_timeout"), (struct view){text, 2}, &reason));
    assert_false(
        option_parse(&opts, VIEW_LITERAL("acquire_timeout"), (struct view){text, 1}, &reason));
    assert_false(
        option_parse(&opts, VIEW_LITERAL("acquire_timeout"), (struct view){text, 3}, &reason));
    assert_int_equal(opts.acquire_timeout_ms, 5000);
}

/* ---- environment ----------------------------------------------------------------------------- */

static int environment_clear(void **state)
{
    (void)state;
    return clearenv();
}

static int environment_lay(struct weir_pool_opts *opts, char **ret_owned, char *ret_message,
                           size_t size)
{
    struct weir_error *error = NULL;
    int r = options_add_environment(opts, ret_owned, &error);

    (void)snprintf(ret_message, size, "%s", weir_error_message(error));
    weir_error_free(error);
    return r;
}

static void the_pools_variable_wins(void **state)
{
    struct weir_pool_opts opts = opts_good();
    char message[256], *owned = NULL;

    (void)state;
    opts.name = "read-only.2";
    opts.waiters_max = 5;
    setenv("WEIR_POOL_ACQUIRE_TIMEOUT", "7s", 1);
    setenv("WEIR_POOL_CONNECTIONS_MAX", "20", 1);
    setenv("WEIR_POOL_READ_ONLY_2_CONNECTIONS_MAX", "30", 1);
    setenv("WEIR_POOL_OTHER_CONNECTIONS_MAX", "many", 1);
    setenv("WEIR_POOL_RESET", "", 1); /* empty is unset */
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), 0);
    assert_null(owned);
    assert_int_equal(opts.acquire_timeout_ms, 7000);
    assert_int_equal(opts.connections_max, 30);
    assert_int_equal(opts.waiters_max, 5);
    assert_int_equal(opts.reset, WEIR_RESET_CHANGED);
    assert_string_equal(opts.conninfo, "host=db dbname=shop");
}

static void conninfo_may_come_from_the_environment(void **state)
{
    struct weir_pool_opts opts = opts_good();
    char message[256], *owned = NULL;

    (void)state;
    setenv("WEIR_POOL_CONNINFO", "host=all", 1);
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), 0);
    assert_string_equal(opts.conninfo, "host=all");
    assert_ptr_equal(opts.conninfo, owned);
    setenv("WEIR_POOL_CONNINFO", "host=changed", 1);
    assert_string_equal(opts.conninfo, "host=all");
    free(owned);
    setenv("WEIR_POOL_MAIN_CONNINFO", "host=one", 1);
    owned = NULL;
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), 0);
    assert_string_equal(opts.conninfo, "host=one");
    free(owned);
}

static void names_the_wrong_variable(void **state)
{
    struct weir_pool_opts opts = opts_good();
    char message[256], *owned = NULL;

    (void)state;
    setenv("WEIR_POOL_CONNINFO", "password=hunter2", 1);
    setenv("WEIR_POOL_MAIN_LIFETIME", "soon", 1);
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), WEIR_ERROR_USAGE);
    assert_string_equal(message,
                        "WEIR_POOL_MAIN_LIFETIME: 'soon' is no time as 250ms, 5s, 10m or 1h");
    assert_null(owned);
    setenv("WEIR_POOL_LIFETIME", "late", 1); /* beaten, and still wrong */
    setenv("WEIR_POOL_MAIN_LIFETIME", "1h", 1);
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), WEIR_ERROR_USAGE);
    assert_string_equal(message, "WEIR_POOL_LIFETIME: 'late' is no time as 250ms, 5s, 10m or 1h");
}

static void every_option_has_its_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        static const char *const texts[] = {"3", "3s", "3s", "3", "true", "nothing", "hashed"};
        static const int32_t values[] = {
            3, 3000, 3000, 3, 1, WEIR_RESET_NOTHING, WEIR_PARAMETERS_HASHED};
        struct weir_pool_opts opts = opts_good();
        char variable[80] = "WEIR_POOL_", message[256], *owned = NULL;
        size_t length = strlen(variable);
        for (size_t j = 0; j < option_table[i].name.length; j++) {
            char letter = option_table[i].name.bytes[j];
            variable[length++] = letter == '_' ? '_' : (char)(letter - 'a' + 'A');
        }
        variable[length] = '\0';
        setenv(variable, texts[option_table[i].kind], 1);
        assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), 0);
        assert_int_equal(option_value(&option_table[i], &opts), values[option_table[i].kind]);
        unsetenv(variable);
    }
}

/* A struct of an older header has no room for what came later. */
static void stays_inside_a_shorter_struct(void **state)
{
    struct weir_pool_opts opts = opts_good();
    char message[256], *owned = NULL;

    (void)state;
    opts.size = offsetof(struct weir_pool_opts, idle_timeout_ms);
    setenv("WEIR_POOL_IDLE_TIMEOUT", "7s", 1);
    setenv("WEIR_POOL_ACQUIRE_TIMEOUT", "7s", 1);
    assert_int_equal(environment_lay(&opts, &owned, message, sizeof(message)), 0);
    assert_int_equal(opts.acquire_timeout_ms, 7000);
    assert_int_equal(opts.idle_timeout_ms, 600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_can_be),
        cmocka_unit_test(names_each_number_out_of_range),
        cmocka_unit_test(says_what_is_allowed),
        cmocka_unit_test(names_are_short_and_plain),
        cmocka_unit_test(conninfo_is_never_told),
        cmocka_unit_test(takes_structs_of_other_releases),
        cmocka_unit_test(init_keeps_to_its_size),
        cmocka_unit_test(copies_and_shows),
        cmocka_unit_test(reads_texts),
        cmocka_unit_test(reads_no_further_than_the_view),
        cmocka_unit_test_setup(the_pools_variable_wins, environment_clear),
        cmocka_unit_test_setup(conninfo_may_come_from_the_environment, environment_clear),
        cmocka_unit_test_setup(names_the_wrong_variable, environment_clear),
        cmocka_unit_test_setup(every_option_has_its_variable, environment_clear),
        cmocka_unit_test_setup(stays_inside_a_shorter_struct, environment_clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
