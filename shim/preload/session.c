#include "shim/preload/session.h"

#include <stdlib.h>
#include <string.h>

#include "shim/preload/execution.h"

struct session *session_new(const struct libpq *libpq, struct weir_probe_connection *connection)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        return NULL;
    session->libpq = libpq;
    session->connection = connection;
    session->is_connecting = true;
    return session;
}

/* Nothing that was sent will be answered any more. */
static void session_drop_requests(struct session *session, enum weir_failure failure)
{
    execution_abandon(session, failure);
    while (session->requests.count)
        requests_pop_oldest(&session->requests);
    session->parses_pending = 0;
    session->is_aborted = false;
    session->is_lost = false;
}

void session_free(struct session *session, enum weir_failure failure)
{
    session_drop_requests(session, failure == WEIR_FAILURE_NONE ? WEIR_FAILURE_ABANDONED : failure);
    requests_deinit(&session->requests);
    prepared_deinit(&session->prepared);
    weir_probe_connection_close(session->connection, failure, NULL);
    free(session);
}

void session_reset(struct session *session)
{
    session_drop_requests(session, WEIR_FAILURE_ABANDONED);
    execution_rest(session, TRANSACTION_LOST);
    prepared_clear(&session->prepared);
    if (session->listens)
        weir_probe_listening(session->connection, 0);
    session->listens = 0;
    session->is_connecting = true;
    weir_probe_connection_reset(session->connection);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The server comes to the oldest request. After a failure it only passes over the rest of a
 * pipeline's part. */
static void session_begin_oldest(struct session *session)
{
    struct request *request = requests_oldest(&session->requests);

    if (!request || session->is_aborted)
        return;
    if (request->kind == REQUEST_SCRIPT || request->kind == REQUEST_TEXT)
        (void)execution_begin_part(session, request); /* none: an empty string */
    else
        execution_begin(session, request);
}

/* The text of @name: of a Parse that is under way, else of one that was answered. */
static struct prepared_text *session_text_named(struct session *session, struct view name)
{
    if (name.length > PREPARED_NAME_MAX - 1)
        name.length = PREPARED_NAME_MAX - 1;
    for (uint32_t i = session->parses_pending ? session->requests.count : 0; i; i--) {
        struct request *request = requests_at(&session->requests, i - 1);
        if (request->kind == REQUEST_PARSE &&
            view_equal((struct view){request->name, request->name_length}, name))
            return request->text;
    }
    return prepared_find(&session->prepared, name);
}

static void request_fill(struct session *session, struct request *request, const struct sent *sent)
{
    struct view name = sent->name;
    uint32_t options =
        sent->flags & WEIR_STATEMENT_BACKSLASH_STRINGS ? NORMALIZE_BACKSLASH_STRINGS : 0;

    request->flags = sent->flags;
    request->caller = sent->caller;
    if (sent->kind == REQUEST_SCRIPT || sent->kind == REQUEST_TEXT)
        request->script = script_of(sent->sql, options);
    if (sent->kind == REQUEST_PREPARED)
        request->text = prepared_text_ref(session_text_named(session, name));
    if (sent->kind == REQUEST_PARSE) {
        request->text = prepared_text_new(sent->sql, sent->flags);
        session->parses_pending++;
    }
    if (sent->kind == REQUEST_PARSE || sent->kind == REQUEST_CLOSE) {
        if (name.length > PREPARED_NAME_MAX - 1)
            name.length = PREPARED_NAME_MAX - 1;
        memcpy(request->name, name.bytes, name.length);
        request->name_length = (uint8_t)name.length;
    }
    request->kind = sent->kind; /* last: a Parse does not name itself */
}

void session_send(struct session *session, const struct sent *sent)
{
    struct request *request;

    /* libpq sends no second request outside of a pipeline before the first is answered. */
    if (!(sent->flags & WEIR_STATEMENT_PIPELINED) && session->requests.count)
        session_drop_requests(session, WEIR_FAILURE_ABANDONED);
    if (session->is_lost)
        return;
    request = requests_push(&session->requests);
    if (!request) {
        session->is_lost = true;
        return;
    }
    request_fill(session, request, sent);
    if (session->requests.count == 1)
        session_begin_oldest(session);
}

static void session_pop_newest(struct session *session)
{
    if (requests_newest(&session->requests)->kind == REQUEST_PARSE)
        session->parses_pending--;
    requests_pop_newest(&session->requests);
}

void session_refused(struct session *session, enum weir_failure failure)
{
    if (session->is_lost || !session->requests.count)
        return;
    if (session->requests.count == 1)
        execution_abandon(session, failure);
    session_pop_newest(session);
}

void session_keep_texts(struct session *session)
{
    struct request *request = requests_newest(&session->requests);
    struct script *script;
    ptrdiff_t moved;

    /* Those before it were kept when they were sent. */
    if (!request || request->kept ||
        (request->kind != REQUEST_SCRIPT && request->kind != REQUEST_TEXT))
        return;
    script = &request->script;
    if (!script_has_more(script) && session->execution.state != EXECUTION_PREPARE)
        return;
    request->kept = malloc(script->sql.length + 1);
    if (!request->kept) {
        script->offset = script->sql.length; /* what is left goes unseen */
        session->execution.part = (struct statement_part){0};
        return;
    }
    memcpy(request->kept, script->sql.bytes, script->sql.length);
    moved = request->kept - script->sql.bytes;
    script->sql.bytes += moved;
    if (session->requests.count > 1)
        return; /* what executes is another one's */
    if (session->execution.part.name.bytes)
        session->execution.part.name.bytes += moved;
    if (session->execution.part.body.bytes)
        session->execution.part.body.bytes += moved;
}

void session_row_mode(struct session *session)
{
    struct request *request = requests_newest(&session->requests);

    if (!request)
        return;
    request->flags |= WEIR_STATEMENT_SINGLE_ROW;
    if (session->requests.count == 1)
        session->execution.flags |= WEIR_STATEMENT_SINGLE_ROW;
}

void session_late(struct session *session)
{
    session->execution.flags |= WEIR_STATEMENT_LATE_FETCH;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void session_pop_oldest(struct session *session)
{
    if (requests_oldest(&session->requests)->kind == REQUEST_PARSE)
        session->parses_pending--;
    requests_pop_oldest(&session->requests);
}

/* The oldest request is answered. */
static void session_next(struct session *session)
{
    session_pop_oldest(session);
    session_begin_oldest(session);
}

/* One statement is answered. The requests of a simple query outside of a pipeline end when nothing
 * more comes, all others with their one result. */
static void session_answered(struct session *session, struct request *request,
                             const struct outcome *outcome)
{
    bool is_script =
        request->kind == REQUEST_SCRIPT && !(request->flags & WEIR_STATEMENT_PIPELINED);

    execution_end(session, request, outcome);
    if (!is_script) {
        if (outcome->kind == OUTCOME_ERROR && request->flags & WEIR_STATEMENT_PIPELINED)
            session->is_aborted = true;
        session_next(session);
        return;
    }
    if (outcome->kind == OUTCOME_ERROR)
        request->script.offset = request->script.sql.length; /* the rest is not executed */
    else
        (void)execution_begin_part(session, request); /* none: it was the last */
}

/* Nothing more comes. In a pipeline that is said between any two requests. */
static void session_answered_all(struct session *session, const struct outcome *outcome)
{
    const struct request *request = requests_oldest(&session->requests);

    if (request && request->flags & WEIR_STATEMENT_PIPELINED &&
        outcome->transaction == TRANSACTION_NOT_TOLD)
        return;
    if (request)
        session_drop_requests(session, outcome->transaction == TRANSACTION_LOST
                                           ? WEIR_FAILURE_CONNECTION_LOST
                                           : WEIR_FAILURE_ABANDONED);
    session->is_lost = false;
    execution_rest(session, outcome->transaction);
}

/* What is still before the end of the pipeline's part was not answered: a result went unseen. */
static void session_sync(struct session *session)
{
    while (session->requests.count && requests_oldest(&session->requests)->kind != REQUEST_SYNC) {
        execution_abandon(session, WEIR_FAILURE_ABANDONED);
        session_pop_oldest(session);
    }
    session->is_aborted = false;
    if (session->requests.count)
        session_next(session);
}

static void session_first_byte(struct session *session)
{
    if (session->execution.state == EXECUTION_STATEMENT)
        weir_probe_statement_first_byte(&session->execution.statement);
}

void session_observe(struct session *session, const struct outcome *outcome)
{
    struct request *request = requests_oldest(&session->requests);

    switch (outcome->kind) {
    case OUTCOME_NOTHING:
        session_answered_all(session, outcome);
        break;
    case OUTCOME_SYNC:
        session_sync(session);
        break;
    case OUTCOME_ROWS:
        session_first_byte(session);
        session->execution.rows += outcome->result.rows;
        break;
    case OUTCOME_COPY_IN:
    case OUTCOME_COPY_OUT:
        session_first_byte(session);
        session->execution.flags |=
            outcome->kind == OUTCOME_COPY_IN ? WEIR_STATEMENT_COPY_IN : WEIR_STATEMENT_COPY_OUT;
        break;
    case OUTCOME_ABORTED:
        if (request)
            session_next(session);
        break;
    case OUTCOME_EMPTY:
    case OUTCOME_DONE:
    case OUTCOME_ERROR:
        if (request)
            session_answered(session, request, outcome);
        break;
    }
}

void session_closed(struct session *session, struct view name, const struct outcome *outcome,
                    uint64_t duration_ns)
{
    execution_closed(session, name, outcome, duration_ns);
}
