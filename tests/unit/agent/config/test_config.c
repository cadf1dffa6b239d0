/* Settings from flags, environment and file: which one wins, and what each mistake is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config/config.h"
#include "agent/config/settings.h"

enum { ARGUMENTS_MAX = 16, ERROR_SIZE = 1024 };

static const char *environment[8][2];

static const char *fake_getenv(const char *name)
{
    for (size_t i = 0; environment[i][0]; i++) {
        if (strcmp(environment[i][0], name) == 0)
            return environment[i][1];
    }
    return NULL;
}

static int clear_environment(void **state)
{
    (void)state;
    memset(environment, 0, sizeof(environment));
    return 0;
}

static char *file_make(const char *text)
{
    char *path = strdup("/tmp/weir-config-XXXXXX");
    assert_non_null(path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static int load(const char *const *arguments, struct config **ret, char *error)
{
    char *argv[ARGUMENTS_MAX + 1] = {"weir-agent"};
    int argc = 1;

    for (; arguments && arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    error[0] = '\0';
    return config_load(argc, argv, fake_getenv, ret, error, ERROR_SIZE);
}

static int load_file(const char *text, struct config **ret, char *error)
{
    char *path = file_make(text);
    int r = load((const char *[]){"--config", path, NULL}, ret, error);
    char *name = strstr(error, path);
    if (name) /* FILE:line */
        memmove(name + 4, name + strlen(path), strlen(name + strlen(path)) + 1),
            memcpy(name, "FILE", 4);
    unlink(path);
    free(path);
    return r;
}

static void has_defaults(void **state)
{
    CLEANUP(config_freep) struct config *config = NULL;
    char error[ERROR_SIZE];

    (void)state;
    assert_int_equal(load(NULL, &config, error), 0);
    assert_int_equal(config->command, CONFIG_RUN);
    assert_string_equal(config->socket, "/run/weir/agent.sock");
    assert_string_equal(config->http, "127.0.0.1:9348");
    assert_string_equal(config->metrics_http, "off");
    assert_string_equal(config->data, "/var/lib/weir");
    assert_string_equal(config->default_service_name, "");
    assert_string_equal(config->token, "");
    assert_int_equal(config->log_level, LOG_LEVEL_INFO);
    assert_int_equal(config->log_format, LOG_FORMAT_TEXT);
    assert_int_equal(config->traces.mode, TRACES_UNSET);
    assert_int_equal(config->limits.sets_per_service, 50);
    assert_int_equal(config->limits.sets, 200);
    assert_int_equal(config->limits.statements, 5000);
    assert_true(config->statement_text);
}

static void later_layers_win(void **state)
{
    CLEANUP(config_freep) struct config *config = NULL;
    char error[ERROR_SIZE];
    char *path = file_make("socket: /file\n"
                           "data: /file\n"
                           "http: 127.0.0.1:1\n"
                           "traces:\n"
                           "  mode: ALL\n"
                           "limits: {sets: 7, names_bytes: 2MiB}\n"
                           "statement_text: false\n"
                           "default_service_name:\n");

    (void)state;
    environment[0][0] = "WEIR_DATA";
    environment[0][1] = "/environment";
    environment[1][0] = "WEIR_HTTP";
    environment[1][1] = "127.0.0.1:2";
    environment[2][0] = "WEIR_SOCKET";
    environment[2][1] = ""; /* empty is unset */
    const char *arguments[] = {"--config",    path,    "--http=127.0.0.1:3",
                               "--log-level", "debug", NULL};
    assert_int_equal(load(arguments, &config, error), 0);
    assert_string_equal(config->socket, "/file");
    assert_string_equal(config->data, "/environment");
    assert_string_equal(config->http, "127.0.0.1:3");
    assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->traces.mode, TRACES_ALL);
    assert_int_equal(config->limits.sets, 7);
    assert_int_equal(config->limits.sets_per_service, 50);
    assert_int_equal(config->limits.names_bytes, 2 * 1024 * 1024);
    assert_false(config->statement_text);
    assert_string_equal(config->default_service_name, "");
    unlink(path);
    free(path);
}

static void names_the_place_of_a_mistake(void **state)
{
    static const struct {
        const char *text, *error;
    } examples[] = {
        {"socket: /a\n\nsokcet: /b\n", "FILE:3: unknown key: sokcet"},
        {"limits:\n  sets: 5\n  # none\n  stes: 6\n", "FILE:4: unknown key: stes"},
        {"mode: parent\n", "FILE:1: unknown key: mode"},
        {"limits:\n  sets: 1\nsocket: /a\nlimits:\n  sets: 2\n",
         "FILE:4: this key was given before: limits"},
        {"limits:\n  sets: 0\n", "FILE:2: limits.sets: '0' is no number from 1 to 100000"},
        {"limits:\n  sets: -1\n", "FILE:2: limits.sets: '-1' is no number from 1 to 100000"},
        {"limits:\n  sets_per_service: 1\n  sets: many\n",
         "FILE:3: limits.sets: 'many' is no number from 1 to 100000"},
        {"limits:\n  sets: 99999999999999999999\n",
         "FILE:2: limits.sets: '99999999999999999999' is no number from 1 to 100000"},
        {"limits:\n  names_bytes: 1TiB\n",
         "FILE:2: limits.names_bytes: '1TiB' is no size (bytes, or a number with KiB, MiB or GiB) "
         "from 65536 to 1073741824"},
        {"traces:\n  mode: some\n",
         "FILE:2: traces.mode: 'some' is none of off, kept, parent, all"},
        {"statement_text: yes\n", "FILE:1: statement_text: 'yes' is neither true nor false"},
        {"log_level: [info]\n", "FILE:1: Expecting STRING, got event: SEQUENCE_START"},
        {"limits: 5\n", "FILE:1: Expecting MAPPING, got event: SCALAR"},
        {"http: 0.0.0.0:9348\n",
         "http: other than loopback addresses and Unix sockets need a token_file; metrics_http may "
         "bind any address without one"},
        {"http: 9348\n", "http: is no ADDRESS:PORT, [V6-ADDRESS]:PORT, :PORT, path or off"},
        {"metrics_http: example.org:80\n",
         "metrics_http: is no ADDRESS:PORT, [V6-ADDRESS]:PORT, :PORT, path or off"},
        {"otlp_endpoint: ftp://x\n", "otlp_endpoint: is no http or https URL"},
        {"otlp_protocol: http/json\n", "otlp_protocol: is neither grpc nor http/protobuf"},
        {"token_file: /nowhere/token\n", "/nowhere/token: No such file or directory"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        CLEANUP(config_freep) struct config *config = NULL;
        char error[ERROR_SIZE];
        assert_int_equal(load_file(examples[i].text, &config, error), CONFIG_E_WRONG);
        assert_string_equal(error, examples[i].error);
        assert_null(config);
    }
}

static void takes_dashes_for_underscores(void **state)
{
    CLEANUP(config_freep) struct config *config = NULL;
    char error[ERROR_SIZE];

    (void)state;
    assert_int_equal(
        load_file("metrics-http: :9347\nlimits:\n  sets-per-service: 3\n", &config, error), 0);
    assert_string_equal(config->metrics_http, ":9347");
    assert_int_equal(config->limits.sets_per_service, 3);
    CLEANUP(config_freep) struct config *other = NULL;
    assert_int_equal(load_file("limits:\n  sets-per-service: 0\n", &other, error), CONFIG_E_WRONG);
    assert_non_null(strstr(error, "FILE:2: limits.sets_per_service: '0'"));
    assert_int_equal(load_file("log-level: info\nlog_level: info\n", &other, error),
                     CONFIG_E_WRONG);
    assert_non_null(strstr(error, "FILE:2: this key was given before"));
}

static void refuses_what_is_no_file_of_settings(void **state)
{
    static const char *const texts[] = {"- a\n",          "socket\n",    "socket: \"\n",
                                        "\tsocket: /a\n", "{socket: /a", "a: &x [*x]\n",
                                        "\xff\xfe\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CLEANUP(config_freep) struct config *config = NULL;
        char error[ERROR_SIZE];
        assert_int_equal(load_file(texts[i], &config, error), CONFIG_E_WRONG);
        assert_non_null(strstr(error, "FILE:"));
    }
    CLEANUP(config_freep) struct config *empty = NULL;
    char error[ERROR_SIZE];
    assert_int_equal(load_file("", &empty, error), 0);
    assert_int_equal(load((const char *[]){"--config", "/nowhere/file", NULL}, &empty, error),
                     CONFIG_E_WRONG);
    assert_string_equal(error, "/nowhere/file: No such file or directory");
}

static void names_wrong_flags_and_variables(void **state)
{
    CLEANUP(config_freep) struct config *config = NULL;
    char error[ERROR_SIZE];

    (void)state;
    assert_int_equal(load((const char *[]){"--htpp", "x", NULL}, &config, error), CONFIG_E_WRONG);
    assert_string_equal(error, "--htpp: unknown argument; --help names them all");
    assert_int_equal(load((const char *[]){"--http", NULL}, &config, error), CONFIG_E_WRONG);
    assert_string_equal(error, "--http: a value is missing");
    assert_int_equal(load((const char *[]){"--log-level=loud", NULL}, &config, error),
                     CONFIG_E_WRONG);
    assert_string_equal(error, "--log-level: 'loud' is none of error, warning, info, debug");
    assert_int_equal(load((const char *[]){"install-preload", NULL}, &config, error),
                     CONFIG_E_WRONG);
    environment[0][0] = "WEIR_LOG_FORMAT";
    environment[0][1] = "xml";
    assert_int_equal(load(NULL, &config, error), CONFIG_E_WRONG);
    assert_string_equal(error, "WEIR_LOG_FORMAT: 'xml' is none of text, json");
}

static void knows_the_commands(void **state)
{
    static const struct {
        const char *arguments[3];
        enum config_command command;
    } examples[] = {
        {{"--help"}, CONFIG_HELP},
        {{"--version"}, CONFIG_VERSION},
        {{"--check-config"}, CONFIG_CHECK},
        {{"install-preload", "/opt/weir"}, CONFIG_INSTALL_PRELOAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        CLEANUP(config_freep) struct config *config = NULL;
        char error[ERROR_SIZE];
        assert_int_equal(load(examples[i].arguments, &config, error), 0);
        assert_int_equal(config->command, examples[i].command);
        if (config->command == CONFIG_INSTALL_PRELOAD)
            assert_string_equal(config->install_directory, "/opt/weir");
    }
}

static void hides_secrets(void **state)
{
    CLEANUP(config_freep) struct config *config = NULL;
    char error[ERROR_SIZE], text[256];
    char *token = file_make("very-secret-token\n");

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "token_file: %s\nhttp: '[::]:9348'\n"
                   "otlp_endpoint: https://user:very-secret-password@collector:4318/x@y\n",
                   token);
    assert_int_equal(load_file(text, &config, error), 0);
    assert_string_equal(config->token, "very-secret-token");
    CLEANUP(freep) char *shown = config_json(config);
    assert_non_null(shown);
    assert_null(strstr(shown, "very-secret"));
    json_t *root = json_loads(shown, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "token")), "***");
    assert_string_equal(json_string_value(json_object_get(root, "otlp_endpoint")),
                        "https://***@collector:4318/x@y");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "limits"), "sets")),
                     200);
    assert_true(json_is_null(json_object_get(json_object_get(root, "traces"), "mode")));
    assert_true(json_is_true(json_object_get(root, "statement_text")));
    json_decref(root);
    unlink(token);
    free(token);
}

/* docs/CONFIGURATION.md has one row for each setting, with its names, default and meaning. */
static void is_documented(void **state)
{
    FILE *file = fopen(WEIR_CONFIGURATION_PAGE, "re");
    char *page = NULL;
    size_t size = 0;

    (void)state;
    assert_non_null(file);
    assert_true(getdelim(&page, &size, '\0', file) > 0);
    (void)fclose(file);
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &setting_table[i];
        char row[1024], name[SETTING_NAME_MAX], range[128] = "";
        setting_name(setting, name);
        if (setting->type == SETTING_COUNT || setting->type == SETTING_BYTES)
            (void)snprintf(range, sizeof(range), " (%llu to %llu)",
                           (unsigned long long)setting->minimum,
                           (unsigned long long)setting->maximum);
        (void)snprintf(row, sizeof(row), "| `%s` | %s%s%s%s | %s%s%s | %s%s%s | %s |", name,
                       setting->standard[0] ? "`" : "", setting->standard,
                       setting->standard[0] ? "`" : "", range, setting->environment ? "`" : "",
                       setting->environment ? setting->environment : "",
                       setting->environment ? "`" : "", setting->flag ? "`" : "",
                       setting->flag ? setting->flag : "", setting->flag ? "`" : "",
                       setting->description);
        if (!strstr(page, row))
            fail_msg("docs/CONFIGURATION.md lacks this row:\n%s", row);
    }
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(has_defaults, clear_environment),
        cmocka_unit_test_setup(later_layers_win, clear_environment),
        cmocka_unit_test_setup(names_the_place_of_a_mistake, clear_environment),
        cmocka_unit_test_setup(takes_dashes_for_underscores, clear_environment),
        cmocka_unit_test_setup(refuses_what_is_no_file_of_settings, clear_environment),
        cmocka_unit_test_setup(names_wrong_flags_and_variables, clear_environment),
        cmocka_unit_test_setup(knows_the_commands, clear_environment),
        cmocka_unit_test_setup(hides_secrets, clear_environment),
        cmocka_unit_test(is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
