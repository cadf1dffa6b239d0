/* Managers: the process's own and explicit ones, the names in them, who keeps a pool open, and the
 * file. */
#include <unistd.h>

#include "feature_test.h"

static void *default_of_thread(void *userdata)
{
    (void)userdata;
    return weir_manager_default();
}

static void the_process_has_one_default(void **state)
{
    struct weir_manager *manager = weir_manager_default();
    struct weir_pool_opts opts = pool_opts("of-process", 0, 1);
    struct weir_pool *pool, *found;
    pthread_t threads[8];

    (void)state;
    assert_non_null(manager);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, default_of_thread, NULL), 0);
    for (unsigned i = 0; i < 8; i++) {
        void *found_manager;
        assert_int_equal(pthread_join(threads[i], &found_manager), 0);
        assert_ptr_equal(found_manager, manager);
    }
    CHECK(weir_pool_open(weir_manager_default(), &opts, &pool, &error));
    CHECK(weir_manager_pool(weir_manager_default(), "of-process", &found, &error));
    assert_ptr_equal(found, pool);
    give_back(hold(found));
    (void)weir_pool_unref(found);
    (void)weir_pool_unref(pool);
}

static void explicit_managers_know_nothing_of_each_other(void **state)
{
    struct weir_pool_opts opts = pool_opts("twin", 0, 1);
    struct pool_fixture a = pool_fixture_open(&opts, NULL), b = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts at_once = within_ms(-1);
    struct weir_connection *held;
    struct weir_pool *found = NULL;

    (void)state;
    assert_ptr_not_equal(a.pool, b.pool);
    held = hold(a.pool);
    assert_int_equal(refusal(a.pool, &at_once, NULL), WEIR_ERROR_TIMEOUT);
    give_back(hold(b.pool));
    CHECK(weir_manager_pool(b.manager, "twin", &found, &error));
    assert_ptr_equal(found, b.pool);
    (void)weir_pool_unref(found);
    assert_int_equal(weir_manager_pool(weir_manager_default(), "twin", &found, NULL),
                     WEIR_ERROR_USAGE);
    (void)weir_manager_drain(b.manager, 1000, NULL);
    assert_int_equal(refusal(b.pool, NULL, NULL), WEIR_ERROR_DRAINING);
    assert_string_equal(ask(held, "SELECT 'not drained'"), "not drained");
    give_back(held);
    give_back(hold(a.pool));
    pool_fixture_close(&a);
    pool_fixture_close(&b);
}

static void a_name_is_open_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("once", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_error *refused = NULL;
    struct weir_pool *pool = NULL;

    (void)state;
    assert_int_equal(weir_pool_open(fixture.manager, &opts, &pool, &refused), WEIR_ERROR_USAGE);
    assert_null(pool);
    assert_non_null(strstr(weir_error_message(refused), "'once'"));
    weir_error_free(refused);
    refused = NULL;
    assert_int_equal(weir_manager_pool(fixture.manager, "nonce", &pool, &refused),
                     WEIR_ERROR_USAGE);
    assert_non_null(strstr(weir_error_message(refused), "nonce"));
    weir_error_free(refused);
    fixture.pool = weir_pool_unref(fixture.pool);
    CHECK(weir_pool_open(fixture.manager, &opts, &fixture.pool, &error)); /* closed: free again */
    give_back(hold(fixture.pool));
    pool_fixture_close(&fixture);
}

/* The manager's own looking after a pool keeps no name taken. */
static void a_name_is_free_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("again", 0, 1);
    struct weir_manager *manager = NULL;
    struct weir_pool *pool;

    (void)state;
    CHECK(weir_manager_new(NULL, &manager, &error));
    for (unsigned i = 0; i < 20000; i++) {
        CHECK(weir_pool_open(manager, &opts, &pool, &error));
        pool = weir_pool_unref(pool);
    }
    manager = weir_manager_unref(manager);
}

static void the_last_reference_closes_the_pool(void **state)
{
    struct weir_pool_opts opts = pool_opts("counted", 0, 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held;
    PGconn *admin = admin_open();
    struct weir_pool *found;

    (void)state;
    CHECK(weir_manager_pool(fixture.manager, "counted", &found, &error));
    give_back(hold(fixture.pool));
    fixture.pool = weir_pool_unref(fixture.pool);
    held = hold(found);
    give_back(hold(found));
    assert_int_equal(admin_connections(admin, "counted"), 2);
    assert_null(weir_pool_unref(weir_pool_ref(found)));
    (void)weir_pool_unref(found); /* the last one, with a connection held */
    assert_int_equal(weir_manager_pool(fixture.manager, "counted", &found, NULL), WEIR_ERROR_USAGE);
    AWAIT(admin_connections(admin, "counted") == 1);
    assert_string_equal(ask(held, "SELECT 'still mine'"), "still mine");
    give_back(held);
    AWAIT(admin_connections(admin, "counted") == 0);
    assert_null(weir_pool_unref(NULL));
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* References come and go in many threads while the pool works. */
static void *referrer(void *userdata)
{
    struct weir_manager *manager = userdata;

    for (unsigned i = 0; i < 2000; i++) {
        struct weir_pool *pool = NULL;
        CHECK(weir_manager_pool(manager, "shared", &pool, &error));
        give_back(hold(pool));
        (void)weir_pool_unref(pool);
    }
    return NULL;
}

static void references_are_counted_by_many_threads(void **state)
{
    struct weir_pool_opts opts = pool_opts("shared", 0, 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    PGconn *admin = admin_open();
    pthread_t threads[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, referrer, fixture.manager), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pool_stats(fixture.pool).acquired, 8000);
    pool_fixture_close(&fixture);
    AWAIT(admin_connections(admin, "shared") == 0);
    PQfinish(admin);
}

/* ---- the file -------------------------------------------------------------------------------- */

static char path[64];

static int file_make(void **state)
{
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-test-pools-XXXXXX");
    fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int file_remove(void **state)
{
    (void)state;
    return unlink(path);
}

static void file_write(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct weir_pool *pool_of(struct weir_manager *manager, const char *name)
{
    struct weir_pool *pool = NULL;

    CHECK(weir_manager_pool(manager, name, &pool, &error));
    return pool;
}

static void the_file_opens_pools(void **state)
{
    struct weir_manager_opts opts = {.size = sizeof(opts), .file = path};
    struct weir_manager *manager = NULL;
    struct weir_pool *orders, *reports;
    struct weir_pool_opts shown;
    PGconn *admin = admin_open();

    (void)state;
    file_write("service_name: shop\n"
               "pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=file-orders\n"
               "    connections_min: 2\n"
               "    connections_max: 4\n"
               "    acquire_timeout: 250ms\n"
               "  - name: reports\n"
               "    conninfo: application_name=file-reports\n"
               "    connections_max: 1\n");
    CHECK(weir_manager_new(&opts, &manager, &error));
    orders = pool_of(manager, "orders");
    reports = pool_of(manager, "reports");
    weir_pool_opts_get(orders, &shown, sizeof(shown));
    assert_int_equal(shown.connections_max, 4);
    assert_int_equal(shown.acquire_timeout_ms, 250);
    AWAIT(admin_connections(admin, "file-orders") == 2);
    give_back(hold(reports));
    assert_int_equal(admin_connections(admin, "file-reports"), 1);
    (void)weir_pool_unref(orders);
    (void)weir_pool_unref(reports);
    manager = weir_manager_unref(manager);
    AWAIT(admin_connections(admin, "file-orders") == 0);
    AWAIT(admin_connections(admin, "file-reports") == 0);
    PQfinish(admin);
}

static void reading_it_again_changes_what_is_open(void **state)
{
    struct weir_manager_opts opts = {.size = sizeof(opts), .file = path};
    struct weir_manager *manager = NULL;
    struct weir_pool *orders, *added;
    struct weir_pool_opts shown;
    struct weir_connection *held;
    PGconn *admin = admin_open();

    (void)state;
    file_write("pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=before\n"
               "    connections_min: 2\n"
               "    connections_max: 3\n");
    CHECK(weir_manager_new(&opts, &manager, &error));
    orders = pool_of(manager, "orders");
    AWAIT(admin_connections(admin, "before") == 2);
    /* Limits: nobody is disturbed. */
    file_write("pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=before\n"
               "    connections_min: 2\n"
               "    connections_max: 7\n"
               "    leak_after: 10s\n");
    held = hold(orders);
    CHECK(weir_manager_reload(manager, &error));
    weir_pool_opts_get(orders, &shown, sizeof(shown));
    assert_int_equal(shown.connections_max, 7);
    assert_int_equal(shown.leak_after_ms, 10000);
    assert_int_equal(admin_connections(admin, "before"), 2);
    /* Where to, and a new pool: idle ones are replaced now, used ones on release. */
    file_write("pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=after\n"
               "    connections_min: 2\n"
               "    connections_max: 7\n"
               "  - name: added\n"
               "    conninfo: application_name=added\n"
               "    connections_min: 1\n");
    CHECK(weir_manager_reload(manager, &error));
    AWAIT(admin_connections(admin, "before") == 1);
    AWAIT(admin_connections(admin, "added") == 1);
    assert_string_equal(ask(held, "SHOW application_name"), "before");
    give_back(held);
    AWAIT(admin_connections(admin, "before") == 0);
    AWAIT(admin_connections(admin, "after") == 2);
    held = hold(orders);
    assert_string_equal(ask(held, "SHOW application_name"), "after");
    give_back(held);
    added = pool_of(manager, "added");
    give_back(hold(added));
    /* Gone from the file: it stays. */
    file_write("pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=after\n"
               "    connections_min: 2\n");
    CHECK(weir_manager_reload(manager, &error));
    give_back(hold(added));
    (void)weir_pool_unref(added);
    (void)weir_pool_unref(orders);
    manager = weir_manager_unref(manager);
    AWAIT(admin_connections(admin, "after") == 0);
    PQfinish(admin);
}

static void a_bad_file_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "pools:\n"
        "  - name: orders\n"
        "    conninfo: application_name=bad-file\n"
        "    connections_max: 9\n"
        "  - name: second\n"
        "    conninfo: application_name=second\n"
        "    connections_max: many\n",
        "pools:\n"
        "  - name: orders\n"
        "    conninfo: application_name=bad-file\n"
        "    connections_max: 9\n"
        "    no_such_option: 1\n",
        "pools: [",
    };
    struct weir_manager_opts opts = {.size = sizeof(opts), .file = path};
    struct weir_manager *manager = NULL, *none = NULL;
    struct weir_pool *orders, *second = NULL;
    struct weir_pool_opts shown;

    (void)state;
    file_write("pools:\n"
               "  - name: orders\n"
               "    conninfo: application_name=good-file\n"
               "    connections_max: 3\n");
    CHECK(weir_manager_new(&opts, &manager, &error));
    orders = pool_of(manager, "orders");
    for (unsigned i = 0; i < 3; i++) {
        struct weir_error *refused = NULL;
        struct weir_connection *connection;
        file_write(bad[i]);
        assert_int_equal(weir_manager_reload(manager, &refused), WEIR_ERROR_USAGE);
        print_message("%s\n", weir_error_message(refused));
        assert_non_null(strstr(weir_error_message(refused), path));
        weir_error_free(refused);
        weir_pool_opts_get(orders, &shown, sizeof(shown));
        assert_int_equal(shown.connections_max, 3);
        connection = hold(orders);
        assert_string_equal(ask(connection, "SHOW application_name"), "good-file");
        give_back(connection);
        assert_int_equal(weir_manager_pool(manager, "second", &second, NULL), WEIR_ERROR_USAGE);
        assert_int_equal(weir_manager_new(&opts, &none, NULL), WEIR_ERROR_USAGE);
        assert_null(none);
    }
    (void)weir_pool_unref(orders);
    manager = weir_manager_unref(manager);
}

static void a_manager_without_a_file_has_none_to_read(void **state)
{
    struct weir_manager_opts opts = {.size = sizeof(opts), .file = "/no/such/pools.yaml"};
    struct weir_manager *manager = NULL;

    (void)state;
    assert_int_equal(weir_manager_new(&opts, &manager, NULL), WEIR_ERROR_USAGE);
    CHECK(weir_manager_new(NULL, &manager, &error));
    assert_int_equal(weir_manager_reload(manager, NULL), WEIR_ERROR_USAGE);
    assert_null(weir_manager_unref(weir_manager_ref(manager)));
    manager = weir_manager_unref(manager);
}

/* The holder is the last of all: with his release the pool and the manager end, and nothing of them
 * is touched afterwards (what the address sanitizer looks for). */
static void a_holder_may_outlive_pool_and_manager(void **state)
{
    struct weir_pool_opts opts = pool_opts("outlived", 0, 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held[] = {hold(fixture.pool), hold(fixture.pool)};
    PGconn *admin = admin_open();

    (void)state;
    pool_fixture_close(&fixture);
    give_back(held[1]);
    AWAIT(admin_connections(admin, "outlived") <= 1);
    give_back(held[0]);
    AWAIT(admin_connections(admin, "outlived") == 0);
    PQfinish(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_has_one_default),
        cmocka_unit_test(explicit_managers_know_nothing_of_each_other),
        cmocka_unit_test(a_name_is_open_once),
        cmocka_unit_test(a_name_is_free_at_once),
        cmocka_unit_test(the_last_reference_closes_the_pool),
        cmocka_unit_test(references_are_counted_by_many_threads),
        cmocka_unit_test(the_file_opens_pools),
        cmocka_unit_test(reading_it_again_changes_what_is_open),
        cmocka_unit_test(a_bad_file_changes_nothing),
        cmocka_unit_test(a_manager_without_a_file_has_none_to_read),
        cmocka_unit_test(a_holder_may_outlive_pool_and_manager),
    };

    return cmocka_run_group_tests(tests, file_make, file_remove);
}
