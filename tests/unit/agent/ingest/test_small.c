/* The small parts: lock and name of the socket, stored positions, UTF-8, log lines. */
#include "tests/unit/agent/ingest/ingest_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/ingest/listener.h"
#include "agent/ingest/log_limit.h"
#include "agent/ingest/position.h"
#include "agent/ingest/utf8.h"

static char directory[64], path[96];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/weir-listener-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/agent.sock", directory);
    return 0;
}

static int teardown(void **state)
{
    char lock[128];
    (void)state;

    (void)snprintf(lock, sizeof(lock), "%s.lock", path);
    (void)unlink(lock);
    (void)unlink(path);
    assert_int_equal(rmdir(directory), 0); /* no temporary name is left */
    return 0;
}

static void test_second_agent_waits_then_gives_up(void **state)
{
    uint64_t before = clock_monotonic_ns();
    int first = -1, second = -1;
    (void)state;

    assert_int_equal(ingest_lock(path, 0, &first), 0);
    assert_int_equal(ingest_lock(path, 100, &second), INGEST_E_TAKEN);
    assert_true(clock_monotonic_ns() - before >= 100 * NS_PER_MS);
    assert_int_equal(close(first), 0);
    assert_int_equal(ingest_lock(path, 100, &second), 0);
    assert_int_equal(close(second), 0);
}

static void test_lock_goes_with_its_holder(void **state)
{
    int ready[2], lock = -1;
    siginfo_t info;
    char byte;
    pid_t pid;
    (void)state;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (ingest_lock(path, 0, &lock) != 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(ingest_lock(path, 0, &lock), INGEST_E_TAKEN);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(ingest_lock(path, 10000, &lock), 0); /* kill -9 leaves no stale lock */
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    (void)close(lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_lock_in_no_directory(void **state)
{
    int lock = -1;
    (void)state;

    assert_int_equal(ingest_lock("/nonexistent/weir/agent.sock", 0, &lock), -ENOENT);
    assert_int_equal(lock, -1);
}

static void test_name_appears_when_somebody_listens(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int first = -1, second = -1, client;
    struct stat status;
    (void)state;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(listener_open(path, 0600, &first), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    /* A name that a killed agent left is replaced in one step. */
    assert_int_equal(close(first), 0);
    assert_int_equal(listener_open(path, 0666, &second), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(client);
    (void)close(second);
}

static void test_paths_too_long(void **state)
{
    char long_path[256];
    int fd = -1;
    (void)state;

    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(listener_open(long_path, 0666, &fd), -ENAMETOOLONG);
    assert_int_equal(ingest_lock(long_path, 0, &fd), -ENAMETOOLONG);
    assert_int_equal(listener_open("", 0666, &fd), -ENAMETOOLONG);
}

static struct position position_make(uint8_t id)
{
    struct position position = {.lane_count = 2, .names = {3, 4}};

    memset(position.client_id, id, sizeof(position.client_id));
    position.lanes[0] = (struct ring_position){5, 6};
    position.lanes[1] = (struct ring_position){7, UINT64_MAX};
    position.dropped[DROP_READ_BY_OTHER] = 8;
    return position;
}

/* Decodes what stands in @value, cut to @length. */
static int position_decode_cut(const struct position *position, const struct buffer *value,
                               size_t length, struct position *ret)
{
    struct row row = {
        .table = ROWS_POSITIONS,
        .key = {(const char *)position->client_id, 16},
        .value = {value->bytes, length},
    };

    return position_decode(&row, ret);
}

static void test_positions_there_and_back(void **state)
{
    struct position position = position_make(1), back;
    struct buffer value;
    (void)state;

    buffer_init(&value, 1 << 16);
    position_encode(&position, &value);
    assert_int_equal(position_decode_cut(&position, &value, value.length, &back), 0);
    assert_memory_equal(&back, &position, sizeof(back));
    for (size_t length = 0; length < value.length; length++)
        assert_int_equal(position_decode_cut(&position, &value, length, &back), -EBADMSG);
    value.bytes[0]++; /* of another version */
    assert_int_equal(position_decode_cut(&position, &value, value.length, &back), -EBADMSG);
    buffer_clear(&value);

    position = (struct position){
        .is_frames = true, .frame = 9, .frame_saved = 9, .events = 11, .read = 10};
    position_encode(&position, &value);
    assert_int_equal(position_decode_cut(&position, &value, value.length, &back), 0);
    assert_memory_equal(&back, &position, sizeof(back));
    buffer_deinit(&value);
}

static void test_stored_positions_are_bounded(void **state)
{
    struct positions positions;
    uint8_t evicted[16];
    (void)state;

    assert_int_equal(positions_init(&positions, 3), 0);
    for (uint8_t id = 1; id <= 3; id++)
        assert_int_equal(positions_put(&positions, &(struct position){.client_id = {id}}, evicted),
                         0);
    /* The same one again is no second one, and now the newest. */
    assert_int_equal(positions_put(&positions, &(struct position){.client_id = {1}}, evicted), 0);
    assert_int_equal(positions_put(&positions, &(struct position){.client_id = {4}}, evicted),
                     POSITIONS_E_EVICTED);
    assert_int_equal(evicted[0], 2);
    assert_null(positions_take(&positions, (uint8_t[16]){2}));
    struct position *one = positions_take(&positions, (uint8_t[16]){1});
    assert_non_null(one);
    free(one);
    assert_null(positions_take(&positions, (uint8_t[16]){1}));
    positions_deinit(&positions);
}

static void expect_clean(const char *text, size_t length, const char *expected)
{
    char *CLEANUP(freep) exact = malloc(length + 1);
    struct buffer out;

    memcpy(exact, text, length);
    buffer_init(&out, 1024);
    utf8_append_clean(&out, (struct view){exact, length});
    assert_false(out.failed);
    assert_int_equal(out.length, strlen(expected));
    if (out.length)
        assert_memory_equal(out.bytes, expected, out.length);
    buffer_deinit(&out);
}

static void test_text_from_outside(void **state)
{
#define BAD "\xef\xbf\xbd"
    (void)state;
    expect_clean("", 0, "");
    expect_clean("shop", 4, "shop");
    expect_clean("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x98", 14,
                 "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x98");
    expect_clean("a\0b", 3, "a" BAD "b");
    expect_clean("\xff", 1, BAD);
    expect_clean("\xc3", 1, BAD);
    expect_clean("\xc0\xaf", 2, BAD BAD);         /* overlong */
    expect_clean("\xe0\x80\xaf", 3, BAD BAD BAD); /* overlong */
    expect_clean("\xed\xa0\x80", 3, BAD BAD BAD); /* surrogate */
    expect_clean("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD);
    expect_clean("\xe2\x82", 2, BAD BAD);
    expect_clean("\xe2\x82x", 3, BAD BAD "x");
}

static void test_many_lines_are_one(void **state)
{
    const uint64_t start = 1000 * NS_PER_S;
    struct log_limit limit = {0};
    uint64_t unsaid = 99;
    (void)state;

    assert_true(log_limit_say(&limit, start, &unsaid));
    assert_int_equal(unsaid, 0);
    for (int i = 0; i < 10000; i++)
        assert_false(log_limit_say(&limit, start + NS_PER_S, &unsaid));
    assert_false(log_limit_due(&limit, start + 9 * NS_PER_S, &unsaid));
    assert_true(log_limit_due(&limit, start + 10 * NS_PER_S, &unsaid));
    assert_int_equal(unsaid, 10000);
    assert_false(log_limit_due(&limit, start + 30 * NS_PER_S, &unsaid));
    assert_true(log_limit_say(&limit, start + 31 * NS_PER_S, &unsaid));
    assert_int_equal(unsaid, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_second_agent_waits_then_gives_up),
        TEST(test_lock_goes_with_its_holder),
        TEST(test_lock_in_no_directory),
        TEST(test_name_appears_when_somebody_listens),
        TEST(test_paths_too_long),
        cmocka_unit_test(test_positions_there_and_back),
        cmocka_unit_test(test_stored_positions_are_bounded),
        cmocka_unit_test(test_text_from_outside),
        cmocka_unit_test(test_many_lines_are_one),
    };

    return cmocka_run_group_tests_name("small", tests, NULL, NULL);
}
