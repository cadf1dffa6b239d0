#include "shim/session/run.h"

#include "shim/probe/clock.h"
#include "shim/session/changes.h"
#include "shim/session/failure.h"

static PGconn *run_conn(const struct run *run)
{
    return run->exchange.slot->conn;
}

static const char *run_pool_name(const struct run *run)
{
    return pool_options(run->exchange.slot->pool)->name;
}

static bool is_error(const PGresult *result)
{
    ExecStatusType status = result ? PQresultStatus(result) : PGRES_COMMAND_OK;

    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

static bool has_sqlstate(const PGresult *result, const char *sqlstate)
{
    const char *told = is_error(result) ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

    return told && !strcmp(told, sqlstate);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int send_unnamed(PGconn *conn, const struct arguments *arguments)
{
    const struct weir_statement_opts *opts = &arguments->opts;

    /* The simple protocol alone takes several statements; it knows neither parameters nor binary
     * results. */
    if (!opts->count && !opts->result_format && !opts->is_prepared)
        return PQsendQuery(conn, arguments->sql.bytes);
    return PQsendQueryParams(conn, arguments->sql.bytes, opts->count, opts->types, opts->values,
                             opts->lengths, opts->formats, opts->result_format);
}

static void run_send(struct run *run)
{
    const struct weir_statement_opts *opts = &run->arguments->opts;
    PGconn *conn = run_conn(run);
    int is_sent;

    run->is_preparing = false;
    run->exchange.account = &run->account;
    if (run->entry)
        is_sent = PQsendQueryPrepared(conn, run->entry->name, opts->count, opts->values,
                                      opts->lengths, opts->formats, opts->result_format);
    else
        is_sent = send_unnamed(conn, run->arguments);
    if (!is_sent) {
        run->is_refused = true;
        return;
    }
    if (run->kind == RUN_STREAM)
        (void)PQsetSingleRowMode(conn); /* cannot fail right after sending */
    exchange_sent(&run->exchange);
}

/* ---- preparing ------------------------------------------------------------------------------- */

static bool send_closings(struct run *run, struct prepared_cache *cache)
{
    PGconn *conn = run_conn(run);
    char text[PREPARED_NAME_MAX + 16] = "DEALLOCATE ";
    size_t length = strlen(text);

    while (run->closings_count < RUN_CLOSINGS_MAX) {
        struct prepared_entry *doomed = prepared_take_doomed(cache);
        if (!doomed)
            break;
        run->closings[run->closings_count++] = doomed;
        memcpy(text + length, doomed->name, sizeof(doomed->name));
        if (!PQsendQueryParams(conn, text, 0, NULL, NULL, NULL, NULL, 0))
            return false;
    }
    return true;
}

/* The new one, and in a part of its own those that gave their places: one cannot fail the other. */
static bool send_prepare_pipelined(struct run *run, struct prepared_cache *cache)
{
    const struct prepared_entry *entry = run->entry;
    PGconn *conn = run_conn(run);

    if (!PQenterPipelineMode(conn))
        return false;
    run->is_pipelined = true;
    run->syncs = 2;
    return PQsendPrepare(conn, entry->name, entry->sql.bytes, entry->count,
                         entry->has_types ? entry->types : NULL) &&
           PQpipelineSync(conn) && send_closings(run, cache) && PQpipelineSync(conn);
}

static void run_send_prepare(struct run *run, bool has_doomed)
{
    const struct prepared_entry *entry = run->entry;
    struct prepared_cache *cache = run->exchange.slot->prepared;
    bool is_sent;

    run->is_preparing = run->is_fresh = true;
    run->exchange.account = NULL; /* the first byte is that of the statement's own answer */
    run->parse_begin_ns = probe_clock_ns();
    if (has_doomed)
        is_sent = send_prepare_pipelined(run, cache);
    else
        is_sent = PQsendPrepare(run_conn(run), entry->name, entry->sql.bytes, entry->count,
                                entry->has_types ? entry->types : NULL);
    if (is_sent)
        exchange_sent(&run->exchange);
    else
        run->is_refused = true;
}

static void entry_set(struct run *run, struct prepared_entry *entry)
{
    prepared_unref(run->entry);
    run->entry = prepared_ref(entry);
}

/* The cache, if this statement may be taken from it. */
static struct prepared_cache *run_cache(const struct run *run)
{
    struct slot *slot = run->exchange.slot;

    if (!run->arguments->opts.is_prepared || OPTION_OF(pool_options(slot->pool), prepared_max) == 0)
        return NULL;
    /* Whether it still holds is known only by a failure, which a transaction would not survive. */
    if (slot->changes & CHANGED_UNKNOWN && PQtransactionStatus(slot->conn) != PQTRANS_IDLE)
        return NULL;
    if (!slot->prepared)
        slot->prepared = prepared_new(pool_probe(slot->pool));
    return slot->prepared && !prepared_is_useless(slot->prepared) ? slot->prepared : NULL;
}

static struct prepared_entry *run_add_entry(struct run *run, struct prepared_cache *cache)
{
    return prepared_add(cache, run->arguments->sql, run->hash, &run->arguments->opts,
                        (uint32_t)OPTION_OF(pool_options(run->exchange.slot->pool), prepared_max),
                        run->account.traits & TRAIT_BACKSLASH);
}

/* Sends it by its name, or its preparation first; without a cache as it is. */
static void run_send_first(struct run *run, bool is_known)
{
    if (run->entry && !is_known)
        run_send_prepare(run, prepared_has_doomed(run->exchange.slot->prepared));
    else
        run_send(run);
}

int run_start(struct run *run, struct slot *slot, const struct arguments *arguments,
              const struct run_opts *opts, struct weir_error **ret_error)
{
    uint64_t deadline_ns = UINT64_MAX;
    struct account_opts told = {
        .sql = arguments->sql,
        .opts = &arguments->opts,
        .caller = opts->caller,
        .is_logged = opts->is_logged,
        .flags = opts->kind == RUN_STREAM ? WEIR_STATEMENT_SINGLE_ROW : 0,
    };
    struct prepared_cache *cache;
    bool is_known = false;
    int r;

    *run = (struct run){.arguments = arguments, .kind = opts->kind, .doing = opts->doing};
    r = exchange_open(&run->exchange, slot, deadline_ns, opts->doing, ret_error);
    if (r)
        return r;
    run->hash = text_hash(arguments->sql);
    told.traits = run->account.traits = traits_recall(arguments->sql, run->hash, slot->conn);
    slot->changes |= told.traits & TRAITS_CHANGES;
    cache = run_cache(run);
    if (cache) {
        entry_set(run, prepared_find(cache, arguments->sql, run->hash, &arguments->opts));
        is_known = run->entry != NULL;
        if (!is_known)
            entry_set(run, run_add_entry(run, cache));
        told.text = run->entry ? run->entry->text : NULL;
    }
    account_begin(&run->account, slot, &told);
    run->exchange.deadline_ns =
        exchange_deadline_ns(slot, arguments->opts.timeout_ms, run->account.begin_ns);
    run_send_first(run, is_known);
    return 0;
}

/* ---- results of preparing -------------------------------------------------------------------- */

static void tell_prepare(struct run *run, const struct weir_probe_text *text,
                         enum weir_prepare_action action, const PGresult *result)
{
    const char *sqlstate = is_error(result) ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

    if (is_error(result) && !sqlstate)
        sqlstate = "08000"; /* connection exception */
    run->account.probe->prepare(run->exchange.slot->probe, text, action,
                                clock_between_ns(run->parse_begin_ns, probe_clock_ns()), sqlstate);
}

/* An answer to one of the DEALLOCATEs. In a failed transaction it is to be tried again. */
static void closing_take(struct run *run, const PGresult *result)
{
    struct prepared_entry *entry;
    bool again = is_error(result) || PQresultStatus(result) == PGRES_PIPELINE_ABORTED;

    if (run->closings_done == run->closings_count)
        return;
    entry = run->closings[run->closings_done++];
    tell_prepare(run, entry->text, WEIR_PREPARE_DEALLOCATE, result);
    if (has_sqlstate(result, "26000"))
        again = false; /* it is not there any more: all the better */
    prepared_closed(run->exchange.slot->prepared, entry, again);
}

static void prepare_take(struct run *run, PGresult *result)
{
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        run->syncs--;
    } else if (!run->result) {
        tell_prepare(run, run->entry->text, WEIR_PREPARE_PARSE, result);
        run->result = result;
        return;
    } else if (run->is_pipelined && run->syncs == 1) {
        closing_take(run, result);
    }
    PQclear(result);
}

/* What was not answered, since the connection was lost, is forgotten with it. */
static void closings_drop(struct run *run)
{
    while (run->closings_done < run->closings_count)
        prepared_closed(run->exchange.slot->prepared, run->closings[run->closings_done++], false);
}

/* Nothing more comes of preparing. True: the statement itself was sent. */
static bool prepare_over(struct run *run)
{
    struct prepared_cache *cache = run->exchange.slot->prepared;
    bool is_failed = is_error(run->result) || !run->result;

    closings_drop(run);
    if (is_failed)
        prepared_drop(cache, run->entry);
    if (has_sqlstate(run->result, "42P05") && PQtransactionStatus(run_conn(run)) == PQTRANS_IDLE) {
        prepared_set_useless(cache);
        entry_set(run, NULL);
        is_failed = false;
    }
    if (is_failed || run->exchange.is_timed_out)
        return false;
    PQclear(run->result);
    run->result = NULL;
    run_send(run);
    return !run->is_refused;
}

/* ---- results --------------------------------------------------------------------------------- */

static bool is_copy(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* PQgetResult() would return it again and again. */
static enum run_turn copy_take(struct run *run, PGresult *result)
{
    bool is_passed;

    if (run->kind == RUN_COPY && PQresultStatus(result) != PGRES_COPY_BOTH) {
        PQclear(run->result);
        run->result = result;
        return RUN_COPIES;
    }
    run->is_misused = true;
    if (PQresultStatus(result) == PGRES_COPY_OUT) {
        exchange_cancel(&run->exchange);
        run->is_passing = run->exchange.is_copying = true;
        PQclear(result);
        return RUN_PENDING;
    }
    is_passed = exchange_pass(&run->exchange, result);
    PQclear(result);
    if (is_passed)
        return RUN_PENDING;
    slot_lose(run->exchange.slot, false);
    return RUN_OVER;
}

/* Passes over what has come of a COPY that nobody reads. False: more is to come. */
static bool copy_is_passed(struct run *run)
{
    char *row;
    int length;

    while ((length = PQgetCopyData(run_conn(run), &row, 1)) > 0)
        PQfreemem(row);
    run->is_passing = run->exchange.is_copying = length == 0;
    return length < 0; /* the end, or an error that PQgetResult() tells */
}

/* RUN_PENDING: go on. */
static enum run_turn result_take(struct run *run, PGresult *result)
{
    if (run->is_preparing) {
        prepare_take(run, result);
        return RUN_PENDING;
    }
    if (is_error(run->result)) {
        PQclear(result); /* the first one says why */
        return RUN_PENDING;
    }
    account_result(&run->account, result);
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
        run->row = result;
        return RUN_ROW;
    }
    if (is_copy(result))
        return copy_take(run, result);
    PQclear(run->result);
    run->result = result;
    return RUN_PENDING;
}

/* The server does not know the name, or what is behind it changed; nothing happened yet. */
static bool run_is_stale(const struct run *run)
{
    return run->entry && (has_sqlstate(run->result, "26000") ||
                          (has_sqlstate(run->result, "0A000") && !run->is_fresh));
}

/* Learns from a stale name. True: the statement was sent once more. */
static bool run_again(struct run *run)
{
    struct slot *slot = run->exchange.slot;
    bool is_unknown = has_sqlstate(run->result, "26000");
    bool may_repeat = !slot->is_in_transaction && !run->exchange.is_timed_out &&
                      PQtransactionStatus(slot->conn) == PQTRANS_IDLE;

    if (is_unknown)
        prepared_drop(slot->prepared, run->entry);
    else
        prepared_doom(slot->prepared, run->entry);
    if (is_unknown && run->is_fresh)
        prepared_set_useless(slot->prepared);
    if (!may_repeat)
        return false;
    entry_set(run, prepared_is_useless(slot->prepared) ? NULL : run_add_entry(run, slot->prepared));
    run->account.last = NULL;
    run->is_complete = false;
    PQclear(run->result);
    run->result = NULL;
    run_send_first(run, false);
    return !run->is_refused;
}

/* The server is ready again. True: there is more to do. */
static bool run_next(struct run *run)
{
    if (run->is_preparing)
        return prepare_over(run);
    if (run_is_stale(run))
        return run_again(run);
    return false;
}

/* While preparing in a pipeline there is no result between any two. True: really nothing more. */
static bool run_is_ready_again(struct run *run)
{
    if (!run->is_pipelined)
        return true;
    if (run->syncs && PQstatus(run_conn(run)) == CONNECTION_OK)
        return false;
    run->is_pipelined = false;
    (void)PQexitPipelineMode(run_conn(run)); /* fails on a lost connection, which is found below */
    return true;
}

enum run_turn run_step(struct run *run)
{
    enum run_turn turn;
    PGresult *result;

    while (!run->is_refused) {
        if (!exchange_is_ready(&run->exchange))
            return RUN_PENDING;
        if (run->exchange.is_given_up)
            return RUN_OVER;
        if (run->is_passing && !copy_is_passed(run))
            return RUN_PENDING;
        result = PQgetResult(run_conn(run));
        if (result) {
            turn = result_take(run, result);
            if (turn != RUN_PENDING)
                return turn;
            continue;
        }
        if (!run_is_ready_again(run))
            continue;
        run->is_complete = !run->is_preparing && PQstatus(run_conn(run)) == CONNECTION_OK;
        if (!exchange_is_calm(&run->exchange))
            return RUN_PENDING;
        if (!run_next(run))
            return RUN_OVER;
    }
    return RUN_OVER;
}

enum run_turn run_await(struct run *run)
{
    enum run_turn turn;

    while ((turn = run_step(run)) == RUN_PENDING)
        exchange_wait(&run->exchange);
    return turn;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int failure_of_time(struct run *run, struct weir_error **ret_error)
{
    uint64_t ns = run->exchange.deadline_ns - run->account.begin_ns;
    bool is_lost = run->exchange.is_given_up;
    int r;

    if (!run->exchange.is_timed_out)
        r = failure(ret_error, WEIR_ERROR_CANCELLED, "pool %s: %s: given up by its caller",
                    run_pool_name(run), run->doing);
    else
        r = failure(ret_error, WEIR_ERROR_TIMEOUT,
                    "pool %s: %s: cancelled at its deadline of %llu ms%s", run_pool_name(run),
                    run->doing, (unsigned long long)(ns / 1000000u),
                    is_lost ? "; the server did not answer, and the connection is closed" : "");
    if (ret_error)
        failure_set_survived(*ret_error, !is_lost);
    return r;
}

static int failure_of_commit(struct run *run, struct weir_error **ret_error)
{
    int r = failure(ret_error, WEIR_ERROR_COMMIT_UNKNOWN,
                    "pool %s: %s: the connection was lost between COMMIT and its answer: look "
                    "whether it happened before doing it again",
                    run_pool_name(run), run->doing);

    if (ret_error)
        failure_set_survived(*ret_error, false);
    return r;
}

/* What went wrong; 0: nothing. */
static int run_failure(struct run *run, struct weir_error **ret_error)
{
    const PGconn *conn = run_conn(run);
    bool is_bad = PQstatus(conn) != CONNECTION_OK;
    bool is_unanswered = (run->exchange.is_given_up || is_bad) && !run->is_complete;

    if (is_unanswered && !run->is_refused && account_is_commit(&run->account))
        return failure_of_commit(run, ret_error);
    if (is_unanswered && run->exchange.is_given_up)
        return failure_of_time(run, ret_error);
    if (run->is_refused)
        return failure_of_libpq(ret_error, conn, run->doing);
    if (run->is_misused)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "pool %s: %s: a COPY was sent: use weir_copy_open()", run_pool_name(run),
                       run->doing);
    if (is_error(run->result) && run->exchange.grace_ns && has_sqlstate(run->result, "57014"))
        return failure_of_time(run, ret_error);
    if (is_error(run->result))
        return failure_of_result(ret_error, run->result, conn);
    if (is_bad)
        return failure_of_connection(ret_error, conn, run->doing);
    if (!run->result)
        return failure(ret_error, WEIR_ERROR_SERVER, "pool %s: %s: the server gave no result",
                       run_pool_name(run), run->doing);
    return 0;
}

int run_end(struct run *run, PGresult **ret_result, struct weir_error **ret_error)
{
    struct slot *slot = run->exchange.slot;
    int r = run_failure(run, ret_error);

    if (PQstatus(slot->conn) != CONNECTION_OK && !slot->is_lost)
        slot_lose(slot, true);
    closings_drop(run);
    if (run->is_preparing)
        run->account.last = run->result; /* the statement's own end: it failed there */
    account_end(&run->account, (enum weir_error_category)r);
    exchange_close(&run->exchange);
    entry_set(run, NULL);
    if (!r && ret_result)
        *ret_result = run->result;
    else
        PQclear(run->result);
    run->result = NULL;
    return r;
}

/* The entry of a preparation without an answer may or may not be on the server. */
void run_detach(struct run *run)
{
    struct slot *slot = run->exchange.slot;

    if (run->is_preparing && run->entry)
        prepared_drop(slot->prepared, run->entry);
    closings_drop(run);
    prepared_unref(run->entry);
    run->entry = NULL;
    PQclear(run->result);
    PQclear(run->row);
    run->result = run->row = NULL;
}

void run_abandon(struct run *run)
{
    /* While data flows PQgetResult() would only say so once more. */
    enum run_turn turn = run->exchange.is_copying ? RUN_COPIES : run_step(run);

    if (turn != RUN_OVER)
        exchange_cancel(&run->exchange);
    while (turn != RUN_OVER) {
        PQclear(run->row);
        run->row = NULL;
        if (turn == RUN_COPIES && !exchange_pass(&run->exchange, run->result))
            break;
        turn = run_await(run);
    }
    (void)run_end(run, NULL, NULL); /* nobody wants to know */
}
