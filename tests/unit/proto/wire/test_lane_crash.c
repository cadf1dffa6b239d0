/* A writer that dies between any two of its machine instructions costs one lane and nothing else.
 *
 * A child writes records into a shared segment under ptrace, one instruction at a time; after each
 * step what the reader would see now is read with a fresh reader, and at a few hundred of the steps
 * the child is killed for good. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/record_check.h"

enum {
    RECORDS = 6,           /* written by the child in each life */
    DEATHS = 300,          /* children killed, each some steps later than the one before */
    STEPS_BUDGET = 150000, /* of all deaths; a sanitizer's code has many more instructions */
    STEPS_MAX = 1 << 20,
};

static struct lane_record_copy copy;

static struct segment_header *segment_shared(void)
{
    struct segment_header *header =
        mmap(NULL, SEGMENT_SIZE_MIN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(header, MAP_FAILED);
    assert_int_equal(segment_plan(SEGMENT_SIZE_MIN, header), 0);
    segment_init_rings(header);
    return header;
}

/* Fills the first lane so far that the child's records wrap around its end. */
static void lane_prepare(struct segment_header *header)
{
    struct lane *lane = segment_lane(header, 0);
    struct lane_reader reader;

    while (lane_fixture_write(lane, lane->recorded, 128) == 0)
        continue;
    assert_int_equal(lane_reader_open(&reader, lane, header->lane_stride), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (;;) {
        const struct record_header *record;
        if (lane_reader_next(&reader, &copy, &record) != 0)
            break;
    }
    lane_reader_commit(&reader, reader.position);
}

/* Reads everything that lies in the first lane; each record must be whole and the next one. */
static uint64_t lane_read_all(struct segment_header *header, uint64_t first)
{
    const struct record_header *record;
    struct lane_reader reader;
    int r;

    assert_int_equal(lane_reader_open(&reader, segment_lane(header, 0), header->lane_stride), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    while ((r = lane_reader_next(&reader, &copy, &record)) == 0) {
        assert_int_equal(record_check(record), 0);
        assert_int_equal(record->time_ns, first);
        assert_int_equal(((const struct record_statement *)(const void *)record)->fingerprint,
                         first * 31);
        assert_int_equal(record->length, 160);
        first++;
    }
    assert_int_equal(r, LANE_READER_E_END);
    return first;
}

/* One more record can be written by somebody who tries lane after lane. */
static uint32_t segment_write_anywhere(struct segment_header *header)
{
    for (uint32_t i = 0; i < header->lane_count; i++) {
        if (lane_fixture_write(segment_lane(header, i), 1, 128) == 0)
            return i;
    }
    fail_msg("no lane is left");
    return 0;
}

static void child_write(struct segment_header *header, uint64_t first)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    (void)raise(SIGSTOP);
    for (uint64_t i = 0; i < RECORDS; i++)
        (void)lane_fixture_write(segment_lane(header, 0), first + i, 160);
    _exit(0);
}

/* Runs a child for @steps instructions, then kills it. Returns the steps taken, which are fewer if
 * it came to its end; -1 if this place allows no ptrace. */
static long child_live(struct segment_header *header, uint64_t first, long steps, bool look)
{
    uint64_t seen = first;
    long step = 0;
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        child_write(header, first);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    if (!WIFSTOPPED(status))
        return -1;
    for (; step < steps; step++) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0) {
            assert_int_equal(step, 0);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return -1;
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
            return step;
        if (look) {
            uint64_t now = lane_read_all(header, first);
            assert_in_range(now, seen, seen + 1);
            seen = now;
        }
    }
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return step;
}

static void test_stopped_between_any_two_instructions(void **state)
{
    struct segment_header *header = segment_shared();
    uint64_t first;
    long steps;
    (void)state;

    lane_prepare(header);
    first = segment_lane(header, 0)->recorded;
    steps = child_live(header, first, STEPS_MAX, true);
    if (steps < 0)
        skip(); /* no ptrace here */
    assert_true(steps > 100);
    assert_int_equal(lane_read_all(header, first), first + RECORDS);
    print_message("%ld instructions, looked at between each two\n", steps);
    assert_int_equal(munmap(header, SEGMENT_SIZE_MIN), 0);
}

static void test_killed_between_two_instructions(void **state)
{
    long all = 0, lost = 0, deaths = DEATHS;
    (void)state;

    for (long death = 0; death <= deaths; death++) {
        struct segment_header *header = segment_shared();
        uint64_t first, now;
        long steps;

        lane_prepare(header);
        first = segment_lane(header, 0)->recorded;
        steps = child_live(header, first, death == 0 ? STEPS_MAX : all * death / deaths, false);
        if (steps < 0)
            skip(); /* no ptrace here */
        if (death == 0) {
            all = steps;
            if (all / 2 * deaths > STEPS_BUDGET)
                deaths = STEPS_BUDGET / (all / 2);
        }
        now = lane_read_all(header, first);
        assert_in_range(now, first, first + RECORDS);
        /* The lane is lost if he died inside, and only then; all others go on. */
        if (segment_write_anywhere(header) != 0) {
            assert_int_equal(segment_lane(header, 0)->owner, 1);
            lost++;
        }
        assert_int_equal(munmap(header, SEGMENT_SIZE_MIN), 0);
    }
    assert_true(lost > 0 && lost < deaths);
    print_message("%ld deaths, %ld of them inside a lane\n", deaths, lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_between_any_two_instructions),
        cmocka_unit_test(test_killed_between_two_instructions),
    };

    return cmocka_run_group_tests_name("lane_crash", tests, NULL, NULL);
}
