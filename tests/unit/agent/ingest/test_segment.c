/* Reading segments: order, checkpoints, resuming, deaths, and writers that lie. */
#include "tests/unit/agent/ingest/ingest_fixture.h"

#include <signal.h>
#include <sys/wait.h>

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

/* The counts of the only client; they always add up. */
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

static void write_lane(struct peer *peer, uint32_t lane, uint64_t value)
{
    assert_int_equal(lane_fixture_write(segment_lane(peer->segment, lane), value, 96), 0);
}

static void next_agent(bool with_rows)
{
    fixture_stop(&fixture);
    fixture_start(&fixture);
    if (with_rows)
        fixture_restore(&fixture, &rows);
    assert_int_equal(ingest_listen(fixture.ingest), 0);
}

static void test_names_and_events(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    /* Recorded before there was an agent. */
    assert_int_equal(peer_announce(&peer, 31, "SELECT $1"), 0);
    for (uint64_t i = 1; i <= 4; i++)
        write_lane(&peer, (uint32_t)i, i);
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 4);
    assert_int_equal(fixture.names, 1);
    assert_string_equal(fixture.last_name, "SELECT $1");
    assert_int_equal(fixture.fingerprints, 31 * (1 + 2 + 3 + 4));
    for (uint64_t i = 5; i <= 1000; i++)
        write_lane(&peer, (uint32_t)i % SEGMENT_LANES, i);
    RUN_UNTIL(&fixture, fixture.events == 1000);
    assert_int_equal(fixture.fingerprints, UINT64_C(31) * 1000 * 1001 / 2);
    assert_int_equal(counts_now().recorded, 1000);
    assert_int_equal(counts_now().read, 1000);
    peer_leave(&peer);
}

static void test_tail_moves_after_the_checkpoint(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    assert_int_equal(peer_announce(&peer, 31, "SELECT $1"), 0);
    RUN_UNTIL(&fixture, fixture.events == 1);
    assert_int_equal(segment_lane(peer.segment, 0)->tail, 0);

    rows_init(&rows, 1 << 20);
    ingest_freeze(fixture.ingest, &rows);
    assert_int_equal(rows.count, 1);
    write_lane(&peer, 0, 2); /* after the freeze: not covered */
    RUN_UNTIL(&fixture, fixture.events == 2);
    assert_int_equal(segment_lane(peer.segment, 0)->tail, 0);
    ingest_commit(fixture.ingest);
    assert_int_equal(segment_lane(peer.segment, 0)->tail, 96);
    assert_int_equal(segment_names(peer.segment)->tail, 64);
    rows_deinit(&rows);

    /* One that fails covers nothing, and the next one covers it all. */
    rows_init(&rows, 1 << 20);
    ingest_freeze(fixture.ingest, &rows);
    ingest_commit_failed(fixture.ingest);
    ingest_commit(fixture.ingest);
    assert_int_equal(segment_lane(peer.segment, 0)->tail, 96);
    rows_deinit(&rows);
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(segment_lane(peer.segment, 0)->tail, 192);
    rows_deinit(&rows);

    /* With nothing new there is nothing to write. */
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(rows.count, 0);
    peer_leave(&peer);
}

static void test_next_agent_goes_on_at_the_checkpoint(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    for (uint64_t i = 1; i <= 10; i++)
        write_lane(&peer, (uint32_t)i % 3, i);
    RUN_UNTIL(&fixture, fixture.events == 10);
    fixture_checkpoint(&fixture, &rows);
    for (uint64_t i = 11; i <= 15; i++) /* read, but in no checkpoint: the agent is killed */
        write_lane(&peer, (uint32_t)i % 3, i);
    RUN_UNTIL(&fixture, fixture.events == 15);

    next_agent(true);
    fixture.events = fixture.fingerprints = 0;
    for (uint64_t i = 16; i <= 20; i++) /* while nobody was there */
        write_lane(&peer, (uint32_t)i % 3, i);
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 10);
    assert_int_equal(fixture.fingerprints, 31 * (11 + 12 + 13 + 14 + 15 + 16 + 17 + 18 + 19 + 20));
    assert_int_equal(counts_now().recorded, 20);
    assert_int_equal(counts_now().read, 20);
    assert_int_equal(peer.segment->epoch, 0); /* its names are in the checkpoint */
    peer_leave(&peer);
}

static void test_killed_between_checkpoint_and_tails(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    RUN_UNTIL(&fixture, fixture.events == 1);
    rows_init(&rows, 1 << 20);
    ingest_freeze(fixture.ingest, &rows); /* stored; then killed, before the commit */
    next_agent(true);
    write_lane(&peer, 0, 2);
    (void)close(peer.socket);
    fixture.fingerprints = 0;
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 2);
    assert_int_equal(fixture.fingerprints, 62); /* the first one is not read again */
    peer_leave(&peer);
}

static void test_agent_without_data_says_what_others_read(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    assert_int_equal(peer_announce(&peer, 31, "SELECT $1"), 0);
    for (uint64_t i = 1; i <= 10; i++)
        write_lane(&peer, 0, i);
    RUN_UNTIL(&fixture, fixture.events == 10);
    fixture_checkpoint(&fixture, &rows);
    next_agent(false);
    write_lane(&peer, 0, 11);
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer);
    assert_int_equal(peer.segment->epoch, 1); /* names are announced anew */
    RUN_UNTIL(&fixture, fixture.events == 11);
    assert_int_equal(counts_now().recorded, 11);
    assert_int_equal(counts_now().read, 1);
    assert_int_equal(counts_now().dropped[DROP_READ_BY_OTHER], 10);
    rows_deinit(&rows);

    /* The loss is remembered. */
    fixture_checkpoint(&fixture, &rows);
    next_agent(true);
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer);
    assert_int_equal(counts_now().dropped[DROP_READ_BY_OTHER], 10);
    assert_int_equal(counts_now().read, 1);
    peer_leave(&peer);
}

static void test_another_agent_read_in_between(void **state)
{
    struct peer peer;
    struct lane_reader other;
    const struct record_header *record;
    static struct lane_record_copy copy;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    for (uint64_t i = 1; i <= 10; i++)
        write_lane(&peer, 0, i);
    RUN_UNTIL(&fixture, fixture.events == 10);
    fixture_checkpoint(&fixture, &rows);
    fixture_stop(&fixture);
    for (uint64_t i = 11; i <= 17; i++)
        write_lane(&peer, 0, i);
    assert_int_equal(
        lane_reader_open(&other, segment_lane(peer.segment, 0), peer.segment->lane_stride), 0);
    assert_int_equal(lane_reader_look(&other), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(lane_reader_next(&other, &copy, &record), 0);
    lane_reader_commit(&other, other.position);
    fixture_start(&fixture);
    fixture_restore(&fixture, &rows);
    assert_int_equal(ingest_listen(fixture.ingest), 0);
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 13);
    assert_int_equal(counts_now().recorded, 17);
    assert_int_equal(counts_now().read, 13);
    assert_int_equal(counts_now().dropped[DROP_READ_BY_OTHER], 4);
    peer_leave(&peer);
}

static void test_stored_position_beyond_head_is_refused(void **state)
{
    struct peer peer;
    struct answer answer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    for (uint64_t i = 1; i <= 10; i++)
        write_lane(&peer, 0, i);
    RUN_UNTIL(&fixture, fixture.events == 10);
    fixture_checkpoint(&fixture, &rows);
    next_agent(true);
    segment_lane(peer.segment, 0)->head = 96; /* it steps back */
    (void)close(peer.socket);
    peer_connect(&peer, &fixture);
    peer_greet(&peer);
    answer = peer_answer(&fixture, &peer);
    assert_int_equal(answer.reason, REFUSAL_POSITION);
    assert_int_equal(ingest_stats(fixture.ingest).stored, 1); /* what is known stays known */
    peer_leave(&peer);
}

static void test_reconnect_hands_over_the_same_segment(void **state)
{
    struct peer peer, thief;
    int first;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    RUN_UNTIL(&fixture, fixture.events == 1);
    first = peer.socket;
    (void)peer_enter(&fixture, &peer); /* while the old connection still stands */
    assert_int_equal(fixture.clients, 1);
    write_lane(&peer, 0, 2);
    RUN_UNTIL(&fixture, fixture.events == 2);
    (void)close(first);
    (void)close(peer.socket);
    (void)peer_enter(&fixture, &peer); /* after it closed all of its descriptors */
    assert_int_equal(fixture.clients, 1);
    assert_int_equal(ingest_stats(fixture.ingest).clients, 1);
    assert_int_equal(fixture.ended, 0);

    /* Another memory under the same id is not taken for it. */
    peer_make(&thief, 1);
    peer_connect(&thief, &fixture);
    peer_greet(&thief);
    assert_int_equal(peer_answer(&fixture, &thief).reason, REFUSAL_SEGMENT_LAYOUT);
    write_lane(&peer, 0, 3);
    RUN_UNTIL(&fixture, fixture.events == 3);
    peer_leave(&thief);
    peer_leave(&peer);
}

static void test_hang_up_is_not_death(void **state)
{
    struct peer peer;
    uint64_t passes;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.gone_timeout_ms = 300;
    fixture_listen(&fixture);
    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    (void)close(peer.socket);
    peer.socket = -1;
    /* As long as it records it is there, whatever became of its socket. */
    passes = fixture.passes;
    for (uint64_t i = 1; fixture.passes < passes + 10; i++) {
        write_lane(&peer, 0, i);
        RUN_UNTIL(&fixture, fixture.events == i);
    }
    assert_int_equal(fixture.ended, 0);
    RUN_UNTIL(&fixture, fixture.ended == 1);
    assert_int_equal(fixture.gone, 1);
    assert_int_equal(fixture.died, 0);
    /* It comes back: nothing is counted twice, nothing is missing. */
    write_lane(&peer, 0, 1000);
    uint64_t events = fixture.events;
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == events + 1);
    assert_int_equal(counts_now().read, events + 1);
    peer_leave(&peer);
}

static void test_gone_before_a_checkpoint(void **state)
{
    struct peer peer;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.gone_timeout_ms = 50;
    fixture_listen(&fixture);
    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    RUN_UNTIL(&fixture, fixture.events == 1);
    (void)close(peer.socket);
    peer.socket = -1;
    RUN_UNTIL(&fixture, fixture.gone == 1);
    /* Its events are in the series, so its position is in the next checkpoint. */
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(rows.count, 1);
    next_agent(true);
    write_lane(&peer, 0, 2);
    fixture.fingerprints = 0;
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 2);
    assert_int_equal(fixture.fingerprints, 62);
    peer_leave(&peer);
}

/* A child that greets and then does what @record does, until it is killed. */
static pid_t child_start(struct peer *peer, void (*record)(struct peer *peer))
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    peer_set_fields(peer, HELLO_SEGMENT, 7);
    peer_make_segment(peer, SEGMENT_SIZE_MIN, F_SEAL_SHRINK | F_SEAL_GROW);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        peer->fields.pid = (uint32_t)getpid();
        peer->pidfd = pidfd_of(getpid());
        peer_make_hello(peer);
        peer_connect(peer, &fixture);
        peer_greet(peer);
        record(peer);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void write_some(struct peer *peer)
{
    for (uint64_t i = 1; i <= 100; i++)
        (void)lane_fixture_write(segment_lane(peer->segment, (uint32_t)i % 4), i, 96);
    segment_pools(peer->segment)[0].target = 5;
    segment_pools(peer->segment)[0].used = 1;
    segment_slots(peer->segment)[0].state = SLOT_IDLE_IN_TRANSACTION;
    segment_slots(peer->segment)[0].fingerprint = 77;
}

/* Dies inside a lane: taken, its number counted, not published. */
static void write_half(struct peer *peer)
{
    struct lane_record record;

    write_some(peer);
    (void)lane_take(segment_lane(peer->segment, 5), 96, &record);
    atomic_fetch_add(&segment_lane(peer->segment, 5)->recorded, 1);
}

static void kill_and_wait(pid_t pid)
{
    siginfo_t info;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
}

static void test_death_leaves_all_that_was_written(void **state)
{
    struct peer peer;
    pid_t pid = child_start(&peer, write_half);
    (void)state;

    RUN_UNTIL(&fixture, fixture.clients == 1);
    for (uint64_t i = 101; i <= 200; i++) /* unread at its death */
        assert_int_equal(lane_fixture_write(segment_lane(peer.segment, (uint32_t)i % 4), i, 96), 0);
    kill_and_wait(pid);
    RUN_UNTIL(&fixture, fixture.ended == 1);
    assert_int_equal(fixture.died, 1);
    assert_int_equal(fixture.events, 200);
    assert_int_equal(fixture.counts.recorded, 200); /* what was begun never was */
    assert_int_equal(fixture.counts.read, 200);
    assert_int_equal(fixture.counts.in_lanes, 0);
    /* What it held at that instant is told. */
    assert_int_equal(fixture.board.pool_count, 1);
    assert_int_equal(fixture.pools[0].used, 1);
    assert_int_equal(fixture.board.connection_count, 1);
    assert_int_equal(fixture.connections[0].state, SLOT_IDLE_IN_TRANSACTION);
    assert_int_equal(fixture.connections[0].fingerprint, 77);
    peer_leave(&peer);
}

static void test_row_of_a_dead_client_is_deleted(void **state)
{
    struct peer peer;
    size_t offset = 0;
    struct row row;
    pid_t pid = child_start(&peer, write_some);
    (void)state;

    RUN_UNTIL(&fixture, fixture.events == 100);
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(rows.count, 1);
    rows_deinit(&rows);
    kill_and_wait(pid);
    RUN_UNTIL(&fixture, fixture.ended == 1);
    fixture_checkpoint(&fixture, &rows);
    assert_int_equal(rows.count, 1);
    assert_true(rows_next(&rows, &offset, &row));
    assert_int_equal(row.key.length, 16);
    assert_int_equal(row.value.length, 0);
    rows_deinit(&rows);
    fixture_checkpoint(&fixture, &rows); /* once */
    assert_int_equal(rows.count, 0);
    peer_leave(&peer);
}

static void test_without_pidfd_standing_still_is_the_end(void **state)
{
    struct peer peer;
    (void)state;

    fixture_stop(&fixture);
    fixture.opts.gone_timeout_ms = 100;
    fixture_listen(&fixture);
    peer_set_fields(&peer, HELLO_SEGMENT_WITHOUT_PIDFD, 1);
    peer_make_segment(&peer, SEGMENT_SIZE_MIN, F_SEAL_SHRINK | F_SEAL_GROW);
    peer_make_hello(&peer);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    RUN_UNTIL(&fixture, fixture.events == 1);
    (void)close(peer.socket);
    peer.socket = -1;
    RUN_UNTIL(&fixture, fixture.ended == 1);
    assert_int_equal(fixture.gone, 1);
    peer_leave(&peer);
}

/* Breaks one lane in a way of its own; all others go on being read. */
static void expect_one_lane_lost(void (*break_lane)(struct peer *peer, struct lane *lane),
                                 enum lane_fault fault)
{
    struct peer peer;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 2, 1);
    write_lane(&peer, 3, 1);
    RUN_UNTIL(&fixture, fixture.events == 2);
    break_lane(&peer, segment_lane(peer.segment, 2));
    for (uint64_t i = 0; i < 10; i++) {
        (void)lane_fixture_write(segment_lane(peer.segment, 2), i, 96);
        write_lane(&peer, 3, i);
    }
    RUN_UNTIL(&fixture, fixture.events >= 12 && ingest_stats(fixture.ingest).lanes_bad[fault] == 1);
    assert_int_equal(fixture.events, 12);
    assert_int_equal(ingest_stats(fixture.ingest).clients, 1);
    assert_int_equal(fixture.log_lines, 1); /* said once */
    assert_non_null(strstr(fixture.log[0], lane_fault_token(fault)));
    (void)counts_now(); /* adds up */
    assert_int_equal(fixture.counts.read, 12);
    peer_leave(&peer);
}

static void break_length(struct peer *peer, struct lane *lane)
{
    (void)peer;
    (void)lane_fixture_write(lane, 9, 96);
    ((struct record_header *)(void *)(lane_data(lane) + 96))->length = 24;
}

static void break_kind(struct peer *peer, struct lane *lane)
{
    (void)peer;
    (void)lane_fixture_write(lane, 9, 96);
    ((struct record_header *)(void *)(lane_data(lane) + 96))->kind = RECORD_NAME;
}

static void break_enum(struct peer *peer, struct lane *lane)
{
    (void)peer;
    (void)lane_fixture_write(lane, 9, 96);
    ((struct record_statement *)(void *)(lane_data(lane) + 96))->failure = FAILURE_END;
}

static void break_head_back(struct peer *peer, struct lane *lane)
{
    (void)peer;
    lane->head = 0;
    lane->owner = 1;
}

static void break_head_beyond(struct peer *peer, struct lane *lane)
{
    (void)peer;
    lane->head += 1 << 20;
    lane->owner = 1;
}

static void break_number(struct peer *peer, struct lane *lane)
{
    (void)peer;
    lane->recorded += 5;
}

static void test_impossible_length(void **state)
{
    (void)state;
    expect_one_lane_lost(break_length, LANE_FAULT_LENGTH);
}

static void test_impossible_kind(void **state)
{
    (void)state;
    expect_one_lane_lost(break_kind, LANE_FAULT_RECORD);
}

static void test_impossible_value(void **state)
{
    (void)state;
    expect_one_lane_lost(break_enum, LANE_FAULT_RECORD);
}

static void test_head_that_jumps_back(void **state)
{
    (void)state;
    expect_one_lane_lost(break_head_back, LANE_FAULT_HEAD_BACK);
}

static void test_head_that_jumps_beyond(void **state)
{
    (void)state;
    expect_one_lane_lost(break_head_beyond, LANE_FAULT_HEAD_BEYOND);
}

static void test_records_missing(void **state)
{
    (void)state;
    expect_one_lane_lost(break_number, LANE_FAULT_NUMBER);
}

static void test_lane_broken_from_the_beginning(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    segment_lane(peer.segment, 4)->capacity = 1 << 30;
    write_lane(&peer, 3, 1);
    (void)peer_enter(&fixture, &peer);
    RUN_UNTIL(&fixture, fixture.events == 1);
    assert_int_equal(ingest_stats(fixture.ingest).lanes_bad[LANE_FAULT_CAPACITY], 1);
    peer_leave(&peer);
}

static void test_unknown_kinds_are_skipped_and_counted(void **state)
{
    struct lane_record record = {0};
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    write_lane(&peer, 0, 1);
    if (lane_take(segment_lane(peer.segment, 0), 64, &record) != 0) {
        fail_msg("no room in an empty lane");
        return;
    }
    memset(record.header, 0, 64);
    record.header->kind = 4000; /* of a later minor version */
    record.header->length = 64;
    lane_publish(&record);
    write_lane(&peer, 0, 2);
    RUN_UNTIL(&fixture, fixture.events == 2);
    assert_int_equal(ingest_stats(fixture.ingest).unknown_kinds, 1);
    assert_int_equal(counts_now().recorded, 3);
    assert_int_equal(counts_now().read, 2);
    assert_int_equal(counts_now().dropped[DROP_UNKNOWN_KIND], 1);
    peer_leave(&peer);
}

static void test_what_the_shim_dropped_is_told(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    atomic_fetch_add(&peer.segment->dropped[SEGMENT_DROP_LANES_BUSY], 2);
    atomic_fetch_add(&peer.segment->dropped[SEGMENT_DROP_LANES_FULL], 3);
    atomic_fetch_add(&peer.segment->dropped[SEGMENT_DROP_TOO_LARGE], 4);
    atomic_fetch_add(&peer.segment->names_refused, 5);
    assert_int_equal(counts_now().recorded, 9);
    assert_int_equal(counts_now().dropped[DROP_LANES_BUSY], 2);
    assert_int_equal(counts_now().dropped[DROP_LANES_FULL], 3);
    assert_int_equal(counts_now().dropped[DROP_TOO_LARGE], 4);
    assert_int_equal(counts_now().names_refused, 5);
    peer_leave(&peer);
}

static void test_client_that_says_more_than_hello(void **state)
{
    struct frame_writer frame;
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    assert_true(frame_begin(&frame, peer.bytes, sizeof(peer.bytes), 1));
    peer_send(&peer, peer.bytes, frame_end(&frame), NULL, 0);
    assert_int_equal(peer_answer(&fixture, &peer).kind, MESSAGE_REFUSED);
    /* Its memory is read all the same: it may be that only its socket went astray. */
    write_lane(&peer, 0, 1);
    RUN_UNTIL(&fixture, fixture.events == 1);
    peer_leave(&peer);
}

static void test_stop_and_announce(void **state)
{
    struct peer peer, later;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    ingest_stop_recording(fixture.ingest, true);
    assert_int_equal(peer.segment->control, SEGMENT_STOP_RECORDING);
    peer_make(&later, 2);
    assert_int_equal(peer_enter(&fixture, &later).flags, WELCOME_STOP_RECORDING);
    assert_int_equal(later.segment->control, SEGMENT_STOP_RECORDING);
    ingest_stop_recording(fixture.ingest, false);
    assert_int_equal(peer.segment->control, 0);
    assert_int_equal(later.segment->control, 0);
    ingest_announce(fixture.ingest);
    assert_int_equal(peer.segment->epoch, 1);
    peer_leave(&peer);
    peer_leave(&later);
}

static void test_look_touches_no_page_of_its_own(void **state)
{
    struct board_slot *slot;
    struct stat before, after;
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    slot = &segment_slots(peer.segment)[2];
    slot->state = SLOT_EXECUTING;
    slot->pool = 1;
    slot->fingerprint = 99;
    slot->statement_since_ns = 5;
    memcpy((void *)slot->trace_id, "0123456789abcdef", 16);
    segment_pools(peer.segment)[1].target = 7;
    segment_pools(peer.segment)[1].idle = 3;
    segment_waiters(peer.segment)[3].since_ns = 6;
    segment_waiters(peer.segment)[3].pool = 0;
    segment_process(peer.segment)->observed = OBSERVED_YES;
    (void)peer_enter(&fixture, &peer);
    ingest_look(fixture.ingest, fixture_keep_board, &fixture); /* the lanes' headers are read */
    assert_int_equal(fstat(peer.memfd, &before), 0);
    ingest_look(fixture.ingest, fixture_keep_board, &fixture);
    assert_int_equal(fstat(peer.memfd, &after), 0);
    assert_int_equal(after.st_blocks, before.st_blocks);
    assert_true(after.st_blocks * 512 < SEGMENT_SIZE_MIN / 2); /* most of it never existed */
    assert_int_equal(fixture.board.observed, OBSERVED_YES);
    assert_int_equal(fixture.board.pool_count, 1);
    assert_int_equal(fixture.pools[0].idle, 3);
    assert_int_equal(fixture.board.connection_count, 1);
    assert_int_equal(fixture.connections[0].state, SLOT_EXECUTING);
    assert_int_equal(fixture.connections[0].fingerprint, 99);
    assert_int_equal(fixture.connections[0].pool, 0); /* its place among those shown */
    assert_memory_equal(fixture.connections[0].trace_id, "0123456789abcdef", 16);
    assert_int_equal(fixture.board.waiter_count, 1);
    assert_int_equal(fixture.waiters[0].since_ns, 6);
    assert_true(fixture.waiters[0].pool == UINT32_MAX); /* a pool that is gone */
    peer_leave(&peer);
}

static void test_full_lanes_are_seen(void **state)
{
    struct peer peer;
    (void)state;

    peer_make(&peer, 1);
    (void)peer_enter(&fixture, &peer);
    while (lane_fixture_write(segment_lane(peer.segment, 0), 1, 96) == 0)
        continue;
    RUN_UNTIL(&fixture, fixture.fill > 0.95);
    fixture_checkpoint(&fixture, &rows);
    RUN_UNTIL(&fixture, fixture.fill < 0.05);
    peer_leave(&peer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_names_and_events),
        TEST(test_tail_moves_after_the_checkpoint),
        TEST(test_next_agent_goes_on_at_the_checkpoint),
        TEST(test_killed_between_checkpoint_and_tails),
        TEST(test_agent_without_data_says_what_others_read),
        TEST(test_another_agent_read_in_between),
        TEST(test_stored_position_beyond_head_is_refused),
        TEST(test_reconnect_hands_over_the_same_segment),
        TEST(test_hang_up_is_not_death),
        TEST(test_gone_before_a_checkpoint),
        TEST(test_death_leaves_all_that_was_written),
        TEST(test_row_of_a_dead_client_is_deleted),
        TEST(test_without_pidfd_standing_still_is_the_end),
        TEST(test_impossible_length),
        TEST(test_impossible_kind),
        TEST(test_impossible_value),
        TEST(test_head_that_jumps_back),
        TEST(test_head_that_jumps_beyond),
        TEST(test_records_missing),
        TEST(test_lane_broken_from_the_beginning),
        TEST(test_unknown_kinds_are_skipped_and_counted),
        TEST(test_what_the_shim_dropped_is_told),
        TEST(test_client_that_says_more_than_hello),
        TEST(test_stop_and_announce),
        TEST(test_look_touches_no_page_of_its_own),
        TEST(test_full_lanes_are_seen),
    };

    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
