#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/trace/identity.h"
#include "agent/trace/trace.h"

#define NOW      UINT64_C(5000000000)
#define END_NS   UINT64_C(1700000000000000000)
#define SECOND   UINT64_C(1000000000)
#define NEVER_ID UINT64_C(12345) /* a name that nobody gave */

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One client, one statement, and what is known of it. */
struct world {
    struct names *names;
    struct process process;
    struct record_statement statement;
    struct event_context context;
    struct observation observation;
    struct trace *trace;
    struct trace_opts opts;
};

static const struct attributes *resource_of(const char *service)
{
    const struct attribute items[] = {attribute_string("service.name", view_from(service))};
    const struct attributes *resource = attributes_new(items, 1);

    assert_non_null(resource);
    return resource;
}

static struct view summary_of(void *userdata, uint64_t fingerprint, struct view text)
{
    (void)fingerprint;
    assert_true(view_equal(text, VIEW_LITERAL("SELECT * FROM orders WHERE id = $1")));
    return userdata ? view_from(userdata) : (struct view){NULL, 0};
}

static uint64_t name(struct world *world, enum name_kind kind, const char *text)
{
    uint64_t id = kind == NAME_STATEMENT ? 0xff : XXH3_64bits(text, strlen(text));

    assert_int_equal(names_add(world->names, kind, id, 0, view_from(text)), 0);
    return id;
}

static void world_open(struct world *world)
{
    const struct names_opts names_opts = {100, 1 << 20};

    *world = (struct world){
        .process = {.client_id = {7}, .pid = 4711, .resource = resource_of("shop")},
        .statement = {.head = {.header = {.kind = RECORD_STATEMENT}, .hold_id = 5, .sequence = 2},
                      .fingerprint = 0xff,
                      .duration_ns = 3000,
                      .rows = 4},
        .context = {.trace_id = {0xaa}, .parent_span_id = {0xbb}, .trace_flags = 0x01},
    };
    assert_int_equal(names_new(&names_opts, &world->names), 0);
    (void)name(world, NAME_STATEMENT, "SELECT * FROM orders WHERE id = $1");
    world->statement.head.target = name(world, NAME_TARGET, "main\nshopdb\ndb.example\n6432");
    world->observation = (struct observation){
        .process = &world->process, .time_unix_ns = END_NS, .statement = &world->statement};
    world->opts = (struct trace_opts){.policy = trace_policy_default(),
                                      .spans_per_second = 10,
                                      .burst = 5,
                                      .services_max = 2,
                                      .statement_text = true,
                                      .names = world->names,
                                      .summary = summary_of,
                                      .summary_userdata = "SELECT orders"};
}

static void world_start(struct world *world)
{
    assert_int_equal(trace_new(&world->opts, &world->trace), 0);
}

static void world_close(struct world *world)
{
    world->trace = trace_free(world->trace);
    world->names = names_free(world->names);
    (void)attributes_unref(world->process.resource);
}

static const struct span *observe(struct world *world, uint64_t now_ns)
{
    return trace_observe(world->trace, &world->observation, now_ns);
}

static bool is_kept(struct world *world)
{
    const struct span *CLEANUP(span_unrefp) span = observe(world, NOW);
    struct trace_stats stats = trace_stats(world->trace);

    assert_int_equal(stats.made,
                     stats.sampled_out + stats.limited + stats.out_of_memory + stats.kept);
    return span != NULL;
}

static const char *text_of(const struct span *span, const char *key)
{
    const struct attribute *found = attributes_find(span->attributes, view_from(key));
    static char text[500];

    if (!found)
        return NULL;
    if (found->type == ATTRIBUTE_INT)
        (void)snprintf(text, sizeof(text), "%lld", (long long)found->value.integer);
    else
        (void)snprintf(text, sizeof(text), "%.*s", (int)found->value.string.length,
                       found->value.string.bytes);
    return text;
}

#define assert_attribute(span, key, value) assert_string_equal(text_of((span), (key)), (value))

/* ---- which ---------------------------------------------------------------------------------- */

static void modes(void **state)
{
    enum { NO_CONTEXT, UNSAMPLED, SAMPLED };
    static const struct {
        struct trace_policy policy;
        int parent;
        bool fails, is_kept;
    } table[] = {
        {{TRACE_OFF, 0}, SAMPLED, true, false},
        {{TRACE_KEPT, 0}, SAMPLED, false, false},
        {{TRACE_KEPT, 0}, NO_CONTEXT, true, true},
        {{TRACE_PARENT, TRACE_THRESHOLD_NONE}, SAMPLED, false, true},
        {{TRACE_PARENT, TRACE_THRESHOLD_NONE}, UNSAMPLED, false, false},
        {{TRACE_PARENT, TRACE_THRESHOLD_NONE}, UNSAMPLED, true, true},
        {{TRACE_PARENT, TRACE_THRESHOLD_NONE}, NO_CONTEXT, false, false},
        {{TRACE_PARENT, TRACE_THRESHOLD_NONE}, NO_CONTEXT, true, true},
        {{TRACE_PARENT, TRACE_THRESHOLD_ALL}, NO_CONTEXT, false, true},
        {{TRACE_PARENT, TRACE_THRESHOLD_ALL}, UNSAMPLED, false, false},
        {{TRACE_ALL, TRACE_THRESHOLD_NONE}, UNSAMPLED, false, true},
        {{TRACE_ALL, TRACE_THRESHOLD_NONE}, NO_CONTEXT, false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct world world;
        world_open(&world);
        world.opts.policy = table[i].policy;
        world_start(&world);
        world.context.trace_flags = table[i].parent == SAMPLED ? 0x03 : 0x02;
        world.observation.context = table[i].parent == NO_CONTEXT ? NULL : &world.context;
        world.statement.failure = table[i].fails ? FAILURE_TIMEOUT : FAILURE_NONE;
        assert_int_equal(is_kept(&world), table[i].is_kept);
        assert_int_equal(trace_stats(world.trace).kept, table[i].is_kept);
        assert_int_equal(trace_stats(world.trace).made, table[i].policy.mode != TRACE_OFF);
        world_close(&world);
    }
}

static void other_events_and_new_policies(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    world.opts.policy.mode = TRACE_ALL;
    world_start(&world);
    world.statement.head.header.kind = RECORD_RELEASE;
    assert_false(is_kept(&world));
    assert_int_equal(trace_stats(world.trace).made, 0);
    world.statement.head.header.kind = RECORD_STATEMENT;
    assert_true(is_kept(&world));
    trace_set_policy(world.trace, trace_policy_default());
    assert_false(is_kept(&world));
    assert_int_equal(trace_stats(world.trace).sampled_out, 1);
    world_close(&world);
}

static void what_is_a_failure(void **state)
{
    static const struct {
        uint8_t failure;
        const char *sqlstate;
        bool is_failure;
        const char *status_code, *error_type;
    } table[] = {
        {FAILURE_NONE, "", false, NULL, NULL},
        {FAILURE_NONE, "00000", false, NULL, NULL},
        {FAILURE_NONE, "01000", false, "01000", NULL},
        {FAILURE_SQLSTATE, "01004", false, "01004", NULL},
        {FAILURE_SQLSTATE, "02000", true, "02000", "02000"},
        {FAILURE_SQLSTATE, "40001", true, "40001", "40001"},
        {FAILURE_SQLSTATE, "0A000", true, "0A000", "0A000"},
        {FAILURE_SQLSTATE, "XX000", true, "XX000", "XX000"},
        {FAILURE_TIMEOUT, "", true, NULL, "timeout"},
        {FAILURE_PROCESS_DIED, "", true, NULL, "process_died"},
        {FAILURE_CONNECTION_LOST, "57P01", true, "57P01", "57P01"},
        {200, "", true, NULL, "_OTHER"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct world world;
        world_open(&world);
        world.opts.policy.mode = TRACE_ALL;
        world_start(&world);
        world.statement.failure = table[i].failure;
        memcpy(world.statement.sqlstate, table[i].sqlstate, strlen(table[i].sqlstate));
        const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
        assert_non_null(span);
        assert_int_equal(span->status, table[i].is_failure ? SPAN_ERROR : SPAN_UNSET);
        if (table[i].status_code)
            assert_attribute(span, "db.response.status_code", table[i].status_code);
        else
            assert_null(text_of(span, "db.response.status_code"));
        if (table[i].error_type)
            assert_attribute(span, "error.type", table[i].error_type);
        else
            assert_null(text_of(span, "error.type"));
        world_close(&world);
    }
}

/* ---- how many ------------------------------------------------------------------------------- */

static unsigned kept_of(struct world *world, unsigned calls, uint64_t now_ns)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < calls; i++) {
        const struct span *CLEANUP(span_unrefp) span = observe(world, now_ns);
        kept += span != NULL;
    }
    return kept;
}

static void buckets(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    world.opts.policy.mode = TRACE_ALL;
    world_start(&world);
    assert_int_equal(kept_of(&world, 20, NOW), 5); /* the burst */
    assert_int_equal(trace_stats(world.trace).limited, 15);
    assert_int_equal(kept_of(&world, 20, NOW + SECOND / 10 - 1), 0);
    assert_int_equal(kept_of(&world, 20, NOW + SECOND / 10), 1); /* ten a second */
    assert_int_equal(kept_of(&world, 20, NOW), 0);               /* time does not go back */
    assert_int_equal(kept_of(&world, 20, NOW + SECOND / 10 + 3 * SECOND / 10), 3);
    assert_int_equal(kept_of(&world, 20, NOW + 1000 * SECOND), 5);

    /* Services do not take from each other, until there are too many: those share one. */
    const char *const services[] = {"second", "third", "fourth"};
    static const unsigned expected[] = {5, 5, 0};
    for (size_t i = 0; i < 3; i++) {
        (void)attributes_unref(world.process.resource);
        world.process.resource = resource_of(services[i]);
        assert_int_equal(kept_of(&world, 20, NOW + 1000 * SECOND), expected[i]);
    }
    world_close(&world);
}

/* ---- what is in it -------------------------------------------------------------------------- */

static void a_whole_span(void **state)
{
    struct world world;
    uint8_t span_id[8];

    (void)state;
    world_open(&world);
    world.statement.call_site = name(&world, NAME_CALL_SITE, "checkout.c:12");
    world.context.tenant = name(&world, NAME_TENANT, "acme");
    world.context.tracestate = name(&world, NAME_TRACESTATE, "v=1,ot=th:8");
    world.context.backend_pid = 77;
    world.context.trace_flags = 0x83; /* an unknown flag is not passed on */
    world.observation.context = &world.context;
    world_start(&world);
    const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
    assert_non_null(span);
    assert_string_equal(span->name, "SELECT orders");
    assert_string_equal(span->tracestate, "v=1,ot=th:8");
    assert_memory_equal(span->trace_id, world.context.trace_id, 16);
    assert_memory_equal(span->parent_span_id, world.context.parent_span_id, 8);
    identity_span(world.process.client_id, &world.statement.head, span_id);
    assert_memory_equal(span->span_id, span_id, 8);
    assert_int_equal(span->flags, 0x103); /* sampled, random; the parent is known to be local */
    assert_int_equal(span->end_unix_ns, END_NS);
    assert_int_equal(span->start_unix_ns, END_NS - 3000);
    assert_ptr_equal(span->resource, world.process.resource);
    assert_attribute(span, "db.system.name", "postgresql");
    assert_attribute(span, "weir.statement.fingerprint", "00000000000000ff");
    assert_attribute(span, "db.query.summary", "SELECT orders");
    assert_attribute(span, "db.query.text", "SELECT * FROM orders WHERE id = $1");
    assert_attribute(span, "db.namespace", "shopdb");
    assert_attribute(span, "db.client.connection.pool.name", "main");
    assert_attribute(span, "server.address", "db.example");
    assert_attribute(span, "server.port", "6432");
    assert_attribute(span, "db.response.returned_rows", "4");
    assert_attribute(span, "process.pid", "4711");
    assert_attribute(span, "weir.backend_pid", "77");
    assert_attribute(span, "weir.call_site", "checkout.c:12");
    assert_attribute(span, "weir.tenant", "acme");
    assert_int_equal(span->attributes->count, 13);
    world_close(&world);
}

static void as_little_as_is_known(void **state)
{
    struct world world;
    uint8_t trace_id[16];

    (void)state;
    world_open(&world);
    world.opts.policy.mode = TRACE_ALL;
    world.statement.fingerprint = NEVER_ID;
    world.statement.head.target = NEVER_ID;
    world.statement.rows = ROWS_UNKNOWN;
    world.statement.duration_ns = UINT64_MAX; /* what another process says is not trusted */
    world_start(&world);
    const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
    assert_non_null(span);
    assert_string_equal(span->name, "postgresql");
    assert_string_equal(span->tracestate, "");
    assert_int_equal(span->start_unix_ns, 0);
    assert_int_equal(span->attributes->count, 3);
    identity_trace(world.process.client_id, &world.statement.head, trace_id);
    assert_memory_equal(span->trace_id, trace_id, 16);
    assert_memory_equal(span->parent_span_id, ((uint8_t[8]){0}), 8);
    assert_int_equal(span->flags, 0x03);
    world_close(&world);
}

static void names_of_spans(void **state)
{
    static const struct {
        const char *target, *summary, *name;
    } table[] = {
        {"main\nshopdb\ndb.example\n6432", "SELECT orders", "SELECT orders"},
        {"main\nshopdb\ndb.example\n6432", NULL, "shopdb"},
        {"main\n\ndb.example\n6432", NULL, "db.example:6432"},
        {"main\n\n/run/postgresql\n", NULL, "/run/postgresql"},
        {"main\n\n\n", NULL, "postgresql"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct world world;
        world_open(&world);
        world.opts.policy.mode = TRACE_ALL;
        world.opts.statement_text = false;
        world.opts.summary_userdata = (void *)(uintptr_t)table[i].summary;
        world.statement.head.target = name(&world, NAME_TARGET, table[i].target);
        world_start(&world);
        const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
        assert_non_null(span);
        assert_string_equal(span->name, table[i].name);
        assert_null(text_of(span, "db.query.text"));
        world_close(&world);
    }
}

/* The default port needs no mention. */
static void default_port(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    world.opts.policy.mode = TRACE_ALL;
    world.statement.head.target = name(&world, NAME_TARGET, "main\nshopdb\ndb.example\n5432");
    world_start(&world);
    const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
    assert_attribute(span, "server.address", "db.example");
    assert_null(text_of(span, "server.port"));
    world_close(&world);
}

/* Chosen for cause, or through an empty bucket, it does not stand for others. */
static void threshold_is_erased(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    world.context.tracestate = name(&world, NAME_TRACESTATE, "ot=th:8;rv:01234567890123");
    world.observation.context = &world.context;
    world_start(&world);
    for (int i = 0; i < 5; i++) {
        const struct span *CLEANUP(span_unrefp) span = observe(&world, NOW);
        assert_string_equal(span->tracestate, "ot=th:8;rv:01234567890123");
    }
    assert_null(observe(&world, NOW));
    const struct span *CLEANUP(span_unrefp) limited = observe(&world, NOW + SECOND / 10);
    assert_string_equal(limited->tracestate, "ot=rv:01234567890123");
    const struct span *CLEANUP(span_unrefp) later = observe(&world, NOW + 10 * SECOND);
    assert_string_equal(later->tracestate, "ot=th:8;rv:01234567890123");
    world.context.trace_flags = 0;
    world.statement.failure = FAILURE_TIMEOUT;
    const struct span *CLEANUP(span_unrefp) failed = observe(&world, NOW + 20 * SECOND);
    assert_string_equal(failed->tracestate, "ot=rv:01234567890123");
    assert_int_equal(failed->flags & 1, 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes),
        cmocka_unit_test(other_events_and_new_policies),
        cmocka_unit_test(what_is_a_failure),
        cmocka_unit_test(buckets),
        cmocka_unit_test(a_whole_span),
        cmocka_unit_test(as_little_as_is_known),
        cmocka_unit_test(names_of_spans),
        cmocka_unit_test(default_port),
        cmocka_unit_test(threshold_is_erased),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
