/* The table of settings: how each is named in the file, the environment and the flags, and how its
 * value is read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/config/config.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_COUNT,  /* uint32_t */
    SETTING_BYTES,  /* uint64_t; a number, or one with KiB, MiB or GiB */
    SETTING_SWITCH, /* bool */
    SETTING_CHOICE, /* an enum, by the choice's place */
};

struct setting {
    const char *section; /* "" at the top */
    const char *key;
    enum setting_type type;
    size_t offset; /* in struct config */
    const char *standard;
    uint64_t minimum, maximum;
    const char *choices;
    const char *environment; /* NULL: none */
    const char *flag;        /* NULL: none */
    const char *description;
};

extern const struct setting setting_table[];
extern const size_t setting_count;

enum {
    SETTINGS_MAX = 64,
    SETTING_TEXT_MAX = 4096,
    SETTING_NAME_MAX = 64,
};

/* "limits.sets". */
void setting_name(const struct setting *setting, char ret[SETTING_NAME_MAX]);

/* Reads @text into @config. Returns 0, -ENOMEM, or CONFIG_E_WRONG with what is allowed in @error.
 */
int setting_apply(const struct setting *setting, const char *text, struct config *config,
                  char *error, size_t error_size) __attribute__((warn_unused_result));

/* The value in @config as text. */
void setting_format(const struct setting *setting, const struct config *config, char *ret,
                    size_t size);
