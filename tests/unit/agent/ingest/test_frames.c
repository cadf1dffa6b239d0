/* Clients that cannot map memory. */
#include "tests/unit/agent/ingest/ingest_fixture.h"

static struct ingest_fixture fixture;
static struct rows rows;

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
    rows_deinit(&rows);
    fixture_close(&fixture);
    return 0;
}

static void keep_counts(void *userdata, const struct process *process,
                        const struct ingest_counts *counts)
{
    (void)userdata;
    (void)process;
    fixture.counts = *counts;
}

static struct ingest_counts counts_now(void)
{
    uint64_t sum;

    ingest_counts(fixture.ingest, keep_counts, NULL);
    sum = fixture.counts.read + fixture.counts.in_lanes;
    for (int i = 0; i < DROP_END; i++)
        sum += fixture.counts.dropped[i];
    assert_int_equal(fixture.counts.recorded, sum);
    return fixture.counts;
}

static void peer_make_frames(struct peer *peer, uint8_t id)
{
    peer_set_fields(peer, HELLO_FRAMES, id);
    peer_make_hello(peer);
}

/* A frame of @count statements whose first one is the client's event @first. */
static size_t frame_make(char *bytes, size_t size, uint64_t number, uint32_t first, uint32_t count)
{
    struct frame_writer frame;

    assert_true(frame_begin(&frame, bytes, size, number));
    for (uint32_t i = first; i < first + count; i++) {
        struct record_statement record = {
            .head.header = {.kind = RECORD_STATEMENT, .length = sizeof(record), .number = i},
            .fingerprint = i,
        };
        assert_true(frame_append(&frame, &record.head.header));
    }
    return frame_end(&frame);
}

static void peer_send_frame(struct peer *peer, uint64_t number, uint32_t first, uint32_t count)
{
    static char bytes[1 << 20];

    peer_send(peer, bytes, frame_make(bytes, sizeof(bytes), number, first, count), NULL, 0);
}

static void next_agent(bool with_rows)
{
    fixture_stop(&fixture);
    fixture_start(&fixture);
    if (with_rows)
        fixture_restore(&fixture, &rows);
    assert_int_equal(ingest_listen(fixture.ingest), 0);
}

static void test_frames_are_acknowledged_after_the_checkpoint(void **state)
{
    struct answer answer;
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    answer = peer_enter(&fixture, &peer);
    assert_int_equal(answer.flags, WELCOME_ANNOUNCE);
    assert_int_equal(answer.acknowledged, 0);
    peer_send_frame(&peer, 1, 0, 3);
    peer_send_frame(&peer, 2, 3, 2);
    RUN_UNTIL(&fixture, fixture.events == 5);
    assert_int_equal(fixture.fingerprints, 0 + 1 + 2 + 3 + 4);
    assert_false(peer_receive(&peer));
    fixture_checkpoint(&fixture, &rows);
    answer = peer_answer(&fixture, &peer);
    assert_int_equal(answer.kind, MESSAGE_ACK);
    assert_int_equal(answer.acknowledged, 2);
    assert_int_equal(counts_now().recorded, 5);
    peer_leave(&peer);
}

static void test_sent_again_is_counted_once(void **state)
{
    struct answer answer;
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    peer_send_frame(&peer, 1, 0, 3);
    RUN_UNTIL(&fixture, fixture.events == 3);
    fixture_checkpoint(&fixture, &rows);
    peer_send_frame(&peer, 2, 3, 3); /* in no checkpoint */
    RUN_UNTIL(&fixture, fixture.events == 6);
    (void)close(peer.socket);
    answer = peer_enter(&fixture, &peer); /* the same agent: it knows both */
    assert_int_equal(answer.acknowledged, 1);
    assert_int_equal(fixture.clients, 1);
    peer_send_frame(&peer, 2, 3, 3);
    peer_send_frame(&peer, 3, 6, 1);
    RUN_UNTIL(&fixture, fixture.events == 7);
    assert_int_equal(ingest_stats(fixture.ingest).frames_again, 1);

    next_agent(true); /* killed: it has one frame, and gets the others again */
    fixture.events = 0;
    (void)close(peer.socket);
    answer = peer_enter(&fixture, &peer);
    assert_int_equal(answer.acknowledged, 1);
    assert_int_equal(answer.flags, 0);
    peer_send_frame(&peer, 2, 3, 3);
    peer_send_frame(&peer, 3, 6, 1);
    RUN_UNTIL(&fixture, fixture.events == 4);
    assert_int_equal(counts_now().recorded, 7);
    assert_int_equal(counts_now().read, 7);
    peer_leave(&peer);
}

static void test_agent_without_data(void **state)
{
    struct answer answer;
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    peer_send_frame(&peer, 1, 0, 3);
    RUN_UNTIL(&fixture, fixture.events == 3);
    fixture_checkpoint(&fixture, &rows);
    (void)peer_answer(&fixture, &peer); /* acknowledged: the client has forgotten it */
    next_agent(false);
    (void)close(peer.socket);
    answer = peer_enter(&fixture, &peer);
    assert_int_equal(answer.flags, WELCOME_ANNOUNCE);
    peer_send_frame(&peer, 2, 3, 3);
    RUN_UNTIL(&fixture, fixture.events == 6);
    assert_int_equal(counts_now().recorded, 6);
    assert_int_equal(counts_now().read, 3);
    assert_int_equal(counts_now().dropped[DROP_READ_BY_OTHER], 3);
    peer_leave(&peer);
}

static void test_events_that_the_client_had_no_room_for(void **state)
{
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    peer_send_frame(&peer, 1, 0, 3);
    peer_send_frame(&peer, 2, 10, 3);
    RUN_UNTIL(&fixture, fixture.events == 6);
    assert_int_equal(counts_now().recorded, 13);
    assert_int_equal(counts_now().dropped[DROP_LANES_FULL], 7);
    peer_leave(&peer);
}

static void test_names_and_pools(void **state)
{
    struct {
        struct record_name name;
        char text[32];
    } name = {.name = {.header = {.kind = RECORD_NAME, .length = sizeof(name)},
                       .id = 5,
                       .name_kind = NAME_STATEMENT,
                       .text_length = 9},
              .text = "SELECT $1"};
    struct record_pool_state pool = {
        .head = {.header = {.kind = RECORD_POOL_STATE, .length = sizeof(pool)},
                 .target = 8,
                 .flags = POOL_STATE_HAS_WAITERS | POOL_STATE_HAS_LIMITS},
        .connections_max = 10,
        .used = 4,
        .idle = 2,
        .timeouts = 3,
    };
    struct frame_writer frame;
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    assert_true(frame_begin(&frame, peer.bytes, sizeof(peer.bytes), 1));
    assert_true(frame_append(&frame, &name.name.header));
    assert_true(frame_append(&frame, &pool.head.header));
    pool.used = 5; /* the newest state counts */
    assert_true(frame_append(&frame, &pool.head.header));
    peer_send(&peer, peer.bytes, frame_end(&frame), NULL, 0);
    RUN_UNTIL(&fixture, fixture.names == 1);
    assert_string_equal(fixture.last_name, "SELECT $1");
    ingest_look(fixture.ingest, fixture_keep_board, &fixture);
    assert_int_equal(fixture.board.pool_count, 1);
    assert_int_equal(fixture.pools[0].target, 8);
    assert_int_equal(fixture.pools[0].flags, POOL_HAS_WAITERS | POOL_HAS_LIMITS);
    assert_int_equal(fixture.pools[0].used, 5);
    assert_int_equal(fixture.pools[0].idle, 2);
    assert_int_equal(fixture.pools[0].timeouts, 3);
    assert_int_equal(counts_now().recorded, 0); /* none of them is an event, */
    RUN_UNTIL(&fixture, fixture.unsaved == 1);  /* but they wait for a checkpoint and their ack */
    peer_leave(&peer);
}

/* Sends @bytes on a fresh connection and expects a refusal that costs this client only. */
static void expect_refused(const char *bytes, size_t length, enum refusal reason)
{
    struct answer answer;
    struct peer peer;

    peer_make_frames(&peer, 2);
    (void)peer_enter(&fixture, &peer);
    peer_send(&peer, bytes, length, NULL, 0);
    answer = peer_answer(&fixture, &peer);
    assert_int_equal(answer.kind, MESSAGE_REFUSED);
    assert_int_equal(answer.reason, reason);
    RUN_UNTIL(&fixture, peer_is_closed(&peer));
    peer_leave(&peer);
}

static void test_bad_frames_are_taken_not_at_all(void **state)
{
    static const struct {
        size_t offset;
        uint16_t value;
        enum refusal reason;
    } cases[] = {
        {4 + offsetof(struct message_header, magic), 0, REFUSAL_MALFORMED},
        {4 + offsetof(struct message_header, kind), MESSAGE_HELLO, REFUSAL_UNEXPECTED},
        {4 + offsetof(struct message_frame, record_count), 4, REFUSAL_MALFORMED},
        /* The last of three records: nothing of the first two may count either. */
        {36 + 192 + offsetof(struct record_header, length), 64, REFUSAL_MALFORMED},
        {36 + 192 + offsetof(struct record_header, kind), RECORD_PAD, REFUSAL_MALFORMED},
        {36 + 192 + offsetof(struct record_statement, failure), FAILURE_END, REFUSAL_MALFORMED},
        {36 + 192 + offsetof(struct record_header, number), 0, REFUSAL_MALFORMED}, /* backwards */
    };
    char bytes[1024];
    struct peer good;
    (void)state;

    peer_make_frames(&good, 1);
    (void)peer_enter(&fixture, &good);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t length = frame_make(bytes, sizeof(bytes), 1, 5, 3);
        memcpy(bytes + cases[i].offset, &cases[i].value, 2);
        expect_refused(bytes, length, cases[i].reason);
        assert_int_equal(fixture.events, 0);
    }
    memcpy(bytes, &(uint32_t){MESSAGE_LENGTH_MAX + 1}, 4);
    expect_refused(bytes, 4, REFUSAL_TOO_LONG);
    memcpy(bytes, &(uint32_t){7}, 4);
    expect_refused(bytes, 4, REFUSAL_MALFORMED);
    peer_send_frame(&good, 1, 0, 3);
    RUN_UNTIL(&fixture, fixture.events == 3);
    peer_leave(&good);
}

static void test_client_that_stops_in_the_middle_of_a_frame(void **state)
{
    char bytes[1024];
    struct peer peer, good;
    size_t length;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.hello_timeout_ms = 100;
    fixture_listen(&fixture);
    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    peer_make_frames(&good, 2);
    (void)peer_enter(&fixture, &good);
    length = frame_make(bytes, sizeof(bytes), 1, 0, 5);
    peer_send(&peer, bytes, length - 100, NULL, 0);
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).buffered_bytes > 0);
    peer_send_frame(&good, 1, 0, 3); /* the others do not wait for it */
    RUN_UNTIL(&fixture, fixture.events == 3);
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).frame_timeouts == 1);
    assert_int_equal(ingest_stats(fixture.ingest).buffered_bytes, 0);
    /* It comes again, and now says it whole. */
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer);
    peer_send(&peer, bytes, length, NULL, 0);
    RUN_UNTIL(&fixture, fixture.events == 8);
    assert_int_equal(ingest_stats(fixture.ingest).buffered_bytes, 0);
    peer_leave(&peer);
    peer_leave(&good);
}

static void test_incomplete_messages_are_bounded(void **state)
{
    static char bytes[1 << 20];
    struct peer peers[3];
    uint32_t refused = 0;
    size_t length;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.buffered_bytes_max = 2000000;
    fixture_listen(&fixture);
    length = frame_make(bytes, sizeof(bytes), 1, 0, 10000); /* 960,036 bytes */
    for (uint8_t i = 0; i < 3; i++) {
        peer_make_frames(&peers[i], (uint8_t)(i + 1));
        (void)peer_enter(&fixture, &peers[i]);
        peer_send(&peers[i], bytes, 100, NULL, 0);
    }
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).refused[REFUSAL_TOO_LONG] == 1);
    for (int i = 0; i < 3; i++) {
        if (peer_receive(&peers[i]))
            refused++;
    }
    assert_int_equal(refused, 1);
    assert_true(ingest_stats(fixture.ingest).buffered_bytes <= 2000000);
    assert_true(length > 900000);
    for (int i = 0; i < 3; i++)
        peer_leave(&peers[i]);
    RUN_UNTIL(&fixture, ingest_stats(fixture.ingest).buffered_bytes == 0);
}

static void test_large_frames_in_pieces(void **state)
{
    static char bytes[1 << 20];
    struct peer peer;
    size_t length = frame_make(bytes, sizeof(bytes), 1, 0, 10000), offset = 0;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    while (offset < length) {
        ssize_t sent = send(peer.socket, bytes + offset, length - offset, MSG_NOSIGNAL);
        if (sent > 0)
            offset += (size_t)sent;
        (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(&fixture, fixture.events == 10000);
    assert_int_equal(fixture.fingerprints, 9999 * 10000 / 2);
    assert_int_equal(ingest_stats(fixture.ingest).buffered_bytes, 0);
    peer_leave(&peer);
}

static void test_client_that_never_reads_its_acks(void **state)
{
    struct answer answer = {0};
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    for (uint64_t i = 1; i <= 20000; i++) {
        peer_send_frame(&peer, i, (uint32_t)i - 1, 1);
        RUN_UNTIL(&fixture, fixture.events == i);
        struct rows checkpoint;
        fixture_checkpoint(&fixture, &checkpoint);
        rows_deinit(&checkpoint);
    }
    while (answer.acknowledged < 20000) /* the newest arrives in the end */
        answer = peer_answer(&fixture, &peer);
    peer_leave(&peer);
}

static void test_stop_is_told_at_once(void **state)
{
    struct peer peer;
    (void)state;

    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    ingest_stop_recording(fixture.ingest, true);
    assert_int_equal(peer_answer(&fixture, &peer).flags, WELCOME_STOP_RECORDING);
    ingest_stop_recording(fixture.ingest, false);
    assert_int_equal(peer_answer(&fixture, &peer).flags, 0);
    ingest_announce(fixture.ingest);
    assert_int_equal(peer_answer(&fixture, &peer).flags, WELCOME_ANNOUNCE);
    peer_leave(&peer);
}

static void test_gone_and_back(void **state)
{
    struct peer peer;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.gone_timeout_ms = 50;
    fixture_listen(&fixture);
    peer_make_frames(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    peer_send_frame(&peer, 1, 0, 3);
    RUN_UNTIL(&fixture, fixture.events == 3);
    (void)close(peer.socket);
    RUN_UNTIL(&fixture, fixture.gone == 1);
    assert_int_equal(ingest_stats(fixture.ingest).stored, 1);
    /* In no checkpoint: not acknowledged, but known. */
    assert_int_equal(peer_enter(&fixture, &peer).acknowledged, 0);
    peer_send_frame(&peer, 1, 0, 3);
    peer_send_frame(&peer, 2, 3, 1);
    RUN_UNTIL(&fixture, fixture.events == 4);
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(peer_answer(&fixture, &peer).acknowledged, 2);
    peer_leave(&peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_frames_are_acknowledged_after_the_checkpoint),
        TEST(test_sent_again_is_counted_once),
        TEST(test_agent_without_data),
        TEST(test_events_that_the_client_had_no_room_for),
        TEST(test_names_and_pools),
        TEST(test_bad_frames_are_taken_not_at_all),
        TEST(test_client_that_stops_in_the_middle_of_a_frame),
        TEST(test_incomplete_messages_are_bounded),
        TEST(test_large_frames_in_pieces),
        TEST(test_client_that_never_reads_its_acks),
        TEST(test_stop_is_told_at_once),
        TEST(test_gone_and_back),
    };

    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
