#include "agent/trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/trace/identity.h"
#include "agent/trace/tracestate.h"

#define NS_PER_SECOND UINT64_C(1000000000)

enum {
    W3C_SAMPLED = 0x01,
    W3C_RANDOM = 0x02,
    SPAN_PARENT_IS_KNOWN = 0x100, /* whether the parent is remote; ours is in the same process */
    ITEMS_MAX = 20,
    NAME_SIZE = 1024, /* a summary has 255 characters at most */
    PORT_DEFAULT = 5432,
};

/* A service's tokens, in nanoseconds of refill, so that nothing is lost to rounding. */
struct bucket {
    uint64_t service; /* its resource's hash */
    uint64_t filled_ns, time_ns;
    bool is_limiting; /* it has refused since it was last full */
};

struct trace {
    struct trace_opts opts;
    struct trace_stats stats;
    uint64_t token_ns, full_ns;
    struct bucket *buckets; /* services_max and the one that is shared, which is last */
    uint32_t bucket_count;
    struct bucket *recent;
};

/* Why a statement is kept. */
struct decision {
    bool is_sampled; /* by its parent, or as a root */
    bool is_failed;
    bool has_trace;
    uint8_t trace_id[16];
};

int trace_new(const struct trace_opts *opts, struct trace **ret)
{
    struct trace *CLEANUP(trace_freep) trace = calloc(1, sizeof(*trace));

    if (!trace)
        return -ENOMEM;
    trace->opts = *opts;
    trace->buckets = calloc((size_t)opts->services_max + 1, sizeof(*trace->buckets));
    if (!trace->buckets)
        return -ENOMEM;
    trace->token_ns = NS_PER_SECOND / (opts->spans_per_second ? opts->spans_per_second : 1);
    trace->full_ns = trace->token_ns * (opts->burst ? opts->burst : 1);
    trace->buckets[opts->services_max].filled_ns = trace->full_ns;
    *ret = STEAL(trace);
    return 0;
}

struct trace *trace_free(struct trace *trace)
{
    if (trace)
        free(trace->buckets);
    free(trace);
    return NULL;
}

void trace_set_policy(struct trace *trace, struct trace_policy policy)
{
    trace->opts.policy = policy;
}

struct trace_stats trace_stats(const struct trace *trace)
{
    return trace->stats;
}

/* ---- the bucket ----------------------------------------------------------------------------- */

static struct bucket *bucket_of(struct trace *trace, uint64_t service)
{
    if (trace->recent && trace->recent->service == service)
        return trace->recent;
    for (uint32_t i = 0; i < trace->bucket_count; i++) {
        if (trace->buckets[i].service == service)
            return trace->recent = &trace->buckets[i];
    }
    if (trace->bucket_count == trace->opts.services_max)
        return &trace->buckets[trace->opts.services_max];
    trace->recent = &trace->buckets[trace->bucket_count++];
    *trace->recent = (struct bucket){.service = service, .filled_ns = trace->full_ns};
    return trace->recent;
}

static bool bucket_take(const struct trace *trace, struct bucket *bucket, uint64_t now_ns)
{
    if (now_ns > bucket->time_ns) {
        uint64_t passed = now_ns - bucket->time_ns;
        bucket->filled_ns = passed > trace->full_ns - bucket->filled_ns
                                ? trace->full_ns
                                : bucket->filled_ns + passed;
        bucket->time_ns = now_ns;
    }
    if (bucket->filled_ns == trace->full_ns)
        bucket->is_limiting = false;
    if (bucket->filled_ns < trace->token_ns) {
        bucket->is_limiting = true;
        return false;
    }
    bucket->filled_ns -= trace->token_ns;
    return true;
}

/* ---- the decision --------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

/* Classes 00 and 01 are success and warning. */
static bool is_failure(const struct record_statement *statement)
{
    if (statement->failure == FAILURE_NONE)
        return false;
    return statement->failure != FAILURE_SQLSTATE || statement->sqlstate[0] != '0' ||
           (statement->sqlstate[1] != '0' && statement->sqlstate[1] != '1');
}

static struct decision decide(const struct trace *trace, const struct observation *observation)
{
    const struct trace_policy *policy = &trace->opts.policy;
    const struct event_context *context = observation->context;
    struct decision decision = {.is_failed = is_failure(observation->statement)};

    const uint8_t parent_flags = context ? context->trace_flags : 0;

    decision.has_trace = context && !is_zero(context->trace_id, sizeof(context->trace_id));
    if (decision.has_trace)
        memcpy(decision.trace_id, context->trace_id, sizeof(decision.trace_id));
    else
        identity_trace(observation->process->client_id, observation->head, decision.trace_id);
    if (policy->mode == TRACE_ALL)
        decision.is_sampled = true;
    else if (policy->mode == TRACE_PARENT)
        decision.is_sampled = decision.has_trace
                                  ? (parent_flags & W3C_SAMPLED) != 0
                                  : trace_policy_takes_root(policy, decision.trace_id);
    return decision;
}

/* ---- the span ------------------------------------------------------------------------------- */

static const char *failure_token(uint8_t failure)
{
    static const char *const tokens[FAILURE_END] = {
#define FAILURE(value, token) [value] = token,
#include "proto/wire/failure.def"
#undef FAILURE
    };

    return failure < FAILURE_END && tokens[failure] ? tokens[failure] : "_OTHER";
}

/* The attributes in the making, and what they point to. */
struct draft {
    struct attribute items[ITEMS_MAX];
    size_t count;
    char fingerprint[17], sqlstate[6];
    struct view summary;
    struct target target;
};

static void add_text(struct draft *draft, const char *key, struct view value)
{
    if (value.length)
        draft->items[draft->count++] = attribute_string(key, value);
}

static void add_int(struct draft *draft, const char *key, int64_t value)
{
    draft->items[draft->count++] = attribute_int(key, value);
}

static void add_statement(struct trace *trace, struct draft *draft,
                          const struct record_statement *statement)
{
    const struct trace_opts *opts = &trace->opts;
    struct view text = names_find(opts->names, NAME_STATEMENT, statement->fingerprint);

    (void)snprintf(draft->fingerprint, sizeof(draft->fingerprint), "%016llx",
                   (unsigned long long)statement->fingerprint);
    add_text(draft, "weir.statement.fingerprint", view_from(draft->fingerprint));
    if (text.bytes && opts->summary)
        draft->summary = opts->summary(opts->summary_userdata, statement->fingerprint, text);
    add_text(draft, "db.query.summary", draft->summary);
    if (opts->statement_text)
        add_text(draft, "db.query.text", text);
    if (statement->rows != ROWS_UNKNOWN && statement->rows <= INT64_MAX)
        add_int(draft, "db.response.returned_rows", (int64_t)statement->rows);
    add_text(draft, "weir.call_site",
             names_find(opts->names, NAME_CALL_SITE, statement->call_site));
}

/* 0: no port. */
static int64_t port_read(struct view text)
{
    int64_t port = 0;

    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9' || port > UINT16_MAX)
            return 0;
        port = port * 10 + (text.bytes[i] - '0');
    }
    return port <= UINT16_MAX ? port : 0;
}

static void add_target(struct trace *trace, struct draft *draft, uint64_t id)
{
    struct view text = names_find(trace->opts.names, NAME_TARGET, id);

    if (!text.bytes)
        return;
    draft->target = target_parse(text);
    add_text(draft, "db.namespace", draft->target.namespace);
    add_text(draft, "db.client.connection.pool.name", draft->target.pool);
    add_text(draft, "server.address", draft->target.address);
    int64_t port = draft->target.address.length ? port_read(draft->target.port) : 0;
    if (port > 0 && port != PORT_DEFAULT)
        add_int(draft, "server.port", port);
}

static void add_outcome(struct draft *draft, const struct record_statement *statement,
                        bool is_failed)
{
    bool has_failed = statement->failure != FAILURE_NONE;
    bool is_warning = statement->sqlstate[0] == '0' && statement->sqlstate[1] == '1';

    if (statement->sqlstate[0] && (has_failed || is_warning)) {
        memcpy(draft->sqlstate, statement->sqlstate, sizeof(statement->sqlstate));
        add_text(draft, "db.response.status_code", view_from(draft->sqlstate));
    }
    if (is_failed)
        add_text(
            draft, "error.type",
            view_from(draft->sqlstate[0] ? draft->sqlstate : failure_token(statement->failure)));
}

/* The first that is known of: summary, namespace, address, system. */
static void name_make(const struct draft *draft, char ret[NAME_SIZE])
{
    struct view port = draft->target.port;
    struct view first = draft->summary.length ? draft->summary : draft->target.namespace;

    if (first.length)
        (void)snprintf(ret, NAME_SIZE, "%.*s", (int)first.length, first.bytes);
    else if (draft->target.address.length)
        (void)snprintf(ret, NAME_SIZE, "%.*s%s%.*s", (int)draft->target.address.length,
                       draft->target.address.bytes, port.length ? ":" : "", (int)port.length,
                       port.length ? port.bytes : "");
    else
        (void)snprintf(ret, NAME_SIZE, "postgresql");
}

static void context_fill(const struct decision *decision, const struct event_context *context,
                         struct span *span)
{
    memcpy(span->trace_id, decision->trace_id, sizeof(span->trace_id));
    /* A span that is sent is sampled, whatever its parent is. */
    span->flags = W3C_SAMPLED;
    if (!decision->has_trace) {
        span->flags |= W3C_RANDOM;
        return;
    }
    span->flags |= context->trace_flags & W3C_RANDOM;
    memcpy(span->parent_span_id, context->parent_span_id, sizeof(span->parent_span_id));
    if (!is_zero(context->parent_span_id, sizeof(context->parent_span_id)))
        span->flags |= SPAN_PARENT_IS_KNOWN;
}

static const struct span *span_make(struct trace *trace, const struct observation *observation,
                                    const struct decision *decision, bool is_limiting)
{
    const struct record_statement *statement = observation->statement;
    const struct event_context *context = observation->context;
    struct draft draft = {.count = 0};
    char name[NAME_SIZE], tracestate[TRACESTATE_SIZE] = "";
    uint64_t end_ns = observation->time_unix_ns;
    struct span span = {
        .end_unix_ns = end_ns,
        .start_unix_ns = statement->duration_ns < end_ns ? end_ns - statement->duration_ns : 0,
        .status = decision->is_failed ? SPAN_ERROR : SPAN_UNSET,
        .resource = observation->process->resource,
        .name = name,
        .tracestate = tracestate,
    };

    add_text(&draft, "db.system.name", VIEW_LITERAL("postgresql"));
    add_statement(trace, &draft, statement);
    add_target(trace, &draft, statement->head.target);
    add_outcome(&draft, statement, decision->is_failed);
    add_int(&draft, "process.pid", observation->process->pid);
    if (context) {
        add_text(&draft, "weir.tenant",
                 names_find(trace->opts.names, NAME_TENANT, context->tenant));
        if (context->backend_pid)
            add_int(&draft, "weir.backend_pid", context->backend_pid);
    }
    context_fill(decision, context, &span);
    if (decision->has_trace) /* a choice for cause or by rate is none by probability */
        tracestate_copy(names_find(trace->opts.names, NAME_TRACESTATE, context->tracestate),
                        !decision->is_sampled || is_limiting, tracestate);
    identity_span(observation->process->client_id, observation->head, span.span_id);
    name_make(&draft, name);
    const struct attributes *CLEANUP(attributes_unrefp) attributes =
        attributes_new(draft.items, draft.count);
    span.attributes = attributes;
    return attributes ? span_new(&span) : NULL;
}

const struct span *trace_observe(struct trace *trace, const struct observation *observation,
                                 uint64_t now_ns)
{
    if (observation->head->header.kind != RECORD_STATEMENT || trace->opts.policy.mode == TRACE_OFF)
        return NULL;
    trace->stats.made++;
    struct decision decision = decide(trace, observation);
    if (!decision.is_sampled && !decision.is_failed) {
        trace->stats.sampled_out++;
        return NULL;
    }
    struct bucket *bucket = bucket_of(trace, observation->process->resource->hash);
    if (!bucket_take(trace, bucket, now_ns)) {
        trace->stats.limited++;
        return NULL;
    }
    const struct span *span = span_make(trace, observation, &decision, bucket->is_limiting);
    *(span ? &trace->stats.kept : &trace->stats.out_of_memory) += 1;
    return span;
}
