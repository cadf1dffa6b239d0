/* The way out over OTLP: holds back what no checkpoint covers yet, hands the rest to the exporter,
 * and tells on the loop what arrived. Everything on the loop's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/config/config.h"
#include "agent/model/snapshot.h"
#include "agent/model/span.h"
#include "agent/self/self.h"

struct outlet;

/* Whether what @config and the environment say of destinations can work. 0, -ENOMEM, or
 * OUTLET_E_WRONG with the reason. */
enum { OUTLET_E_WRONG = 1 };
int outlet_check(const struct config *config, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Called on the loop: the destination has the snapshot @generation. */
typedef void (*outlet_arrived_fn)(void *userdata, uint64_t generation);

/* *ret is NULL if no destination is configured; every call below accepts that. Results as
 * outlet_check. */
int outlet_new(uv_loop_t *loop, const struct config *config, outlet_arrived_fn arrived,
               void *userdata, struct outlet **ret, char *error, size_t error_size)
    __attribute__((warn_unused_result));
/* Gives up what was not sent. The memory is freed by the loop's next turns. */
struct outlet *outlet_close(struct outlet *outlet);

/* 0: metrics go nowhere. */
uint32_t outlet_interval_ms(const struct outlet *outlet);
bool outlet_takes_spans(const struct outlet *outlet);

/* Takes over the caller's reference; the span leaves with the next checkpoint. */
void outlet_add_span(struct outlet *outlet, const struct span *span);

/* The spans until now belong to the checkpoint that begins; when it is committed they leave, and
 * with them @snapshot (NULL: not now). */
void outlet_freeze(struct outlet *outlet);
void outlet_commit(struct outlet *outlet, const struct snapshot *snapshot);
void outlet_commit_failed(struct outlet *outlet);

/* Waits up to @timeout_ms until everything has arrived; then tells what did. Blocks. 0 or
 * -ETIMEDOUT. */
int outlet_flush(struct outlet *outlet, uint64_t timeout_ms);

/* Adds what the agent says of its exports. */
void outlet_facts(const struct outlet *outlet, struct self_facts *facts);
