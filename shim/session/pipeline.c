/* Several statements in one round trip. What was sent stands in a list until it is answered; the
 * answers come in its order. One statement at a time is told to the probe, from when it was sent
 * and all before it is answered, so that none is charged with another one's time.
 *
 * A statement that is prepared here for the first time sends its Parse first. What gave its place
 * in the cache before is deallocated in a part of its own, at the beginning. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/probe/clock.h"
#include "shim/session/changes.h"
#include "shim/session/failure.h"
#include "shim/session/run.h"

enum {
    PIPELINE_STRETCH = 64 << 10, /* bytes that are sent before it is looked whether they go out */
    PIPELINE_STATEMENTS_MAX = 1 << 16,
    CLOSINGS_MAX = 16,
};

enum item_kind { ITEM_STATEMENT, ITEM_PARSE, ITEM_CLOSE, ITEM_SYNC };

struct item {
    struct item *next;
    enum item_kind kind;
    struct arguments arguments; /* STATEMENT */
    struct prepared_entry *entry;
    const void *caller;
    uint32_t traits;
};

struct weir_pipeline {
    struct busy busy;
    struct weir_connection *connection;
    struct exchange exchange;
    struct account account;
    struct item *first, **last;
    uint32_t statements; /* in the list */
    uint32_t unsynced;   /* … that were added since the last sync */
    size_t stretch;
    uint64_t begin_ns;
    bool is_flushed;                /* something of what is in the list was sent */
    bool is_aborted;                /* nothing is executed until the part's end */
    struct weir_error *parse_error; /* of the statement that comes next */
};

/* ---- the list -------------------------------------------------------------------------------- */

static void item_free(struct item *item)
{
    prepared_unref(item->entry);
    arguments_deinit(&item->arguments);
    free(item);
}

static struct item *item_push(struct weir_pipeline *pipeline, enum item_kind kind,
                              struct prepared_entry *entry)
{
    struct item *item = calloc(1, sizeof(*item));

    if (!item)
        return NULL;
    item->kind = kind;
    item->entry = prepared_ref(entry);
    *pipeline->last = item;
    pipeline->last = &item->next;
    return item;
}

static void item_pop(struct weir_pipeline *pipeline)
{
    struct item *item = pipeline->first;

    pipeline->first = item->next;
    if (!pipeline->first)
        pipeline->last = &pipeline->first;
    pipeline->statements -= item->kind == ITEM_STATEMENT;
    item_free(item);
}

/* What was not answered may or may not be on the server. */
static void items_drop(struct weir_pipeline *pipeline)
{
    struct prepared_cache *cache = pipeline->busy.slot->prepared;

    while (pipeline->first) {
        if (pipeline->first->kind == ITEM_PARSE)
            prepared_drop(cache, pipeline->first->entry);
        item_pop(pipeline);
    }
}

static void pipeline_free(struct weir_pipeline *pipeline)
{
    if (!pipeline)
        return;
    weir_error_free(pipeline->parse_error);
    free(pipeline);
}

static void pipeline_detach(struct busy *busy)
{
    items_drop((struct weir_pipeline *)busy);
}

CLEANUP_DEFINE(struct weir_pipeline *, pipeline_freep, pipeline_free)

static int pipeline_check(const struct weir_pipeline *pipeline, const char *doing,
                          struct weir_error **ret_error)
{
    if (!pipeline)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: the pipeline is NULL", doing);
    if (!pipeline->busy.slot || !slot_held(pipeline->connection, doing, ret_error))
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: its connection was released before",
                       doing);
    return 0;
}

/* ---- open ------------------------------------------------------------------------------------ */

/* If memory runs out the entry is forgotten here and stays on the server until it is reset. */
static bool closings_send(struct weir_pipeline *pipeline)
{
    struct slot *slot = pipeline->busy.slot;
    char text[PREPARED_NAME_MAX + 16] = "DEALLOCATE ";
    size_t length = strlen(text);
    struct prepared_entry *doomed;

    if (!slot->prepared || !prepared_has_doomed(slot->prepared))
        return true;
    for (unsigned i = 0; i < CLOSINGS_MAX && (doomed = prepared_take_doomed(slot->prepared)); i++) {
        bool is_listed = item_push(pipeline, ITEM_CLOSE, doomed) != NULL;
        memcpy(text + length, doomed->name, sizeof(doomed->name));
        prepared_closed(slot->prepared, doomed, false);
        if (!is_listed || !PQsendQueryParams(slot->conn, text, 0, NULL, NULL, NULL, NULL, 0))
            return false;
    }
    return item_push(pipeline, ITEM_SYNC, NULL) && PQpipelineSync(slot->conn);
}

int weir_pipeline_open(struct weir_connection *connection, int32_t timeout_ms,
                       struct weir_pipeline **ret_pipeline, struct weir_error **ret_error)
{
    static const char doing[] = "weir_pipeline_open";
    struct slot *slot = slot_held(connection, doing, ret_error);
    CLEANUP(pipeline_freep) struct weir_pipeline *pipeline = NULL;
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    if (!ret_pipeline)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: ret_pipeline is NULL", doing);
    if (timeout_ms < 0)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: timeout_ms is negative", doing);
    pipeline = calloc(1, sizeof(*pipeline));
    if (!pipeline)
        return failure_memory(ret_error);
    pipeline->begin_ns = probe_clock_ns();
    pipeline->last = &pipeline->first;
    r = exchange_open(&pipeline->exchange, slot,
                      exchange_deadline_ns(slot, timeout_ms, pipeline->begin_ns), doing, ret_error);
    if (r)
        return r;
    if (!PQenterPipelineMode(slot->conn))
        return failure_of_libpq(ret_error, slot->conn, doing);
    pipeline->connection = connection;
    pipeline->exchange.account = &pipeline->account;
    pipeline->busy = (struct busy){slot, &pipeline->account, pipeline_detach};
    if (!closings_send(pipeline)) {
        r = failure_of_libpq(ret_error, slot->conn, doing);
        items_drop(pipeline);
        slot_lose(slot, false); /* half of it may have been sent */
        return r;
    }
    slot->busy_with = &pipeline->busy;
    *ret_pipeline = STEAL(pipeline);
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The statement that the server comes to. Its own Parse is part of it: the server answers the two
 * together, so that the statement's time would be over when the Parse's answer is read. */
static const struct item *item_oldest_statement(const struct weir_pipeline *pipeline)
{
    const struct item *item = pipeline->first, *next = item ? item->next : NULL;
    bool is_its_parse = next && item->kind == ITEM_PARSE && next->kind == ITEM_STATEMENT &&
                        next->entry == item->entry;

    return is_its_parse ? next : item;
}

/* The server comes to the oldest one. */
static void pipeline_begin_oldest(struct weir_pipeline *pipeline)
{
    const struct item *item = item_oldest_statement(pipeline);
    struct account_opts told;

    if (!item || item->kind != ITEM_STATEMENT || pipeline->is_aborted || !pipeline->is_flushed ||
        pipeline->account.is_open)
        return;
    told = (struct account_opts){
        .sql = item->arguments.sql,
        .opts = &item->arguments.opts,
        .text = item->entry ? item->entry->text : NULL,
        .caller = item->caller,
        .traits = item->traits & ~(uint32_t)TRAIT_SCRIPT, /* the server refuses it */
        .flags = WEIR_STATEMENT_PIPELINED,
        .is_logged = true,
    };
    account_begin(&pipeline->account, pipeline->busy.slot, &told);
}

/* What was given to libpq goes out; what comes in meanwhile is read, or both sides would wait. */
static int pipeline_flush(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    struct exchange *exchange = &pipeline->exchange;

    pipeline->stretch = 0;
    pipeline->is_flushed = true;
    pipeline_begin_oldest(pipeline);
    exchange_sent(exchange);
    while (exchange->wants_write && !exchange->is_given_up &&
           PQstatus(pipeline->busy.slot->conn) == CONNECTION_OK)
        exchange_wait(exchange);
    if (exchange->is_given_up)
        return failure(ret_error, WEIR_ERROR_TIMEOUT,
                       "the pipeline's deadline passed: end it, and release the connection");
    return 0;
}

static struct prepared_cache *pipeline_cache(const struct weir_pipeline *pipeline,
                                             const struct arguments *arguments)
{
    struct slot *slot = pipeline->busy.slot;

    /* Direct use of the PGconn: a failure would end the whole part. */
    if (!arguments->opts.is_prepared || slot->changes & CHANGED_UNKNOWN ||
        OPTION_OF(pool_options(slot->pool), prepared_max) == 0)
        return NULL;
    if (!slot->prepared)
        slot->prepared = prepared_new(pool_probe(slot->pool));
    return slot->prepared && !prepared_is_useless(slot->prepared) ? slot->prepared : NULL;
}

/* The entry of a statement that is to be prepared; its Parse is sent if it is new. NULL: without a
 * name. *@ret_sent: libpq took what there was to send. */
static struct prepared_entry *pipeline_prepare(struct weir_pipeline *pipeline,
                                               const struct arguments *arguments, uint32_t traits,
                                               bool *ret_sent)
{
    struct slot *slot = pipeline->busy.slot;
    struct prepared_cache *cache = pipeline_cache(pipeline, arguments);
    uint64_t hash = text_hash(arguments->sql);
    struct prepared_entry *entry;

    *ret_sent = true;
    if (!cache)
        return NULL;
    entry = prepared_find(cache, arguments->sql, hash, &arguments->opts);
    if (entry)
        return entry;
    entry = prepared_add(cache, arguments->sql, hash, &arguments->opts,
                         (uint32_t)OPTION_OF(pool_options(slot->pool), prepared_max),
                         traits & TRAIT_BACKSLASH);
    if (!entry)
        return NULL;
    if (!item_push(pipeline, ITEM_PARSE, entry)) {
        prepared_drop(cache, entry);
        return NULL;
    }
    *ret_sent = PQsendPrepare(slot->conn, entry->name, entry->sql.bytes, entry->count,
                              entry->has_types ? entry->types : NULL) == 1;
    return entry;
}

static int item_send(struct weir_pipeline *pipeline, const struct item *item)
{
    const struct weir_statement_opts *opts = &item->arguments.opts;
    PGconn *conn = pipeline->busy.slot->conn;

    int is_sent =
        item->entry
            ? PQsendQueryPrepared(conn, item->entry->name, opts->count, opts->values, opts->lengths,
                                  opts->formats, opts->result_format)
            : PQsendQueryParams(conn, item->arguments.sql.bytes, opts->count, opts->types,
                                opts->values, opts->lengths, opts->formats, opts->result_format);

    /* Else the server keeps an answer back until its buffer is full or the part ends, and a quick
     * statement would be charged with the slow one behind it. */
    return is_sent && PQsendFlushRequest(conn);
}

/* What libpq does not take after a Parse would leave the list and the server apart. */
static int pipeline_broken(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    struct slot *slot = pipeline->busy.slot;
    int r = failure_of_libpq(ret_error, slot->conn, "weir_pipeline_add");

    slot_lose(slot, PQstatus(slot->conn) != CONNECTION_OK);
    return r;
}

static int pipeline_send(struct weir_pipeline *pipeline, const struct arguments *arguments,
                         const void *caller, struct weir_error **ret_error)
{
    struct slot *slot = pipeline->busy.slot;
    uint32_t traits = traits_recall(arguments->sql, text_hash(arguments->sql), slot->conn);
    bool is_sent;
    struct prepared_entry *entry = pipeline_prepare(pipeline, arguments, traits, &is_sent);
    struct item *item;

    if (!is_sent)
        return pipeline_broken(pipeline, ret_error);
    item = item_push(pipeline, ITEM_STATEMENT, entry);
    if (!item) {
        slot_lose(slot, false); /* a Parse may have been sent */
        return failure_memory(ret_error);
    }
    item->arguments = *arguments;
    item->caller = caller;
    item->traits = traits;
    slot->changes |= traits & TRAITS_CHANGES;
    pipeline->statements++;
    pipeline->unsynced++;
    if (!item_send(pipeline, item)) {
        item->arguments.owned = NULL; /* the caller ends it */
        return pipeline_broken(pipeline, ret_error);
    }
    pipeline->stretch += arguments->sql.length;
    return 0;
}

int weir_pipeline_add(struct weir_pipeline *pipeline, const char *sql,
                      const struct weir_statement_opts *opts, struct weir_error **ret_error)
{
    static const char doing[] = "weir_pipeline_add";
    struct arguments arguments;
    int r = pipeline_check(pipeline, doing, ret_error);

    if (!r && pipeline->busy.slot->is_lost)
        r = failure(ret_error, WEIR_ERROR_CONNECTION, "%s: the connection was lost before", doing);
    if (!r && pipeline->statements >= PIPELINE_STATEMENTS_MAX)
        r = failure(ret_error, WEIR_ERROR_USAGE,
                    "%s: %u statements are not answered yet: take their results first", doing,
                    pipeline->statements);
    if (!r)
        r = arguments_check(&arguments, sql, opts, doing, ret_error);
    if (!r)
        r = arguments_keep(&arguments, ret_error);
    if (r)
        return r;
    r = pipeline_send(pipeline, &arguments, __builtin_return_address(0), ret_error);
    if (r) {
        arguments_deinit(&arguments);
        return r;
    }
    if (pipeline->stretch >= PIPELINE_STRETCH)
        r = pipeline_flush(pipeline, ret_error);
    return r;
}

int weir_pipeline_sync(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    static const char doing[] = "weir_pipeline_sync";
    int r = pipeline_check(pipeline, doing, ret_error);

    if (r)
        return r;
    if (pipeline->busy.slot->is_lost)
        return failure(ret_error, WEIR_ERROR_CONNECTION, "%s: the connection was lost before",
                       doing);
    if (!item_push(pipeline, ITEM_SYNC, NULL))
        return failure_memory(ret_error);
    if (!PQpipelineSync(pipeline->busy.slot->conn))
        return pipeline_broken(pipeline, ret_error);
    pipeline->unsynced = 0;
    return pipeline_flush(pipeline, ret_error);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The oldest one is answered. */
static void pipeline_advance(struct weir_pipeline *pipeline)
{
    item_pop(pipeline);
    pipeline_begin_oldest(pipeline);
}

static const char *sqlstate_of(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
        return PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return NULL;
}

/* A statement whose Parse failed has failed as it would have without a name. */
static void pipeline_end_unparsed(struct weir_pipeline *pipeline, PGresult *result)
{
    int r = failure_of_result(&pipeline->parse_error, result, pipeline->busy.slot->conn);

    if (!pipeline->account.is_open)
        return;
    account_result(&pipeline->account, result);
    account_end_within(&pipeline->account, (enum weir_error_category)r);
}

/* A Parse or a DEALLOCATE of ours. */
static void pipeline_take_event(struct weir_pipeline *pipeline, PGresult *result)
{
    struct slot *slot = pipeline->busy.slot;
    const struct item *item = pipeline->first;
    bool is_parse = item->kind == ITEM_PARSE;
    bool is_done = PQresultStatus(result) == PGRES_COMMAND_OK;

    pool_probe(slot->pool)
        ->prepare(slot->probe, item->entry->text,
                  is_parse ? WEIR_PREPARE_PARSE : WEIR_PREPARE_DEALLOCATE, 0, sqlstate_of(result));
    if (!is_done && is_parse) {
        prepared_drop(slot->prepared, item->entry);
        if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED && !pipeline->parse_error)
            pipeline_end_unparsed(pipeline, result);
    }
    pipeline->is_aborted |= !is_done;
    pipeline_advance(pipeline);
}

static int pipeline_timed_out(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    uint64_t ns = pipeline->exchange.deadline_ns - pipeline->begin_ns;
    int r =
        failure(ret_error, WEIR_ERROR_TIMEOUT,
                "pool %s: the pipeline was cancelled at its deadline of %llu ms",
                pool_options(pipeline->busy.slot->pool)->name, (unsigned long long)(ns / 1000000u));

    if (ret_error)
        failure_set_survived(*ret_error, !pipeline->exchange.is_given_up);
    return r;
}

/* The statement's own error. */
static int pipeline_take_error(struct weir_pipeline *pipeline, PGresult *result,
                               struct weir_error **ret_error)
{
    struct slot *slot = pipeline->busy.slot;
    const struct item *item = pipeline->first;
    const char *sqlstate = sqlstate_of(result);
    int r;

    if (pipeline->exchange.is_timed_out && sqlstate && !strcmp(sqlstate, "57014"))
        r = pipeline_timed_out(pipeline, ret_error);
    else
        r = failure_of_result(ret_error, result, slot->conn);
    if (item->entry && sqlstate && !strcmp(sqlstate, "26000"))
        prepared_drop(slot->prepared, item->entry);
    else if (item->entry && sqlstate && !strcmp(sqlstate, "0A000"))
        prepared_doom(slot->prepared, item->entry);
    pipeline->is_aborted = true;
    account_result(&pipeline->account, result);
    account_end_within(&pipeline->account, (enum weir_error_category)r);
    PQclear(result);
    pipeline_advance(pipeline);
    return r;
}

static int pipeline_take_aborted(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    struct weir_error *error = STEAL(pipeline->parse_error);
    int r;

    pipeline_advance(pipeline);
    if (!error)
        return failure(ret_error, WEIR_ERROR_TRANSACTION,
                       "not executed: a statement before it in its part of the pipeline failed");
    r = (int)weir_error_category(error);
    if (ret_error && !*ret_error)
        *ret_error = error;
    else
        weir_error_free(error);
    return r;
}

/* The result of the oldest statement. */
static int pipeline_take_statement(struct weir_pipeline *pipeline, PGresult *result,
                                   PGresult **ret_result, struct weir_error **ret_error)
{
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_PIPELINE_ABORTED) {
        PQclear(result);
        return pipeline_take_aborted(pipeline, ret_error);
    }
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
        return pipeline_take_error(pipeline, result, ret_error);
    account_result(&pipeline->account, result);
    account_end_within(&pipeline->account, WEIR_OK);
    pipeline_advance(pipeline);
    *ret_result = result;
    return 0;
}

/* Nothing more is answered: each statement that is left fails for the same reason. */
static int pipeline_take_nothing(struct weir_pipeline *pipeline, struct weir_error **ret_error)
{
    struct slot *slot = pipeline->busy.slot;
    bool is_given_up = pipeline->exchange.is_given_up;
    int r;

    if (!slot->is_lost)
        slot_lose(slot, true);
    account_end_within(&pipeline->account,
                       is_given_up ? WEIR_ERROR_TIMEOUT : WEIR_ERROR_CONNECTION);
    while (pipeline->first && pipeline->first->kind != ITEM_STATEMENT)
        item_pop(pipeline);
    if (!pipeline->first)
        return 0;
    item_pop(pipeline);
    if (is_given_up)
        return pipeline_timed_out(pipeline, ret_error);
    r = failure_of_connection(ret_error, slot->conn, "weir_pipeline_next");
    return r;
}

static void pipeline_take_sync(struct weir_pipeline *pipeline, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        return; /* an answer beyond what was asked: passed over */
    pipeline->is_aborted = false;
    weir_error_free(STEAL(pipeline->parse_error));
    pipeline_advance(pipeline);
    account_rest(pipeline->busy.slot);
}

/* Takes the next result. True: it was a statement's, and *@ret_r says how it went. */
static bool pipeline_take(struct weir_pipeline *pipeline, PGresult **ret_result, int *ret_r,
                          struct weir_error **ret_error)
{
    PGconn *conn = pipeline->busy.slot->conn;
    PGresult *result;

    while (!exchange_is_ready(&pipeline->exchange))
        exchange_wait(&pipeline->exchange);
    result = pipeline->exchange.is_given_up ? NULL : PQgetResult(conn);
    if (!result) {
        if (!pipeline->exchange.is_given_up && PQstatus(conn) == CONNECTION_OK)
            return false; /* between two of them */
        *ret_r = pipeline_take_nothing(pipeline, ret_error);
        return true;
    }
    if (pipeline->first->kind == ITEM_STATEMENT) {
        *ret_r = pipeline_take_statement(pipeline, result, ret_result, ret_error);
        return true;
    }
    if (pipeline->first->kind == ITEM_SYNC)
        pipeline_take_sync(pipeline, result);
    else
        pipeline_take_event(pipeline, result);
    PQclear(result);
    return false;
}

int weir_pipeline_next(struct weir_pipeline *pipeline, PGresult **ret_result,
                       struct weir_error **ret_error)
{
    int r = pipeline_check(pipeline, "weir_pipeline_next", ret_error);

    if (!r && !ret_result)
        r = failure(ret_error, WEIR_ERROR_USAGE, "weir_pipeline_next: ret_result is NULL");
    if (r)
        return r;
    *ret_result = NULL;
    if (pipeline->statements && pipeline->statements == pipeline->unsynced &&
        !pipeline->busy.slot->is_lost)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_pipeline_next: it wants a weir_pipeline_sync() before");
    while (pipeline->first)
        if (pipeline_take(pipeline, ret_result, &r, ret_error))
            return r;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Results that nobody took are awaited, since their statements were meant to be executed. */
static void pipeline_finish(struct weir_pipeline *pipeline)
{
    struct slot *slot = pipeline->busy.slot;
    PGresult *result = NULL;
    int r;

    while (pipeline->first) {
        if (pipeline_take(pipeline, &result, &r, NULL))
            PQclear(STEAL(result));
    }
    while (!exchange_is_calm(&pipeline->exchange))
        exchange_wait(&pipeline->exchange);
    if (slot->is_lost)
        return;
    PQclear(PQgetResult(slot->conn)); /* nothing, so that libpq knows that there is nothing */
    if (!PQexitPipelineMode(slot->conn))
        slot_lose(slot, false);
}

/* Statements that were added and not synced are not to be kept: only the connection's end tells the
 * server so without ending a transaction that was open before, too. */
void weir_pipeline_close(struct weir_pipeline *pipeline)
{
    struct slot *slot;

    if (!pipeline)
        return;
    slot = pipeline->busy.slot;
    if (slot) {
        if (pipeline->unsynced && !slot->is_lost)
            slot_lose(slot, false);
        if (slot->is_lost)
            exchange_abandon(slot);
        else
            pipeline_finish(pipeline);
        if (slot->busy_with == &pipeline->busy)
            slot->busy_with = NULL;
        exchange_close(&pipeline->exchange);
    }
    pipeline_free(pipeline);
}
