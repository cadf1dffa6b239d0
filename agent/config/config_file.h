/* The configuration file: YAML, a mapping with the sections of settings.def. */
#pragma once

#include "agent/config/settings.h"

struct config_file;

/* Reads the file. Returns 0, -ENOMEM, or CONFIG_E_WRONG with file, line, key and reason in @error.
 */
int config_file_read(const char *path, struct config_file **ret, char *error, size_t error_size)
    __attribute__((warn_unused_result));
struct config_file *config_file_free(struct config_file *file);
CLEANUP_DEFINE(struct config_file *, config_file_freep, config_file_free)

/* The text that the file gives for setting_table[i]; NULL: none. */
const char *config_file_value(const struct config_file *file, size_t i);

/* The line of setting_table[i], from 1; 0: not in the file. */
unsigned config_file_line(const struct config_file *file, size_t i);
