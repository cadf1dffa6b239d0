/* The store thread: it alone touches SQLite while the agent runs. One commit at a time is under
 * way; what it is given is immutable meanwhile. */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "agent/model/rows.h"
#include "agent/store/database.h"

struct checkpoint;

/* Called on the loop when a commit is over: 0, or negative errno and SQLite's words. @rows is what
 * was to be committed. Texts and rows are borrowed for the call. */
typedef void (*checkpoint_done_fn)(void *userdata, int result, const char *error,
                                   const struct rows *rows, uint64_t duration_ns);

/* Owns @database from now on; NULL: nothing is kept, and every commit succeeds at once. 0 or
 * negative errno. */
int checkpoint_new(uv_loop_t *loop, struct database *database, checkpoint_done_fn done,
                   void *userdata, struct checkpoint **ret) __attribute__((warn_unused_result));

/* Takes what is in @rows, which is empty afterwards. Done is called later on the loop, never from
 * inside. Only one at a time. */
void checkpoint_commit(struct checkpoint *checkpoint, struct rows *rows);

/* Ends the thread, after a commit under way, and closes the database; done is not called any more.
 * The memory is freed by the loop's next turns. */
struct checkpoint *checkpoint_close(struct checkpoint *checkpoint);
