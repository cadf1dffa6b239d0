#include "tests/unit/shim/probe/fake_agent.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/wire/message_codec.h"
#include "proto/wire/segment_plan.h"

enum { PATIENCE_MS = 20000 };

void fake_agent_listen(struct fake_agent *agent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_true(strlen(agent->path) < sizeof(address.sun_path));
    strcpy(address.sun_path, agent->path);
    (void)unlink(agent->path); /* the one that vanished left it */
    agent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(agent->listener >= 0);
    assert_int_equal(bind(agent->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(agent->listener, 16), 0);
}

void fake_agent_start(struct fake_agent *agent)
{
    memset(agent, 0, sizeof(*agent));
    agent->connection = agent->pidfd = -1;
    strcpy(agent->folder, "/tmp/weir-probe-XXXXXX");
    assert_non_null(mkdtemp(agent->folder));
    (void)snprintf(agent->path, sizeof(agent->path), "%s/agent.sock", agent->folder);
    assert_int_equal(setenv("WEIR_SOCKET", agent->path, 1), 0);
    fake_agent_listen(agent);
}

static void descriptor_drop(int *fd)
{
    if (*fd >= 0)
        assert_int_equal(close(*fd), 0);
    *fd = -1;
}

void fake_agent_vanish(struct fake_agent *agent)
{
    descriptor_drop(&agent->listener);
    descriptor_drop(&agent->connection);
    descriptor_drop(&agent->pidfd);
}

void fake_agent_unmap(struct fake_agent *agent)
{
    if (agent->base)
        assert_int_equal(munmap(agent->base, agent->size), 0);
    agent->base = NULL;
}

void fake_agent_stop(struct fake_agent *agent)
{
    fake_agent_vanish(agent);
    fake_agent_unmap(agent);
    for (size_t i = 0; i < agent->name_count; i++)
        free(agent->name_texts[i]);
    (void)unlink(agent->path);
    (void)rmdir(agent->folder);
}

bool fake_agent_is_called(struct fake_agent *agent, int wait_ms)
{
    struct pollfd waited = {.fd = agent->listener, .events = POLLIN};

    return poll(&waited, 1, wait_ms) == 1;
}

/* Receives @length bytes; descriptors that came along go to @fds. Returns how many came. */
static size_t receive_all(int fd, void *bytes, size_t length, int fds[4])
{
    char control[CMSG_SPACE(4 * sizeof(int))];
    size_t done = 0, count = 0;

    while (done < length) {
        struct iovec part = {(char *)bytes + done, length - done};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        struct pollfd waited = {.fd = fd, .events = POLLIN};
        ssize_t got;

        assert_int_equal(poll(&waited, 1, PATIENCE_MS), 1);
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        assert_true(got > 0);
        assert_int_equal(message.msg_flags & MSG_CTRUNC, 0);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
            size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            assert_int_equal(c->cmsg_type, SCM_RIGHTS);
            assert_true(count + here <= 4);
            memcpy(fds + count, CMSG_DATA(c), here * sizeof(int));
            count += here;
        }
        done += (size_t)got;
    }
    return count;
}

static void segment_map(struct fake_agent *agent, int memory)
{
    struct stat status;
    const char *what = "";

    assert_int_equal(fcntl(memory, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(fstat(memory, &status), 0);
    agent->size = (size_t)status.st_size;
    agent->base = mmap(NULL, agent->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    assert_true(agent->base != MAP_FAILED);
    assert_int_equal(segment_check(agent->base, agent->size, &agent->layout, &what), 0);
    agent->board = board_view_of(agent->base, &agent->layout);
    for (uint32_t i = 0; i < agent->layout.lane_count; i++)
        assert_int_equal(lane_reader_open(&agent->lanes[i],
                                          segment_lane(fake_agent_header(agent), i),
                                          agent->layout.lane_stride),
                         0);
    assert_int_equal(lane_reader_open(&agent->names_ring, segment_names(fake_agent_header(agent)),
                                      agent->layout.names_stride),
                     0);
}

void fake_agent_accept(struct fake_agent *agent)
{
    int fds[4] = {-1, -1, -1, -1};
    uint32_t length;
    size_t count;

    descriptor_drop(&agent->connection);
    descriptor_drop(&agent->pidfd);
    assert_true(fake_agent_is_called(agent, PATIENCE_MS));
    agent->connection = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(agent->connection >= 0);
    count = receive_all(agent->connection, &length, sizeof(length), fds);
    assert_true(length <= sizeof(agent->hello_bytes));
    assert_int_equal(receive_all(agent->connection, agent->hello_bytes, length, fds + count), 0);
    assert_int_equal(hello_decode((struct view){agent->hello_bytes, length}, &agent->hello), 0);
    assert_int_equal(count, agent->hello.kind == HELLO_SEGMENT ? 2 : 1);
    agent->pidfd = fds[1];
    if (!agent->base)
        segment_map(agent, fds[0]);
    assert_int_equal(close(fds[0]), 0);
}

static void answer_send(struct fake_agent *agent, const void *bytes, size_t length)
{
    assert_int_equal(send(agent->connection, bytes, length, MSG_NOSIGNAL), length);
}

void fake_agent_welcome(struct fake_agent *agent)
{
    char bytes[ANSWER_SIZE_MAX];
    struct message_version version = {WIRE_VERSION_MAJOR, WIRE_VERSION_MINOR};

    answer_send(agent, bytes, welcome_encode(bytes, sizeof(bytes), version, 0, 0));
}

void fake_agent_refuse(struct fake_agent *agent)
{
    char bytes[ANSWER_SIZE_MAX];

    answer_send(agent, bytes,
                refused_encode(bytes, sizeof(bytes), REFUSAL_CLIENTS_MAX,
                               VIEW_LITERAL("too many clients")));
    descriptor_drop(&agent->connection);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void names_add(struct fake_agent *agent, const struct record_name *name)
{
    struct seen_name *seen = &agent->names[agent->name_count];
    char *text = malloc(name->text_length + 1);

    assert_true(agent->name_count < FAKE_RECORDS_MAX);
    assert_non_null(text);
    memcpy(text, name + 1, name->text_length);
    text[name->text_length] = '\0';
    *seen = (struct seen_name){name->id, name->name_kind, name->flags, name->text_length, text};
    agent->name_texts[agent->name_count++] = text;
}

static void records_add(struct fake_agent *agent, const struct record_header *header)
{
    struct seen_record *seen = &agent->records[agent->record_count];

    if (header->kind == RECORD_NAME) {
        names_add(agent, (const struct record_name *)(const void *)header);
        return;
    }
    assert_true(agent->record_count < FAKE_RECORDS_MAX);
    agent->record_count++;
    memset(seen, 0, sizeof(*seen));
    memcpy(&seen->statement, header, EVENT_CORE_SIZE);
    if (seen->event.flags & EVENT_HAS_CONTEXT) {
        assert_int_equal(header->length, EVENT_CORE_SIZE + EVENT_CONTEXT_SIZE);
        memcpy(&seen->context, (const char *)header + EVENT_CORE_SIZE, EVENT_CONTEXT_SIZE);
    } else {
        assert_int_equal(header->length, EVENT_CORE_SIZE);
    }
}

static void ring_drain(struct fake_agent *agent, struct lane_reader *reader)
{
    static struct lane_record_copy copy;
    const struct record_header *header;
    int r;

    assert_int_equal(lane_reader_look(reader), 0);
    while ((r = lane_reader_next(reader, &copy, &header)) == 0)
        records_add(agent, header);
    assert_int_equal(r, LANE_READER_E_END);
    lane_reader_commit(reader, reader->position);
}

void fake_agent_drain(struct fake_agent *agent)
{
    agent->record_count = 0;
    for (uint32_t i = 0; i < agent->layout.lane_count; i++)
        ring_drain(agent, &agent->lanes[i]);
    ring_drain(agent, &agent->names_ring);
}

const struct seen_record *fake_agent_record(const struct fake_agent *agent, enum record_kind kind,
                                            unsigned nth)
{
    for (size_t i = 0; i < agent->record_count; i++)
        if (agent->records[i].header.kind == kind && nth-- == 0)
            return &agent->records[i];
    fail_msg("no such record of kind %d", (int)kind);
    return NULL;
}

unsigned fake_agent_count(const struct fake_agent *agent, enum record_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < agent->record_count; i++)
        count += agent->records[i].header.kind == kind;
    return count;
}

const struct seen_name *fake_agent_name(const struct fake_agent *agent, enum name_kind kind,
                                        uint64_t id)
{
    for (size_t i = 0; i < agent->name_count; i++)
        if (agent->names[i].id == id && agent->names[i].kind == kind)
            return &agent->names[i];
    return NULL;
}

unsigned fake_agent_name_count(const struct fake_agent *agent, enum name_kind kind, uint64_t id)
{
    unsigned count = 0;

    for (size_t i = 0; i < agent->name_count; i++)
        count += agent->names[i].id == id && agent->names[i].kind == kind;
    return count;
}
