/* Which kind of statement a text begins. Pure. */
#pragma once

#include "shim/probe/lexer.h"
#include "shim/probe/normalize.h"

/* Looks at the next few tokens; @lexer is a copy and stays where it is. */
enum statement_verb verb_of(struct lexer lexer);
