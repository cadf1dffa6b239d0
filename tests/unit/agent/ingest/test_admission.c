/* Who comes in and who does not: every hello, descriptor and segment that can be wrong. */
#include "tests/unit/agent/ingest/ingest_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct ingest_fixture fixture;

static int setup(void **state)
{
    (void)state;
    fixture_open(&fixture);
    fixture_listen(&fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

static const char *log_find(const char *text)
{
    for (uint32_t i = 0; i < fixture.log_lines; i++) {
        if (strstr(fixture.log[i], text))
            return fixture.log[i];
    }
    return NULL;
}

/* Sends what stands in @peer and expects a refusal; nothing of it stays behind. */
static void expect_refused(struct peer *peer, const int *descriptors, size_t count,
                           enum refusal reason)
{
    uint64_t before = ingest_stats(fixture.ingest).refused[reason];
    int open_before;
    struct answer answer;

    peer_connect(peer, &fixture);
    open_before = descriptors_open();
    peer_send(peer, peer->bytes, peer->length, descriptors, count);
    answer = peer_answer(&fixture, peer);
    assert_int_equal(answer.kind, MESSAGE_REFUSED);
    if (answer.reason != reason)
        fail_msg("refused as %s, not as %s", refusal_token(answer.reason), refusal_token(reason));
    assert_true(answer.text.length > 10); /* says why, in words */
    assert_int_equal(ingest_stats(fixture.ingest).refused[reason], before + 1);
    assert_non_null(log_find(refusal_token(reason)));
    assert_int_equal(ingest_stats(fixture.ingest).clients, 0);
    RUN_UNTIL(&fixture, peer_is_closed(peer));
    assert_int_equal(descriptors_open(), open_before); /* its own and the listener's, no more */
    (void)close(peer->socket);
    peer->socket = -1;
}

static void test_segment_is_welcome(void **state)
{
    struct peer peer;
    struct answer answer;
    (void)state;

    peer_make(&peer, 1);
    answer = peer_enter(&fixture, &peer);
    assert_int_equal(answer.version.major, WIRE_VERSION_MAJOR);
    assert_int_equal(answer.flags, 0);
    assert_int_equal(fixture.clients, 1);
    assert_string_equal(fixture.last_service, "shop");
    assert_int_equal(ingest_stats(fixture.ingest).clients, 1);
    assert_int_equal(ingest_stats(fixture.ingest).mapped_bytes, SEGMENT_SIZE_MIN);
    assert_int_equal(peer.segment->epoch, 0); /* nobody read its names before */
    peer_leave(&peer);
}

static void test_hello_byte_by_byte(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    peer_connect(&peer, &fixture);
    peer_send(&peer, peer.bytes, 1, (int[]){peer.memfd, peer.pidfd}, 2);
    for (size_t i = 1; i < peer.length; i++) {
        peer_send(&peer, peer.bytes + i, 1, NULL, 0);
        (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(peer_answer(&fixture, &peer).kind, MESSAGE_WELCOME);
    peer_leave(&peer);
}

static void test_other_major_version(void **state)
{
    struct peer peer;
    uint16_t version = WIRE_VERSION_MAJOR + 1;
    (void)state;

    peer_make(&peer, 1);
    memcpy(peer.bytes + 4 + offsetof(struct message_header, version_major), &version, 2);
    memcpy(peer.bytes + 4 + offsetof(struct message_header, version_major_oldest), &version, 2);
    expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_VERSION);
    peer_leave(&peer);

    /* A newer shim that still speaks our version is served, at ours. */
    peer_make(&peer, 2);
    memcpy(peer.bytes + 4 + offsetof(struct message_header, version_major), &version, 2);
    assert_int_equal(peer_enter(&fixture, &peer).version.major, WIRE_VERSION_MAJOR);
    peer_leave(&peer);
}

static void test_segment_of_another_major_version(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    peer.segment->version_major++;
    expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_VERSION);
    peer_leave(&peer);
}

static void test_no_hello_at_all(void **state)
{
    static const char http[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct peer peer;
    (void)state;

    /* Its first four letters are a length of more than a gigabyte. */
    peer_set_fields(&peer, HELLO_FRAMES, 1);
    memcpy(peer.bytes, http, sizeof(http));
    peer.length = sizeof(http);
    expect_refused(&peer, NULL, 0, REFUSAL_TOO_LONG);

    memcpy(peer.bytes, "\0\0\0\0", 4);
    peer.length = 4;
    expect_refused(&peer, NULL, 0, REFUSAL_MALFORMED);

    struct frame_writer frame;
    assert_true(frame_begin(&frame, peer.bytes, sizeof(peer.bytes), 1));
    peer.length = frame_end(&frame);
    expect_refused(&peer, NULL, 0, REFUSAL_UNEXPECTED);
}

static void test_unsealed_memfd(void **state)
{
    static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_GROW};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        struct peer peer;
        peer_set_fields(&peer, HELLO_SEGMENT, 1);
        peer_make_segment(&peer, SEGMENT_SIZE_MIN, seals[i]);
        peer.pidfd = pidfd_of(getpid());
        peer_make_hello(&peer);
        expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_SEALS);
        peer_leave(&peer);
    }
}

static void test_short_memfd(void **state)
{
    static const off_t sizes[] = {
        0, 1, 100, 4096, SEGMENT_SIZE_MIN - 4096, SEGMENT_SIZE_MIN + 4096};
    (void)state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct peer peer;
        peer_set_fields(&peer, HELLO_SEGMENT, 1);
        peer_make_segment(&peer, SEGMENT_SIZE_MIN, 0);
        assert_int_equal(munmap(peer.segment, SEGMENT_SIZE_MIN), 0);
        peer.segment = NULL;
        assert_int_equal(ftruncate(peer.memfd, sizes[i]), 0);
        assert_int_equal(fcntl(peer.memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        peer.pidfd = pidfd_of(getpid());
        peer_make_hello(&peer);
        expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_SEGMENT_SIZE);
        peer_leave(&peer);
    }
}

static void test_huge_pages(void **state)
{
    struct peer peer;
    (void)state;

    peer_set_fields(&peer, HELLO_SEGMENT, 1);
    peer.memfd =
        (int)syscall(SYS_memfd_create, "weir", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (peer.memfd < 0)
        skip(); /* a kernel without huge pages */
    assert_int_equal(ftruncate(peer.memfd, 4 << 20), 0);
    assert_int_equal(fcntl(peer.memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    peer.pidfd = pidfd_of(getpid());
    peer_make_hello(&peer);
    expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_HUGE_PAGES);
    peer_leave(&peer);
}

static void test_descriptors_of_the_wrong_type(void **state)
{
    int pipes[2], file = open(".", O_RDONLY | O_TMPFILE | O_RDWR, 0600);
    struct peer peer;
    (void)state;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    peer_make(&peer, 1);
    expect_refused(&peer, (int[]){pipes[0], peer.pidfd}, 2, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, (int[]){peer.pidfd, peer.pidfd}, 2, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, (int[]){peer.memfd, pipes[1]}, 2, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, (int[]){peer.memfd, peer.memfd}, 2, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, (int[]){peer.pidfd, peer.memfd}, 2, REFUSAL_DESCRIPTORS);
    if (file >= 0) {
        assert_int_equal(ftruncate(file, SEGMENT_SIZE_MIN), 0);
        expect_refused(&peer, (int[]){file, peer.pidfd}, 2, REFUSAL_DESCRIPTORS);
        (void)close(file);
    }
    int readonly = (int)syscall(SYS_memfd_create, "weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(readonly, SEGMENT_SIZE_MIN), 0);
    assert_int_equal(fcntl(readonly, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    expect_refused(&peer, (int[]){readonly, peer.pidfd}, 2, REFUSAL_DESCRIPTORS);
    (void)close(readonly);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    peer_leave(&peer);
}

static void test_surplus_and_missing_descriptors(void **state)
{
    int many[40];
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    for (size_t i = 0; i < 40; i++)
        many[i] = peer.memfd;
    many[1] = peer.pidfd;
    expect_refused(&peer, NULL, 0, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, many, 1, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, many, 3, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, many, 16, REFUSAL_DESCRIPTORS);
    expect_refused(&peer, many, 40, REFUSAL_DESCRIPTORS); /* truncated by the kernel */

    peer.fields.kind = HELLO_SEGMENT_WITHOUT_PIDFD;
    peer_make_hello(&peer);
    expect_refused(&peer, many, 2, REFUSAL_DESCRIPTORS);
    peer.fields.kind = HELLO_FRAMES;
    peer_make_hello(&peer);
    expect_refused(&peer, many, 1, REFUSAL_DESCRIPTORS);
    peer_leave(&peer);
}

static void test_offsets_out_of_range(void **state)
{
    (void)state;
    for (int field = 0; field < 6; field++) {
        struct peer peer;
        peer_make(&peer, 1);
        switch (field) {
        case 0:
            peer.segment->lanes_offset = UINT64_MAX - 4095;
            break;
        case 1:
            peer.segment->names_offset = SEGMENT_SIZE_MIN;
            break;
        case 2:
            peer.segment->lane_count = UINT32_MAX;
            break;
        case 3:
            peer.segment->lane_stride = UINT32_MAX & ~63u;
            break;
        case 4:
            peer.segment->magic++;
            break;
        default:
            peer.segment->segment_id[0]++; /* not the one of the hello */
            break;
        }
        expect_refused(&peer, (int[]){peer.memfd, peer.pidfd}, 2, REFUSAL_SEGMENT_LAYOUT);
        peer_leave(&peer);
    }
}

static void test_dead_before_its_hello_was_read(void **state)
{
    pid_t pid = fork();
    struct peer peer;
    (void)state;

    assert_true(pid >= 0);
    if (pid == 0) {
        /* Lives for a moment: says hello, records, does not wait for an answer. */
        peer_make(&peer, 9);
        peer_connect(&peer, &fixture);
        for (uint64_t i = 0; i < 5; i++)
            (void)lane_fixture_write(segment_lane(peer.segment, 0), 1, 96);
        peer_greet(&peer);
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    RUN_UNTIL(&fixture, fixture.ended == 1);
    assert_int_equal(fixture.died, 1);
    assert_int_equal(fixture.events, 5);
    assert_int_equal(fixture.counts.recorded, 5);
    assert_int_equal(fixture.counts.read, 5);
    assert_int_equal(ingest_stats(fixture.ingest).clients, 0);
    assert_int_equal(ingest_stats(fixture.ingest).mapped_bytes, 0);
}

static void test_silent_connection_times_out(void **state)
{
    struct peer peer;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.hello_timeout_ms = 50;
    fixture_listen(&fixture);
    peer_make(&peer, 1);
    peer_connect(&peer, &fixture);
    peer_send(&peer, peer.bytes, 10, NULL, 0); /* a part of a hello, then nothing */
    RUN_UNTIL(&fixture, peer_is_closed(&peer));
    assert_int_equal(ingest_stats(fixture.ingest).hello_timeouts, 1);
    assert_int_equal(ingest_stats(fixture.ingest).buffered_bytes, 0);
    peer_leave(&peer);
}

static void test_more_clients_than_there_is_room(void **state)
{
    struct peer peers[3];
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.clients_max = 2;
    fixture_listen(&fixture);
    for (uint8_t i = 0; i < 3; i++)
        peer_make(&peers[i], (uint8_t)(i + 1));
    (void)peer_enter(&fixture, &peers[0]);
    (void)peer_enter(&fixture, &peers[1]);
    peer_connect(&peers[2], &fixture);
    peer_greet(&peers[2]);
    assert_int_equal(peer_answer(&fixture, &peers[2]).reason, REFUSAL_CLIENTS_MAX);
    for (size_t i = 0; i < 3; i++)
        peer_leave(&peers[i]);
}

static void test_more_bytes_than_may_be_mapped(void **state)
{
    struct peer peers[2];
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.mapped_bytes_max = SEGMENT_SIZE_MIN + 4096;
    fixture_listen(&fixture);
    peer_make(&peers[0], 1);
    peer_make(&peers[1], 2);
    (void)peer_enter(&fixture, &peers[0]);
    peer_connect(&peers[1], &fixture);
    peer_greet(&peers[1]);
    assert_int_equal(peer_answer(&fixture, &peers[1]).reason, REFUSAL_MAPPED_MAX);
    peer_leave(&peers[0]);
    peer_leave(&peers[1]);
}

static void test_ten_thousand_connects(void **state)
{
    enum { CONNECTS = 10000, KEPT = 400 };
    int kept[KEPT];
    struct peer peer;
    uint64_t refused;
    (void)state;

    for (int i = 0; i < CONNECTS; i++) {
        struct peer one = {.socket = -1, .memfd = -1, .pidfd = -1};
        while (!peer_try_connect(&one, &fixture)) /* the backlog is full: the agent must go on */
            (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
        if (i < CONNECTS - KEPT) /* most hang up at once, some stay and say nothing */
            (void)close(one.socket);
        else
            kept[i - (CONNECTS - KEPT)] = one.socket;
    }
    /* One who means it gets in behind them all. */
    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    assert_int_equal(ingest_stats(fixture.ingest).accepted, CONNECTS + 1);
    assert_true(ingest_stats(fixture.ingest).greeting <= 256);
    refused = ingest_stats(fixture.ingest).refused[REFUSAL_CLIENTS_MAX];
    assert_true(refused >= KEPT - 256);
    assert_true(fixture.log_lines <= 3); /* many refusals are not many lines */
    for (int i = 0; i < KEPT; i++)
        (void)close(kept[i]);
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).greeting == 0);
    peer_leave(&peer);
}

static void test_no_descriptors_left(void **state)
{
    struct rlimit before, few;
    struct peer peer, late;
    int sockets[64];
    (void)state;

    peer_make(&peer, 1);
    peer_make(&late, 2);
    (void)peer_enter(&fixture, &peer);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 64; i++) {
        struct peer one = {.socket = -1};
        peer_connect(&one, &fixture);
        sockets[i] = one.socket;
    }
    peer_connect(&late, &fixture);
    few = before;
    few.rlim_cur = (rlim_t)descriptors_open() + 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).refused[REFUSAL_CLIENTS_MAX] > 0);
    /* Who is in goes on being read. */
    assert_int_equal(lane_fixture_write(segment_lane(peer.segment, 3), 7, 96), 0);
    RUN_UNTIL(&fixture, fixture.events == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 64; i++)
        (void)close(sockets[i]);
    peer_leave(&peer);
    peer_leave(&late);
}

static void test_hello_that_is_no_utf8(void **state)
{
    struct hello_writer writer;
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    hello_begin(&writer, peer.bytes, sizeof(peer.bytes), &peer.fields);
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SERVICE),
                                view_from("sh\xff"
                                          "op")));
    peer.length = hello_end(&writer);
    (void)peer_enter(&fixture, &peer);
    assert_string_equal(fixture.last_service, "sh\xef\xbf\xbdop");
    peer_leave(&peer);
}

static void test_clocks_of_another_namespace(void **state)
{
    const uint64_t behind = UINT64_C(86400) * NS_PER_S;
    struct peer peer;
    int64_t expected;
    (void)state;

    peer_make(&peer, 1);
    peer.fields.monotonic_ns += behind; /* its clock started a day before ours */
    peer_make_hello(&peer);
    (void)peer_enter(&fixture, &peer);
    expected = (int64_t)(peer.fields.realtime_ns - peer.fields.monotonic_ns);
    assert_in_range(fixture.last_wall_offset_ns - expected + 1000000, 0, 2000000);
    /* What it records now is placed now; what claims to come from the future, too. */
    assert_int_equal(lane_fixture_write(segment_lane(peer.segment, 0), UINT64_MAX / 4, 96), 0);
    RUN_UNTIL(&fixture, fixture.events == 1);
    assert_true(fixture.last_time_unix_ns <= clock_realtime_ns() + NS_PER_S);
    assert_true(fixture.last_time_unix_ns + 60 * NS_PER_S >= clock_realtime_ns());
    peer_leave(&peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_segment_is_welcome),
        TEST(test_hello_byte_by_byte),
        TEST(test_other_major_version),
        TEST(test_segment_of_another_major_version),
        TEST(test_no_hello_at_all),
        TEST(test_unsealed_memfd),
        TEST(test_short_memfd),
        TEST(test_huge_pages),
        TEST(test_descriptors_of_the_wrong_type),
        TEST(test_surplus_and_missing_descriptors),
        TEST(test_offsets_out_of_range),
        TEST(test_dead_before_its_hello_was_read),
        TEST(test_silent_connection_times_out),
        TEST(test_more_clients_than_there_is_room),
        TEST(test_more_bytes_than_may_be_mapped),
        TEST(test_ten_thousand_connects),
        TEST(test_no_descriptors_left),
        TEST(test_hello_that_is_no_utf8),
        TEST(test_clocks_of_another_namespace),
    };

    return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
