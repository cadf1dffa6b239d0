#include "agent/model/ledger.h"

const char *observed_token(enum process_observed observed)
{
    switch (observed) {
    case OBSERVED_NOT_YET:
        return "not_yet";
    case OBSERVED_YES:
        return "yes";
    case OBSERVED_STATIC_LIBPQ:
        return "static_libpq";
    case OBSERVED_BYPASSED_LIBPQ:
        return "bypassed_libpq";
    case OBSERVED_DISABLED:
        return "disabled";
    }
    return "not_yet";
}

const char *const drop_tokens[] = {
#define DROP(value, token) [value] = token,
#include "agent/model/drop.def"
#undef DROP
};
