/* Reading the board: still, changing, stopped in the middle, and lying. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include <pthread.h>

#include "base/cleanup.h"
#include "proto/wire/board_reader.h"

#define STORE(word, value) atomic_store_explicit(&(word), (value), memory_order_release)

static struct board_view view_board(struct segment_header *header)
{
    unsigned char fixed[SEGMENT_FIXED_SIZE];
    struct segment_layout layout;
    const char *what;

    memcpy(fixed, header, sizeof(fixed));
    assert_int_equal(segment_check(fixed, header->segment_size, &layout, &what), 0);
    return board_view_of(header, &layout);
}

static void test_pools(void **state)
{
    struct segment_header *CLEANUP(freep) header = segment_fixture_new(SEGMENT_SIZE_MIN);
    struct board_view board = view_board(header);
    struct board_pool *pool = &segment_pools(header)[3];
    struct pool_copy copy;
    (void)state;

    assert_false(board_read_pool(&board, 3, 0, &copy));
    pool->target = 9;
    pool->used = 4;
    pool->idle = 2;
    pool->waiting = 1;
    pool->connections_max = 10;
    pool->timeouts = 77;
    assert_true(board_read_pool(&board, 3, 0, &copy));
    assert_int_equal(copy.target, 9);
    assert_int_equal(copy.used, 4);
    assert_int_equal(copy.idle, 2);
    assert_int_equal(copy.waiting, 1);
    assert_int_equal(copy.connections_max, 10);
    assert_int_equal(copy.timeouts, 77);
    assert_false(board_read_pool(&board, SEGMENT_POOLS, 0, &copy));
    assert_false(board_read_pool(&board, UINT32_MAX, 0, &copy));
}

static void test_peaks(void **state)
{
    const uint64_t now = 1000 * BOARD_PEAK_WINDOW_NS + 5;
    struct board_peak peak = {{0}};
    (void)state;

    assert_int_equal(board_read_peak(&peak, now), 0);
    peak.window[0] = UINT64_C(1000) << 32 | 7;
    assert_int_equal(board_read_peak(&peak, now), 7);
    peak.window[1] = UINT64_C(999) << 32 | 12; /* the whole window before */
    assert_int_equal(board_read_peak(&peak, now), 12);
    peak.window[1] = UINT64_C(997) << 32 | 12; /* long ago */
    assert_int_equal(board_read_peak(&peak, now), 7);
    assert_int_equal(board_read_peak(&peak, now + 2 * BOARD_PEAK_WINDOW_NS), 0);
    peak.window[1] = UINT64_C(1001) << 32 | 3; /* the producer is ahead by a moment */
    assert_int_equal(board_read_peak(&peak, now), 7);
}

static void test_slots(void **state)
{
    struct segment_header *CLEANUP(freep) header = segment_fixture_new(SEGMENT_SIZE_MIN);
    struct board_view board = view_board(header);
    struct board_slot *slot = &segment_slots(header)[5];
    struct slot_copy copy;
    (void)state;

    assert_false(board_read_slot(&board, 5, &copy));
    assert_false(board_read_slot(&board, SEGMENT_SLOTS, &copy));
    slot->sequence = 2;
    slot->state = SLOT_EXECUTING;
    slot->fingerprint = 31;
    slot->opened_ns = 12;
    assert_true(board_read_slot(&board, 5, &copy));
    assert_false(copy.torn);
    assert_int_equal(copy.state, SLOT_EXECUTING);
    assert_int_equal(copy.fingerprint, 31);
    assert_int_equal(copy.opened_ns, 12);
    slot->sequence = 3; /* its writer stopped, or died, inside */
    assert_true(board_read_slot(&board, 5, &copy));
    assert_true(copy.torn);
    assert_int_equal(copy.fingerprint, 31);
    slot->state = 200; /* a later version's */
    assert_true(board_read_slot(&board, 5, &copy));
    assert_int_equal(copy.state, SLOT_HELD);
}

static void test_waiters(void **state)
{
    struct segment_header *CLEANUP(freep) header = segment_fixture_new(SEGMENT_SIZE_MIN);
    struct board_view board = view_board(header);
    struct board_waiter *waiter = &segment_waiters(header)[1];
    struct waiter_copy copy;
    (void)state;

    assert_false(board_read_waiter(&board, 1, &copy));
    assert_false(board_read_waiter(&board, SEGMENT_WAITERS, &copy));
    waiter->since_ns = 100;
    waiter->call_site = 8;
    assert_true(board_read_waiter(&board, 1, &copy));
    assert_false(copy.torn);
    assert_int_equal(copy.call_site, 8);
    waiter->sequence = 1;
    assert_true(board_read_waiter(&board, 1, &copy));
    assert_true(copy.torn);
}

static void test_process(void **state)
{
    struct segment_header *CLEANUP(freep) header = segment_fixture_new(SEGMENT_SIZE_MIN);
    struct board_view board = view_board(header);
    struct process_copy copy;
    (void)state;

    segment_process(header)->observed = OBSERVED_STATIC_LIBPQ;
    segment_process(header)->progress = 5;
    copy = board_read_process(&board);
    assert_int_equal(copy.observed, OBSERVED_STATIC_LIBPQ);
    assert_int_equal(copy.progress, 5);
}

struct changing_slot {
    struct board_slot *slot;
    atomic_bool stop;
};

/* Writes the same value to every word, a new one each time. */
static void *slot_change(void *argument)
{
    struct changing_slot *changing = argument;
    struct board_slot *slot = changing->slot;

    for (uint64_t value = 1; !atomic_load(&changing->stop); value++) {
        uint32_t sequence = (uint32_t)(2 * value);
        STORE(slot->sequence, sequence - 1);
        STORE(slot->state, SLOT_EXECUTING);
        STORE(slot->connection, value);
        STORE(slot->target, value);
        STORE(slot->since_ns, value);
        STORE(slot->hold_id, value);
        STORE(slot->fingerprint, value);
        STORE(slot->newest_sent, (uint32_t)value);
        STORE(slot->opened_ns, value);
        STORE(slot->sequence, sequence);
        for (unsigned i = 0; i < value % 64; i++)
            atomic_signal_fence(memory_order_seq_cst); /* leave the reader some room, unevenly */
    }
    return NULL;
}

static void test_whole_or_marked_torn(void **state)
{
    struct segment_header *CLEANUP(freep) header = segment_fixture_new(SEGMENT_SIZE_MIN);
    struct board_view board = view_board(header);
    struct changing_slot changing = {.slot = &segment_slots(header)[0]};
    uint64_t whole = 0;
    pthread_t writer;
    (void)state;

    assert_int_equal(pthread_create(&writer, NULL, slot_change, &changing), 0);
    for (uint64_t tries = 0; tries < 200000 || whole < 100; tries++) {
        struct slot_copy copy;
        if (!board_read_slot(&board, 0, &copy) || copy.torn)
            continue;
        whole++;
        assert_int_equal(copy.target, copy.connection);
        assert_int_equal(copy.since_ns, copy.connection);
        assert_int_equal(copy.hold_id, copy.connection);
        assert_int_equal(copy.fingerprint, copy.connection);
        assert_int_equal(copy.newest_sent, (uint32_t)copy.connection);
        assert_int_equal(copy.opened_ns, copy.connection);
    }
    atomic_store(&changing.stop, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),   cmocka_unit_test(test_peaks),
        cmocka_unit_test(test_slots),   cmocka_unit_test(test_waiters),
        cmocka_unit_test(test_process), cmocka_unit_test(test_whole_or_marked_torn),
    };

    return cmocka_run_group_tests_name("board_reader", tests, NULL, NULL);
}
