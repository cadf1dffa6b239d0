/* Hooks of the service, and settings of one acquire. */
#include "feature_test.h"

/* What the hooks were called for, one letter each: c(onnect), C(onnected), a(cquire), r(eleased).
 */
struct hooks_seen {
    pthread_mutex_t mutex;
    char calls[64];
    struct weir_pool *pool;
    unsigned odd;     /* calls that were told something wrong */
    char fails;       /* the letter of the hook that fails */
    unsigned hang_ms; /* before_acquire takes so long */
};

static int seen_add(struct hooks_seen *seen, char letter, const struct weir_hook *hook)
{
    size_t length;
    int r;

    (void)pthread_mutex_lock(&seen->mutex);
    length = strlen(seen->calls);
    if (length + 1 < sizeof(seen->calls))
        seen->calls[length] = letter;
    if (hook->size < sizeof(*hook) || !hook->pool || hook->deadline_ns < clock_monotonic_ns() ||
        (letter == 'c') != (hook->connection == NULL))
        seen->odd++;
    r = seen->fails == letter;
    (void)pthread_mutex_unlock(&seen->mutex);
    return r;
}

static int seen_before_connect(void *userdata, const struct weir_hook *hook,
                               struct weir_connect_params *params)
{
    (void)snprintf(params->user, sizeof(params->user), "hooked");
    return seen_add(userdata, 'c', hook);
}

static int seen_after_connect(void *userdata, const struct weir_hook *hook)
{
    PQclear(PQexec(hook->connection, "SELECT set_config('app.hooked', 'yes', false)"));
    return seen_add(userdata, 'C', hook);
}

static int seen_before_acquire(void *userdata, const struct weir_hook *hook)
{
    struct hooks_seen *seen = userdata;

    pass_ms(seen->hang_ms);
    return seen_add(userdata, 'a', hook);
}

static int seen_after_release(void *userdata, const struct weir_hook *hook)
{
    return seen_add(userdata, 'r', hook);
}

static struct weir_pool_opts hooked_opts(const char *name, struct hooks_seen *seen)
{
    struct weir_pool_opts opts = pool_opts(name, 0, 1);

    opts.hook_userdata = seen;
    opts.before_connect = seen_before_connect;
    opts.after_connect = seen_after_connect;
    opts.before_acquire = seen_before_acquire;
    opts.after_release = seen_after_release;
    opts.backoff_max_ms = 100;
    return opts;
}

static void seen_calls(struct hooks_seen *seen, char ret[64])
{
    (void)pthread_mutex_lock(&seen->mutex);
    memcpy(ret, seen->calls, 64);
    (void)pthread_mutex_unlock(&seen->mutex);
}

static bool seen_is(struct hooks_seen *seen, const char *calls)
{
    char now[64];

    seen_calls(seen, now);
    return !strcmp(now, calls);
}

static void roles_make(PGconn *admin)
{
    admin_do(admin, "CREATE ROLE hooked LOGIN");
}

static void roles_drop(PGconn *admin, const char *name)
{
    AWAIT(admin_connections(admin, name) == 0);
    admin_do(admin, "DROP ROLE hooked");
}

static void hooks_are_called_in_order(void **state)
{
    struct hooks_seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct weir_pool_opts opts = hooked_opts("hooks", &seen);
    PGconn *admin = admin_open();
    struct weir_connection *connection;
    struct pool_fixture fixture;

    (void)state;
    roles_make(admin);
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    assert_true(seen_is(&seen, "cCa"));
    assert_string_equal(ask(connection, "SELECT current_user"), "hooked");
    assert_string_equal(ask(connection, "SELECT current_setting('app.hooked')"), "yes");
    give_back(connection);
    AWAIT(seen_is(&seen, "cCar"));
    give_back(hold(fixture.pool));
    AWAIT(seen_is(&seen, "cCarar"));
    assert_int_equal(seen.odd, 0);
    pool_fixture_close(&fixture);
    roles_drop(admin, "hooks");
    PQfinish(admin);
}

/* Each hook fails once: what it was called for fails, the connection is not used, and once it works
 * again everything does. */
static void a_failing_hook_fails_what_it_was_called_for(void **state)
{
    static const char *const names[] = {"before_connect", "after_connect", "before_acquire"};
    struct hooks_seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct weir_pool_opts opts = hooked_opts("failing", &seen);
    struct weir_acquire_opts acquire = within_ms(300);
    struct log_book book = LOG_BOOK;
    PGconn *admin = admin_open();
    struct pool_fixture fixture;

    (void)state;
    roles_make(admin);
    fixture = logged_open(&opts, &book);
    for (unsigned i = 0; i < 3; i++) {
        char message[512];
        (void)pthread_mutex_lock(&seen.mutex);
        seen.fails = "cCa"[i];
        (void)pthread_mutex_unlock(&seen.mutex);
        assert_int_equal(refusal(fixture.pool, &acquire, message), WEIR_ERROR_HOOK);
        assert_non_null(strstr(message, names[i]));
        AWAIT(log_book_count(&book, WEIR_LOG_HOOK) > i);
        AWAIT(admin_connections(admin, "failing") == 0);
        (void)pthread_mutex_lock(&seen.mutex);
        seen.fails = 0;
        (void)pthread_mutex_unlock(&seen.mutex);
        give_back(hold(fixture.pool));
        weir_pool_evict(fixture.pool); /* so that the next round connects */
        AWAIT(admin_connections(admin, "failing") == 0);
    }
    pool_fixture_close(&fixture);
    roles_drop(admin, "failing");
    PQfinish(admin);
}

static void a_failing_after_release_closes_the_connection(void **state)
{
    struct hooks_seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fails = 'r'};
    struct weir_pool_opts opts = hooked_opts("unreleased", &seen);
    PGconn *admin = admin_open();
    struct weir_connection *connection;
    struct pool_fixture fixture;
    uint32_t pid;

    (void)state;
    roles_make(admin);
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    give_back(connection);
    AWAIT(!admin_has(admin, pid));
    connection = hold(fixture.pool);
    assert_int_not_equal(weir_connection_backend_pid(connection), pid);
    give_back(connection);
    pool_fixture_close(&fixture);
    roles_drop(admin, "unreleased");
    PQfinish(admin);
}

/* A hook that returns after its deadline: nobody waited for it, and the connection is closed. */
static void a_late_hook_costs_its_connection(void **state)
{
    struct hooks_seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .hang_ms = 500};
    struct weir_pool_opts opts = hooked_opts("late-hook", &seen);
    struct weir_acquire_opts acquire = within_ms(100);
    PGconn *admin = admin_open();
    struct pool_fixture fixture;

    (void)state;
    roles_make(admin);
    opts.validate_timeout_ms = 50;
    fixture = pool_fixture_open(&opts, NULL);
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_TIMEOUT);
    AWAIT(pool_stats(fixture.pool).closed == 1);
    AWAIT(admin_connections(admin, "late-hook") == 0);
    pool_fixture_close(&fixture);
    roles_drop(admin, "late-hook");
    PQfinish(admin);
}

/* ---- settings of one acquire ----------------------------------------------------------------- */

static void settings_last_as_long_as_the_hold(void **state)
{
    static const int32_t policies[] = {WEIR_RESET_CHANGED, WEIR_RESET_ALL, WEIR_RESET_LIST,
                                       WEIR_RESET_NOTHING};
    static const struct weir_setting settings[] = {
        {"app.tenant", "O'Reilly; DROP TABLE x"}, {"work_mem", "1234kB"}, {"app.empty", ""}};
    struct weir_acquire_opts acquire = within_ms(0);

    (void)state;
    acquire.settings = settings;
    acquire.settings_count = 3;
    for (unsigned i = 0; i < 4; i++) {
        struct weir_pool_opts opts = pool_opts("settings", 0, 1);
        struct weir_connection *connection;
        struct pool_fixture fixture;
        uint32_t pid;
        opts.reset = policies[i];
        opts.reset_statements = "UNLISTEN *";
        fixture = pool_fixture_open(&opts, NULL);
        connection = hold_with(fixture.pool, &acquire);
        pid = weir_connection_backend_pid(connection);
        assert_string_equal(ask(connection, "SELECT current_setting('app.tenant')"),
                            "O'Reilly; DROP TABLE x");
        assert_string_equal(ask(connection, "SHOW work_mem"), "1234kB");
        give_back(connection);
        connection = hold(fixture.pool);
        assert_int_equal(weir_connection_backend_pid(connection), pid);
        assert_string_equal(ask(connection, "SELECT coalesce(current_setting('app.tenant', true),"
                                            " '')"),
                            "");
        assert_string_not_equal(ask(connection, "SHOW work_mem"), "1234kB");
        give_back(connection);
        pool_fixture_close(&fixture);
    }
}

static void an_impossible_setting_is_the_callers_error(void **state)
{
    static const struct weir_setting unknown = {"no_such_setting_at_all", "1"},
                                     wrong = {"work_mem", "a lot"}, nameless = {"", "1"};
    struct weir_pool_opts opts = pool_opts("bad-setting", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts acquire = within_ms(0);
    uint64_t begin_ns = clock_monotonic_ns();
    char message[512];

    (void)state;
    acquire.settings_count = 1;
    acquire.settings = &unknown;
    assert_int_not_equal(refusal(fixture.pool, &acquire, message), 0);
    assert_non_null(strstr(message, "no_such_setting_at_all"));
    acquire.settings = &wrong;
    assert_int_equal(refusal(fixture.pool, &acquire, message), WEIR_ERROR_DATA);
    assert_non_null(strstr(message, "work_mem"));
    acquire.settings = &nameless;
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_USAGE);
    acquire.settings_count = 1000;
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_USAGE);
    assert_true(elapsed_ms(begin_ns) < 4000); /* told at once, not at the deadline */
    give_back(hold(fixture.pool));
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_are_called_in_order),
        cmocka_unit_test(a_failing_hook_fails_what_it_was_called_for),
        cmocka_unit_test(a_failing_after_release_closes_the_connection),
        cmocka_unit_test(a_late_hook_costs_its_connection),
        cmocka_unit_test(settings_last_as_long_as_the_hold),
        cmocka_unit_test(an_impossible_setting_is_the_callers_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
