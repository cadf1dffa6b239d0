/* The configuration as people and programs read it. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "agent/config/config.h"
#include "agent/config/settings.h"

static const char mask[] = "***";

/* A URL may carry a password. */
static json_t *endpoint_json(const char *endpoint)
{
    const char *scheme_end = strstr(endpoint, "://");
    const char *host = scheme_end ? scheme_end + 3 : endpoint;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);

    if (!at)
        return json_string(endpoint);
    return json_sprintf("%.*s%s%s", (int)(host - endpoint), endpoint, mask, at);
}

static json_t *setting_json(const struct setting *setting, const struct config *config)
{
    char text[SETTING_TEXT_MAX + 1];

    setting_format(setting, config, text, sizeof(text));
    if (text[0] == '\0')
        return json_null();
    switch (setting->type) {
    case SETTING_COUNT:
    case SETTING_BYTES:
        return json_integer((json_int_t)strtoll(text, NULL, 10));
    case SETTING_SWITCH:
        return json_boolean(strcmp(text, "true") == 0);
    case SETTING_TEXT:
    case SETTING_CHOICE:
        break;
    }
    return strcmp(setting->key, "otlp_endpoint") == 0 ? endpoint_json(text) : json_string(text);
}

static json_t *section_find(json_t *root, const char *section)
{
    json_t *found = json_object_get(root, section);

    if (section[0] == '\0')
        return root;
    if (!found && json_object_set_new(root, section, json_object()) == 0)
        found = json_object_get(root, section);
    return found;
}

char *config_json(const struct config *config)
{
    json_t *root = json_object();
    int r = 0;

    r |= json_object_set_new(root, "file",
                             config->file[0] ? json_string(config->file) : json_null());
    r |= json_object_set_new(root, "token", config->token[0] ? json_string(mask) : json_null());
    for (size_t i = 0; i < setting_count; i++) {
        json_t *value = setting_json(&setting_table[i], config);
        if (!value) /* a text that is no UTF-8 */
            value = json_null();
        r |= json_object_set_new(section_find(root, setting_table[i].section), setting_table[i].key,
                                 value);
    }
    char *text = r == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

void config_print_version(FILE *out)
{
    (void)fprintf(out, "weir-agent %s\n", WEIR_VERSION);
}

void config_print_help(FILE *out)
{
    (void)fprintf(out,
                  "weir-agent: tells what programs do to PostgreSQL, beside them\n"
                  "\n"
                  "  weir-agent [flags]\n"
                  "  weir-agent install-preload DIR    copy the preload library into DIR\n"
                  "\n"
                  "Flags beat the environment, which beats the file, which beats the defaults.\n"
                  "\n"
                  "  --config FILE (WEIR_CONFIG)\n      The configuration file, YAML.\n");
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &setting_table[i];
        if (!setting->flag)
            continue;
        (void)fprintf(out, "  %s VALUE", setting->flag);
        if (setting->environment)
            (void)fprintf(out, " (%s)", setting->environment);
        if (setting->standard[0])
            (void)fprintf(out, " [%s]", setting->standard);
        (void)fprintf(out, "\n      %s\n", setting->description);
    }
    (void)fprintf(out, "  --check-config\n      Say whether the configuration is right, and end.\n"
                       "  --version\n  --help\n"
                       "\n"
                       "All settings: docs/CONFIGURATION.md. OTLP follows the OTEL_* variables.\n"
                       "Exit codes: 0 stopped as asked, 1 failed while running, 2 wrong usage or\n"
                       "configuration.\n");
}
