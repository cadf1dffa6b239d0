/* dlopen() as the program calls it, to notice a libpq that comes deep-bound: its calls never reach
 * us, so its loading is the only time to see it. All other calls are passed on by a jump, since the
 * loader looks for a library where its caller lies: compiled so that it is one, and without the old
 * symbol versions, since it defines one of the names. */
#include "shim/preload/deep_bound.h"

#include <stddef.h>

#define VISIBLE __attribute__((visibility("default")))

enum { MODE_DEEP_BIND = 8 }; /* RTLD_DEEPBIND */

#if defined(__clang__)
#define JUMP __attribute__((musttail)) return
#else
#define JUMP return
#endif

static int is_path(const char *file)
{
    if (!file)
        return 0;
    for (; *file; file++)
        if (*file == '/')
            return 1;
    return 0;
}

VISIBLE void *dlopen(const char *file, int mode);

VISIBLE void *dlopen(const char *file, int mode)
{
    /* Only a path means the same whoever opens it. */
    if (__builtin_expect(mode & MODE_DEEP_BIND && is_path(file), 0))
        JUMP deep_bound_open(file, mode);
    JUMP deep_bound_original()(file, mode);
}
