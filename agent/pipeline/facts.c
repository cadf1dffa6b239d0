/* Numbers of all parts, put together for weir.agent.*. */
#include <stdio.h>
#include <string.h>

#include "agent/pipeline/house.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/message_codec.h"

/* Clients by the version of their shim; the texts live in @versions. */
struct version_count {
    struct self_counts *counts;
    char versions[SELF_COUNTS_MAX][32];
};

static void count_version(void *userdata, const struct process *process,
                          const struct ingest_counts *counts)
{
    struct version_count *by = userdata;
    struct view said = attributes_text(process->hello, HELLO_KEY_SHIM_VERSION);
    char version[32];
    (void)counts;

    (void)snprintf(version, sizeof(version), "%.*s", (int)said.length, said.bytes);
    for (uint32_t i = 0; i < by->counts->count; i++) {
        if (strcmp(by->counts->items[i].value, version) == 0) {
            by->counts->items[i].count++;
            return;
        }
    }
    if (by->counts->count == SELF_COUNTS_MAX)
        return;
    memcpy(by->versions[by->counts->count], version, sizeof(version));
    self_counts_add(by->counts, by->versions[by->counts->count], NULL, 1);
}

static const char *const record_reasons[RECORD_E_END] = {
    [RECORD_E_UNKNOWN_KIND] = "unknown_kind",
    [RECORD_E_LENGTH] = "length",
    [RECORD_E_ENUM] = "value",
    [RECORD_E_TEXT] = "text",
};

void pipeline_self_points(struct pipeline *pipeline, uint64_t now_ns,
                          struct snapshot_builder *builder)
{
    struct ingest_stats stats = ingest_stats(pipeline->ingest);
    struct names_stats names = names_stats(pipeline->names);
    struct self_facts facts = {.names = names.entries, .names_evicted = names.evicted};
    struct version_count versions = {.counts = &facts.clients};

    ingest_counts(pipeline->ingest, count_version, &versions);
    for (uint32_t i = 1; i < REFUSAL_END; i++) {
        if (stats.refused[i])
            self_counts_add(&facts.clients_refused, refusal_token(i), NULL, stats.refused[i]);
    }
    if (stats.hello_timeouts)
        self_counts_add(&facts.clients_refused, "hello_timeout", NULL, stats.hello_timeouts);
    if (stats.frame_timeouts)
        self_counts_add(&facts.clients_refused, "frame_timeout", NULL, stats.frame_timeouts);
    for (uint32_t i = LANE_FAULT_NONE + 1; i < LANE_FAULT_END; i++) {
        if (stats.lanes_bad[i])
            self_counts_add(&facts.records_bad, lane_fault_token((enum lane_fault)i), NULL,
                            stats.lanes_bad[i]);
    }
    for (uint32_t i = 1; i < RECORD_E_END; i++) {
        if (stats.records_bad[i])
            self_counts_add(&facts.records_bad, record_reasons[i], NULL, stats.records_bad[i]);
    }
    outlet_facts(pipeline->outlet, &facts);
    if (pipeline->trace) {
        struct trace_stats spans = trace_stats(pipeline->trace);
        self_counts_add(&facts.spans, "sampled_out", NULL, spans.sampled_out);
        self_counts_add(&facts.spans, "limited", NULL, spans.limited);
    }
    self_points(pipeline->self, now_ns, &facts, builder);
}
