#include "shim/session/account.h"

#include <stdlib.h>

#include "include/weir/statement.h"
#include "shim/probe/clock.h"
#include "shim/probe/normalize.h"
#include "shim/probe/verb.h"
#include "shim/session/changes.h"
#include "shim/session/failure.h"
#include "shim/session/prepared.h"
#include "shim/session/statement_log.h"

/* ---- transactions ---------------------------------------------------------------------------- */

static void transaction_begins(struct slot *slot, const void *caller)
{
    if (slot->is_in_transaction)
        return;
    slot->is_in_transaction = true;
    if (!slot->depth)
        slot->depth = 1;
    pool_probe(slot->pool)->transaction_begin(slot->probe, caller);
}

static void transaction_ends(struct slot *slot, enum weir_transaction_outcome outcome)
{
    slot->depth = 0;
    if (!slot->is_in_transaction)
        return;
    slot->is_in_transaction = false;
    pool_probe(slot->pool)->transaction_end(slot->probe, outcome);
}

/* ROLLBACK TO has the same tag as ROLLBACK. */
static bool is_whole_rollback(const struct account *account)
{
    enum statement_verb verb = verb_of(lexer_of(account->part, account->traits & TRAIT_BACKSLASH));

    return verb == VERB_ROLLBACK || verb == VERB_COMMIT;
}

/* What a tag says of the transaction, before the server's state is known. */
static void transaction_follow_tag(struct account *account, const char *tag)
{
    struct slot *slot = account->slot;

    switch (tag[0]) {
    case 'B':
    case 'S':
        if (!strcmp(tag, "BEGIN") || !strcmp(tag, "START TRANSACTION"))
            transaction_begins(slot, account->caller);
        break;
    case 'C':
        if (!strcmp(tag, "COMMIT"))
            transaction_ends(slot, WEIR_TRANSACTION_COMMITTED);
        break;
    case 'P':
        if (!strcmp(tag, "PREPARE TRANSACTION"))
            transaction_ends(slot, WEIR_TRANSACTION_UNKNOWN);
        break;
    case 'R':
        if (!strcmp(tag, "ROLLBACK") && is_whole_rollback(account))
            transaction_ends(slot, WEIR_TRANSACTION_ROLLED_BACK);
        break;
    default:
        break;
    }
}

/* The state that the server told, after everything. @is_failed: the last statement was. */
static void transaction_follow_state(struct slot *slot, bool is_failed, const void *caller)
{
    switch (PQtransactionStatus(slot->conn)) {
    case PQTRANS_IDLE:
        transaction_ends(slot, is_failed ? WEIR_TRANSACTION_ROLLED_BACK : WEIR_TRANSACTION_UNKNOWN);
        break;
    case PQTRANS_INTRANS:
    case PQTRANS_INERROR:
        transaction_begins(slot, caller);
        break;
    case PQTRANS_UNKNOWN:
        transaction_ends(slot, WEIR_TRANSACTION_UNKNOWN);
        break;
    case PQTRANS_ACTIVE:
        break;
    }
}

void account_rest(struct slot *slot)
{
    transaction_follow_state(slot, false, NULL);
}

/* ---- what else a tag says -------------------------------------------------------------------- */

/* LISTEN and UNLISTEN: a connection that waits for notifications is not busy. */
static void listen_follow(struct account *account, const char *tag)
{
    struct slot *slot = account->slot;
    uint16_t before = slot->listens;

    if (!strcmp(tag, "LISTEN"))
        slot->listens = (uint16_t)(before + (before < UINT16_MAX));
    else if (!strcmp(tag, "DISCARD ALL"))
        slot->listens = 0;
    else if (!strcmp(tag, "UNLISTEN") && slot->listens)
        slot->listens =
            memchr(account->part.bytes, '*', account->part.length) ? 0 : (uint16_t)(before - 1);
    if (!before != !slot->listens)
        account->probe->listening(slot->probe, slot->listens != 0);
}

static void tag_follow(struct account *account, const char *tag)
{
    if (tag[0] == 'D' && (!strcmp(tag, "DISCARD ALL") || !strcmp(tag, "DEALLOCATE ALL")))
        prepared_forget(account->slot->prepared);
    if (account->traits & TRAIT_LISTENS)
        listen_follow(account, tag);
}

/* ---- single statements ----------------------------------------------------------------------- */

static uint32_t text_flags(const struct account *account)
{
    return account->traits & TRAIT_BACKSLASH ? WEIR_STATEMENT_BACKSLASH_STRINGS : 0;
}

static void statement_begin(struct account *account, struct view sql, uint32_t flags)
{
    if (account->text)
        account->probe->statement_begin_prepared(account->slot->probe, &account->room,
                                                 account->text, flags | WEIR_STATEMENT_PREPARED,
                                                 account->caller);
    else
        account->probe->statement_begin(account->slot->probe, &account->room, sql,
                                        flags | text_flags(account), account->caller);
}

/* The next statement of a string that holds several, or of one with a PREPARE. False: no more. */
static bool part_next(struct account *account, struct statement_part *ret)
{
    return statement_split_next(account->sql,
                                account->traits & TRAIT_BACKSLASH ? NORMALIZE_BACKSLASH_STRINGS : 0,
                                &account->offset, ret);
}

static void part_begin(struct account *account, const struct statement_part *part, uint32_t flags)
{
    account->rows = 0;
    account->flags = 0;
    account->part = part->sql;
    account->body = part->body;
    account->is_event = part->verb == VERB_PREPARE || part->verb == VERB_DEALLOCATE;
    account->part_begin_ns = account->is_event ? probe_clock_ns() : 0;
    if (!account->is_event)
        statement_begin(account, part->sql, flags);
}

static void event_end(struct account *account, const char *sqlstate)
{
    bool is_prepare = account->body.length != 0;
    struct weir_probe_text *text = NULL;

    if (is_prepare)
        text = account->probe->text_new(account->body.bytes, account->body.length,
                                        text_flags(account));
    account->probe->prepare(account->slot->probe, text,
                            is_prepare ? WEIR_PREPARE_SQL : WEIR_PREPARE_DEALLOCATE,
                            clock_between_ns(account->part_begin_ns, probe_clock_ns()), sqlstate);
    account->probe->text_free(text);
}

static uint64_t rows_of(PGresult *result)
{
    const char *rows;
    int tuples;

    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        rows = PQcmdTuples(result);
        return *rows ? strtoull(rows, NULL, 10) : WEIR_UNKNOWN;
    }
    tuples = PQntuples(result);
    return tuples > 0 ? (uint64_t)tuples : 0;
}

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

/* Fills in what the last result says. */
static void result_read(struct account *account, enum weir_error_category category,
                        struct weir_probe_statement_result *ret)
{
    PGresult *last = account->last;

    *ret =
        (struct weir_probe_statement_result){.size = sizeof(*ret),
                                             .rows = account->rows ? account->rows : WEIR_UNKNOWN,
                                             .flags = account->flags};
    if (last && is_error(last)) {
        ret->sqlstate = PQresultErrorField(last, PG_DIAG_SQLSTATE);
        ret->constraint_name = PQresultErrorField(last, PG_DIAG_CONSTRAINT_NAME);
        ret->table_name = PQresultErrorField(last, PG_DIAG_TABLE_NAME);
        ret->column_name = PQresultErrorField(last, PG_DIAG_COLUMN_NAME);
    } else if (last) {
        uint64_t rows = rows_of(last);
        ret->rows = rows == WEIR_UNKNOWN ? rows : rows + account->rows;
    }
    if (category != WEIR_OK)
        ret->failure = failure_probe_word(category);
    if (ret->failure == WEIR_FAILURE_SQLSTATE && !ret->sqlstate)
        ret->failure = WEIR_FAILURE_CLIENT;
}

/* The statement, or the part of a string, that runs is answered. Tells what its tag says. */
static void part_end(struct account *account, enum weir_error_category category, bool is_last)
{
    struct weir_probe_statement_result result;
    PGresult *last = account->last;
    const char *tag = last && !is_error(last) ? PQcmdStatus(last) : "";

    result_read(account, category, &result);
    if (*tag)
        transaction_follow_tag(account, tag);
    if (is_last)
        transaction_follow_state(account->slot,
                                 result.failure != WEIR_FAILURE_NONE || result.sqlstate != NULL,
                                 account->caller);
    if (account->is_event)
        event_end(account, result.failure != WEIR_FAILURE_NONE && !result.sqlstate
                               ? "08000" /* connection exception */
                               : result.sqlstate);
    else
        account->probe->statement_end(&account->room, &result);
    if (*tag)
        tag_follow(account, tag);
    account->rows = result.rows;
    account->last = NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

void account_begin(struct account *account, struct slot *slot, const struct account_opts *opts)
{
    struct statement_part part;

    *account = (struct account){
        .slot = slot,
        .probe = pool_probe(slot->pool),
        .caller = opts->caller,
        .sql = opts->sql,
        .opts = opts->opts,
        .text = opts->text,
        .traits = opts->traits,
        .part = opts->sql,
        .is_open = true,
        .is_logged = opts->is_logged,
        .is_single = !(opts->traits & (TRAIT_SCRIPT | TRAIT_PREPARES)),
    };
    if (opts->is_logged && !slot->was_first_sent) {
        slot->was_first_sent = true;
        account->wait_ns = slot->wait_ns;
    }
    account->begin_ns = probe_clock_ns();
    newest_note(&slot->newest, opts->sql);
    atomic_store_explicit(&slot->statement_since_ns, account->begin_ns, memory_order_relaxed);
    if (account->is_single)
        statement_begin(account, opts->sql, opts->flags);
    else if (part_next(account, &part))
        part_begin(account, &part, opts->flags);
    else
        account->is_single = true; /* white space and comments: nothing is recorded */
}

void account_first_byte(struct account *account)
{
    if (!account->is_open || account->first_byte_ns)
        return;
    account->first_byte_ns = probe_clock_ns();
    if (!account->is_event)
        account->probe->statement_first_byte(&account->room);
}

void account_result(struct account *account, PGresult *result)
{
    struct statement_part part;

    switch ((int)PQresultStatus(result)) { /* a newer libpq has more of them */
    case PGRES_SINGLE_TUPLE:
        account->rows += (uint64_t)PQntuples(result);
        return;
    case PGRES_COPY_IN:
        account->flags |= WEIR_STATEMENT_COPY_IN;
        return;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        account->flags |= WEIR_STATEMENT_COPY_OUT;
        return;
    default:
        break;
    }
    /* A lost connection may follow the error that says why. */
    if (account->last && is_error(account->last))
        return;
    account->last = result;
    if (account->is_single)
        return;
    if (is_error(result) || !part_next(account, &part)) {
        account->is_single = true; /* the last of the string */
        return;
    }
    part_end(account, WEIR_OK, false);
    part_begin(account, &part, 0);
}

static void timing_fill(const struct account *account)
{
    struct weir_timing *ret = account->opts ? account->opts->ret_timing : NULL;
    size_t size;

    if (!ret)
        return;
    size = ret->size;
    *ret = (struct weir_timing){
        .size = size,
        .wait_ns = account->wait_ns,
        .first_byte_ns = account->first_byte_ns
                             ? clock_between_ns(account->begin_ns, account->first_byte_ns)
                             : 0,
        .total_ns = clock_between_ns(account->begin_ns, account->end_ns),
        .rows = account->rows == WEIR_UNKNOWN ? 0 : account->rows,
    };
}

static void account_close(struct account *account, enum weir_error_category category,
                          const char *sqlstate)
{
    account->end_ns = probe_clock_ns();
    account->is_open = false;
    timing_fill(account);
    atomic_store_explicit(&account->slot->statement_since_ns, 0, memory_order_relaxed);
    if (account->is_logged)
        statement_log(account, category, sqlstate);
}

static void account_end_as(struct account *account, enum weir_error_category category, bool is_last)
{
    char sqlstate[6] = "";
    const char *told = account->last && is_error(account->last)
                           ? PQresultErrorField(account->last, PG_DIAG_SQLSTATE)
                           : NULL;

    if (!account->is_open)
        return;
    if (told && strlen(told) == 5)
        memcpy(sqlstate, told, sizeof(sqlstate));
    part_end(account, category, is_last);
    account_close(account, category, sqlstate);
}

void account_end(struct account *account, enum weir_error_category category)
{
    account_end_as(account, category, true);
}

void account_end_within(struct account *account, enum weir_error_category category)
{
    account_end_as(account, category, false);
}

bool account_is_commit(const struct account *account)
{
    return account->traits & TRAIT_COMMITS &&
           verb_of(lexer_of(account->part, account->traits & TRAIT_BACKSLASH)) == VERB_COMMIT;
}
