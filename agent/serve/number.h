/* Numbers as the exposition formats write them. */
#pragma once

#include <stddef.h>

/* The shortest text that reads back as the same double; +Inf, -Inf, NaN. @size >= 32. */
void number_format(double value, char *ret, size_t size);

/* The same, with `.0` where it would look like an integer: canonical `le`. */
void number_format_canonical(double value, char *ret, size_t size);
