#include "shim/preload/execution.h"

#include <string.h>

#include "base/clock.h"

/* ---- transactions ----------------------------------------------------------------------------
 * A statement's own change is told before its end, from the server's command tag: libpq knows the
 * transaction's state only after everything is answered. What tags do not tell is told then. */

static void transaction_begins(struct session *session)
{
    if (session->is_in_transaction)
        return;
    session->is_in_transaction = true;
    weir_probe_transaction_begin(session->connection);
}

static void transaction_ends(struct session *session, enum weir_transaction_outcome outcome)
{
    if (!session->is_in_transaction)
        return;
    session->is_in_transaction = false;
    weir_probe_transaction_end(session->connection, outcome);
}

static void transaction_follow_tag(struct session *session, const char *tag)
{
    enum statement_verb verb = session->execution.verb;

    if (!strcmp(tag, "BEGIN") || !strcmp(tag, "START TRANSACTION"))
        transaction_begins(session);
    else if (!strcmp(tag, "COMMIT"))
        transaction_ends(session, WEIR_TRANSACTION_COMMITTED);
    else if (!strcmp(tag, "PREPARE TRANSACTION"))
        transaction_ends(session, WEIR_TRANSACTION_UNKNOWN);
    /* … TO SAVEPOINT has the same tag. */
    else if (!strcmp(tag, "ROLLBACK") && (verb == VERB_ROLLBACK || verb == VERB_COMMIT))
        transaction_ends(session, WEIR_TRANSACTION_ROLLED_BACK);
}

static void transaction_follow(struct session *session, const struct outcome *outcome)
{
    if (outcome->kind == OUTCOME_DONE && outcome->tag)
        transaction_follow_tag(session, outcome->tag);
    else if (outcome->result.failure == WEIR_FAILURE_CONNECTION_LOST)
        transaction_ends(session, WEIR_TRANSACTION_UNKNOWN);
    else if (outcome->kind == OUTCOME_ERROR && session->execution.verb == VERB_COMMIT)
        transaction_ends(session, WEIR_TRANSACTION_ROLLED_BACK);
}

void execution_rest(struct session *session, enum transaction_state transaction)
{
    switch (transaction) {
    case TRANSACTION_OPEN:
    case TRANSACTION_FAILED:
        transaction_begins(session);
        break;
    case TRANSACTION_NONE:
    case TRANSACTION_LOST:
        transaction_ends(session, WEIR_TRANSACTION_UNKNOWN);
        break;
    case TRANSACTION_NOT_TOLD:
        break;
    }
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void begin_text(struct session *session, const struct request *request, struct view sql,
                       enum statement_verb verb)
{
    struct execution *execution = &session->execution;

    execution->state = EXECUTION_STATEMENT;
    execution->verb = verb;
    weir_probe_caller_set(request->caller);
    weir_probe_statement_begin(session->connection, &execution->statement, sql.bytes, sql.length,
                               request->flags);
    weir_probe_caller_set(NULL);
}

static void begin_prepared(struct session *session, const struct request *request,
                           const struct prepared_text *text)
{
    struct execution *execution = &session->execution;

    execution->state = EXECUTION_STATEMENT;
    execution->verb = text ? text->verb : VERB_OTHER;
    weir_probe_caller_set(request->caller);
    weir_probe_statement_begin_prepared(session->connection, &execution->statement,
                                        text ? text->text : NULL,
                                        request->flags | WEIR_STATEMENT_PREPARED);
    weir_probe_caller_set(NULL);
}

static struct view part_name(const struct statement_part *part, char folded[PREPARED_NAME_MAX])
{
    return (struct view){folded, statement_name_fold(part->name, folded, PREPARED_NAME_MAX)};
}

static void execution_clear(struct session *session)
{
    session->execution.state = EXECUTION_NONE;
    session->execution.verb = VERB_OTHER;
    session->execution.rows = 0;
    session->execution.flags = 0;
}

bool execution_begin_part(struct session *session, struct request *request)
{
    struct execution *execution = &session->execution;
    struct statement_part *part = &execution->part;
    struct prepared_text *text = NULL;
    char folded[PREPARED_NAME_MAX];

    execution_clear(session);
    if (!script_next(&request->script, part))
        return false;
    if (part->verb == VERB_PREPARE || part->verb == VERB_DEALLOCATE) {
        execution->state = EXECUTION_PREPARE;
        execution->verb = part->verb;
        execution->begin_ns = clock_monotonic_ns();
        return true;
    }
    if (part->verb == VERB_EXECUTE)
        text = prepared_find(&session->prepared, part_name(part, folded));
    if (text)
        begin_prepared(session, request, text);
    else
        begin_text(session, request, part->sql, part->verb);
    return true;
}

void execution_begin(struct session *session, struct request *request)
{
    execution_clear(session);
    switch (request->kind) {
    case REQUEST_PREPARED:
        begin_prepared(session, request, request->text);
        break;
    case REQUEST_PARSE:
        session->execution.state = EXECUTION_PARSE;
        session->execution.begin_ns = clock_monotonic_ns();
        break;
    case REQUEST_CLOSE:
        session->execution.state = EXECUTION_CLOSE;
        session->execution.begin_ns = clock_monotonic_ns();
        break;
    case REQUEST_SILENT:
        session->execution.state = EXECUTION_SILENT;
        break;
    case REQUEST_SCRIPT:
    case REQUEST_TEXT:
    case REQUEST_SYNC:
        break;
    }
}

/* ---- end ------------------------------------------------------------------------------------- */

static const char *event_sqlstate(const struct outcome *outcome)
{
    if (outcome->kind != OUTCOME_ERROR)
        return NULL;
    return outcome->result.sqlstate ? outcome->result.sqlstate : "08000"; /* connection exception */
}

static void tell_prepare(struct session *session, const struct prepared_text *text,
                         enum weir_prepare_action action, const struct outcome *outcome)
{
    weir_probe_prepare(session->connection, text ? text->text : NULL, action,
                       clock_monotonic_ns() - session->execution.begin_ns, event_sqlstate(outcome));
}

static void end_sql_prepare(struct session *session, const struct request *request,
                            const struct outcome *outcome)
{
    const struct statement_part *part = &session->execution.part;
    struct prepared_text *text;
    char folded[PREPARED_NAME_MAX];

    text = prepared_text_new(part->body, request->flags & WEIR_STATEMENT_BACKSLASH_STRINGS);
    tell_prepare(session, text, WEIR_PREPARE_SQL, outcome);
    if (outcome->kind == OUTCOME_DONE)
        prepared_put(&session->prepared, part_name(part, folded), text);
    prepared_text_unref(text);
}

static void end_deallocate(struct session *session, const struct outcome *outcome)
{
    const struct statement_part *part = &session->execution.part;
    char folded[PREPARED_NAME_MAX];
    struct view name = part_name(part, folded);

    tell_prepare(session, part->deallocate_all ? NULL : prepared_find(&session->prepared, name),
                 WEIR_PREPARE_DEALLOCATE, outcome);
    if (outcome->kind != OUTCOME_DONE)
        return;
    if (part->deallocate_all)
        prepared_clear(&session->prepared);
    else
        prepared_remove(&session->prepared, name);
}

void execution_closed(struct session *session, struct view name, const struct outcome *outcome,
                      uint64_t duration_ns)
{
    const struct prepared_text *text = prepared_find(&session->prepared, name);

    weir_probe_prepare(session->connection, text ? text->text : NULL, WEIR_PREPARE_DEALLOCATE,
                       duration_ns, event_sqlstate(outcome));
    if (outcome->kind == OUTCOME_DONE)
        prepared_remove(&session->prepared, name);
}

static void end_parse(struct session *session, const struct request *request,
                      const struct outcome *outcome)
{
    tell_prepare(session, request->text, WEIR_PREPARE_PARSE, outcome);
    if (outcome->kind == OUTCOME_DONE)
        prepared_put(&session->prepared, (struct view){request->name, request->name_length},
                     request->text);
}

/* LISTEN and UNLISTEN: a connection that waits for notifications is not busy. */
static void listen_follow(struct session *session, const char *tag)
{
    uint32_t before = session->listens;

    if (!strcmp(tag, "LISTEN"))
        session->listens++;
    else if (!strcmp(tag, "DISCARD ALL"))
        session->listens = 0;
    else if (!strcmp(tag, "UNLISTEN") && session->listens)
        session->listens = session->execution.part.name.length ? before - 1 : 0;
    if (!before != !session->listens)
        weir_probe_listening(session->connection, session->listens != 0);
}

static void end_statement(struct session *session, const struct outcome *outcome)
{
    struct execution *execution = &session->execution;
    struct weir_probe_statement_result result = outcome->result;

    result.size = sizeof(result);
    result.flags |= execution->flags;
    if (outcome->kind == OUTCOME_ERROR)
        result.rows = execution->rows ? execution->rows : WEIR_UNKNOWN;
    else if (result.rows != WEIR_UNKNOWN)
        result.rows += execution->rows;
    transaction_follow(session, outcome);
    weir_probe_statement_end(&execution->statement, &result);
    if (outcome->kind != OUTCOME_DONE || !outcome->tag)
        return;
    if (execution->verb == VERB_LISTEN || execution->verb == VERB_UNLISTEN ||
        execution->verb == VERB_DISCARD)
        listen_follow(session, outcome->tag);
    if (execution->verb == VERB_DISCARD && !strcmp(outcome->tag, "DISCARD ALL"))
        prepared_clear(&session->prepared);
}

void execution_end(struct session *session, struct request *request, const struct outcome *outcome)
{
    switch (session->execution.state) {
    case EXECUTION_STATEMENT:
        end_statement(session, outcome);
        break;
    case EXECUTION_PREPARE:
        if (session->execution.verb == VERB_PREPARE)
            end_sql_prepare(session, request, outcome);
        else
            end_deallocate(session, outcome);
        break;
    case EXECUTION_PARSE:
        end_parse(session, request, outcome);
        break;
    case EXECUTION_CLOSE:
        execution_closed(session, (struct view){request->name, request->name_length}, outcome,
                         clock_monotonic_ns() - session->execution.begin_ns);
        break;
    case EXECUTION_SILENT:
    case EXECUTION_NONE:
        break;
    }
    execution_clear(session);
}

void execution_abandon(struct session *session, enum weir_failure failure)
{
    struct weir_probe_statement_result result = {
        .size = sizeof(result),
        .failure = failure,
        .rows = session->execution.rows ? session->execution.rows : WEIR_UNKNOWN,
        .flags = session->execution.flags,
    };

    if (session->execution.state == EXECUTION_STATEMENT)
        weir_probe_statement_end(&session->execution.statement, &result);
    execution_clear(session);
}
