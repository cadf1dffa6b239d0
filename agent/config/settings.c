#include "agent/config/settings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct setting setting_table[] = {
#define SETTING(field, section, key, type, standard, minimum, maximum, choices, environment, flag, \
                description)                                                                       \
    {section,     key,     SETTING_##type, offsetof(struct config, field),                         \
     standard,    minimum, maximum,        choices,                                                \
     environment, flag,    description},
#include "agent/config/settings.def"
#undef SETTING
};
const size_t setting_count = sizeof(setting_table) / sizeof(setting_table[0]);

static_assert(sizeof(setting_table) / sizeof(setting_table[0]) <= SETTINGS_MAX,
              "grow SETTINGS_MAX");
static_assert(sizeof(enum log_level) == sizeof(uint32_t), "choices are written as uint32_t");

void setting_name(const struct setting *setting, char ret[SETTING_NAME_MAX])
{
    (void)snprintf(ret, SETTING_NAME_MAX, "%s%s%s", setting->section,
                   setting->section[0] ? "." : "", setting->key);
}

static void *setting_field(const struct setting *setting, const struct config *config)
{
    return (char *)(uintptr_t)config + setting->offset;
}

static int number_parse(const struct setting *setting, const char *text, uint64_t *ret)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    size_t unit_count = setting->type == SETTING_BYTES ? sizeof(units) / sizeof(units[0]) : 1;
    char *end;

    if (*text < '0' || *text > '9')
        return CONFIG_E_WRONG;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0)
        return CONFIG_E_WRONG;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        if (number > UINT64_MAX >> units[i].shift)
            return CONFIG_E_WRONG;
        number <<= units[i].shift;
        bool is_allowed = number >= setting->minimum && number <= setting->maximum;
        *ret = number;
        return is_allowed ? 0 : CONFIG_E_WRONG;
    }
    return CONFIG_E_WRONG;
}

/* The place of @text among the choices. */
static int choice_parse(const struct setting *setting, const char *text, uint32_t *ret)
{
    uint32_t place = 0;

    for (const char *choice = setting->choices;; place++) {
        size_t length = strcspn(choice, "|");
        if (strlen(text) == length && strncasecmp(choice, text, length) == 0) {
            *ret = place;
            return 0;
        }
        if (choice[length] == '\0')
            return CONFIG_E_WRONG;
        choice += length + 1;
    }
}

static int text_apply(const char *text, char **field, char *error, size_t error_size)
{
    if (strlen(text) > SETTING_TEXT_MAX) {
        (void)snprintf(error, error_size, "the text is longer than %d bytes", SETTING_TEXT_MAX);
        return CONFIG_E_WRONG;
    }
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static void choices_write(const struct setting *setting, char *ret, size_t size)
{
    const char *choice = setting->choices[0] == '|' ? setting->choices + 1 : setting->choices;
    size_t length = 0;

    for (; *choice && length + 3 < size; choice++) {
        if (*choice == '|') {
            ret[length++] = ',';
            ret[length++] = ' ';
        } else {
            ret[length++] = *choice;
        }
    }
    ret[length] = '\0';
}

int setting_apply(const struct setting *setting, const char *text, struct config *config,
                  char *error, size_t error_size)
{
    void *field = setting_field(setting, config);
    char choices[128];
    uint64_t number;

    switch (setting->type) {
    case SETTING_TEXT:
        return text_apply(text, field, error, error_size);
    case SETTING_COUNT:
    case SETTING_BYTES:
        if (number_parse(setting, text, &number) != 0) {
            (void)snprintf(error, error_size, "'%.40s' is no %s from %" PRIu64 " to %" PRIu64, text,
                           setting->type == SETTING_BYTES
                               ? "size (bytes, or a number with KiB, MiB or GiB)"
                               : "number",
                           setting->minimum, setting->maximum);
            return CONFIG_E_WRONG;
        }
        if (setting->type == SETTING_BYTES)
            *(uint64_t *)field = number;
        else
            *(uint32_t *)field = (uint32_t)number;
        return 0;
    case SETTING_SWITCH:
        if (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0) {
            (void)snprintf(error, error_size, "'%.40s' is neither true nor false", text);
            return CONFIG_E_WRONG;
        }
        *(bool *)field = strcasecmp(text, "true") == 0;
        return 0;
    case SETTING_CHOICE:
        if (choice_parse(setting, text, field) != 0) {
            choices_write(setting, choices, sizeof(choices));
            (void)snprintf(error, error_size, "'%.40s' is none of %s", text, choices);
            return CONFIG_E_WRONG;
        }
        return 0;
    }
    return CONFIG_E_WRONG;
}

void setting_format(const struct setting *setting, const struct config *config, char *ret,
                    size_t size)
{
    const void *field = setting_field(setting, config);

    switch (setting->type) {
    case SETTING_TEXT:
        (void)snprintf(ret, size, "%s", *(char *const *)field);
        break;
    case SETTING_COUNT:
        (void)snprintf(ret, size, "%" PRIu32, *(const uint32_t *)field);
        break;
    case SETTING_BYTES:
        (void)snprintf(ret, size, "%" PRIu64, *(const uint64_t *)field);
        break;
    case SETTING_SWITCH:
        (void)snprintf(ret, size, "%s", *(const bool *)field ? "true" : "false");
        break;
    case SETTING_CHOICE: {
        const char *choice = setting->choices;
        for (uint32_t place = *(const uint32_t *)field; place > 0; place--)
            choice += strcspn(choice, "|") + 1;
        (void)snprintf(ret, size, "%.*s", (int)strcspn(choice, "|"), choice);
        break;
    }
    }
}
