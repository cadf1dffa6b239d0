#include "agent/serve/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void number_format(double value, char *ret, size_t size)
{
    if (isnan(value)) {
        (void)snprintf(ret, size, "NaN");
        return;
    }
    if (isinf(value)) {
        (void)snprintf(ret, size, "%sInf", value > 0 ? "+" : "-");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(ret, size, "%.*g", digits, value);
        if (strtod(ret, NULL) == value)
            return;
    }
}

void number_format_canonical(double value, char *ret, size_t size)
{
    number_format(value, ret, size);
    size_t length = strlen(ret);
    if (isfinite(value) && !strpbrk(ret, ".e") && length + 3 <= size)
        memcpy(ret + length, ".0", 3);
}
