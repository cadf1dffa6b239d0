/* Options: each has an effect or is refused by its name; the environment beats the program. */
#include "feature_test.h"

static const struct option_row {
    const char *name;
    size_t offset;
    int32_t otherwise, least, most;
    bool has_never;
} rows[] = {
#define KIND_COUNT         false
#define KIND_TIME          false
#define KIND_TIME_OR_NEVER true
#define KIND_PERCENT       false
#define KIND_SWITCH        false
#define KIND_RESET         false
#define KIND_PARAMETERS    false
#define OPTION(field, kind, otherwise, least, most, what)                                          \
    {#field, offsetof(struct weir_pool_opts, field), otherwise, least, most, KIND_##kind},
#include "shim/session/options.def"
#undef OPTION
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static int32_t *field_of(struct weir_pool_opts *opts, const struct option_row *row)
{
    return (int32_t *)(void *)((char *)opts + row->offset);
}

/* A pool that never gets a connection: only its options are looked at. */
static struct weir_pool_opts nowhere(void)
{
    struct weir_pool_opts opts = pool_opts("nowhere", 0, 10);

    opts.conninfo = "host=127.0.0.1 port=1";
    return opts;
}

static void expect_refused(struct weir_manager *manager, const struct weir_pool_opts *opts,
                           const char *word)
{
    struct weir_pool *pool = NULL;
    struct weir_error *refused = NULL;

    if (weir_pool_open(manager, opts, &pool, &refused) != WEIR_ERROR_USAGE)
        fail_msg("%s: not refused", word);
    assert_null(pool);
    if (!strstr(weir_error_message(refused), word))
        fail_msg("%s is not named: %s", word, weir_error_message(refused));
    weir_error_free(refused);
}

static void expect_shown(struct weir_manager *manager, struct weir_pool_opts *opts,
                         const struct option_row *row, int32_t value)
{
    struct weir_pool *pool = NULL;
    struct weir_pool_opts shown;

    *field_of(opts, row) = value;
    CHECK(weir_pool_open(manager, opts, &pool, &error));
    weir_pool_opts_get(pool, &shown, sizeof(shown));
    if (*field_of(&shown, row) != value)
        fail_msg("%s: %d, not %d", row->name, *field_of(&shown, row), value);
    (void)weir_pool_unref(pool);
}

/* What goes along with an option's edge so that it is possible. */
static void fit_others(struct weir_pool_opts *opts, const struct option_row *row)
{
    if (!strcmp(row->name, "connections_min"))
        opts->connections_max = row->most;
    if (!strcmp(row->name, "backoff_min_ms"))
        opts->backoff_max_ms = row->most;
    if (!strcmp(row->name, "backoff_max_ms"))
        opts->backoff_min_ms = row->least;
    if (!strcmp(row->name, "reset"))
        opts->reset_statements = "UNLISTEN *";
}

static void each_option_has_its_default_and_its_range(void **state)
{
    struct weir_manager *manager = NULL;
    struct weir_pool_opts opts;
    char stem[64];

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    weir_pool_opts_init(&opts, sizeof(opts));
    for (unsigned i = 0; i < ROWS; i++)
        assert_int_equal(*field_of(&opts, &rows[i]), rows[i].otherwise);
    for (unsigned i = 0; i < ROWS; i++) {
        opts = nowhere();
        fit_others(&opts, &rows[i]);
        expect_shown(manager, &opts, &rows[i], rows[i].least);
        expect_shown(manager, &opts, &rows[i], rows[i].most);
        if (rows[i].has_never)
            expect_shown(manager, &opts, &rows[i], WEIR_NEVER);
        (void)snprintf(stem, sizeof(stem), "%s", rows[i].name);
        if (strlen(stem) > 3 && !strcmp(stem + strlen(stem) - 3, "_ms"))
            stem[strlen(stem) - 3] = 0;
        opts = nowhere();
        fit_others(&opts, &rows[i]);
        *field_of(&opts, &rows[i]) = rows[i].least - 1;
        expect_refused(manager, &opts, stem);
        *field_of(&opts, &rows[i]) = rows[i].most + 1;
        expect_refused(manager, &opts, stem);
        if (!rows[i].has_never) {
            *field_of(&opts, &rows[i]) = WEIR_NEVER;
            expect_refused(manager, &opts, stem);
        }
    }
    manager = weir_manager_unref(manager);
}

static void impossible_combinations_are_refused(void **state)
{
    static const char *const names[] = {"", "with space", "with/slash", NULL};
    struct weir_manager *manager = NULL;
    struct weir_pool_opts opts;
    char long_name[1000];

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    opts = nowhere();
    opts.connections_min = 5;
    opts.connections_max = 4;
    expect_refused(manager, &opts, "connections_min");
    opts = nowhere();
    opts.backoff_min_ms = 2000;
    expect_refused(manager, &opts, "backoff_m");
    opts = nowhere();
    opts.reset = WEIR_RESET_LIST;
    expect_refused(manager, &opts, "reset_statements");
    opts = nowhere();
    opts.conninfo = "host=localhost no_such_keyword=1";
    expect_refused(manager, &opts, "conninfo");
    for (unsigned i = 0; i < 4; i++) {
        opts = nowhere();
        opts.name = names[i];
        expect_refused(manager, &opts, "name");
    }
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    opts.name = long_name;
    expect_refused(manager, &opts, "name");
    assert_int_equal(weir_pool_open(manager, NULL, NULL, NULL), WEIR_ERROR_USAGE);
    manager = weir_manager_unref(manager);
}

/* ---- versions of the struct ------------------------------------------------------------------ */

static void a_struct_of_an_older_header_has_the_defaults(void **state)
{
    struct weir_pool_opts opts = nowhere(), shown, defaults;
    struct weir_manager *manager = NULL;
    struct weir_pool *pool = NULL;

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    weir_pool_opts_init(&defaults, sizeof(defaults));
    opts.connect_timeout_ms = 123;
    opts.size = offsetof(struct weir_pool_opts, idle_timeout_ms);
    opts.idle_timeout_ms = -7; /* behind the end: not read */
    opts.reset = 99;
    opts.before_acquire = (weir_connection_hook_fn)(void *)&opts;
    CHECK(weir_pool_open(manager, &opts, &pool, &error));
    weir_pool_opts_get(pool, &shown, sizeof(shown));
    assert_int_equal(shown.connect_timeout_ms, 123);
    assert_int_equal(shown.idle_timeout_ms, defaults.idle_timeout_ms);
    assert_int_equal(shown.reset, defaults.reset);
    assert_null(shown.before_acquire);
    /* Read by such a caller, nothing is written behind its end. */
    memset(&shown, 0x5a, sizeof(shown));
    weir_pool_opts_get(pool, &shown, offsetof(struct weir_pool_opts, idle_timeout_ms));
    assert_int_equal(shown.connect_timeout_ms, 123);
    assert_int_equal(shown.idle_timeout_ms, 0x5a5a5a5a);
    pool = weir_pool_unref(pool);
    opts.size = 4;
    expect_refused(manager, &opts, "size");
    manager = weir_manager_unref(manager);
}

static void a_struct_of_a_newer_header_must_ask_for_nothing_new(void **state)
{
    struct {
        struct weir_pool_opts opts;
        int64_t newer;
    } big = {.opts = nowhere(), .newer = 0};
    struct weir_manager *manager = NULL;
    struct weir_pool *pool = NULL;

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    big.opts.size = sizeof(big);
    CHECK(weir_pool_open(manager, &big.opts, &pool, &error));
    pool = weir_pool_unref(pool);
    big.newer = 1;
    expect_refused(manager, &big.opts, "beyond");
    manager = weir_manager_unref(manager);
}

/* ---- the environment ------------------------------------------------------------------------- */

static void the_environment_beats_the_program(void **state)
{
    struct weir_pool_opts opts = pool_opts("by-env", 0, 10), shown;
    struct pool_fixture fixture;
    struct weir_connection *held[2];
    PGconn *admin = admin_open();

    (void)state;
    assert_int_equal(setenv("WEIR_POOL_CONNECTIONS_MAX", "5", 1), 0);
    assert_int_equal(setenv("WEIR_POOL_BY_ENV_CONNECTIONS_MAX", "2", 1), 0);
    assert_int_equal(setenv("WEIR_POOL_ACQUIRE_TIMEOUT", "250ms", 1), 0);
    assert_int_equal(setenv("WEIR_POOL_BY_ENV_IDLE_TIMEOUT", "never", 1), 0);
    assert_int_equal(setenv("WEIR_POOL_BY_ENV_CONNINFO", "application_name=moved", 1), 0);
    fixture = pool_fixture_open(&opts, NULL);
    weir_pool_opts_get(fixture.pool, &shown, sizeof(shown));
    assert_int_equal(shown.connections_max, 2); /* the pool's own beats that for all */
    assert_int_equal(shown.acquire_timeout_ms, 250);
    assert_int_equal(shown.idle_timeout_ms, WEIR_NEVER);
    held[0] = hold(fixture.pool);
    held[1] = hold(fixture.pool);
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_TIMEOUT);
    assert_int_equal(admin_connections(admin, "moved"), 2);
    assert_int_equal(admin_connections(admin, "by-env"), 0);
    give_back(held[0]);
    give_back(held[1]);
    assert_int_equal(setenv("WEIR_POOL_OTHER_ACQUIRE_TIMEOUT", "soon", 1), 0);
    opts = nowhere();
    opts.name = "other";
    expect_refused(fixture.manager, &opts, "WEIR_POOL_OTHER_ACQUIRE_TIMEOUT");
    assert_int_equal(setenv("WEIR_POOL_OTHER_ACQUIRE_TIMEOUT", "0s", 1), 0);
    expect_refused(fixture.manager, &opts, "acquire_timeout");
    (void)unsetenv("WEIR_POOL_CONNECTIONS_MAX");
    (void)unsetenv("WEIR_POOL_BY_ENV_CONNECTIONS_MAX");
    (void)unsetenv("WEIR_POOL_ACQUIRE_TIMEOUT");
    (void)unsetenv("WEIR_POOL_BY_ENV_IDLE_TIMEOUT");
    (void)unsetenv("WEIR_POOL_BY_ENV_CONNINFO");
    (void)unsetenv("WEIR_POOL_OTHER_ACQUIRE_TIMEOUT");
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- several pools --------------------------------------------------------------------------- */

static void several_pools_are_filled_to_their_minimum(void **state)
{
    static const char *const names[] = {"orders", "reports", "audit.log"};
    struct weir_manager *manager = NULL;
    struct weir_pool *pools[3];
    PGconn *admin = admin_open();

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    for (int i = 0; i < 3; i++) {
        struct weir_pool_opts opts = pool_opts(names[i], i + 1, i + 2);
        uint64_t begin_ns = clock_monotonic_ns();
        CHECK(weir_pool_open(manager, &opts, &pools[i], &error));
        assert_true(elapsed_ms(begin_ns) < LATE_MS); /* does not wait for connections */
        assert_string_equal(weir_pool_name(pools[i]), names[i]);
    }
    for (int i = 0; i < 3; i++)
        AWAIT(admin_connections(admin, names[i]) == i + 1);
    for (int i = 0; i < 3; i++) {
        struct weir_connection *held[4];
        struct weir_acquire_opts at_once = within_ms(-1);
        for (int j = 0; j < i + 2; j++)
            held[j] = hold(pools[i]);
        assert_string_equal(ask(held[0], "SHOW application_name"), names[i]);
        assert_int_equal(refusal(pools[i], &at_once, NULL), WEIR_ERROR_TIMEOUT);
        assert_int_equal(admin_connections(admin, names[i]), i + 2);
        for (int j = 0; j < i + 2; j++)
            give_back(held[j]);
    }
    for (unsigned i = 0; i < 3; i++)
        (void)weir_pool_unref(pools[i]);
    manager = weir_manager_unref(manager);
    AWAIT(admin_number(admin,
                       "SELECT count(*) FROM pg_stat_activity"
                       " WHERE application_name IN ('orders', 'reports', 'audit.log')") == 0);
    PQfinish(admin);
}

static void the_application_name_says_service_pod_and_pool(void **state)
{
    static const char *const services[] = {"shop",
                                           "a-service-with-a-name-longer-than-a-postgresql-name"};
    struct weir_pool_opts opts = pool_opts("named", 0, 1);

    (void)state;
    opts.application_name = 1;
    assert_int_equal(setenv("HOSTNAME", "shop-7d4b9c6f5-x2x9z", 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct weir_manager_opts manager_opts = {.size = sizeof(manager_opts),
                                                 .service_name = services[i]};
        struct pool_fixture fixture = pool_fixture_open(&opts, &manager_opts);
        struct weir_connection *connection = hold(fixture.pool);
        const char *name = ask(connection, "SHOW application_name");
        assert_true(strlen(name) < 64);
        assert_int_equal(strncmp(name, services[i], strlen(services[i])), 0);
        if (i == 0)
            assert_string_equal(name, "shop/shop-7d4b9c6f5-x2x9z/named");
        give_back(connection);
        pool_fixture_close(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_has_its_default_and_its_range),
        cmocka_unit_test(impossible_combinations_are_refused),
        cmocka_unit_test(a_struct_of_an_older_header_has_the_defaults),
        cmocka_unit_test(a_struct_of_a_newer_header_must_ask_for_nothing_new),
        cmocka_unit_test(the_environment_beats_the_program),
        cmocka_unit_test(several_pools_are_filled_to_their_minimum),
        cmocka_unit_test(the_application_name_says_service_pod_and_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
