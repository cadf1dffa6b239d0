/* A service on libweir's public API, for tests of faults: opens a pool, puts load on it, does what
 * standard input says, and tells what happened, one JSON object a line.
 *
 *   pool_client conninfo=… [OPTION=NUMBER …] [load=THREADS:WORK[:SQL] …] [hooks=NAME,…] …
 *
 * OPTION is any of shim/session/options.def. Lines of standard input: go; mark NAME; sums; stats;
 * health; evict; rotate PASSWORD; hook NAME MODE [COUNT]; drain MS; stop. At its end it stops, too.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "hooks.h"
#include "include/weir/manager.h"
#include "load.h"
#include "tell.h"

struct client {
    struct weir_manager *manager;
    struct weir_pool *pool;
    struct weir_pool_opts opts;
    struct load_opts load;
    uint64_t second_ns, second_ok, second_failed; /* as told last */
    bool tells_log, is_started, is_over, is_over_told;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static bool pool_option_set(struct weir_pool_opts *opts, const char *name, int32_t value)
{
#define OPTION(field, kind, otherwise, least, most, what)                                          \
    if (!strcmp(name, #field)) {                                                                   \
        opts->field = value;                                                                       \
        return true;                                                                               \
    }
#include "shim/session/options.def"
#undef OPTION
    return false;
}

static bool load_option_set(struct load_opts *load, const char *name, int32_t value)
{
    if (!strcmp(name, "acquire_ms"))
        load->acquire_ms = value;
    else if (!strcmp(name, "statement_ms"))
        load->statement_ms = value;
    else if (!strcmp(name, "is_prepared"))
        load->is_prepared = value;
    else if (!strcmp(name, "hold_us"))
        load->hold_us = (unsigned)value;
    else if (!strcmp(name, "pace_us"))
        load->pace_us = (unsigned)value;
    else if (!strcmp(name, "rounds"))
        load->rounds = (unsigned)value;
    else
        return false;
    return true;
}

static bool client_set(struct client *client, const char *name, const char *text)
{
    int32_t value = (int32_t)strtol(text, NULL, 10);

    if (!strcmp(name, "conninfo"))
        client->opts.conninfo = text;
    else if (!strcmp(name, "password"))
        hooks_rotate(text);
    else if (!strcmp(name, "hooks"))
        return hooks_install(&client->opts, text);
    else if (!strcmp(name, "log"))
        client->tells_log = value;
    else if (!strcmp(name, "load"))
        return client->load.group_count < LOAD_GROUPS_MAX &&
               load_group_parse(text, &client->load.groups[client->load.group_count++]);
    else
        return pool_option_set(&client->opts, name, value) ||
               load_option_set(&client->load, name, value);
    return true;
}

static void client_arguments(struct client *client, char **arguments)
{
    weir_pool_opts_init(&client->opts, sizeof(client->opts));
    client->opts.name = "client";
    for (; *arguments; arguments++) {
        char *value = strchr(*arguments, '=');
        if (value)
            *value++ = 0;
        if (!value || !client_set(client, *arguments, value)) {
            (void)fprintf(stderr, "pool_client: '%s' is no argument of this form\n", *arguments);
            exit(2);
        }
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static void command_go(struct client *client, const char *rest)
{
    (void)rest;
    load_start(&client->load);
    client->is_started = true;
    client->second_ns = clock_monotonic_ns();
}

static void command_mark(struct client *client, const char *rest)
{
    (void)client;
    load_mark(rest);
}

static void command_sums(struct client *client, const char *rest)
{
    json_t *sums = load_sums();

    (void)client;
    (void)rest;
    (void)json_object_set_new(sums, "event", json_string("sums"));
    tell(sums);
}

static void command_stats(struct client *client, const char *rest)
{
    struct weir_pool_stats stats;

    (void)rest;
    weir_pool_stats_get(client->pool, &stats, sizeof(stats));
    tell(json_pack("{s:s,s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "event", "stats", "used",
                   (int)stats.used, "idle", (int)stats.idle, "connecting", (int)stats.connecting,
                   "waiting", (int)stats.waiting, "acquired", tell_number(stats.acquired),
                   "timeouts", tell_number(stats.timeouts), "failed", tell_number(stats.failed),
                   "connected", tell_number(stats.connected), "connect_failures",
                   tell_number(stats.connect_failures), "closed", tell_number(stats.closed),
                   "validations_failed", tell_number(stats.validations_failed)));
}

static void command_health(struct client *client, const char *rest)
{
    struct weir_health health;

    (void)rest;
    weir_manager_health(client->manager, &health, sizeof(health));
    tell(json_pack("{s:s,s:b,s:s}", "event", "health", "is_ready", health.is_ready, "reason",
                   health.reason));
}

static void command_evict(struct client *client, const char *rest)
{
    (void)rest;
    weir_pool_evict(client->pool);
    tell(json_pack("{s:s}", "event", "evicted"));
}

static void command_rotate(struct client *client, const char *rest)
{
    (void)client;
    hooks_rotate(rest);
    tell(json_pack("{s:s}", "event", "rotated"));
}

static void command_hook(struct client *client, const char *rest)
{
    (void)client;
    if (!hooks_set(rest))
        tell_fatal(rest, NULL);
    tell(json_pack("{s:s}", "event", "hook_set"));
}

static void command_drain(struct client *client, const char *rest)
{
    int32_t timeout_ms = (int32_t)strtol(rest, NULL, 10);
    uint64_t begin_ns = clock_monotonic_ns(), end_ns;
    struct weir_drain_report *report = NULL;
    json_t *cuts = json_array();
    int r = weir_manager_drain(client->manager, timeout_ms, &report);

    end_ns = clock_monotonic_ns();
    for (size_t i = 0; i < weir_drain_report_count(report); i++) {
        const struct weir_drain_cut *cut = weir_drain_report_cut(report, i);
        (void)json_array_append_new(
            cuts,
            json_pack("{s:s,s:s,s:s,s:I,s:i,s:b}", "pool", cut->pool, "statement", cut->statement,
                      "call_site", cut->call_site, "held_ns", tell_number(cut->held_ns),
                      "backend_pid", (int)cut->backend_pid, "was_executing", cut->was_executing));
    }
    weir_drain_report_free(report);
    tell(json_pack("{s:s,s:s,s:I,s:I,s:o}", "event", "drained", "result",
                   weir_error_category_name((enum weir_error_category)r), "begin_ns",
                   tell_number(begin_ns), "at_ns", tell_number(end_ns), "cuts", cuts));
}

static void command_stop(struct client *client, const char *rest)
{
    (void)rest;
    client->is_over = true;
}

static const struct command {
    const char *name;
    void (*run)(struct client *client, const char *rest);
} commands[] = {
    {"go", command_go},         {"mark", command_mark},     {"sums", command_sums},
    {"stats", command_stats},   {"health", command_health}, {"evict", command_evict},
    {"rotate", command_rotate}, {"hook", command_hook},     {"drain", command_drain},
    {"stop", command_stop},
};

static void command_run(struct client *client, char *line)
{
    size_t length = strcspn(line, " ");
    const char *rest = line[length] ? line + length + 1 : "";

    line[length] = 0;
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (!strcmp(commands[i].name, line)) {
            commands[i].run(client, rest);
            return;
        }
    tell_fatal(line, NULL);
}

/* ---- its life -------------------------------------------------------------------------------- */

static void log_tell_entry(void *userdata, const struct weir_log_entry *entry)
{
    const struct client *client = userdata;

    if (client->tells_log)
        tell(json_pack("{s:s,s:i,s:s,s:s}", "event", "log", "kind", (int)entry->kind, "message",
                       entry->message, "sqlstate", entry->sqlstate));
}

/* What happened in the last second, each second; and once that all rounds are done. */
static void client_tell_second(struct client *client)
{
    uint64_t ok, failed;

    if (!client->is_started)
        return;
    if (load_is_over() && !client->is_over_told) {
        client->is_over_told = true;
        tell(json_pack("{s:s}", "event", "over"));
    }
    if (clock_monotonic_ns() < client->second_ns + NS_PER_S)
        return;
    load_count(&ok, &failed);
    tell(json_pack("{s:s,s:I,s:I}", "event", "second", "ok", tell_number(ok - client->second_ok),
                   "failed", tell_number(failed - client->second_failed)));
    client->second_ok = ok;
    client->second_failed = failed;
    client->second_ns += NS_PER_S;
}

/* Reads what there is and runs the lines that are whole. */
static void client_read(struct client *client)
{
    static char buffer[4096];
    static size_t filled;
    ssize_t got = read(STDIN_FILENO, buffer + filled, sizeof(buffer) - 1 - filled);
    char *end, *line = buffer;

    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        client->is_over = true;
        return;
    }
    filled += (size_t)got;
    buffer[filled] = 0;
    while (!client->is_over && (end = strchr(line, '\n'))) {
        *end = 0;
        command_run(client, line);
        line = end + 1;
    }
    filled -= (size_t)(line - buffer);
    memmove(buffer, line, filled);
}

static void client_open(struct client *client)
{
    struct weir_manager_opts opts = {
        .size = sizeof(opts), .log = log_tell_entry, .log_userdata = client};
    struct weir_error *error = NULL;

    if (weir_manager_new(&opts, &client->manager, &error) ||
        weir_pool_open(client->manager, &client->opts, &client->pool, &error))
        tell_fatal("opening", error);
    client->load.pool = client->pool;
    tell(json_pack("{s:s}", "event", "ready"));
}

static void client_end(struct client *client)
{
    json_t *sums;

    hooks_end();
    load_stop();
    sums = load_sums();
    (void)json_object_set_new(sums, "event", json_string("end"));
    command_stats(client, "");
    client->pool = weir_pool_unref(client->pool);
    client->manager = weir_manager_unref(client->manager);
    tell(sums);
}

int main(int argc, char **argv)
{
    static struct client client;

    (void)argc;
    client_arguments(&client, argv + 1);
    client_open(&client);
    while (!client.is_over) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&input, 1, 50) > 0)
            client_read(&client);
        client_tell_second(&client);
    }
    client_end(&client);
    return 0;
}
