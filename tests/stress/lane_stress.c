/* Sixteen writers over sixteen lanes, one reader that commits now and then: every record that a
 * writer says it wrote arrives once, whole, and in order within its lane. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/record_check.h"
#include "tests/unit/proto/wire/segment_fixture.h"

enum {
    WRITERS = 16,
    RECORDS = 20000, /* written by each writer */
};

struct writer {
    struct segment_header *segment;
    uint32_t index;
    uint64_t written, busy, full;
    pthread_t thread;
};

/* Its own lane first, then the others, as the probe does. */
static int writer_take(struct writer *writer, uint32_t length, struct lane_record *ret)
{
    int r = LANE_E_BUSY, all = LANE_E_BUSY;

    for (uint32_t i = 0; i < writer->segment->lane_count; i++) {
        uint32_t lane = (writer->index + i) % writer->segment->lane_count;
        r = lane_take(segment_lane(writer->segment, lane), length, ret);
        if (r == 0)
            return 0;
        if (r == LANE_E_FULL)
            all = LANE_E_FULL;
    }
    return all;
}

static void *writer_run(void *argument)
{
    struct writer *writer = argument;
    unsigned seed = writer->index;

    while (writer->written < RECORDS) {
        uint32_t length = EVENT_CORE_SIZE + 32 * ((unsigned)rand_r(&seed) % 4);
        struct lane_record record = {0};
        int r = writer_take(writer, length, &record);
        if (r != 0) {
            writer->busy += r == LANE_E_BUSY;
            writer->full += r == LANE_E_FULL;
            (void)sched_yield();
            continue;
        }
        memset(record.header, 0, length);
        struct record_statement *statement = (struct record_statement *)(void *)record.header;
        statement->head.header.kind = RECORD_STATEMENT;
        statement->head.header.length = (uint16_t)length;
        statement->head.hold_id = writer->index + 1;
        statement->fingerprint = ++writer->written;
        for (size_t b = EVENT_CORE_SIZE; b < length; b++)
            ((char *)record.header)[b] = (char)statement->fingerprint;
        if (rand_r(&seed) % 64 == 0) {
            lane_abandon(&record);
            writer->written--;
            continue;
        }
        lane_publish(&record);
    }
    return NULL;
}

struct tally {
    struct lane_reader readers[SEGMENT_LANES];
    uint64_t count[WRITERS];
    uint64_t sum[WRITERS];
    uint64_t newest[SEGMENT_LANES][WRITERS]; /* in one lane one writer's numbers only grow */
};

static void tally_record(struct tally *tally, uint32_t lane, const struct record_header *record)
{
    const struct record_statement *statement = (const void *)record;
    uint64_t writer = statement->head.hold_id - 1;

    assert_int_equal(record_check(record), 0);
    assert_in_range(writer, 0, WRITERS - 1);
    assert_true(statement->fingerprint > tally->newest[lane][writer]);
    for (size_t b = EVENT_CORE_SIZE; b < record->length; b++)
        assert_int_equal(((const char *)record)[b], (char)statement->fingerprint);
    tally->newest[lane][writer] = statement->fingerprint;
    tally->count[writer]++;
    tally->sum[writer] += statement->fingerprint;
}

/* One pass over all lanes; returns the records read. */
static uint64_t tally_pass(struct tally *tally, struct lane_record_copy *copy)
{
    const struct record_header *record;
    uint64_t count = 0;
    int r;

    for (uint32_t i = 0; i < SEGMENT_LANES; i++) {
        struct lane_reader *reader = &tally->readers[i];
        assert_int_equal(lane_reader_look(reader), 0);
        while ((r = lane_reader_next(reader, copy, &record)) == 0) {
            tally_record(tally, i, record);
            count++;
        }
        assert_int_equal(r, LANE_READER_E_END);
        lane_reader_commit(reader, reader->position);
    }
    return count;
}

static void test_sixteen_writers(void **state)
{
    struct segment_header *CLEANUP(freep) segment = segment_fixture_new(1 << 20);
    struct tally *CLEANUP(freep) tally = calloc(1, sizeof(*tally));
    struct lane_record_copy *CLEANUP(freep) copy =
        aligned_alloc(RECORD_ALIGN, sizeof(struct lane_record_copy));
    struct writer writers[WRITERS] = {{0}};
    uint64_t read = 0, written = 0, refused = 0;
    (void)state;

    for (uint32_t i = 0; i < SEGMENT_LANES; i++)
        assert_int_equal(
            lane_reader_open(&tally->readers[i], segment_lane(segment, i), segment->lane_stride),
            0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.segment = segment, .index = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]), 0);
    }
    while (read < WRITERS * RECORDS)
        read += tally_pass(tally, copy);
    for (uint32_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    assert_int_equal(tally_pass(tally, copy), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        uint64_t n = writers[i].written;
        assert_int_equal(tally->count[i], n);
        assert_int_equal(tally->sum[i], n * (n + 1) / 2); /* each exactly once */
        written += n;
        refused += writers[i].busy + writers[i].full;
    }
    print_message("%lu records arrived, %lu tries found no lane\n", (unsigned long)written,
                  (unsigned long)refused);
    assert_int_equal(written, WRITERS * RECORDS);
    assert_int_equal(read, written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sixteen_writers)};

    return cmocka_run_group_tests_name("lane_stress", tests, NULL, NULL);
}
