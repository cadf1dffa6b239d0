/* fork, vfork and exec: the parent's segment stays the parent's, the child gets one of its own. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/weir/probe.h"

extern char **environ;

static struct fake_agent agent;     /* of the parent */
static struct fake_agent kid_agent; /* a second look at the same socket, for children */
static struct weir_probe_pool *pool;
static struct weir_probe_connection *connection;

static struct weir_probe_connection *connect_one(void)
{
    struct weir_probe_target target = {.size = sizeof(target), .address = "h", .database = "d"};
    struct weir_probe_connection *opened = weir_probe_connect_begin(pool, &target);

    weir_probe_connect_end(opened, NULL);
    return opened;
}

#if defined(__SANITIZE_THREAD__)
/* The child's probe makes a thread of its own, which the thread sanitizer forbids unless told. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

static void run(struct weir_probe_connection *on, const char *text)
{
    struct weir_probe_statement statement;

    weir_probe_statement_begin(on, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, NULL);
}

static void await_exit(pid_t pid, int expected)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

/* Accepts a child's hello through the parent's listener. */
static void accept_child(void)
{
    kid_agent.listener = agent.listener;
    fake_agent_unmap(&kid_agent);
    fake_agent_accept(&kid_agent); /* no welcome: it may have ended already */
}

static void assert_parent_untouched(void)
{
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 0);
    run(connection, "SELECT parent");
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
}

static void child_works(void)
{
    struct weir_probe_connection *own;

    run(connection, "SELECT nowhere"); /* no segment yet: nothing is recorded, nothing breaks */
    own = connect_one();
    run(own, "SELECT own");
    run(connection, "SELECT inherited"); /* now there is one */
    weir_probe_connection_close(own, WEIR_FAILURE_NONE, NULL);
}

static void check_childs_segment(pid_t pid)
{
    const struct seen_record *own, *inherited;
    struct slot_copy slot;

    assert_int_equal(kid_agent.hello.pid, pid);
    assert_memory_not_equal(kid_agent.layout.id, agent.layout.id, 16);
    fake_agent_drain(&kid_agent);
    assert_int_equal(kid_agent.record_count, 4);
    assert_int_equal(fake_agent_count(&kid_agent, RECORD_CONNECT), 1);
    assert_int_equal(fake_agent_count(&kid_agent, RECORD_CLOSE), 1);
    own = fake_agent_record(&kid_agent, RECORD_STATEMENT, 0);
    inherited = fake_agent_record(&kid_agent, RECORD_STATEMENT, 1);
    /* Names are told to the child's agent, whatever the parent's knows. */
    assert_non_null(fake_agent_name(&kid_agent, NAME_TARGET, own->event.target));
    assert_non_null(fake_agent_name(&kid_agent, NAME_STATEMENT, own->statement.fingerprint));
    assert_non_null(fake_agent_name(&kid_agent, NAME_STATEMENT, inherited->statement.fingerprint));
    assert_int_not_equal(inherited->statement.slot, RECORD_NO_SLOT);
    assert_true(board_read_slot(&kid_agent.board, inherited->statement.slot, &slot));
    assert_int_equal(slot.state, SLOT_IDLE);
}

static void test_child_gets_its_own_segment(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        child_works();
        _exit(7);
    }
    accept_child();
    await_exit(pid, 7);
    check_childs_segment(pid);
    assert_parent_untouched();
}

/* Without fork()'s handlers: only the wiped word tells. */
static void test_bare_clone_is_noticed(void **state)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    (void)state;
    if (pid == 0) {
        child_works();
        syscall(SYS_exit_group, 8);
    }
    accept_child();
    await_exit(pid, 8);
    check_childs_segment(pid);
    assert_parent_untouched();
}

static void test_child_that_does_nothing(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        run(connection, "SELECT nothing");
        weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
        weir_probe_pool_close(pool);
        _exit(0);
    }
    await_exit(pid, 0);
    assert_false(fake_agent_is_called(&agent, 0));
    assert_parent_untouched();
}

static void test_statement_open_across_fork(void **state)
{
    struct weir_probe_statement statement;
    pid_t pid;

    (void)state;
    weir_probe_statement_begin(connection, &statement, "SELECT across", SIZE_MAX, 0);
    pid = fork();
    if (pid == 0) {
        weir_probe_connection_close(connect_one(), WEIR_FAILURE_NONE, NULL);
        weir_probe_statement_end(&statement, NULL); /* the parent's */
        _exit(0);
    }
    accept_child();
    await_exit(pid, 0);
    fake_agent_drain(&kid_agent);
    assert_int_equal(fake_agent_count(&kid_agent, RECORD_STATEMENT), 0);
    weir_probe_statement_end(&statement, NULL);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
}

static void test_grandchildren(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        weir_probe_connection_close(connect_one(), WEIR_FAILURE_NONE, NULL);
        pid = fork();
        if (pid == 0) {
            child_works();
            _exit(3);
        }
        _exit(waitpid(pid, NULL, 0) == pid ? 0 : 1);
    }
    accept_child();
    assert_int_equal(kid_agent.hello.pid, pid);
    accept_child();
    await_exit(pid, 0);
    fake_agent_drain(&kid_agent);
    assert_int_equal(kid_agent.record_count, 4);
    assert_parent_untouched();
}

static void test_spawned_programs_disturb_nothing(void **state)
{
    char *arguments[] = {(char *)"true", NULL};
    pid_t pid;

    (void)state;
    fake_agent_drain(&agent);
    assert_int_equal(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ), 0);
    await_exit(pid, 0);
    pid = vfork();
    if (pid == 0) {
        execvp("true", arguments);
        _exit(127);
    }
    await_exit(pid, 0);
    assert_false(fake_agent_is_called(&agent, 0));
    assert_parent_untouched();
}

/* Forks inside a signal handler, while a statement may be half written. Timers are not inherited.
 */
static volatile sig_atomic_t forked_children, is_child;

static void on_alarm(int signal_number)
{
    pid_t pid = forked_children < 100 ? fork() : -1;

    (void)signal_number;
    if (pid == 0)
        is_child = 1; /* goes on in the interrupted recording */
    if (pid > 0)
        forked_children = forked_children + 1;
}

static void test_fork_in_a_signal_handler(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    uint64_t recorded = 0, calls = 0;
    int status, seen = 0;
    sigset_t alarms;

    (void)state;
    (void)sigemptyset(&alarms);
    (void)sigaddset(&alarms, SIGALRM);
    fake_agent_drain(&agent);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (forked_children < 100) {
        run(connection, "SELECT interrupted");
        if (is_child) {
            run(connection, "SELECT interrupted");
            _exit(9);
        }
        calls++;
        if (calls % 1024 == 0) {
            /* A child would go on draining its parent's segment. */
            assert_int_equal(sigprocmask(SIG_BLOCK, &alarms, NULL), 0);
            fake_agent_drain(&agent);
            recorded += fake_agent_count(&agent, RECORD_STATEMENT);
            assert_int_equal(sigprocmask(SIG_UNBLOCK, &alarms, NULL), 0);
        }
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    while (waitpid(-1, &status, 0) > 0) {
        assert_true(WIFEXITED(status));
        seen += WEXITSTATUS(status) == 9;
    }
    assert_int_equal(seen, forked_children);
    fake_agent_drain(&agent);
    recorded += fake_agent_count(&agent, RECORD_STATEMENT);
    assert_int_equal(recorded, calls); /* the parent's, each once */
    assert_parent_untouched();
}

static int group_setup(void **state)
{
    (void)state;
    fake_agent_start(&agent);
    kid_agent.connection = kid_agent.pidfd = -1;
    pool = weir_probe_pool_open(NULL);
    connection = connect_one();
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    fake_agent_drain(&agent);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    kid_agent.listener = -1;
    fake_agent_stop(&kid_agent);
    fake_agent_stop(&agent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_gets_its_own_segment),
        cmocka_unit_test(test_bare_clone_is_noticed),
        cmocka_unit_test(test_child_that_does_nothing),
        cmocka_unit_test(test_statement_open_across_fork),
        cmocka_unit_test(test_grandchildren),
        cmocka_unit_test(test_spawned_programs_disturb_nothing),
        cmocka_unit_test(test_fork_in_a_signal_handler),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
