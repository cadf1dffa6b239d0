/* A process that forks: its connections stay its own, and the child has others of its own. */
#include <sys/wait.h>
#include <unistd.h>

#include "feature_test.h"

/* What the parent had is let go in a child on purpose: there it is no leak. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>

static int is_child;

__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
    return is_child;
}
#endif

static pid_t fork_child(void)
{
    pid_t child = fork();

#ifdef __SANITIZE_ADDRESS__
    is_child |= !child;
#endif
    return child;
}

/* In a child an assertion cannot reach cmocka: what went wrong is its exit code, a line. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ % 250 + 1;                                                             \
    } while (0)

struct family {
    struct weir_pool *pool;
    struct weir_connection *held; /* by the parent at the time of the fork */
    uint32_t pids[3];             /* of the parent's connections */
};

typedef int (*child_fn)(const struct family *family);

static int child_uses_the_pool(const struct family *family)
{
    struct weir_connection *connection = NULL;
    PGresult *result = NULL;
    uint32_t pid;

    CHILD_CHECK(weir_connection_pgconn(family->held) == NULL);
    CHILD_CHECK(weir_execute(family->held, "SELECT 1", NULL, NULL, NULL) == WEIR_ERROR_USAGE);
    CHILD_CHECK(weir_connection_release(family->held) == WEIR_ERROR_USAGE);
    CHILD_CHECK(pool_stats(family->pool).used == 0 && pool_stats(family->pool).idle == 0);
    CHILD_CHECK(weir_pool_acquire(family->pool, NULL, &connection, NULL) == 0);
    pid = weir_connection_backend_pid(connection);
    for (unsigned i = 0; i < 3; i++)
        CHILD_CHECK(pid != family->pids[i]);
    CHILD_CHECK(weir_execute(connection, "SELECT pg_backend_pid()", NULL, &result, NULL) == 0);
    CHILD_CHECK(strtoul(PQgetvalue(result, 0, 0), NULL, 10) == pid);
    PQclear(result);
    CHILD_CHECK(weir_connection_release(connection) == 0);
    CHILD_CHECK(weir_pool_acquire(family->pool, NULL, &connection, NULL) == 0);
    CHILD_CHECK(weir_connection_backend_pid(connection) == pid);
    CHILD_CHECK(weir_connection_release(connection) == 0);
    return 0;
}

static int child_does_nothing(const struct family *family)
{
    (void)family;
    return 0;
}

/* Tidies up like a program that knows of no fork. */
static int child_closes_everything(const struct family *family)
{
    int code = child_uses_the_pool(family);

    if (!code)
        (void)weir_pool_unref(family->pool);
    return code;
}

static int child_forks_again(const struct family *family)
{
    int code = child_uses_the_pool(family), status = -1;
    struct weir_connection *connection = NULL;
    pid_t grandchild;

    if (code)
        return code;
    grandchild = fork_child();
    if (!grandchild)
        _exit(child_uses_the_pool(family));
    CHILD_CHECK(waitpid(grandchild, &status, 0) == grandchild);
    CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHILD_CHECK(weir_pool_acquire(family->pool, NULL, &connection, NULL) == 0);
    CHILD_CHECK(weir_execute(connection, "SELECT 1", NULL, NULL, NULL) == 0);
    CHILD_CHECK(weir_connection_release(connection) == 0);
    return 0;
}

static void expect_child(pid_t child, const char *what)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("%s: the child ended with status %#x, code %d (line modulo 250, plus 1)", what,
                 (unsigned)status, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void expect_parent_unharmed(const struct family *family, PGconn *admin)
{
    struct weir_connection *other[2];

    for (unsigned i = 0; i < 3; i++)
        assert_true(admin_has(admin, family->pids[i]));
    assert_string_equal(ask(family->held, "SELECT 'held'"), "held");
    for (unsigned i = 0; i < 2; i++) {
        char answer[16];
        other[i] = hold(family->pool);
        (void)snprintf(answer, sizeof(answer), "%u", weir_connection_backend_pid(other[i]));
        assert_string_equal(ask(other[i], "SELECT pg_backend_pid()"), answer);
        assert_true(weir_connection_backend_pid(other[i]) == family->pids[1] ||
                    weir_connection_backend_pid(other[i]) == family->pids[2]);
    }
    give_back(other[0]);
    give_back(other[1]);
}

static void children_of_every_kind_harm_nobody(void **state)
{
    static const struct {
        const char *what;
        child_fn work;
        bool is_quick; /* leaves by _exit: without the handlers and without a goodbye */
    } kinds[] = {
        {"does nothing, exit", child_does_nothing, false},
        {"does nothing, _exit", child_does_nothing, true},
        {"uses the pool, exit", child_uses_the_pool, false},
        {"uses the pool, _exit", child_uses_the_pool, true},
        {"closes everything", child_closes_everything, false},
        {"forks again", child_forks_again, false},
    };
    struct weir_pool_opts opts = pool_opts("family", 0, 3);
    struct pool_fixture fixture;
    struct weir_connection *others[2];
    struct family family = {.pool = NULL};
    PGconn *admin = admin_open();

    (void)state;
    opts.validate_after_ms = opts.validate_every_ms = WEIR_NEVER; /* nothing is found by asking */
    fixture = pool_fixture_open(&opts, NULL);
    family.pool = fixture.pool;
    family.held = hold(fixture.pool);
    others[0] = hold(fixture.pool);
    others[1] = hold(fixture.pool);
    family.pids[0] = weir_connection_backend_pid(family.held);
    family.pids[1] = weir_connection_backend_pid(others[0]);
    family.pids[2] = weir_connection_backend_pid(others[1]);
    give_back(others[0]);
    give_back(others[1]);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        pid_t child = fork_child();
        if (!child) {
            int code = kinds[i].work(&family);
            if (kinds[i].is_quick)
                _exit(code);
            exit(code);
        }
        expect_child(child, kinds[i].what);
        expect_parent_unharmed(&family, admin);
        AWAIT(admin_connections(admin, "family") == 3); /* the child's are gone with it */
    }
    give_back(family.held);
    assert_int_equal(pool_stats(fixture.pool).connected, 3);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- many forks under threads ---------------------------------------------------------------- */

enum { USERS = 4, FORKS = 60 };

struct load {
    struct weir_pool *pool;
    _Atomic unsigned is_over, failed, done;
};

static void *load_user(void *userdata)
{
    struct load *load = userdata;

    while (!atomic_load(&load->is_over)) {
        struct weir_connection *connection = NULL;
        PGresult *result = NULL;
        if (weir_pool_acquire(load->pool, NULL, &connection, NULL) ||
            weir_execute(connection, "SELECT pg_backend_pid()", NULL, &result, NULL) ||
            strtoul(PQgetvalue(result, 0, 0), NULL, 10) != weir_connection_backend_pid(connection))
            atomic_fetch_add(&load->failed, 1);
        PQclear(result);
        if (connection && weir_connection_release(connection))
            atomic_fetch_add(&load->failed, 1);
        atomic_fetch_add(&load->done, 1);
    }
    return NULL;
}

static int child_takes_and_gives(struct weir_pool *pool)
{
    for (unsigned i = 0; i < 3; i++) {
        struct weir_connection *connection = NULL;
        CHILD_CHECK(weir_pool_acquire(pool, NULL, &connection, NULL) == 0);
        CHILD_CHECK(weir_execute(connection, "SELECT 1", NULL, NULL, NULL) == 0);
        CHILD_CHECK(weir_connection_release(connection) == 0);
    }
    return 0;
}

static void many_forks_while_threads_work(void **state)
{
    struct weir_pool_opts opts = pool_opts("forking", 0, 3);
    struct pool_fixture fixture;
    struct load load = {.is_over = 0};
    pthread_t threads[USERS];
    PGconn *admin = admin_open();

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message("the address sanitizer's allocator may be locked for ever in the child\n");
    PQfinish(admin);
    skip();
#endif
    opts.connect_rate_max = 1000;
    opts.acquire_timeout_ms = 15000;
    fixture = pool_fixture_open(&opts, NULL);
    load.pool = fixture.pool;
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_user, &load), 0);
    AWAIT(atomic_load(&load.done) > 50);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork_child();
        if (!child)
            _exit(child_takes_and_gives(fixture.pool));
        expect_child(child, "while threads work");
    }
    atomic_store(&load.is_over, 1);
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_int_equal(pool_stats(fixture.pool).connected, pool_stats(fixture.pool).idle);
    pool_fixture_close(&fixture);
    AWAIT(admin_connections(admin, "forking") == 0);
    PQfinish(admin);
}

/* The minimum is kept in the child too, by its own manager's thread, once the pool is used. */
static int child_keeps_the_minimum(struct weir_pool *pool)
{
    struct weir_connection *connection = NULL;
    uint64_t until_ns = clock_monotonic_ns() + AWAIT_MS * NS_PER_MS;

    CHILD_CHECK(weir_pool_acquire(pool, NULL, &connection, NULL) == 0);
    CHILD_CHECK(weir_connection_release(connection) == 0);
    while (pool_stats(pool).idle < 2 && clock_monotonic_ns() < until_ns)
        pass_ms(5);
    CHILD_CHECK(pool_stats(pool).idle == 2);
    return 0;
}

static void the_childs_pool_lives_by_itself(void **state)
{
    struct weir_pool_opts opts = pool_opts("child-min", 2, 4);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    PGconn *admin = admin_open();
    pid_t child;

    (void)state;
    AWAIT(admin_connections(admin, "child-min") == 2);
    child = fork_child();
    if (!child)
        _exit(child_keeps_the_minimum(fixture.pool));
    expect_child(child, "keeps the minimum");
    AWAIT(admin_connections(admin, "child-min") == 2);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static int child_ends_the_parents_request(struct weir_pool *pool, struct weir_acquire *request)
{
    struct weir_connection *connection = NULL;

    CHILD_CHECK(weir_acquire_step(request, &connection, NULL) == WEIR_ERROR_USAGE);
    CHILD_CHECK(pool_stats(pool).waiting == 0);
    CHILD_CHECK(weir_pool_acquire(pool, NULL, &connection, NULL) == 0);
    CHILD_CHECK(weir_connection_release(connection) == 0);
    return 0;
}

static void a_request_stays_its_parents(void **state)
{
    struct weir_pool_opts opts = pool_opts("child-request", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held = hold(fixture.pool), *served = NULL;
    struct weir_acquire *request = NULL;
    pid_t child;
    int r;

    (void)state;
    CHECK(weir_acquire_start(fixture.pool, NULL, &request, &error));
    child = fork();
    if (!child)
        _exit(child_ends_the_parents_request(fixture.pool, request));
    expect_child(child, "ends the parent's request");
    assert_int_equal(weir_acquire_step(request, &served, NULL), WEIR_PENDING);
    give_back(held);
    while ((r = weir_acquire_step(request, &served, NULL)) == WEIR_PENDING)
        pass_ms(1);
    assert_int_equal(r, 0);
    give_back(served);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_of_every_kind_harm_nobody),
        cmocka_unit_test(many_forks_while_threads_work),
        cmocka_unit_test(the_childs_pool_lives_by_itself),
        cmocka_unit_test(a_request_stays_its_parents),
    };

#ifdef __SANITIZE_THREAD__
    print_message("skipped: the thread sanitizer allows no threads in a forked child\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
