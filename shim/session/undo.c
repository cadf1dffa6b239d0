/* What a release undoes of a session, in one round trip. */
#include <stdio.h>

#include "shim/session/exchange.h"

enum { UNDO_TEXT_MAX = 256 };

/* DISCARD ALL cannot stand beside others, and undoes all that they do. The role first: it may be
 * what forbids the rest. */
static const struct {
    uint32_t changes;
    const char *sql;
} undoings[] = {
    {CHANGED_ROLE, "RESET SESSION AUTHORIZATION; RESET ROLE"},
    {CHANGED_CURSORS, "CLOSE ALL"},
    {CHANGED_SETTINGS, "RESET ALL"},
    {CHANGED_LISTEN, "UNLISTEN *"},
    {CHANGED_PREPARED, "DEALLOCATE ALL"},
    {CHANGED_LOCKS, "SELECT pg_catalog.pg_advisory_unlock_all()"},
    {CHANGED_TEMPORARY, "DISCARD TEMP"},
};

static const char *undo_text(uint32_t changes, char text[UNDO_TEXT_MAX])
{
    size_t length = 0;

    if (changes & CHANGED_UNKNOWN)
        return "DISCARD ALL";
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(undoings) / sizeof(undoings[0]); i++)
        if (changes & undoings[i].changes)
            length += (size_t)snprintf(text + length, UNDO_TEXT_MAX - length, "%s%s",
                                       length ? "; " : "", undoings[i].sql);
    return length ? text : NULL;
}

int changes_undo(struct slot *slot, enum weir_reset policy, uint64_t deadline_ns,
                 struct weir_error **ret_error)
{
    const struct options *options = pool_options(slot->pool);
    uint32_t changes = slot->changes | (slot->has_settings ? CHANGED_SETTINGS : 0);
    char text[UNDO_TEXT_MAX];
    const char *sql = NULL;
    int r = 0;

    switch (policy) {
    case WEIR_RESET_CHANGED:
        sql = undo_text(changes, text);
        break;
    case WEIR_RESET_ALL:
        sql = "DISCARD ALL";
        break;
    case WEIR_RESET_LIST:
        sql = options->reset_statements;
        break;
    case WEIR_RESET_NOTHING:
        /* The acquire's own settings were not meant for the next holder. */
        sql = slot->has_settings ? "RESET ALL" : NULL;
        break;
    }
    if (sql)
        r = exchange_command(slot, sql, deadline_ns, NULL, NULL, ret_error);
    if (r)
        return r;
    slot->changes = 0; /* what the undoing's own texts seemed to change, too */
    slot->has_settings = false;
    return 0;
}
