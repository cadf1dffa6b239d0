/* The data directory's lock: one holder, for life. */
#include "store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/store/directory.h"
#include "base/clock.h"

static void the_second_waits_then_gives_up(void **state)
{
    uint64_t before_ns;
    int first = -1, second = -1;
    (void)state;

    assert_int_equal(directory_lock(directory, 0, &first), 0);
    assert_true(first >= 0);
    before_ns = clock_monotonic_ns();
    assert_int_equal(directory_lock(directory, 120, &second), DIRECTORY_E_TAKEN);
    assert_true(clock_monotonic_ns() - before_ns >= 120 * NS_PER_MS);
    assert_int_equal(second, -1);
    assert_int_equal(close(first), 0);
    assert_int_equal(directory_lock(directory, 0, &second), 0);
    assert_int_equal(close(second), 0);
}

static void the_lock_goes_with_its_holder(void **state)
{
    int ready[2], lock = -1, status;
    pid_t pid;
    char byte;
    (void)state;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (directory_lock(directory, 0, &lock) != 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(directory_lock(directory, 0, &lock), DIRECTORY_E_TAKEN);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(directory_lock(directory, 10000, &lock), 0); /* a kill leaves no stale lock */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* An exec of somebody else's program does not keep it. */
static void children_do_not_inherit_it(void **state)
{
    int first = -1, second = -1, status;
    int hold[2];
    pid_t pid;
    (void)state;

    assert_int_equal(pipe(hold), 0);
    assert_int_equal(directory_lock(directory, 0, &first), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(hold[0], 0);
        (void)execlp("sh", "sh", "-c", "read line", (char *)NULL);
        _exit(1);
    }
    (void)close(first);
    assert_int_equal(directory_lock(directory, 10000, &second), 0);
    assert_int_equal(write(hold[1], "\n", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(second);
    (void)close(hold[0]);
    (void)close(hold[1]);
}

static void the_last_part_is_made(void **state)
{
    char path[128], lock[160];
    struct stat status;
    int fd = -1;
    (void)state;

    (void)snprintf(path, sizeof(path), "%s/data", directory);
    assert_int_equal(directory_lock(path, 0, &fd), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(status.st_mode & 07, 0); /* nobody else's */
    (void)close(fd);
    (void)snprintf(lock, sizeof(lock), "%s/lock", path);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(path), 0);
    (void)snprintf(path, sizeof(path), "%s/a/b", directory);
    assert_int_equal(directory_lock(path, 0, &fd), -ENOENT);
}

static void no_directory_no_lock(void **state)
{
    char path[5000];
    int fd = -1;
    (void)state;

    (void)snprintf(path, sizeof(path), "%s/file", directory);
    FILE *out = fopen(path, "we");
    (void)fclose(out);
    assert_int_equal(directory_lock(path, 0, &fd), -ENOTDIR);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(directory_lock(path, 0, &fd), -ENAMETOOLONG);
    assert_int_equal(fd, -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_second_waits_then_gives_up), TEST(the_lock_goes_with_its_holder),
        TEST(children_do_not_inherit_it),     TEST(the_last_part_is_made),
        TEST(no_directory_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
