#include "agent/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config/config_file.h"
#include "agent/config/settings.h"
#include "agent/serve/address.h"

enum { TOKEN_BYTES_MAX = 4096, ALLOWED_MAX = 256 };

struct config *config_free(struct config *config)
{
    if (!config)
        return NULL;
    char *const texts[] = {
        config->install_directory,
        config->file,
        config->socket,
        config->http,
        config->metrics_http,
        config->token_file,
        config->token,
        config->data,
        config->default_service_name,
        config->resource_attributes,
        config->otlp_endpoint,
        config->otlp_protocol,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    free(config);
    return NULL;
}

/* What the command line says; texts are argv's. */
struct arguments {
    enum config_command command;
    const char *file, *install_directory;
    const char *values[SETTINGS_MAX];
};

struct loading {
    config_getenv_fn getenv_fn;
    struct arguments arguments;
    struct config_file *file;
    struct config *config;
    char *error;
    size_t error_size;
};

static int wrong(struct loading *loading, const char *where, const char *what)
{
    (void)snprintf(loading->error, loading->error_size, "%s: %s", where, what);
    return CONFIG_E_WRONG;
}

static int command_parse(struct loading *loading, int argc, char *const argv[], bool *ret_is_one)
{
    static const struct {
        const char *flag;
        enum config_command command;
    } commands[] = {{"--check-config", CONFIG_CHECK},
                    {"--help", CONFIG_HELP},
                    {"-h", CONFIG_HELP},
                    {"--version", CONFIG_VERSION}};
    struct arguments *arguments = &loading->arguments;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[0], commands[i].flag) == 0) {
            arguments->command = commands[i].command;
            *ret_is_one = true;
            return 0;
        }
    }
    if (strcmp(argv[0], "install-preload") == 0) {
        if (argc != 2 || argv[1][0] == '-' || argv[1][0] == '\0')
            return wrong(loading, "install-preload", "it takes one directory and nothing else");
        arguments->command = CONFIG_INSTALL_PRELOAD;
        arguments->install_directory = argv[1];
        *ret_is_one = true;
    }
    return 0;
}

/* Where the value of the flag in @argument belongs; NULL: no such flag. */
static const char **flag_find(struct arguments *arguments, const char *argument, size_t length)
{
    if (length == strlen("--config") && strncmp(argument, "--config", length) == 0)
        return &arguments->file;
    for (size_t i = 0; i < setting_count; i++) {
        const char *flag = setting_table[i].flag;
        if (flag && strlen(flag) == length && strncmp(flag, argument, length) == 0)
            return &arguments->values[i];
    }
    return NULL;
}

static int arguments_parse(struct loading *loading, int argc, char *const argv[])
{
    for (int i = 1; i < argc; i++) {
        bool is_command = false;
        int r = command_parse(loading, argc - i, argv + i, &is_command);
        if (r != 0)
            return r;
        if (is_command && loading->arguments.command == CONFIG_INSTALL_PRELOAD)
            return 0;
        if (is_command)
            continue;

        size_t length = strcspn(argv[i], "=");
        const char **value = flag_find(&loading->arguments, argv[i], length);
        if (!value)
            return wrong(loading, argv[i], "unknown argument; --help names them all");
        if (argv[i][length] == '=')
            *value = argv[i] + length + 1;
        else if (i + 1 < argc)
            *value = argv[++i];
        else
            return wrong(loading, argv[i], "a value is missing");
    }
    return 0;
}

static int file_read(struct loading *loading)
{
    const char *path = loading->arguments.file;

    if (!path)
        path = loading->getenv_fn("WEIR_CONFIG");
    loading->config->file = strdup(path ? path : "");
    if (!loading->config->file)
        return -ENOMEM;
    if (!path || path[0] == '\0')
        return 0;
    return config_file_read(path, &loading->file, loading->error, loading->error_size);
}

/* Flags beat the environment, which beats the file, which beats the defaults. Each layer is read,
 * so that a wrong value is found even where another one beats it. */
static int setting_load(struct loading *loading, size_t i)
{
    const struct setting *setting = &setting_table[i];
    const char *environment =
        setting->environment ? loading->getenv_fn(setting->environment) : NULL;
    const char *values[] = {
        setting->standard,
        config_file_value(loading->file, i),
        environment && environment[0] ? environment : NULL, /* empty is unset */
        loading->arguments.values[i],
    };

    for (size_t layer = 0; layer < sizeof(values) / sizeof(values[0]); layer++) {
        char allowed[ALLOWED_MAX] = "", name[SETTING_NAME_MAX], where[1024];
        if (!values[layer])
            continue;
        int r = setting_apply(setting, values[layer], loading->config, allowed, sizeof(allowed));
        if (r <= 0) {
            if (r < 0)
                return r;
            continue;
        }
        setting_name(setting, name);
        if (layer == 1)
            (void)snprintf(where, sizeof(where), "%s:%u: %s", loading->config->file,
                           config_file_line(loading->file, i), name);
        else
            (void)snprintf(where, sizeof(where), "%s",
                           layer == 2   ? setting->environment
                           : layer == 3 ? setting->flag
                                        : name);
        return wrong(loading, where, allowed);
    }
    return 0;
}

static int token_read(struct loading *loading)
{
    char bytes[TOKEN_BYTES_MAX + 1] = "";
    const char *path = loading->config->token_file;

    loading->config->token = strdup("");
    if (!loading->config->token)
        return -ENOMEM;
    if (path[0] == '\0')
        return 0;
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, bytes, TOKEN_BYTES_MAX);
    if (count < 0)
        return wrong(loading, path, strerror(errno));
    bytes[strcspn(bytes, "\r\n")] = '\0';
    if (bytes[0] == '\0')
        return wrong(loading, path, "the token file is empty");
    free(loading->config->token);
    loading->config->token = strdup(bytes);
    return loading->config->token ? 0 : -ENOMEM;
}

static int listeners_check(struct loading *loading)
{
    static const char form[] = "is no ADDRESS:PORT, [V6-ADDRESS]:PORT, :PORT, path or off";
    struct config *config = loading->config;
    struct listen_address address;

    if (listen_address_parse(config->metrics_http, &address) < 0)
        return wrong(loading, "metrics_http", form);
    if (listen_address_parse(config->http, &address) < 0)
        return wrong(loading, "http", form);
    if (!address.is_off && !address.is_loopback && config->token[0] == '\0')
        return wrong(loading, "http",
                     "other than loopback addresses and Unix sockets need a token_file; "
                     "metrics_http may bind any address without one");
    return 0;
}

static int endpoint_check(struct loading *loading)
{
    const char *endpoint = loading->config->otlp_endpoint;
    const char *protocol = loading->config->otlp_protocol;
    const char *scheme_end = strstr(endpoint, "://");

    if (endpoint[0] && (strpbrk(endpoint, " \t\r\n") || (scheme_end && scheme_end[3] == '\0') ||
                        (scheme_end && strncasecmp(endpoint, "http://", 7) != 0 &&
                         strncasecmp(endpoint, "https://", 8) != 0)))
        return wrong(loading, "otlp_endpoint", "is no http or https URL");
    if (protocol[0] && strcmp(protocol, "grpc") != 0 && strcmp(protocol, "http/protobuf") != 0)
        return wrong(loading, "otlp_protocol", "is neither grpc nor http/protobuf");
    return 0;
}

static int all_check(struct loading *loading)
{
    const struct config *config = loading->config;

    if (!config->socket || config->socket[0] == '\0')
        return wrong(loading, "socket", "a path is needed");
    if (!config->data || config->data[0] == '\0')
        return wrong(loading, "data", "a directory or none is needed");
    int r = token_read(loading);
    if (r == 0)
        r = listeners_check(loading);
    return r == 0 ? endpoint_check(loading) : r;
}

static int texts_fill(struct loading *loading)
{
    struct config *config = loading->config;
    const char *directory = loading->arguments.install_directory;

    config->command = loading->arguments.command;
    config->install_directory = strdup(directory ? directory : "");
    return config->install_directory ? 0 : -ENOMEM;
}

static const char *process_getenv(const char *name)
{
    return getenv(name);
}

int config_load(int argc, char *const argv[], config_getenv_fn getenv_fn, struct config **ret,
                char *error, size_t error_size)
{
    CLEANUP(config_freep) struct config *config = calloc(1, sizeof(*config));
    struct loading loading = {.getenv_fn = getenv_fn ? getenv_fn : process_getenv,
                              .config = config,
                              .error = error,
                              .error_size = error_size};

    if (!config)
        return -ENOMEM;
    int r = arguments_parse(&loading, argc, argv);
    if (r == 0)
        r = texts_fill(&loading);
    if (r != 0)
        return r;
    bool is_needed = config->command == CONFIG_RUN || config->command == CONFIG_CHECK;
    if (is_needed)
        r = file_read(&loading);
    for (size_t i = 0; r == 0 && is_needed && i < setting_count; i++)
        r = setting_load(&loading, i);
    loading.file = config_file_free(loading.file);
    if (r == 0 && is_needed)
        r = all_check(&loading);
    if (r != 0)
        return r;
    *ret = STEAL(config);
    return 0;
}
