#include "agent/install.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define PRELOAD "libweir_preload.so"

/* Beside the program in a build, where packages put it in an installation. */
static int open_source(char path[PATH_MAX])
{
    static const char *const places[] = {"/../lib/" PRELOAD, "/../lib/weir/" PRELOAD,
                                         "/../lib/x86_64-linux-gnu/weir/" PRELOAD,
                                         "/../lib/aarch64-linux-gnu/weir/" PRELOAD};
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;

    if (length <= 0)
        return -errno;
    program[length] = '\0';
    slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if ((size_t)snprintf(path, PATH_MAX, "%s%s", program, places[i]) >= PATH_MAX)
            continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return -ENOENT;
}

static int copy(int from, const char *directory)
{
    char temporary[PATH_MAX], final[PATH_MAX];
    int CLEANUP(closep) to = -1;
    struct stat status;

    if ((size_t)snprintf(temporary, sizeof(temporary), "%s/." PRELOAD ".XXXXXX", directory) >=
            sizeof(temporary) ||
        (size_t)snprintf(final, sizeof(final), "%s/" PRELOAD, directory) >= sizeof(final))
        return -ENAMETOOLONG;
    if (fstat(from, &status) < 0)
        return -errno;
    to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return -errno;
    for (off_t left = status.st_size; left > 0;) {
        ssize_t sent = sendfile(to, from, NULL, (size_t)left);
        if (sent <= 0) {
            int r = sent < 0 ? -errno : -EIO;
            (void)unlink(temporary);
            return r;
        }
        left -= sent;
    }
    if (fchmod(to, 0755) < 0 || rename(temporary, final) < 0) {
        int r = -errno;
        (void)unlink(temporary);
        return r;
    }
    (void)printf("%s\n", final);
    return 0;
}

int install_preload(const char *directory)
{
    char path[PATH_MAX];
    int CLEANUP(closep) from = open_source(path);
    int r;

    if (from < 0) {
        (void)fprintf(stderr, "weir-agent: " PRELOAD " is not beside this program: %s\n",
                      strerror(-from));
        return EXIT_FAILURE;
    }
    r = copy(from, directory);
    if (r == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "weir-agent: cannot write " PRELOAD " to %s: %s\n", directory,
                  strerror(-r));
    return EXIT_FAILURE;
}
