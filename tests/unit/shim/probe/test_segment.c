#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire/segment_check.h"
#include "shim/probe/segment.h"

static void test_size_from_the_environment(void **state)
{
    (void)state;
    assert_int_equal(segment_size_parse(NULL), SEGMENT_SIZE_DEFAULT);
    assert_int_equal(segment_size_parse(""), SEGMENT_SIZE_DEFAULT);
    assert_int_equal(segment_size_parse("4MiB"), 4 << 20);
    assert_int_equal(segment_size_parse("1024KiB"), 1 << 20);
    assert_int_equal(segment_size_parse("2097152"), 2 << 20);
    assert_int_equal(segment_size_parse("600001"), 602112); /* whole pages */
    assert_int_equal(segment_size_parse("1"), SEGMENT_SIZE_MIN);
    assert_int_equal(segment_size_parse("1GiB"), SEGMENT_SIZE_MAX);
    assert_int_equal(segment_size_parse("99999999999999999999GiB"), SEGMENT_SIZE_MAX);
    assert_int_equal(segment_size_parse("-1"), SEGMENT_SIZE_DEFAULT);
    assert_int_equal(segment_size_parse("4 MiB"), SEGMENT_SIZE_DEFAULT);
    assert_int_equal(segment_size_parse("4M"), SEGMENT_SIZE_DEFAULT);
    assert_int_equal(segment_size_parse("four"), SEGMENT_SIZE_DEFAULT);
}

static void check_one(size_t size)
{
    struct segment segment;
    struct segment_layout layout;
    const char *what = NULL;
    struct stat status;
    int fd = -1;

    assert_int_equal(segment_create(size, 1, &segment, &fd), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, size);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(segment_check((const unsigned char *)segment.header, size, &layout, &what), 0);
    assert_int_equal(layout.pid, getpid());
    assert_true((uintptr_t)segment.lanes % SEGMENT_PAGE == 0);
    assert_int_equal(segment.lane_stride % SEGMENT_PAGE, 0);
    assert_true((char *)segment.waiters + segment.waiter_count * sizeof(struct board_waiter) <=
                (char *)segment.names);
    assert_true((char *)segment.names + segment.header->names_stride <= segment.lanes);
    assert_true(segment.lanes + (size_t)segment.lane_count * segment.lane_stride <=
                (char *)segment.header + size);
    /* Any record that we write fits an empty lane, also the longest name. */
    assert_true(segment_record_length_max(segment.header->names_stride) >=
                NAME_TEXT_MAX + sizeof(struct record_name));
    assert_int_equal(munmap(segment.header, size), 0);
    assert_int_equal(close(fd), 0);
}

static void test_sizes(void **state)
{
    (void)state;
    check_one(SEGMENT_SIZE_MIN);
    check_one(SEGMENT_SIZE_MIN + SEGMENT_PAGE);
    check_one(1 << 20);
    check_one(SEGMENT_SIZE_DEFAULT);
    check_one(64 << 20);
    check_one(SEGMENT_SIZE_MAX);
}

static void test_ids_differ(void **state)
{
    struct segment a, b;
    int fd_a = -1, fd_b = -1;

    (void)state;
    assert_int_equal(segment_create(SEGMENT_SIZE_MIN, 1, &a, &fd_a), 0);
    assert_int_equal(segment_create(SEGMENT_SIZE_MIN, 2, &b, &fd_b), 0);
    assert_memory_not_equal(a.header->segment_id, b.header->segment_id, 16);
    assert_int_not_equal(segment_epoch(&a), segment_epoch(&b));
    assert_int_equal(munmap(a.header, SEGMENT_SIZE_MIN), 0);
    assert_int_equal(munmap(b.header, SEGMENT_SIZE_MIN), 0);
    assert_int_equal(close(fd_a) + close(fd_b), 0);
}

/* Growing a file beyond the limit would raise SIGXFSZ, which ends a program. */
static void test_file_size_limit_is_respected(void **state)
{
    struct rlimit before, limit;
    struct segment segment;
    int fd = -1;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = (1 << 20) + 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(segment_create(SEGMENT_SIZE_DEFAULT, 1, &segment, &fd), 0);
    assert_int_equal(segment.size, 1 << 20);
    assert_int_equal(munmap(segment.header, segment.size), 0);
    assert_int_equal(close(fd), 0);
    limit.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(segment_create(SEGMENT_SIZE_DEFAULT, 1, &segment, &fd), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_from_the_environment),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_file_size_limit_is_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
