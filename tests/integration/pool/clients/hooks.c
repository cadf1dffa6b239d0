#include "hooks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tell.h"

enum hook_name { BEFORE_CONNECT, AFTER_CONNECT, BEFORE_ACQUIRE, AFTER_RELEASE, HOOKS };

static const char *const hook_names[HOOKS] = {"before_connect", "after_connect", "before_acquire",
                                              "after_release"};

enum hook_mode { MODE_WORK, MODE_FAIL, MODE_HANG };

struct hook_state {
    enum hook_mode mode;
    unsigned left;       /* calls that it is for; 0: all */
    unsigned generation; /* raised by each change: what hangs goes on */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct hook_state states[HOOKS];
static char password[sizeof(((struct weir_connect_params *)NULL)->password)];

/* Under the mutex: this call's mode. */
static enum hook_mode mode_take(struct hook_state *state)
{
    enum hook_mode mode = state->mode;

    if (mode != MODE_WORK && state->left && !--state->left)
        state->mode = MODE_WORK;
    return mode;
}

static int hook_run(enum hook_name name, const struct weir_hook *hook)
{
    struct hook_state *state = &states[name];
    uint64_t begin_ns = clock_monotonic_ns();
    enum hook_mode mode;
    unsigned generation;

    (void)pthread_mutex_lock(&mutex);
    mode = mode_take(state);
    generation = state->generation;
    if (mode == MODE_HANG || name == BEFORE_CONNECT)
        tell(json_pack("{s:s,s:s,s:i,s:I,s:I}", "event", "hook", "hook", hook_names[name], "mode",
                       (int)mode, "at_ns", tell_number(begin_ns), "deadline_ns",
                       tell_number(hook->deadline_ns)));
    while (mode == MODE_HANG && state->generation == generation)
        (void)pthread_cond_wait(&changed, &mutex);
    (void)pthread_mutex_unlock(&mutex);
    return mode == MODE_FAIL ? -1 : 0;
}

static int before_connect(void *userdata, const struct weir_hook *hook,
                          struct weir_connect_params *params)
{
    (void)userdata;
    (void)pthread_mutex_lock(&mutex); /* as it is when the attempt begins */
    memcpy(params->password, password, sizeof(password));
    (void)pthread_mutex_unlock(&mutex);
    return hook_run(BEFORE_CONNECT, hook);
}

static int after_connect(void *userdata, const struct weir_hook *hook)
{
    (void)userdata;
    return hook_run(AFTER_CONNECT, hook);
}

static int before_acquire(void *userdata, const struct weir_hook *hook)
{
    (void)userdata;
    return hook_run(BEFORE_ACQUIRE, hook);
}

static int after_release(void *userdata, const struct weir_hook *hook)
{
    (void)userdata;
    return hook_run(AFTER_RELEASE, hook);
}

static enum hook_name hook_named(const char *text, size_t length)
{
    enum hook_name name = BEFORE_CONNECT;

    while (name < HOOKS &&
           (strlen(hook_names[name]) != length || strncmp(hook_names[name], text, length) != 0))
        name++;
    return name;
}

static void hook_install(struct weir_pool_opts *opts, enum hook_name name)
{
    switch (name) {
    case BEFORE_CONNECT:
        opts->before_connect = before_connect;
        break;
    case AFTER_CONNECT:
        opts->after_connect = after_connect;
        break;
    case BEFORE_ACQUIRE:
        opts->before_acquire = before_acquire;
        break;
    case AFTER_RELEASE:
        opts->after_release = after_release;
        break;
    case HOOKS:
        break;
    }
}

bool hooks_install(struct weir_pool_opts *opts, const char *names)
{
    while (*names) {
        size_t length = strcspn(names, ",");
        enum hook_name name = hook_named(names, length);
        if (name == HOOKS)
            return false;
        hook_install(opts, name);
        names += length + (names[length] == ',');
    }
    return true;
}

bool hooks_set(const char *text)
{
    static const char *const modes[] = {"work", "fail", "hang"};
    enum hook_name name = hook_named(text, strcspn(text, " "));
    unsigned mode = 0, count = 0;
    char word[8] = "";

    if (name == HOOKS || sscanf(text + strlen(hook_names[name]), " %7s %u", word, &count) < 1)
        return false;
    while (mode <= MODE_HANG && strcmp(modes[mode], word) != 0)
        mode++;
    if (mode > MODE_HANG)
        return false;
    (void)pthread_mutex_lock(&mutex);
    states[name].mode = (enum hook_mode)mode;
    states[name].left = count;
    states[name].generation++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&mutex);
    return true;
}

void hooks_rotate(const char *text)
{
    (void)pthread_mutex_lock(&mutex);
    (void)snprintf(password, sizeof(password), "%s", text ? text : "");
    (void)pthread_mutex_unlock(&mutex);
}

void hooks_end(void)
{
    (void)pthread_mutex_lock(&mutex);
    for (enum hook_name name = BEFORE_CONNECT; name < HOOKS; name++) {
        states[name].mode = MODE_WORK;
        states[name].generation++;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&mutex);
}
