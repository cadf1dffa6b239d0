#include "shim/session/holder.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/probe/call_site.h"

static __thread uint32_t thread_number __attribute__((tls_model("initial-exec")));

/* Stores are releases and loads acquires: who reads a word of the next holder finds the lease
 * changed. A fence would do the same, but the thread sanitizer does not know fences. */
static void words_write(_Atomic uint64_t *to, const char *text)
{
    uint64_t words[HOLDER_WORDS] = {0};

    if (text)
        memcpy(words, text, strnlen(text, sizeof(words)));
    for (unsigned i = 0; i < HOLDER_WORDS; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_release);
}

static void words_read(const _Atomic uint64_t *from, char *text)
{
    uint64_t words[HOLDER_WORDS];

    for (unsigned i = 0; i < HOLDER_WORDS; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_acquire);
    memcpy(text, words, sizeof(words));
    text[sizeof(words)] = 0;
}

void holder_write(struct slot *slot, const void *caller, const struct holder_words *said)
{
    struct holder *holder = &slot->holder;

    if (!thread_number)
        thread_number = (uint32_t)syscall(SYS_gettid);
    atomic_store_explicit(&holder->caller, (uintptr_t)caller, memory_order_release);
    atomic_store_explicit(&holder->thread, thread_number, memory_order_release);
    if (!said && !atomic_load_explicit(&holder->is_named, memory_order_relaxed))
        return; /* the texts are empty already */
    words_write(holder->call_site, said ? said->call_site : NULL);
    words_write(holder->tenant, said ? said->tenant : NULL);
    words_write(holder->traceparent, said ? said->traceparent : NULL);
    atomic_store_explicit(&holder->is_named, said != NULL, memory_order_relaxed);
}

bool holder_read(const struct slot *slot, uint64_t lease, struct holder_text *ret)
{
    const struct holder *holder = &slot->holder;
    uintptr_t caller = atomic_load_explicit(&holder->caller, memory_order_acquire);

    ret->thread = atomic_load_explicit(&holder->thread, memory_order_acquire);
    words_read(holder->call_site, ret->call_site);
    words_read(holder->tenant, ret->tenant);
    words_read(holder->traceparent, ret->traceparent);
    ret->is_site_named = *ret->call_site;
    if (!ret->is_site_named)
        (void)call_site_text(caller, ret->call_site, sizeof(ret->call_site));
    return atomic_load_explicit(&slot->lease, memory_order_relaxed) == lease;
}

void holder_fork_child(void)
{
    thread_number = 0;
}
