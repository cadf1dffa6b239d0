/* What a segment's header may say. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include "base/cleanup.h"
#include "proto/wire/segment_check.h"

static struct segment_header *planned(uint64_t size)
{
    return segment_fixture_new(size);
}

static int check(const struct segment_header *header, uint64_t file_size)
{
    unsigned char fixed[SEGMENT_FIXED_SIZE];
    struct segment_layout layout;
    const char *what = NULL;
    int r;

    memcpy(fixed, header, sizeof(fixed));
    r = segment_check(fixed, file_size, &layout, &what);
    assert_true(r == 0 ? what == NULL : what != NULL);
    return r;
}

static void test_planned_segments_pass(void **state)
{
    static const uint64_t sizes[] = {SEGMENT_SIZE_MIN, SEGMENT_SIZE_MIN + SEGMENT_PAGE, 1 << 20,
                                     SEGMENT_SIZE_DEFAULT, 16 << 20};
    (void)state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct segment_header *CLEANUP(freep) header = planned(sizes[i]);
        unsigned char fixed[SEGMENT_FIXED_SIZE];
        struct segment_layout layout;
        const char *what;

        memcpy(fixed, header, sizeof(fixed));
        assert_int_equal(segment_check(fixed, sizes[i], &layout, &what), 0);
        assert_int_equal(layout.pid, 4711);
        assert_memory_equal(layout.id, header->segment_id, 16);
        /* Both halves agree on every place. */
        assert_ptr_equal((char *)header + layout.process_offset, segment_process(header));
        assert_ptr_equal((char *)header + layout.pools_offset, segment_pools(header));
        assert_ptr_equal((char *)header + layout.slots_offset, segment_slots(header));
        assert_ptr_equal((char *)header + layout.waiters_offset, segment_waiters(header));
        assert_ptr_equal((char *)header + layout.names_offset, segment_names(header));
        assert_ptr_equal((char *)header + layout.lanes_offset, segment_lane(header, 0));
        assert_true(segment_record_length_max(header->lane_stride) >= 4096);
        assert_true(segment_record_length_max(header->names_stride) >=
                    sizeof(struct record_name) + NAME_TEXT_MAX);
    }
}

static void test_sizes_that_cannot_be_planned(void **state)
{
    struct segment_header header = {0};
    (void)state;

    assert_int_equal(segment_plan(0, &header), -EINVAL);
    assert_int_equal(segment_plan(SEGMENT_SIZE_MIN - SEGMENT_PAGE, &header), -EINVAL);
    assert_int_equal(segment_plan(SEGMENT_SIZE_MIN + 1, &header), -EINVAL);
    assert_int_equal(segment_plan((uint64_t)SEGMENT_SIZE_MAX + SEGMENT_PAGE, &header), -EINVAL);
}

static void test_short_or_other_file(void **state)
{
    struct segment_header *CLEANUP(freep) header = planned(1 << 20);
    (void)state;

    assert_int_equal(check(header, (1 << 20) - 1), REFUSAL_SEGMENT_SIZE);
    assert_int_equal(check(header, 0), REFUSAL_SEGMENT_SIZE);
    assert_int_equal(check(header, (1 << 20) + 4096), REFUSAL_SEGMENT_SIZE);
    header->segment_size = UINT64_MAX;
    assert_int_equal(check(header, UINT64_MAX), REFUSAL_SEGMENT_SIZE);
    header->segment_size = 1 << 16;
    assert_int_equal(check(header, 1 << 16), REFUSAL_SEGMENT_SIZE);
}

static void test_versions(void **state)
{
    struct segment_header *CLEANUP(freep) header = planned(1 << 20);
    (void)state;

    header->version_minor = UINT16_MAX; /* a later minor version is readable */
    assert_int_equal(check(header, 1 << 20), 0);
    header->version_major = WIRE_VERSION_MAJOR + 1;
    assert_int_equal(check(header, 1 << 20), REFUSAL_VERSION);
    header->version_major = 0;
    assert_int_equal(check(header, 1 << 20), REFUSAL_VERSION);
}

/* Sets one field of a good header to one bad value; each must be refused as layout. */
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        struct segment_header *CLEANUP(freep) header = planned(1 << 20);                           \
        header->field = (value);                                                                   \
        if (check(header, 1 << 20) != REFUSAL_SEGMENT_LAYOUT)                                      \
            fail_msg("%s = %s passed", #field, #value);                                            \
    } while (0)

static void test_offsets_out_of_range(void **state)
{
    (void)state;
    BAD(magic, 0);
    BAD(header_size, 0);
    BAD(header_size, 319);
    BAD(header_size, UINT32_MAX);
    BAD(board_offset, 0); /* over the header */
    BAD(board_offset, 64);
    BAD(board_offset, 4097);
    BAD(board_offset, 1 << 20);
    BAD(board_offset, UINT64_MAX);
    BAD(board_offset, UINT64_MAX - 63);
    BAD(names_offset, 0);
    BAD(names_offset, header->board_offset);
    BAD(names_offset, header->names_offset - 64 * 70);
    BAD(names_offset, header->names_offset + 1);
    BAD(names_offset, UINT64_MAX - 63);
    BAD(names_offset, header->lanes_offset);
    BAD(lanes_offset, 0);
    BAD(lanes_offset, header->names_offset);
    BAD(lanes_offset, header->lanes_offset - 64);
    BAD(lanes_offset, header->lanes_offset + 32);
    BAD(lanes_offset, (1 << 20) - 64);
    BAD(lanes_offset, UINT64_MAX - 63);
}

static void test_counts_and_strides_out_of_range(void **state)
{
    (void)state;
    BAD(lane_count, 0);
    BAD(lane_count, 18);
    BAD(lane_count, SEGMENT_LANES_MAX + 1);
    BAD(lane_count, UINT32_MAX);
    BAD(lane_stride, 0);
    BAD(lane_stride, 191);
    BAD(lane_stride, 192);
    BAD(lane_stride, 1 << 20);
    BAD(lane_stride, UINT32_MAX & ~63u);
    BAD(lane_stride, header->lane_stride + 64 * 64);
    BAD(lane_stride, header->lane_stride - 32);
    BAD(names_stride, 0);
    BAD(names_stride, UINT32_MAX & ~63u);
    BAD(names_stride, header->names_stride + 64);
    BAD(pool_count, UINT32_MAX);
    BAD(pool_count, SEGMENT_POOLS_MAX);
    BAD(slot_count, UINT32_MAX);
    BAD(slot_count, SEGMENT_SLOTS_MAX);
    BAD(waiter_count, UINT32_MAX);
    BAD(waiter_count, SEGMENT_WAITERS_MAX);
}

static void test_no_id(void **state)
{
    struct segment_header *CLEANUP(freep) header = planned(1 << 20);
    (void)state;

    memset(header->segment_id, 0, sizeof(header->segment_id));
    assert_int_equal(check(header, 1 << 20), REFUSAL_SEGMENT_LAYOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planned_segments_pass),
        cmocka_unit_test(test_sizes_that_cannot_be_planned),
        cmocka_unit_test(test_short_or_other_file),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_offsets_out_of_range),
        cmocka_unit_test(test_counts_and_strides_out_of_range),
        cmocka_unit_test(test_no_id),
    };

    return cmocka_run_group_tests_name("segment_check", tests, NULL, NULL);
}
