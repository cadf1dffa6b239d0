/* A string of SQL that was sent, taken apart into its top-level statements one after the other:
 * each yields one result, in order. Most strings hold one, and that is found without a look at
 * every byte. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "shim/probe/normalize.h"

struct script {
    struct view sql; /* borrowed */
    size_t offset;   /* behind the last part that was taken */
    uint32_t options;
};

struct script script_of(struct view sql, uint32_t options);
/* False: there are no more. */
bool script_next(struct script *script, struct statement_part *ret);
/* True if there may be more; a false alarm costs a copy of the text. */
static inline bool script_has_more(const struct script *script)
{
    return script->offset < script->sql.length;
}
