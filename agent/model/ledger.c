#include "agent/model/ledger.h"

const char *const drop_tokens[] = {
#define DROP(value, token) [value] = token,
#include "agent/model/drop.def"
#undef DROP
};
