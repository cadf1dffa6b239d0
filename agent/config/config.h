/* What the agent was told: flags beat the environment, which beats the file, which beats the
 * defaults. Read once at start and again on SIGHUP; immutable in between. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/self/log.h"
#include "base/cleanup.h"

enum traces_mode {
    TRACES_UNSET, /* let OTEL_TRACES_SAMPLER decide, else parent */
    TRACES_OFF,
    TRACES_KEPT,
    TRACES_PARENT,
    TRACES_ALL,
};

/* What the program was asked to do by flags that end it at once. */
enum config_command {
    CONFIG_RUN,
    CONFIG_CHECK,           /* --check-config: the configuration is right; exit 0 */
    CONFIG_HELP,            /* --help */
    CONFIG_VERSION,         /* --version */
    CONFIG_INSTALL_PRELOAD, /* install-preload DIR */
};

/* Texts are never NULL: "" is unset. */
struct config {
    enum config_command command;
    char *install_directory; /* install-preload's */

    char *file; /* --config */
    char *socket;
    char *http;         /* "off": none */
    char *metrics_http; /* "off": none */
    char *token_file;
    char *token; /* its content; a secret */
    char *data;  /* "none": keep in memory */
    char *default_service_name;
    char *resource_attributes; /* k=v,k2=v2: added to every resource where absent */
    enum log_level log_level;
    enum log_format log_format;
    uint32_t grace_ms; /* time to flush after SIGTERM */

    char *otlp_endpoint; /* handed to the export settings, which know the OTEL_* variables */
    char *otlp_protocol; /* "", "grpc", "http/protobuf" */

    struct {
        enum traces_mode mode;
        uint32_t spans_per_second; /* the token bucket's refill, a service */
        uint32_t burst;
    } traces;

    struct {
        uint32_t sets_per_service, sets, statements, pools, services;
        uint64_t histogram_bytes;
        uint32_t names;
        uint64_t names_bytes;
        uint32_t clients;
        uint64_t mapped_bytes; /* of all segments together */
        uint32_t summaries;
        uint64_t summaries_bytes;
        uint32_t http_connections;
        uint32_t spans;         /* kept and not yet exported */
        uint64_t pending_bytes; /* delta points and spans waiting for a destination */
    } limits;

    bool statement_text; /* texts in weir_statement_info and in the API */
};

typedef const char *(*config_getenv_fn)(const char *name);

/* Reads flags, environment (NULL: the process's own) and file. Returns 0, -ENOMEM, or
 * CONFIG_E_WRONG with the reason (key, line or flag, allowed values) in @error; the program then
 * exits 2. */
enum { CONFIG_E_WRONG = 1 };
int config_load(int argc, char *const argv[], config_getenv_fn getenv_fn, struct config **ret,
                char *error, size_t error_size) __attribute__((warn_unused_result));
struct config *config_free(struct config *config);
CLEANUP_DEFINE(struct config *, config_freep, config_free)

/* One JSON object of every setting, secrets as "***". The caller frees it; NULL: out of memory. */
char *config_json(const struct config *config) __attribute__((warn_unused_result));

/* The texts of --help and --version. */
void config_print_help(FILE *out);
void config_print_version(FILE *out);
