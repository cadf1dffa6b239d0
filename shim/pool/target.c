#include "shim/pool/target.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"

static void conninfo_freep(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (!strcmp(options->keyword, keyword))
            return options->val && *options->val ? options->val : NULL;
    return NULL;
}

/* What @conninfo says, else the environment and libpq's defaults. */
static const char *told_value(const PQconninfoOption *told, const PQconninfoOption *defaults,
                              const char *keyword)
{
    const char *value = option_value(told, keyword);

    return value ? value : option_value(defaults, keyword);
}

/* The @number-th part of a list; the only part of a list of one stands for all if @is_shared. */
static char *list_part(const char *list, unsigned number, bool is_shared)
{
    if (!list || (is_shared && !strchr(list, ',')))
        return list ? strdup(list) : NULL;
    for (; number; number--) {
        list = strchr(list, ',');
        if (!list++)
            return NULL;
    }
    return *list && *list != ',' ? strndup(list, strcspn(list, ",")) : NULL;
}

static unsigned list_count(const char *list)
{
    unsigned count = list ? 1 : 0;

    for (; list && (list = strchr(list, ',')); list++)
        count++;
    return count;
}

CLEANUP_DEFINE(struct target *, target_freep, target_free)

int target_new(const char *conninfo, struct target **ret_target, struct weir_error **ret_error)
{
    CLEANUP(target_freep) struct target *target = calloc(1, sizeof(*target));
    CLEANUP(conninfo_freep) PQconninfoOption *told = PQconninfoParse(conninfo, NULL);
    CLEANUP(conninfo_freep) PQconninfoOption *defaults = PQconndefaults();
    const char *host, *hostaddr, *port, *database, *attributes;

    if (!target || !told || !defaults)
        return failure_memory(ret_error);
    target->conninfo = strdup(conninfo);
    if (!target->conninfo)
        return failure_memory(ret_error);
    host = told_value(told, defaults, "host");
    hostaddr = told_value(told, defaults, "hostaddr");
    port = told_value(told, defaults, "port");
    database = told_value(told, defaults, "dbname");
    attributes = told_value(told, defaults, "target_session_attrs");
    target->count = list_count(hostaddr) ? list_count(hostaddr) : list_count(host);
    if (target->count > TARGET_HOSTS_MAX) {
        unsigned count = target->count;
        target->count = 0;
        return failure(ret_error, WEIR_ERROR_USAGE, "conninfo: %u hosts are more than %d", count,
                       TARGET_HOSTS_MAX);
    }
    if (!target->count)
        target->count = 1;
    for (unsigned i = 0; i < target->count; i++)
        target->hosts[i] = (struct target_host){
            .host = list_part(host, i, false),
            .hostaddr = list_part(hostaddr, i, false),
            .port = list_part(port, i, true),
        };
    if (!database)
        database = told_value(told, defaults, "user");
    target->database = database ? strdup(database) : NULL;
    target->prefers_standby = attributes && !strcmp(attributes, "prefer-standby");
    *ret_target = STEAL(target);
    return 0;
}

struct target *target_free(struct target *target)
{
    for (struct target *older; target; target = older) {
        older = target->older;
        for (unsigned i = 0; i < target->count; i++) {
            free(target->hosts[i].host);
            free(target->hosts[i].hostaddr);
            free(target->hosts[i].port);
        }
        free(target->database);
        free(target->conninfo);
        free(target);
    }
    return NULL;
}
