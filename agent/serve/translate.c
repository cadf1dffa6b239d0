#include "agent/serve/translate.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit_word {
    const char *ucum, *word;
};

static const struct unit_word units[] = {
    {"d", "days"},          {"h", "hours"},         {"min", "minutes"},    {"s", "seconds"},
    {"ms", "milliseconds"}, {"us", "microseconds"}, {"ns", "nanoseconds"}, {"By", "bytes"},
    {"KiBy", "kibibytes"},  {"MiBy", "mebibytes"},  {"GiBy", "gibibytes"}, {"TiBy", "tebibytes"},
    {"kBy", "kilobytes"},   {"KBy", "kilobytes"},   {"MBy", "megabytes"},  {"GBy", "gigabytes"},
    {"TBy", "terabytes"},   {"m", "meters"},        {"V", "volts"},        {"A", "amperes"},
    {"J", "joules"},        {"W", "watts"},         {"g", "grams"},        {"Cel", "celsius"},
    {"Hz", "hertz"},        {"%", "percent"},
};

static const struct unit_word rates[] = {
    {"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"},
    {"w", "week"},   {"mo", "month"}, {"y", "year"},
};

static const char *word_find(const struct unit_word *words, size_t count, struct view ucum)
{
    for (size_t i = 0; i < count; i++) {
        if (view_equal(view_from(words[i].ucum), ucum))
            return words[i].word;
    }
    return NULL;
}

/* Writes @text with every character that a name cannot hold as `_`, runs of `_` as one. */
static void name_escape(struct view text, bool has_colon, char *ret, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < text.length && length + 1 < size; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        bool is_legal = c < 0x80 && (isalnum(c) || (has_colon && c == ':'));
        if (!is_legal && length > 0 && ret[length - 1] == '_')
            continue;
        ret[length++] = is_legal ? (char)c : '_';
    }
    ret[length] = '\0';
}

void prometheus_unit(const char *ucum, char ret[PROMETHEUS_UNIT_MAX])
{
    const char *slash = strchr(ucum, '/');
    struct view main = {ucum, slash ? (size_t)(slash - ucum) : strlen(ucum)};
    char rate[PROMETHEUS_UNIT_MAX] = "";

    ret[0] = '\0';
    if (main.length > 0 && !memchr(main.bytes, '{', main.length) &&
        !view_equal(main, VIEW_LITERAL("1"))) {
        const char *word = word_find(units, sizeof(units) / sizeof(units[0]), main);
        name_escape(word ? view_from(word) : main, false, ret, PROMETHEUS_UNIT_MAX);
    }
    if (!slash || strchr(slash, '{'))
        return;
    const char *word = word_find(rates, sizeof(rates) / sizeof(rates[0]), view_from(slash + 1));
    name_escape(word ? view_from(word) : view_from(slash + 1), false, rate, sizeof(rate));
    size_t length = strlen(ret);
    (void)snprintf(ret + length, PROMETHEUS_UNIT_MAX - length, "%sper_%s", length > 0 ? "_" : "",
                   rate);
}

/* True if one of the name's parts between `_` is @word, or the name ends with it. */
static bool name_has_unit(const char *name, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(name, word); at; at = strstr(at + 1, word)) {
        if ((at == name || at[-1] == '_') && (at[length] == '\0' || at[length] == '_'))
            return true;
    }
    return false;
}

void prometheus_family_name(const struct metric_spec *spec, char ret[PROMETHEUS_NAME_MAX])
{
    char unit[PROMETHEUS_UNIT_MAX];
    bool has_digit = isdigit((unsigned char)spec->name[0]);

    if (has_digit)
        ret[0] = '_';
    name_escape(view_from(spec->name), true, ret + has_digit, PROMETHEUS_NAME_MAX - has_digit);
    prometheus_unit(spec->unit, unit);
    if (strcmp(spec->unit, "1") == 0 && spec->kind == METRIC_GAUGE)
        (void)strcpy(unit, "ratio");
    size_t length = strlen(ret);
    if (spec->kind == METRIC_COUNTER && length > 6 && strcmp(ret + length - 6, "_total") == 0)
        ret[length -= 6] = '\0';
    if (unit[0] && !name_has_unit(ret, unit))
        (void)snprintf(ret + length, PROMETHEUS_NAME_MAX - length, "_%s", unit);
}

void prometheus_label_name(struct view key, char ret[PROMETHEUS_NAME_MAX])
{
    size_t prefix = 0;

    if (key.length > 0 && isdigit((unsigned char)key.bytes[0])) {
        memcpy(ret, "key_", 4);
        prefix = 4;
    }
    name_escape(key, false, ret + prefix, PROMETHEUS_NAME_MAX - prefix);
    if (ret[0] == '\0')
        (void)strcpy(ret, "_");
}
