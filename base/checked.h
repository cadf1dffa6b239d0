/* Arithmetic on values that somebody else chose: each reports overflow instead of wrapping. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKED_ADD(a, b, ret) (!__builtin_add_overflow((a), (b), (ret)))
#define CHECKED_MUL(a, b, ret) (!__builtin_mul_overflow((a), (b), (ret)))

/* True if [offset, offset + length) lies inside [0, size). */
static inline bool checked_range(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

static inline size_t align_up(size_t value, size_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}
