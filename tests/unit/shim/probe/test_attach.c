/* The way to the agent: hello, refusal, an agent that goes and comes, a program that closes all
 * descriptors, the agent's words in the segment. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "include/weir/probe.h"

static struct fake_agent agent;
static struct weir_probe_pool *pool;
static struct weir_probe_connection *connection;

static struct weir_probe_connection *connect_one(void)
{
    struct weir_probe_target target = {.size = sizeof(target), .address = "h", .database = "d"};
    struct weir_probe_connection *opened = weir_probe_connect_begin(pool, &target);

    weir_probe_connect_end(opened, NULL);
    return opened;
}

static void run(const char *text)
{
    struct weir_probe_statement statement;

    weir_probe_statement_begin(connection, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, NULL);
}

static void pause_ms(long ms)
{
    struct timespec wait = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* Descriptors of the program's own table, those of this test left out. */
static unsigned descriptors_of_probe(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned count = 0;
    char path[300], name[300];

    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        ssize_t length;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        length = readlink(path, name, sizeof(name) - 1);
        if (length < 0)
            continue;
        name[length] = '\0';
        count += strstr(name, "memfd:weir") != NULL;
        if (!strncmp(name, "socket:", 7)) {
            int fd = atoi(entry->d_name);
            count += fd != agent.listener && fd != agent.connection;
        }
    }
    assert_int_equal(closedir(folder), 0);
    return count;
}

/* Waits until the attach thread has a table of its own and the program's is clean. */
static void await_clean_table(void)
{
    for (int i = 0; i < 2000 && descriptors_of_probe(); i++) {
        weir_probe_connection_close(connect_one(), WEIR_FAILURE_NONE, NULL);
        pause_ms(5);
    }
    assert_int_equal(descriptors_of_probe(), 0);
}

static struct view said(const char *key)
{
    return hello_find(&agent.hello, view_from(key));
}

static void assert_said(const char *key, const char *value)
{
    assert_true(view_equal(said(key), view_from(value)));
}

static void test_hello_says_who_it_is(void **state)
{
    struct pollfd alive = {.events = POLLIN};
    uint64_t now_ns = clock_monotonic_ns();

    (void)state;
    assert_int_equal(agent.hello.kind, HELLO_SEGMENT);
    assert_int_equal(agent.hello.pid, getpid());
    assert_memory_equal(agent.hello.client_id, agent.layout.id, 16);
    assert_true(agent.hello.monotonic_ns <= now_ns &&
                now_ns - agent.hello.monotonic_ns < 60 * NS_PER_S);
    assert_said(HELLO_KEY_SHIM_NAME, "tester");
    assert_said(HELLO_KEY_SHIM_VERSION, WEIR_VERSION);
    assert_said(HELLO_KEY_SERVICE, "from-the-environment");
    assert_said(HELLO_KEY_RESOURCE, "deployment.environment.name=te%20st,k=v");
    assert_said(HELLO_KEY_EXECUTABLE, "test_probe_attach");
    assert_said(HELLO_KEY_LIBRARY, "libpq 15.4");
    /* The pidfd is ours: it becomes readable when the process ends, so not now. */
    alive.fd = agent.pidfd;
    assert_int_equal(poll(&alive, 1, 0), 0);
    assert_int_equal(syscall(SYS_pidfd_send_signal, agent.pidfd, 0, NULL, 0), 0);
    assert_int_equal(agent.layout.pid, getpid());
    assert_int_equal(agent.size, SEGMENT_SIZE_DEFAULT);
    assert_int_equal(agent.layout.lane_count, SEGMENT_LANES);
    assert_int_equal(agent.layout.slot_count, SEGMENT_SLOTS);
}

static void test_program_keeps_no_descriptor(void **state)
{
    (void)state;
    await_clean_table();
}

static void test_thread_blocks_all_signals(void **state)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    char path[300], line[300];
    unsigned threads = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        FILE *status;
        unsigned long long blocked = 0;
        if (atoi(entry->d_name) == 0 || atoi(entry->d_name) == getpid())
            continue;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "r");
        assert_non_null(status);
        while (fgets(line, sizeof(line), status))
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                break;
        assert_int_equal(fclose(status), 0);
        if (blocked & 1ULL << (SIGTERM - 1) && blocked & 1ULL << (SIGUSR1 - 1) &&
            blocked & 1ULL << (SIGPROF - 1))
            threads++;
    }
    assert_int_equal(closedir(folder), 0);
#if defined(__SANITIZE_THREAD__)
    threads--; /* the sanitizer's own */
#endif
    assert_int_equal(threads, 1);
}

static void test_agent_returns_and_gets_the_same_segment(void **state)
{
    unsigned char id[16];

    (void)state;
    memcpy(id, agent.layout.id, sizeof(id));
    fake_agent_drain(&agent);
    fake_agent_vanish(&agent);
    fake_agent_unmap(&agent); /* as a process that was killed */
    run("SELECT 1 FROM outage");
    fake_agent_listen(&agent);
    fake_agent_accept(&agent); /* maps anew */
    fake_agent_welcome(&agent);
    assert_memory_equal(agent.layout.id, id, sizeof(id));
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
}

static void test_refused_hello_harms_nobody(void **state)
{
    (void)state;
    fake_agent_vanish(&agent);
    fake_agent_listen(&agent);
    fake_agent_accept(&agent);
    fake_agent_refuse(&agent);
    run("SELECT 1 FROM refused");
    fake_agent_accept(&agent); /* it tries again */
    fake_agent_welcome(&agent);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
}

static void test_noise_from_the_agent_is_skipped(void **state)
{
    char noise[8192] = {0};
    uint32_t length = sizeof(noise) - sizeof(length);

    (void)state;
    memcpy(noise, &length, sizeof(length));
    assert_int_equal(send(agent.connection, noise, sizeof(noise), MSG_NOSIGNAL), sizeof(noise));
    fake_agent_welcome(&agent);
    assert_false(fake_agent_is_called(&agent, 300)); /* still the same connection */
}

static void test_program_that_closes_all_descriptors(void **state)
{
    char path[128];
    int files[64], count = 0;
    struct stat status;

    (void)state;
    fake_agent_drain(&agent);
    for (int fd = 3; fd < 1024; fd++)
        if (fd != agent.listener && fd != agent.connection && fd != agent.pidfd)
            (void)close(fd); /* most are closed already */
    (void)snprintf(path, sizeof(path), "%s/file", agent.folder);
    for (; count < 64; count++) {
        files[count] = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_true(files[count] >= 0);
    }
    fake_agent_vanish(&agent);
    run("SELECT 1 FROM closed");
    fake_agent_listen(&agent);
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
    for (int i = 0; i < count; i++) {
        assert_int_equal(fstat(files[i], &status), 0);
        assert_int_equal(status.st_size, 0);
        assert_int_equal(close(files[i]), 0);
    }
    assert_int_equal(unlink(path), 0);
}

static void test_raised_epoch_announces_anew(void **state)
{
    struct weir_probe_text *text = weir_probe_text_new("SELECT kept", SIZE_MAX, 0);
    struct weir_probe_statement statement;
    uint64_t raw, kept, target;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_tenant_set("long-lived");
    for (int round = 0; round < 2; round++) {
        for (int again = 0; again < 3; again++) {
            run("SELECT raw FROM epoch");
            weir_probe_statement_begin_prepared(connection, &statement, text, 0);
            weir_probe_statement_end(&statement, NULL);
        }
        fake_agent_drain(&agent);
        raw = fake_agent_record(&agent, RECORD_STATEMENT, 0)->statement.fingerprint;
        kept = fake_agent_record(&agent, RECORD_STATEMENT, 1)->statement.fingerprint;
        target = fake_agent_record(&agent, RECORD_STATEMENT, 0)->event.target;
        assert_int_equal(fake_agent_name_count(&agent, NAME_STATEMENT, raw), round + 1);
        assert_int_equal(fake_agent_name_count(&agent, NAME_STATEMENT, kept), round + 1);
        assert_int_equal(
            fake_agent_name_count(&agent, NAME_TENANT,
                                  fake_agent_record(&agent, RECORD_STATEMENT, 0)->context.tenant),
            round + 1);
        assert_true(fake_agent_name_count(&agent, NAME_TARGET, target) >= 1);
        assert_int_equal(fake_agent_name_count(
                             &agent, NAME_CALL_SITE,
                             fake_agent_record(&agent, RECORD_STATEMENT, 0)->statement.call_site) >=
                             1,
                         1);
        atomic_fetch_add(&fake_agent_header(&agent)->epoch, 1);
    }
    weir_probe_tenant_set(NULL);
    weir_probe_text_free(text);
}

static void test_full_names_ring_tells_later(void **state)
{
    struct segment_header *header = fake_agent_header(&agent);
    char text[12000];
    uint64_t refused = atomic_load(&header->names_refused), fingerprint;
    int i;

    (void)state;
    fake_agent_drain(&agent);
    memset(text, 'x', sizeof(text));
    for (i = 0; i < 1000 && atomic_load(&header->names_refused) == refused; i++) {
        int length = snprintf(text, sizeof(text), "SELECT %c%c%c.", 'a' + i / 100,
                              'a' + i / 10 % 10, 'a' + i % 10);
        text[length] = 'x';
        text[sizeof(text) - 1] = '\0';
        run(text);
    }
    assert_true(i < 1000);
    fake_agent_drain(&agent);
    fingerprint =
        fake_agent_record(&agent, RECORD_STATEMENT, (unsigned)i - 1)->statement.fingerprint;
    assert_null(fake_agent_name(&agent, NAME_STATEMENT, fingerprint));
    run(text); /* there is room again */
    fake_agent_drain(&agent);
    assert_non_null(fake_agent_name(&agent, NAME_STATEMENT, fingerprint));
}

static void test_stop_is_honoured_within_one_event(void **state)
{
    struct segment_header *header = fake_agent_header(&agent);
    struct weir_probe_statement statement;
    uint64_t dropped = atomic_load(&header->dropped[SEGMENT_DROP_LANES_FULL]) +
                       atomic_load(&header->dropped[SEGMENT_DROP_LANES_BUSY]);

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_statement_begin(connection, &statement, "SELECT stopping", SIZE_MAX, 0);
    atomic_fetch_or(&header->control, SEGMENT_STOP_RECORDING);
    weir_probe_statement_end(&statement, NULL);
    for (int i = 0; i < 100; i++)
        run("SELECT stopped");
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 0);
    atomic_fetch_and(&header->control, ~(uint32_t)SEGMENT_STOP_RECORDING);
    run("SELECT stopped");
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 1);
    assert_non_null(
        fake_agent_name(&agent, NAME_STATEMENT,
                        fake_agent_record(&agent, RECORD_STATEMENT, 0)->statement.fingerprint));
    assert_int_equal(atomic_load(&header->dropped[SEGMENT_DROP_LANES_FULL]) +
                         atomic_load(&header->dropped[SEGMENT_DROP_LANES_BUSY]),
                     dropped);
}

static void test_full_lanes_are_counted(void **state)
{
    struct segment_header *header = fake_agent_header(&agent);
    uint64_t dropped = atomic_load(&header->dropped[SEGMENT_DROP_LANES_FULL]);
    uint64_t recorded = 0, before = 0, calls = 60000;

    (void)state;
    fake_agent_drain(&agent);
    for (uint32_t i = 0; i < agent.layout.lane_count; i++)
        before += lane_reader_recorded(&agent.lanes[i]);
    for (uint64_t i = 0; i < calls; i++)
        run("SELECT full");
    for (uint32_t i = 0; i < agent.layout.lane_count; i++) {
        recorded += lane_reader_recorded(&agent.lanes[i]);
        lane_reader_commit(&agent.lanes[i],
                           atomic_load_explicit(&agent.lanes[i].lane->head, memory_order_acquire));
    }
    dropped = atomic_load(&header->dropped[SEGMENT_DROP_LANES_FULL]) - dropped;
    assert_true(dropped > 0);
    assert_int_equal(recorded - before + dropped, calls);
    assert_true(recorded - before > 25000); /* "about 30,000 events" */
}

static int group_setup(void **state)
{
    struct weir_probe_identity identity = {.size = sizeof(identity),
                                           .shim_name = "tester",
                                           .service_name = "from-the-program",
                                           .library = "libpq 15.4"};

    (void)state;
    fake_agent_start(&agent);
    assert_int_equal(setenv("OTEL_SERVICE_NAME", "from-the-environment", 1), 0);
    assert_int_equal(
        setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=te%20st,k=v", 1), 0);
    weir_probe_identify(&identity);
    pool = weir_probe_pool_open(NULL);
    connection = connect_one();
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
    fake_agent_stop(&agent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_says_who_it_is),
        cmocka_unit_test(test_program_keeps_no_descriptor),
        cmocka_unit_test(test_thread_blocks_all_signals),
        cmocka_unit_test(test_agent_returns_and_gets_the_same_segment),
        cmocka_unit_test(test_refused_hello_harms_nobody),
        cmocka_unit_test(test_noise_from_the_agent_is_skipped),
        cmocka_unit_test(test_program_that_closes_all_descriptors),
        cmocka_unit_test(test_raised_epoch_announces_anew),
        cmocka_unit_test(test_full_names_ring_tells_later),
        cmocka_unit_test(test_stop_is_honoured_within_one_event),
        cmocka_unit_test(test_full_lanes_are_counted),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
