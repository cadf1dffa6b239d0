/* The manager's file: what it says is opened, and changed when it is read again. */
#include <string.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"
#include "shim/pool/manager_file.h"
#include "shim/session/log.h"

CLEANUP_DEFINE(struct weir_pool *, pool_unrefp, weir_pool_unref)

/* A pool of the file that is not open yet; the manager keeps the reference. */
static int pool_add(struct weir_manager *manager, const struct weir_pool_opts *opts,
                    struct weir_error **ret_error)
{
    struct weir_pool_opts hooked = *opts;
    struct weir_pool *pool;
    int r;

    hooked.hook_userdata = manager->hook_userdata; /* a file can name none */
    hooked.before_connect = manager->before_connect;
    hooked.after_connect = manager->after_connect;
    hooked.before_acquire = manager->before_acquire;
    hooked.after_release = manager->after_release;
    r = weir_pool_open(manager, &hooked, &pool, ret_error);
    if (!r)
        pool->is_of_file = true;
    return r;
}

static int pool_change(struct weir_pool *pool, const struct weir_pool_opts *opts,
                       struct weir_error **ret_error)
{
    int r = weir_pool_reconfigure(pool, opts, ret_error);

    return r ? r : pool_retarget(pool, opts->conninfo, ret_error);
}

static int pool_take(struct weir_manager *manager, const struct weir_pool_opts *opts,
                     struct weir_error **ret_error)
{
    CLEANUP(pool_unrefp) struct weir_pool *pool = NULL;

    if (weir_manager_pool(manager, opts->name, &pool, NULL))
        return pool_add(manager, opts, ret_error);
    return pool_change(pool, opts, ret_error);
}

/* The file's pools with what the environment says laid over them. All are checked before the first
 * is touched, so that a mistake changes nothing. */
struct laid {
    struct weir_pool_opts opts[MANAGER_FILE_POOLS_MAX];
    char *texts[MANAGER_FILE_POOLS_MAX];
};

static struct laid *laid_free(struct laid *laid)
{
    for (unsigned i = 0; laid && i < MANAGER_FILE_POOLS_MAX; i++)
        free(laid->texts[i]);
    free(laid);
    return NULL;
}

CLEANUP_DEFINE(struct laid *, laid_freep, laid_free)

static int laid_check(struct laid *laid, const struct manager_file *file,
                      struct weir_error **ret_error)
{
    struct weir_pool_opts checked;
    int r = 0;

    for (size_t i = 0; !r && i < file->pools_count; i++) {
        laid->opts[i] = file->pools[i];
        r = options_add_environment(&laid->opts[i], &laid->texts[i], ret_error);
        if (!r)
            r = options_check(&laid->opts[i], &checked, ret_error);
    }
    return r;
}

int manager_load(struct weir_manager *manager, struct weir_error **ret_error)
{
    CLEANUP(manager_file_freep) struct manager_file *file = NULL;
    CLEANUP(laid_freep) struct laid *laid = calloc(1, sizeof(*laid));
    int r = manager_file_read(manager->file, &file, ret_error);

    if (!r)
        r = laid ? laid_check(laid, file, ret_error) : failure_memory(ret_error);
    if (!r && file->service_name && !manager->service_name) {
        manager->service_name = strdup(file->service_name);
        r = manager->service_name ? 0 : failure_memory(ret_error);
    }
    for (size_t i = 0; !r && i < file->pools_count; i++)
        r = pool_take(manager, &laid->opts[i], ret_error);
    return r;
}

void manager_unload(struct weir_manager *manager)
{
    struct weir_pool *pool, *next;

    for (pool = manager_next_pool(manager, NULL); pool; pool = next) {
        bool is_of_file = pool->is_of_file;
        pool->is_of_file = false;
        next = manager_next_pool(manager, pool);
        if (is_of_file)
            (void)weir_pool_unref(pool);
        pool_leave(pool);
    }
}

int weir_manager_reload(struct weir_manager *manager, struct weir_error **ret_error)
{
    if (!manager || !manager->file)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_manager_reload: the manager has no file");
    return manager_load(manager, ret_error);
}
