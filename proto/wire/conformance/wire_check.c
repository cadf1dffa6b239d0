/* weir-wire-check: says what stands in a segment's image, in a file of messages or in one of bare
 * records, one JSON object a line, or what is wrong with it and where. Exit code 0: all of it is
 * right; 1: something is wrong; 2: wrong usage. It reads with the half of the wire that the agent
 * reads with. See README.md. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "proto/wire/board_reader.h"
#include "proto/wire/conformance/json_line.h"
#include "proto/wire/conformance/show_record.h"
#include "proto/wire/frame_reader.h"
#include "proto/wire/hello.h"
#include "proto/wire/message_codec.h"

enum form { FORM_AUTO, FORM_SEGMENT, FORM_MESSAGES, FORM_RECORDS };

enum { EXIT_BAD = 1, EXIT_USAGE = 2 };

static struct lane_record_copy record_copy; /* 64 KiB: not for the stack */

static bool say_fault(uint64_t at, const char *fault, const char *what)
{
    json_line_begin_fault(at, fault);
    json_token("what", what);
    json_line_end();
    return false;
}

/* ---- segment --------------------------------------------------------------------------------- */

static void show_header(const struct segment_header *header, const struct segment_layout *layout)
{
    static const char *const controls[] = {"stop_recording"};

    json_line_begin(0, "segment");
    json_number("version_major", layout->version_major);
    json_number("version_minor", layout->version_minor);
    json_number("size", layout->size);
    json_bytes("id", layout->id, sizeof(layout->id));
    json_number("pid", layout->pid);
    json_number("created_monotonic_ns", layout->created_monotonic_ns);
    json_number("created_realtime_ns", layout->created_realtime_ns);
    json_number("board_offset", layout->process_offset);
    json_number("names_offset", layout->names_offset);
    json_number("names_stride", layout->names_stride);
    json_number("lanes_offset", layout->lanes_offset);
    json_number("lane_stride", layout->lane_stride);
    json_number("lane_count", layout->lane_count);
    json_number("pool_count", layout->pool_count);
    json_number("slot_count", layout->slot_count);
    json_number("waiter_count", layout->waiter_count);
    json_flags("control", header->control, controls, 1);
    json_number("epoch", header->epoch);
    json_number("dropped_lanes_busy", header->dropped[SEGMENT_DROP_LANES_BUSY]);
    json_number("dropped_lanes_full", header->dropped[SEGMENT_DROP_LANES_FULL]);
    json_number("dropped_too_large", header->dropped[SEGMENT_DROP_TOO_LARGE]);
    json_number("names_refused", header->names_refused);
    json_number("slots_refused", header->slots_refused);
    json_number("waiters_refused", header->waiters_refused);
    json_number("pools_refused", header->pools_refused);
    json_number("disabled_by_check", header->disabled_by_check);
    json_line_end();
}

/* The newer of the two windows; 0 for both where nothing was ever marked. */
static void show_peak(const char *key, const struct board_peak *peak)
{
    uint64_t first = peak->window[0], second = peak->window[1];
    uint64_t newer = first > second ? first : second;
    char name[40];

    (void)snprintf(name, sizeof(name), "%s_peak_window", key);
    json_number(name, newer >> 32);
    (void)snprintf(name, sizeof(name), "%s_peak", key);
    json_number(name, (uint32_t)newer);
}

static void show_process(const struct board_view *board, uint64_t at)
{
    static const char *const observed[] = {"not_yet", "yes", "static_libpq", "bypassed_libpq",
                                           "disabled"};
    struct process_copy copy = board_read_process(board);

    json_line_begin(at, "process");
    json_token("observed",
               copy.observed <= OBSERVED_DISABLED ? observed[copy.observed] : "unknown");
    json_number("library_version", copy.library_version);
    json_number("statements_open", copy.statements_open);
    json_number("progress", copy.progress);
    json_line_end();
}

static void show_pool(const struct board_view *board, uint32_t index, uint64_t at)
{
    static const char *const flags[] = {"has_waiters", "has_limits"};
    struct pool_copy copy;

    if (!board_read_pool(board, index, 0, &copy))
        return;
    json_line_begin(at, "pool");
    json_number("index", index);
    json_hex("target", copy.target);
    json_flags("flags", copy.flags, flags, 2);
    json_number("max", copy.connections_max);
    json_number("min", copy.connections_min);
    json_number("idle_max", copy.idle_max);
    json_number("idle_min", copy.idle_min);
    json_number("used", copy.used);
    json_number("idle", copy.idle);
    json_number("waiting", copy.waiting);
    json_number("connecting", copy.connecting);
    json_number("timeouts", copy.timeouts);
    show_peak("used", &board->pools[index].used_peak);
    show_peak("waiting", &board->pools[index].waiting_peak);
    json_line_end();
}

static void show_slot(const struct board_view *board, uint32_t index, uint64_t at)
{
    static const char *const states[] = {"free",      "connecting",          "idle",     "held",
                                         "executing", "idle_in_transaction", "listening"};
    struct slot_copy copy;

    if (!board_read_slot(board, index, &copy))
        return;
    json_line_begin(at, "slot");
    json_number("index", index);
    json_bool("torn", copy.torn);
    json_number("board_sequence", copy.sequence);
    json_token("state", states[copy.state]); /* the reader bounds it */
    json_number("pool", copy.pool);
    json_number("backend_pid", copy.backend_pid);
    json_hex("connection", copy.connection);
    json_hex("target", copy.target);
    json_number("since_ns", copy.since_ns);
    json_number("acquired_ns", copy.acquired_ns);
    json_hex("hold", copy.hold_id);
    json_hex("call_site", copy.call_site);
    json_hex("tenant", copy.tenant);
    json_bytes("trace_id", copy.trace_id, sizeof(copy.trace_id));
    json_bytes("parent_span_id", &copy.parent_span_id, sizeof(copy.parent_span_id));
    json_number("trace_flags", copy.trace_flags);
    json_hex("fingerprint", copy.fingerprint);
    json_number("statement_since_ns", copy.statement_since_ns);
    json_number("oldest_open", copy.oldest_open);
    json_number("newest_sent", copy.newest_sent);
    json_number("thread", copy.thread);
    json_number("opened_ns", copy.opened_ns);
    json_line_end();
}

static void show_waiter(const struct board_view *board, uint32_t index, uint64_t at)
{
    struct waiter_copy copy;

    if (!board_read_waiter(board, index, &copy))
        return;
    json_line_begin(at, "waiter");
    json_number("index", index);
    json_bool("torn", copy.torn);
    json_number("board_sequence", copy.sequence);
    json_number("pool", copy.pool);
    json_number("since_ns", copy.since_ns);
    json_hex("call_site", copy.call_site);
    json_hex("tenant", copy.tenant);
    json_bytes("trace_id", copy.trace_id, sizeof(copy.trace_id));
    json_number("thread", copy.thread);
    json_line_end();
}

static void show_board(const void *segment, const struct segment_layout *layout)
{
    struct board_view board = board_view_of(segment, layout);

    show_process(&board, layout->process_offset);
    for (uint32_t i = 0; i < board.pool_count; i++)
        show_pool(&board, i, layout->pools_offset + i * sizeof(struct board_pool));
    for (uint32_t i = 0; i < board.slot_count; i++)
        show_slot(&board, i, layout->slots_offset + i * sizeof(struct board_slot));
    for (uint32_t i = 0; i < board.waiter_count; i++)
        show_waiter(&board, i, layout->waiters_offset + i * sizeof(struct board_waiter));
}

static const char *lane_fault_text(enum lane_fault fault)
{
    static const char *const texts[LANE_FAULT_END] = {
        [LANE_FAULT_MAGIC] = "no ring stands here",
        [LANE_FAULT_CAPACITY] = "the capacity is not the stride less the ring's own words",
        [LANE_FAULT_HEAD_BACK] = "head stands before tail",
        [LANE_FAULT_HEAD_BEYOND] = "head is further from tail than the ring is long",
        [LANE_FAULT_HEAD_ALIGN] = "a position is no multiple of 32",
        [LANE_FAULT_LENGTH] = "a length that is zero, no multiple of 32, or reaches too far",
        [LANE_FAULT_PAD] = "a pad that does not reach exactly to the ring's end",
        [LANE_FAULT_NUMBER] = "a record's number does not follow",
    };

    return texts[fault] ? texts[fault] : "impossible";
}

/* Where in the file the ring's position @position lies. */
static uint64_t ring_place(const struct lane_reader *reader, uint64_t offset, uint64_t position)
{
    return offset + sizeof(struct lane) + position % reader->capacity;
}

static bool show_ring_fault(const struct lane_reader *reader, uint64_t offset)
{
    char fault[40];
    bool is_inside = reader->fault >= LANE_FAULT_LENGTH;

    (void)snprintf(fault, sizeof(fault), "ring_%s", lane_fault_token(reader->fault));
    return say_fault(is_inside ? ring_place(reader, offset, reader->position) : offset, fault,
                     lane_fault_text(reader->fault));
}

/* Shows the ring at @offset of the file and what was published in it and not read yet. */
static bool show_ring(char *segment, uint64_t offset, uint32_t stride, const char *is,
                      uint32_t index)
{
    struct lane *lane = (struct lane *)(void *)(segment + offset);
    const struct record_header *record;
    struct lane_reader reader;
    bool good = true;

    if (lane_reader_open(&reader, lane, stride) != 0 || lane_reader_look(&reader) != 0)
        return show_ring_fault(&reader, offset);
    json_line_begin(offset, is);
    json_number("index", index);
    json_number("capacity", reader.capacity);
    json_bool("owned", lane->owner != 0);
    json_number("head", reader.head);
    json_number("tail", reader.tail);
    json_number("recorded", lane->recorded);
    json_line_end();
    while (lane_reader_next(&reader, &record_copy, &record) == 0)
        good = show_record(record, ring_place(&reader, offset, reader.record),
                           strcmp(is, "names") == 0 ? PLACE_NAMES : PLACE_LANE) &&
               good;
    return reader.fault ? show_ring_fault(&reader, offset) : good;
}

static bool check_segment(char *bytes, uint64_t length)
{
    unsigned char fixed[SEGMENT_FIXED_SIZE];
    struct segment_layout layout;
    const char *what = NULL;
    char text[80];
    bool good;
    int r;

    if (length < sizeof(fixed))
        return say_fault(length, "segment_size", "shorter than a header");
    memcpy(fixed, bytes, sizeof(fixed));
    r = segment_check(fixed, length, &layout, &what);
    if (r != 0) {
        (void)snprintf(text, sizeof(text), "the header's %s", what);
        return say_fault(0, refusal_token((uint32_t)r), text);
    }
    show_header((const struct segment_header *)(const void *)bytes, &layout);
    show_board(bytes, &layout);
    good = show_ring(bytes, layout.names_offset, layout.names_stride, "names", 0);
    for (uint32_t i = 0; i < layout.lane_count; i++)
        good = show_ring(bytes, layout.lanes_offset + (uint64_t)i * layout.lane_stride,
                         layout.lane_stride, "lane", i) &&
               good;
    return good;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void show_version(uint16_t major, uint16_t minor)
{
    json_number("version_major", major);
    json_number("version_minor", minor);
}

static bool show_hello(struct view message, uint64_t at)
{
    static const char *const kinds[] = {"", "segment", "segment_without_pidfd", "frames"};
    static struct hello hello; /* with 128 attributes: not for the stack */
    bool good = true;
    int r = hello_decode(message, &hello);

    if (r == REFUSAL_VERSION)
        return say_fault(at, "version", "no major version in the offered range is spoken here");
    if (r != 0)
        return say_fault(at, refusal_token((uint32_t)r), "a hello that an agent refuses");
    json_line_begin(at, "hello");
    show_version(hello.offered_major, hello.offered_minor);
    json_token("hello_kind", kinds[hello.kind]);
    json_number("pid", hello.pid);
    json_bytes("client_id", hello.client_id, sizeof(hello.client_id));
    json_number("monotonic_ns", hello.monotonic_ns);
    json_number("realtime_ns", hello.realtime_ns);
    json_number("attributes", hello.attribute_count);
    json_line_end();
    for (uint16_t i = 0; i < hello.attribute_count; i++) {
        const struct hello_attribute *attribute = &hello.attributes[i];
        bool clean;
        json_line_begin(at + (uint64_t)(attribute->key.bytes - 4 - message.bytes), "attribute");
        clean = json_text("key", attribute->key);
        clean = json_text("value", attribute->value) && clean;
        json_line_end();
        if (!clean)
            good = say_fault(at + (uint64_t)(attribute->key.bytes - 4 - message.bytes), "utf8",
                             "an attribute's text is not UTF-8");
    }
    return good;
}

static bool show_frame(struct view message, uint64_t at)
{
    struct frame_reader reader;
    const struct record_header *record;
    struct view left;
    bool good = true;
    int r = frame_open(&reader, message);

    if (r != 0)
        return say_fault(at, refusal_token((uint32_t)r), "a frame whose lengths do not add up");
    json_line_begin(at, "frame");
    json_number("number", reader.number);
    json_number("records", reader.record_count);
    json_line_end();
    for (left = reader.left; frame_next(&reader, &record_copy, &record); left = reader.left)
        good =
            show_record(record, at + (uint64_t)(left.bytes - message.bytes), PLACE_FRAME) && good;
    return good;
}

static bool show_answer(struct view message, uint64_t at)
{
    static const char *const flags[] = {"stop_recording", "announce"};
    struct answer answer;
    bool good = true;
    int r = answer_decode(message, &answer);

    if (r != 0)
        return say_fault(at, refusal_token((uint32_t)r), "an answer that a client cannot read");
    if (answer.kind == MESSAGE_WELCOME) {
        json_line_begin(at, "welcome");
        show_version(answer.version.major, answer.version.minor);
        json_flags("flags", answer.flags, flags, 2);
        json_number("acknowledged", answer.acknowledged);
    } else if (answer.kind == MESSAGE_ACK) {
        json_line_begin(at, "ack");
        show_version(answer.version.major, answer.version.minor);
        json_number("number", answer.acknowledged);
    } else {
        json_line_begin(at, "refused");
        show_version(answer.version.major, answer.version.minor);
        json_number("reason", answer.reason);
        json_token("token", refusal_token(answer.reason));
        good = json_text("text", answer.text);
    }
    json_line_end();
    return good ? true : say_fault(at, "utf8", "a refusal's text is not UTF-8");
}

static bool show_message(struct view message, uint64_t at)
{
    struct message_header header;
    int r = message_header_read(message, &header);

    if (r != 0)
        return say_fault(at, refusal_token((uint32_t)r), "no message stands here: magic");
    if (header.kind == MESSAGE_HELLO)
        return show_hello(message, at);
    if (header.kind == MESSAGE_FRAME)
        return show_frame(message, at);
    return show_answer(message, at);
}

static bool check_messages(const char *bytes, uint64_t length)
{
    uint64_t at = 0;
    bool good = true;

    while (at < length) {
        uint32_t size;
        int r;
        if (length - at < MESSAGE_PREFIX_SIZE)
            return say_fault(at, "malformed", "the file ends inside a message's length");
        memcpy(&size, bytes + at, sizeof(size));
        r = message_length_check(size);
        if (r != 0)
            return say_fault(at, refusal_token((uint32_t)r), "a message's length is impossible");
        at += MESSAGE_PREFIX_SIZE;
        if (size > length - at)
            return say_fault(at, "malformed", "the file ends inside a message");
        good = show_message((struct view){bytes + at, size}, at) && good;
        at += size;
    }
    return good;
}

/* ---- records --------------------------------------------------------------------------------- */

static bool check_records(const char *bytes, uint64_t length)
{
    uint64_t at = 0;
    bool good = true;

    while (at < length) {
        struct record_header header;
        if (length - at < sizeof(header))
            return say_fault(at, "record_length", "the file ends inside a record");
        memcpy(&header, bytes + at, sizeof(header));
        if (header.length < RECORD_ALIGN || header.length % RECORD_ALIGN ||
            header.length > RECORD_LENGTH_MAX || header.length > length - at)
            return say_fault(at, "record_length",
                             "a length that is zero, no multiple of 32, or reaches too far");
        memcpy(record_copy.bytes, bytes + at, header.length);
        good = show_record((const struct record_header *)(const void *)record_copy.bytes, at,
                           PLACE_FRAME) &&
               good;
        at += header.length;
    }
    return good;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct mapped {
    char *bytes; /* private: what a reader would store stays here */
    size_t length;
};

static void mapped_close(const struct mapped *file)
{
    if (file->bytes)
        (void)munmap(file->bytes, file->length); /* fails for our own bugs only */
}

static int mapped_open(const char *path, struct mapped *ret)
{
    int CLEANUP(closep) fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *bytes;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size == 0)
        return -ENODATA;
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    *ret = (struct mapped){bytes, (size_t)status.st_size};
    return 0;
}

static enum form form_of(const struct mapped *file)
{
    const uint64_t segment_magic = SEGMENT_MAGIC;
    const uint32_t message_magic = MESSAGE_MAGIC;

    if (file->length >= 8 && memcmp(file->bytes, &segment_magic, sizeof(segment_magic)) == 0)
        return FORM_SEGMENT;
    if (file->length >= 8 && memcmp(file->bytes + 4, &message_magic, sizeof(message_magic)) == 0)
        return FORM_MESSAGES;
    return FORM_RECORDS;
}

static bool check_file(const struct mapped *file, enum form form)
{
    if (form == FORM_AUTO)
        form = form_of(file);
    if (form == FORM_SEGMENT)
        return check_segment(file->bytes, file->length);
    if (form == FORM_MESSAGES)
        return check_messages(file->bytes, file->length);
    return check_records(file->bytes, file->length);
}

static enum form form_from(const char *flag)
{
    if (strcmp(flag, "--segment") == 0)
        return FORM_SEGMENT;
    if (strcmp(flag, "--messages") == 0)
        return FORM_MESSAGES;
    return strcmp(flag, "--records") == 0 ? FORM_RECORDS : FORM_AUTO;
}

int main(int argc, char **argv)
{
    struct mapped CLEANUP(mapped_close) file = {0};
    enum form form = argc == 3 ? form_from(argv[1]) : FORM_AUTO;
    bool good;
    int r;

    if (argc < 2 || argc > 3 || (argc == 3 && form == FORM_AUTO)) {
        fprintf(stderr, "usage: weir-wire-check [--segment|--messages|--records] FILE\n");
        return EXIT_USAGE;
    }
    r = mapped_open(argv[argc - 1], &file);
    if (r < 0) {
        fprintf(stderr, "weir-wire-check: %s: %s\n", argv[argc - 1], strerror(-r));
        return EXIT_BAD;
    }
    good = check_file(&file, form);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "weir-wire-check: cannot write: %s\n", strerror(errno));
        return EXIT_BAD;
    }
    return good ? 0 : EXIT_BAD;
}
