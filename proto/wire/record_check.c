#include "proto/wire/record_check.h"

/* Bytes that a checked event's fixed parts take. */
static size_t event_size(const struct event_head *head)
{
    return EVENT_CORE_SIZE + (head->flags & EVENT_HAS_CONTEXT ? EVENT_CONTEXT_SIZE : 0);
}

static int record_check_name(const struct record_header *record)
{
    const struct record_name *name = (const struct record_name *)(const void *)record;

    if (record->length < sizeof(*name) || name->text_length > NAME_TEXT_MAX ||
        name->text_length > record->length - sizeof(*name))
        return RECORD_E_LENGTH;
    if (name->name_kind == 0 || name->id == 0)
        return RECORD_E_ENUM;
    /* A later minor version may name more kinds of things. */
    return name->name_kind < NAME_KIND_END ? 0 : RECORD_E_UNKNOWN_KIND;
}

/* The twelve bytes that most events share behind offset 72. */
static int record_check_failure(const char sqlstate[5], uint8_t failure)
{
    int zeros = 0;

    if (failure >= FAILURE_END || failure == FAILURE_PROCESS_DIED)
        return RECORD_E_ENUM;
    for (int i = 0; i < 5; i++) {
        if (sqlstate[i] == 0)
            zeros++;
        else if (sqlstate[i] < '!' || sqlstate[i] > '~')
            return RECORD_E_TEXT;
    }
    return zeros == 0 || zeros == 5 ? 0 : RECORD_E_TEXT;
}

static int record_check_transaction(const struct record_transaction *transaction)
{
    if (transaction->outcome < TRANSACTION_COMMITTED || transaction->outcome > TRANSACTION_UNKNOWN)
        return RECORD_E_ENUM;
    return record_check_failure(transaction->sqlstate, FAILURE_NONE);
}

static int record_check_prepare(const struct record_prepare *prepare)
{
    if (prepare->action < PREPARE_PARSE || prepare->action > PREPARE_DEALLOCATE)
        return RECORD_E_ENUM;
    return record_check_failure(prepare->sqlstate, prepare->failure);
}

static int record_check_parameters(const struct record_parameters *parameters)
{
    return parameters->bytes_length <=
                   parameters->head.header.length - event_size(&parameters->head)
               ? 0
               : RECORD_E_LENGTH;
}

static int record_check_event(const struct record_header *record)
{
    /* Connect, close, acquire, statement and cancel have sqlstate and failure at the same place. */
    const struct record_statement *event = (const struct record_statement *)(const void *)record;

    static_assert(offsetof(struct record_cancel, failure) ==
                      offsetof(struct record_statement, failure),
                  "one check for all");
    static_assert(offsetof(struct record_acquire, failure) ==
                      offsetof(struct record_statement, failure),
                  "one check for all");
    if (record->length < EVENT_CORE_SIZE || record->length < event_size(&event->head))
        return RECORD_E_LENGTH;
    switch ((enum record_kind)record->kind) {
    case RECORD_CONNECT:
    case RECORD_CLOSE:
    case RECORD_ACQUIRE:
    case RECORD_STATEMENT:
    case RECORD_CANCEL:
        return record_check_failure(event->sqlstate, event->failure);
    case RECORD_TRANSACTION:
        return record_check_transaction((const struct record_transaction *)(const void *)record);
    case RECORD_PREPARE:
        return record_check_prepare((const struct record_prepare *)(const void *)record);
    case RECORD_PARAMETERS:
        return record_check_parameters((const struct record_parameters *)(const void *)record);
    case RECORD_RELEASE:
    case RECORD_POOL_STATE:
        return 0;
    case RECORD_PAD:
    case RECORD_NAME:
    case RECORD_KIND_END:
    default:
        return RECORD_E_UNKNOWN_KIND;
    }
}

int record_check(const struct record_header *record)
{
    if (record->length < RECORD_ALIGN || record->length % RECORD_ALIGN ||
        record->length > RECORD_LENGTH_MAX)
        return RECORD_E_LENGTH;
    if (record->kind == RECORD_PAD)
        return RECORD_E_ENUM;
    if (record->kind == RECORD_NAME)
        return record_check_name(record);
    if (record->kind >= RECORD_KIND_END)
        return RECORD_E_UNKNOWN_KIND;
    return record_check_event(record);
}

const struct event_context *record_context(const struct record_header *record)
{
    const struct event_head *head = (const struct event_head *)(const void *)record;

    if (record->kind == RECORD_NAME || !(head->flags & EVENT_HAS_CONTEXT))
        return NULL;
    return (const struct event_context *)(const void *)((const char *)record + EVENT_CORE_SIZE);
}

struct view record_name_text(const struct record_header *record)
{
    const struct record_name *name = (const struct record_name *)(const void *)record;

    return (struct view){(const char *)(name + 1), name->text_length};
}

struct view record_parameter_bytes(const struct record_header *record)
{
    const struct record_parameters *parameters =
        (const struct record_parameters *)(const void *)record;

    return (struct view){(const char *)record + event_size(&parameters->head),
                         parameters->bytes_length};
}
