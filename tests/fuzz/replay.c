/* Feeds every file of the named corpus folders to the fuzz target: the corpus as a plain test. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { INPUT_MAX = 16 << 20 };

static void fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static int replay_file(const char *path)
{
    FILE *CLEANUP(fclosep) file = fopen(path, "rb");
    struct stat status;

    if (!file || fstat(fileno(file), &status) < 0 || status.st_size > INPUT_MAX)
        return -EIO;
    /* Exactly as long as the input, so that the sanitizer sees every read past its end. */
    uint8_t *CLEANUP(freep) bytes = malloc((size_t)status.st_size + (status.st_size == 0));
    if (!bytes)
        return -ENOMEM;
    if (fread(bytes, 1, (size_t)status.st_size, file) != (size_t)status.st_size)
        return -EIO;
    (void)LLVMFuzzerTestOneInput(bytes, (size_t)status.st_size);
    return 0;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **entries = NULL;
        int found = scandir(argv[i], &entries, NULL, alphasort);
        if (found < 0) {
            fprintf(stderr, "replay: cannot read corpus %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        for (int e = 0; e < found; e++) {
            char path[4096];
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], entries[e]->d_name);
            if (entries[e]->d_name[0] != '.') {
                if (replay_file(path) < 0) {
                    fprintf(stderr, "replay: cannot read %s\n", path);
                    return 1;
                }
                count++;
            }
            free(entries[e]);
        }
        free(entries);
    }
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
