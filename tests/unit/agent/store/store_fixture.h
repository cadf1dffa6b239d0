/* A temporary directory for each test, removed with all that is in it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], file[128];

static inline int fixture_setup(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/weir-store-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(file, sizeof(file), "%s/checkpoint.db", directory);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    DIR *entries = opendir(directory);

    (void)state;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            assert_int_equal(unlink(path), 0);
    }
    (void)closedir(entries);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

/* How many files have @part in their name; the last one's path. */
static inline int files_with(const char *part, char ret[400])
{
    DIR *entries = opendir(directory);
    int count = 0;

    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (!strstr(entry->d_name, part))
            continue;
        if (ret)
            (void)snprintf(ret, 400, "%s/%s", directory, entry->d_name);
        count++;
    }
    (void)closedir(entries);
    return count;
}
