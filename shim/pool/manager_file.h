/* The manager's file: YAML with a service_name and the pools' options, by the names and in the
 * words of options.def. */
#pragma once

#include "base/cleanup.h"
#include "include/weir/pool.h"

enum { MANAGER_FILE_POOLS_MAX = 64 };

struct manager_file {
    const char *service_name; /* NULL: not said */
    size_t pools_count;
    struct weir_pool_opts pools[MANAGER_FILE_POOLS_MAX]; /* checked; texts live as long as this */
    struct manager_texts *texts;
};

/* Reads the file at @path, and the files that its conninfo_file keys name (relative ones from the
 * process's working directory). Returns 0, WEIR_ERROR_MEMORY, or WEIR_ERROR_USAGE with "file:line:
 * field: what". Each pool is checked by options_check(), without the environment. */
int manager_file_read(const char *path, struct manager_file **ret, struct weir_error **ret_error)
    __attribute__((warn_unused_result));
struct manager_file *manager_file_free(struct manager_file *file);
CLEANUP_DEFINE(struct manager_file *, manager_file_freep, manager_file_free)
