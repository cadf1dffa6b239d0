#include "shim/probe/fork.h"

#include <pthread.h>
#include <stdbool.h>

#include "shim/probe/attach.h"
#include "shim/probe/process.h"
#include "shim/probe/text.h"
#include "shim/probe/thread.h"

static bool is_watching;

void fork_child_forget(void)
{
    process_fork_child();
    attach_fork_child();
    text_fork_child();
    thread_fork_child();
}

static void fork_handler(void)
{
    process_mutex_renew(); /* some thread that the child does not have may have held it */
    fork_child_forget();
}

void fork_watch(void)
{
    if (is_watching)
        return;
    is_watching = true;
    /* Failing means no memory: then the wiped word alone tells the child. */
    (void)pthread_atfork(NULL, NULL, fork_handler);
}
