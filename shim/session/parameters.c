#include "shim/session/parameters.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/session/keyed_hash.h"

/* ---- which rule ------------------------------------------------------------------------------ */

static enum weir_parameters environment_read(void)
{
    const char *word = secure_getenv("WEIR_PARAMETERS");

    if (!word || !strcmp(word, "redacted"))
        return WEIR_PARAMETERS_REDACTED;
    return !strcmp(word, "hashed") ? WEIR_PARAMETERS_HASHED : WEIR_PARAMETERS_OFF;
}

/* The most that the environment allows; read once, by whoever comes first. */
static enum weir_parameters environment_most(void)
{
    static _Atomic int known; /* one more than the value; 0: not read */
    int most = atomic_load_explicit(&known, memory_order_relaxed);

    if (!most) {
        most = (int)environment_read() + 1;
        atomic_store_explicit(&known, most, memory_order_relaxed);
    }
    return (enum weir_parameters)(most - 1);
}

static enum weir_parameters rule_of(const struct weir_statement_opts *opts,
                                    const struct options *options)
{
    int32_t wanted = opts->parameters ? opts->parameters - 1 : OPTION_OF(options, parameters);
    enum weir_parameters most = environment_most();

    return wanted < (int32_t)most ? (enum weir_parameters)wanted : most;
}

/* ---- one value ------------------------------------------------------------------------------- */

static void value_hash(FILE *out, const void *bytes, size_t length)
{
    struct hash_key key;

    if (hash_key_of_process(&key))
        (void)fprintf(out, "#%016llx", (unsigned long long)keyed_hash(key, bytes, length));
    else
        (void)fputs("#", out);
}

/* How much of @text fits into the maximum without cutting a character of UTF-8 in two. */
static size_t value_fit(const char *text, size_t length)
{
    size_t fit = PARAMETER_BYTES_MAX;

    if (length <= fit)
        return length;
    while (fit && ((unsigned char)text[fit] & 0xc0) == 0x80)
        fit--;
    return fit;
}

static void value_show(FILE *out, const char *text)
{
    size_t length = strlen(text), fit = value_fit(text, length);

    (void)fputc('\'', out);
    for (size_t i = 0; i < fit; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == 0x7f)
            (void)fprintf(out, "\\x%02x", byte);
        else if (byte == '\'' || byte == '\\')
            (void)fprintf(out, "%c%c", byte, byte);
        else
            (void)fputc(byte, out);
    }
    (void)fputs(fit < length ? "'…" : "'", out);
}

static void parameter_write(FILE *out, const struct weir_statement_opts *opts, int32_t i,
                            bool is_open)
{
    const char *value = opts->values ? opts->values[i] : NULL;
    bool is_binary = opts->formats && opts->formats[i] == 1;

    (void)fprintf(out, "%s$%d = ", i ? ", " : "", i + 1);
    if (!value)
        (void)fputs("NULL", out);
    else if (is_binary)
        value_hash(out, value,
                   opts->lengths && opts->lengths[i] > 0 ? (size_t)opts->lengths[i] : 0);
    else if (is_open)
        value_show(out, value);
    else
        value_hash(out, value, strlen(value));
}

char *parameters_show(struct view sql, const struct weir_statement_opts *opts,
                      const struct options *options, bool backslash_strings)
{
    enum weir_parameters rule;
    uint64_t open = 0;
    size_t size = 0;
    char *text = NULL;
    FILE *out;

    if (!opts || !opts->count)
        return NULL;
    rule = rule_of(opts, options);
    if (rule == WEIR_PARAMETERS_OFF)
        return NULL;
    if (rule == WEIR_PARAMETERS_REDACTED)
        open = parameters_open(sql, backslash_strings, options->redact);
    out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int32_t i = 0; i < opts->count && i < PARAMETERS_SHOWN_MAX; i++)
        parameter_write(out, opts, i, open >> i & 1);
    if (opts->count > PARAMETERS_SHOWN_MAX)
        (void)fputs(", …", out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
