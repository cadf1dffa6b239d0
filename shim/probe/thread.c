#include "shim/probe/thread.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/view.h"
#include "shim/probe/names.h"
#include "shim/probe/normalize.h"
#include "shim/probe/trace_context.h"

__thread struct thread thread_self __attribute__((tls_model("initial-exec")));

static _Atomic uint32_t threads_arrived;

void thread_arrive(void)
{
    struct thread *self = &thread_self;
    uint32_t arrival = atomic_fetch_add_explicit(&threads_arrived, 1, memory_order_relaxed);

    self->lane = (arrival % SEGMENT_LANES + 1) & 0x7f;
    if (!self->number)
        self->number = (uint32_t)syscall(SYS_gettid);
}

void thread_fork_child(void)
{
    /* The child's only thread is its first: it touches the first lane. */
    atomic_store_explicit(&threads_arrived, 0, memory_order_relaxed);
    thread_self.lane = 0;
    thread_self.number = 0;
}

void thread_names_announce(const struct segment *segment, struct thread *self)
{
    uint32_t epoch = segment_epoch(segment);
    bool is_done = true;

    if (self->tenant)
        is_done &= names_announce_known(segment, NAME_TENANT, self->tenant);
    if (self->tracestate)
        is_done &= names_announce_known(segment, NAME_TRACESTATE, self->tracestate);
    if (self->call_site)
        is_done &= names_announce_known(segment, NAME_CALL_SITE, self->call_site);
    if (is_done)
        self->epoch = epoch & THREAD_EPOCH_MASK;
}

static bool thread_has_trace(const struct thread *self)
{
    static const uint8_t none[sizeof(self->trace_id)];

    return memcmp(self->trace_id, none, sizeof(none)) != 0;
}

/* Remembers the name's text, since nobody will tell it again after a raised epoch, and announces it
 * at once or, without a segment yet, at its first use. */
static uint64_t thread_name_set(enum name_kind kind, const char *text)
{
    const struct segment *segment = segment_enter();
    struct view name = {text, text ? strnlen(text, NAME_TEXT_MAX) : 0};
    uint64_t id;

    if (!name.length)
        return 0;
    id = name_id(name);
    names_remember(kind, id, name);
    if (segment)
        (void)names_announce(segment, kind, id, name, 0); /* refused: counted, tried at next use */
    if (!segment || !names_is_announced(segment, id))
        thread_self.epoch = 0;
    return id;
}

static void thread_context_note(struct thread *self)
{
    self->has_context = thread_has_trace(self) || self->tenant || self->tracestate;
}

void thread_tenant_set(const char *tenant)
{
    thread_self.tenant = thread_name_set(NAME_TENANT, tenant);
    thread_context_note(&thread_self);
}

void thread_call_site_set(const char *call_site)
{
    thread_self.call_site = thread_name_set(NAME_CALL_SITE, call_site);
}

void thread_caller_set(const void *return_address)
{
    thread_self.caller = return_address;
}

void thread_trace_set(const char *traceparent, const char *tracestate)
{
    struct thread *self = &thread_self;
    struct trace_context parsed;

    if (!traceparent) {
        memset(self->trace_id, 0, sizeof(self->trace_id));
        memset(self->parent_span_id, 0, sizeof(self->parent_span_id));
        self->trace_flags = 0;
        self->tracestate = 0;
        thread_context_note(self);
        return;
    }
    if (!trace_context_parse(view_from(traceparent), &parsed))
        return;
    memcpy(self->trace_id, parsed.trace_id, sizeof(self->trace_id));
    memcpy(self->parent_span_id, parsed.parent_span_id, sizeof(self->parent_span_id));
    self->trace_flags = parsed.flags;
    self->tracestate = thread_name_set(NAME_TRACESTATE, tracestate);
    thread_context_note(self);
}

void thread_connects_covered(int is_covered)
{
    thread_self.is_covered = is_covered != 0;
}

int thread_connects_are_covered(void)
{
    return thread_self.is_covered;
}

void thread_context_save(struct probe_context *ret)
{
    const struct thread *self = &thread_self;

    memcpy(ret->trace_id, self->trace_id, sizeof(ret->trace_id));
    memcpy(ret->parent_span_id, self->parent_span_id, sizeof(ret->parent_span_id));
    ret->tenant = self->tenant;
    ret->tracestate = self->tracestate;
    ret->epoch = self->epoch;
    ret->trace_flags = self->trace_flags;
    ret->has_context = self->has_context;
}

/* With the epoch: the names that return may not have been announced in the one that was reached
 * meanwhile. */
void thread_context_restore(const struct probe_context *context)
{
    struct thread *self = &thread_self;

    memcpy(self->trace_id, context->trace_id, sizeof(self->trace_id));
    memcpy(self->parent_span_id, context->parent_span_id, sizeof(self->parent_span_id));
    self->tenant = context->tenant;
    self->tracestate = context->tracestate;
    self->epoch = context->epoch & THREAD_EPOCH_MASK;
    self->trace_flags = context->trace_flags;
    self->has_context = context->has_context;
}
