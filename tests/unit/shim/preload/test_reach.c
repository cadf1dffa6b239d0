/* Programs that come to libpq in different ways, under the preload: each does what it does without,
 * and appears as observed or with the reason why not. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1024 };

#define NOWHERE "host=/nonexistent port=6543 dbname=shop"

static struct fake_agent agent;

/* Reads all of @fd. */
static void read_output(int fd, char output[OUTPUT_MAX])
{
    size_t length = 0;
    ssize_t got;

    while ((got = read(fd, output + length, OUTPUT_MAX - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
}

static void become(const char *const *argv, const char *preload, int output)
{
    (void)dup2(output, STDOUT_FILENO); /* else nothing comes, and the test fails */
    if (preload)
        (void)setenv("LD_PRELOAD", preload, 1);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Runs a program to its end; returns its exit code. */
static int run(const char *const *argv, const char *preload, char output[OUTPUT_MAX])
{
    int pipe_ends[2], status;
    pid_t child;

    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        become(argv, preload, pipe_ends[1]);
    (void)close(pipe_ends[1]);
    read_output(pipe_ends[0], output);
    (void)close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Runs it without and with the preload: it must not see the difference. Then the agent reads. */
static void observe(const char *const *argv, const char *preload, enum process_observed expected)
{
    char plain[OUTPUT_MAX], output[OUTPUT_MAX];

    assert_int_equal(run(argv, NULL, plain), 0);
    assert_int_equal(run(argv, preload, output), 0);
    assert_string_equal(output, plain);
    fake_agent_accept(&agent);
    fake_agent_drain(&agent);
    assert_int_equal(board_read_process(&agent.board).observed, expected);
}

static void test_linked(void **state)
{
    const char *const argv[] = {REACH_LINKED, NOWHERE, NULL};
    const struct seen_record *connect;

    (void)state;
    observe(argv, PRELOAD, OBSERVED_YES);
    assert_int_equal(fake_agent_count(&agent, RECORD_CONNECT), 1);
    connect = fake_agent_record(&agent, RECORD_CONNECT, 0);
    assert_int_equal(connect->connect.failure, FAILURE_CONNECT_FAILED);
    assert_true(connect->connect.duration_ns > 0);
    assert_string_equal(fake_agent_name(&agent, NAME_TARGET, connect->event.target)->text,
                        "/nonexistent:6543/shop\nshop\n/nonexistent\n6543");
    assert_memory_equal(hello_find(&agent.hello, view_from(HELLO_KEY_LIBRARY)).bytes, "libpq ", 6);
}

static void test_driver_in_a_scope_of_its_own(void **state)
{
    const char *const argv[] = {REACH_HOST, "local", REACH_DRIVER, NOWHERE, NULL};

    (void)state;
    observe(argv, PRELOAD, OBSERVED_YES);
    assert_int_equal(fake_agent_count(&agent, RECORD_CONNECT), 1);
}

/* The loader looks where its caller lies; we are not to be taken for that. */
static void test_driver_found_by_the_programs_run_path(void **state)
{
    const char *const argv[] = {REACH_HOST, "local", "libreach_driver.so", NOWHERE, NULL};

    (void)state;
    observe(argv, PRELOAD, OBSERVED_YES);
}

static void test_deep_bound(void **state)
{
    const char *const argv[] = {REACH_HOST, "deep", REACH_DRIVER, NOWHERE, NULL};

    (void)state;
    observe(argv, PRELOAD, OBSERVED_BYPASSED_LIBPQ);
    assert_int_equal(fake_agent_count(&agent, RECORD_CONNECT), 0);
}

static void test_called_by_address(void **state)
{
    const char *const argv[] = {REACH_HOST, "address", "libpq.so.5", NOWHERE, NULL};

    (void)state;
    observe(argv, PRELOAD, OBSERVED_BYPASSED_LIBPQ);
    assert_int_equal(fake_agent_count(&agent, RECORD_CONNECT), 0);
}

static void test_contained_in_the_program(void **state)
{
    const char *const argv[] = {REACH_CONTAINS, NULL};

    (void)state;
    observe(argv, PRELOAD, OBSERVED_STATIC_LIBPQ);
}

static void test_disabled(void **state)
{
    const char *const argv[] = {REACH_LINKED, NOWHERE, NULL};
    char output[OUTPUT_MAX];

    (void)state;
    (void)setenv("WEIR_DISABLED", "true", 1);
    assert_int_equal(run(argv, PRELOAD, output), 0);
    (void)unsetenv("WEIR_DISABLED");
    assert_string_equal(output, "refused: 1\n");
    assert_false(fake_agent_is_called(&agent, 0));
}

static void with_interposer(const char *preload)
{
    const char *const argv[] = {REACH_LINKED, NOWHERE, NULL};
    char output[OUTPUT_MAX];

    assert_int_equal(run(argv, preload, output), 0);
    assert_string_equal(output, "interposed PQconnectdb\ninterposed PQconnectStart\nrefused: 1\n");
    fake_agent_accept(&agent);
    fake_agent_drain(&agent);
    assert_int_equal(board_read_process(&agent.board).observed, OBSERVED_YES);
    assert_int_equal(fake_agent_count(&agent, RECORD_CONNECT), 1);
}

static void test_another_preload_before_us(void **state)
{
    (void)state;
    with_interposer(REACH_INTERPOSER " " PRELOAD);
}

static void test_another_preload_behind_us(void **state)
{
    (void)state;
    with_interposer(PRELOAD " " REACH_INTERPOSER);
}

static int start(void **state)
{
    (void)state;
    fake_agent_start(&agent);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_agent_unmap(&agent);
    fake_agent_stop(&agent);
    return 0;
}

#define REACH_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REACH_TEST(test_linked),
        REACH_TEST(test_driver_in_a_scope_of_its_own),
        REACH_TEST(test_driver_found_by_the_programs_run_path),
        REACH_TEST(test_deep_bound),
        REACH_TEST(test_called_by_address),
        REACH_TEST(test_contained_in_the_program),
        REACH_TEST(test_disabled),
        REACH_TEST(test_another_preload_before_us),
        REACH_TEST(test_another_preload_behind_us),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
