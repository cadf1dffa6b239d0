#include "agent/aggregate/exponential.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUB_BUCKETS = 1 << EXPONENTIAL_SCALE_MAX,
    GROWTH = 16,    /* buckets added beyond the one that is needed */
    LENGTH_MIN = 8, /* buckets that the budget leaves a histogram */
    MANTISSA_BITS = 52,
    INDEX_LIMIT = 1 << 17, /* beyond every index of a double and the room beside it */
};

/* Bounds of the sub-buckets in [1, 2], and where to begin searching for a mantissa. */
static double bounds[SUB_BUCKETS + 1];
static uint8_t first_guess[SUB_BUCKETS];

void exponential_prepare(void)
{
    if (bounds[0] > 0)
        return;
    for (int k = 0; k <= SUB_BUCKETS; k++)
        bounds[k] = exp2((double)k / SUB_BUCKETS);
    for (int j = 0; j < SUB_BUCKETS; j++) {
        double low = 1.0 + (double)j / SUB_BUCKETS;
        int k = 0;
        while (k + 1 < SUB_BUCKETS && bounds[k + 1] < low)
            k++;
        first_guess[j] = (uint8_t)k;
    }
}

/* Index at EXPONENTIAL_SCALE_MAX of a positive finite value; exact at powers of two. */
static int32_t index_of(double value)
{
    uint64_t bits, mantissa;
    int32_t exponent;
    double significand;
    uint32_t k;

    memcpy(&bits, &value, sizeof(bits));
    exponent = (int32_t)(bits >> MANTISSA_BITS & 0x7ff) - 1023;
    if (exponent < -1022) /* subnormal: as good as the smallest */
        return -1022 * SUB_BUCKETS - 1;
    mantissa = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    if (mantissa == 0)
        return exponent * SUB_BUCKETS - 1;
    bits = mantissa | UINT64_C(1023) << MANTISSA_BITS;
    memcpy(&significand, &bits, sizeof(bits));
    k = first_guess[mantissa >> (MANTISSA_BITS - EXPONENTIAL_SCALE_MAX)];
    while (significand > bounds[k + 1])
        k++;
    return exponent * SUB_BUCKETS + (int32_t)k;
}

/* ---- the budget's order --------------------------------------------------------------------- */

static void unthread(struct exponential_budget *budget, struct exponential *exponential)
{
    if (!exponential->newer && !exponential->older && budget->newest != exponential)
        return;
    *(exponential->newer ? &exponential->newer->older : &budget->newest) = exponential->older;
    *(exponential->older ? &exponential->older->newer : &budget->oldest) = exponential->newer;
    exponential->newer = exponential->older = NULL;
}

static void thread_as_newest(struct exponential_budget *budget, struct exponential *exponential)
{
    unthread(budget, exponential);
    exponential->older = budget->newest;
    *(budget->newest ? &budget->newest->newer : &budget->oldest) = exponential;
    budget->newest = exponential;
}

/* ---- counters ------------------------------------------------------------------------------- */

static uint64_t counter_at(const void *counts, uint8_t width, uint32_t position)
{
    switch (width) {
    case 1:
        return ((const uint8_t *)counts)[position];
    case 2:
        return ((const uint16_t *)counts)[position];
    case 4:
        return ((const uint32_t *)counts)[position];
    default:
        return ((const uint64_t *)counts)[position];
    }
}

static void counter_put(void *counts, uint8_t width, uint32_t position, uint64_t count)
{
    switch (width) {
    case 1:
        ((uint8_t *)counts)[position] = (uint8_t)count;
        break;
    case 2:
        ((uint16_t *)counts)[position] = (uint16_t)count;
        break;
    case 4:
        ((uint32_t *)counts)[position] = (uint32_t)count;
        break;
    default:
        ((uint64_t *)counts)[position] = count;
        break;
    }
}

static uint8_t width_for(uint64_t count)
{
    return count <= UINT8_MAX ? 1 : count <= UINT16_MAX ? 2 : count <= UINT32_MAX ? 4 : 8;
}

uint64_t exponential_count_at(const struct exponential *exponential, uint32_t position)
{
    return counter_at(exponential->counts, exponential->width, position);
}

void exponential_init(struct exponential *exponential)
{
    *exponential = (struct exponential){.width = 1, .scale = EXPONENTIAL_SCALE_MAX};
}

void exponential_deinit(struct exponential *exponential, struct exponential_budget *budget)
{
    unthread(budget, exponential);
    budget->bytes -= (uint64_t)exponential->length * exponential->width;
    free(exponential->counts);
    exponential_init(exponential);
}

/* Gives the window another place and width, its scale reduced by @shift. */
static bool reshape(struct exponential *exponential, struct exponential_budget *budget,
                    int32_t offset, uint32_t length, uint8_t width, unsigned shift)
{
    void *counts = calloc(length, width);

    if (!counts)
        return false;
    for (uint32_t i = 0; i < exponential->length; i++) {
        uint32_t to = (uint32_t)(((exponential->offset + (int32_t)i) >> shift) - offset);
        counter_put(counts, width, to,
                    counter_at(counts, width, to) + exponential_count_at(exponential, i));
    }
    budget->bytes += (uint64_t)length * width;
    budget->bytes -= (uint64_t)exponential->length * exponential->width;
    free(exponential->counts);
    exponential->counts = counts;
    exponential->offset = offset;
    exponential->length = (uint16_t)length;
    exponential->width = width;
    exponential->scale = (int8_t)(exponential->scale - (int)shift);
    return true;
}

/* The widest counter that sums of 2^shift neighbours may need. */
static uint8_t width_after_shift(const struct exponential *exponential, unsigned shift)
{
    uint64_t most = 0, sum = 0;
    int32_t current = 0;

    for (uint32_t i = 0; i < exponential->length; i++) {
        int32_t to = (exponential->offset + (int32_t)i) >> shift;
        sum = (i > 0 && to == current ? sum : 0) + exponential_count_at(exponential, i);
        current = to;
        most = sum > most ? sum : most;
    }
    return width_for(most);
}

static bool downscale(struct exponential *exponential, struct exponential_budget *budget,
                      unsigned shift)
{
    int32_t low, high;
    uint8_t width;

    if (exponential->length == 0) {
        exponential->scale = (int8_t)(exponential->scale - (int)shift);
        return true;
    }
    low = exponential->offset >> shift;
    high = (exponential->offset + exponential->length - 1) >> shift;
    width = width_after_shift(exponential, shift);
    if (width < exponential->width)
        width = exponential->width;
    return reshape(exponential, budget, low, (uint32_t)(high - low + 1), width, shift);
}

/* Makes room in the budget by making those coarser that grew longest ago; the one that grew just
 * now comes last. Round by round, until there is room or all are as short as they may get. */
static void keep_budget(struct exponential_budget *budget)
{
    bool is_coarser = true;

    while (budget->bytes > budget->bytes_max && is_coarser) {
        struct exponential *last = budget->newest, *victim = budget->oldest, *next;
        bool is_last = victim == NULL;
        is_coarser = false;
        for (; !is_last && budget->bytes > budget->bytes_max; victim = next) {
            next = victim->newer;
            is_last = victim == last;
            if (victim->scale <= EXPONENTIAL_SCALE_MIN || victim->length <= LENGTH_MIN ||
                !downscale(victim, budget, 1))
                continue;
            budget->downscaled++;
            thread_as_newest(budget, victim); /* its turn has been */
            is_coarser = true;
        }
    }
}

/* Makes the window cover @index, given at the histogram's scale; may lower the scale. */
static bool cover(struct exponential *exponential, struct exponential_budget *budget,
                  int32_t *index)
{
    int32_t low, high;
    unsigned shift = 0;

    if (exponential->length == 0) {
        low = *index;
        high = *index;
    } else {
        low = exponential->offset;
        high = exponential->offset + exponential->length - 1;
        if (*index >= low && *index <= high)
            return true;
        low = *index < low ? *index : low;
        high = *index > high ? *index : high;
    }
    while ((high >> shift) - (low >> shift) >= EXPONENTIAL_LENGTH_MAX)
        shift++;
    if (shift && !downscale(exponential, budget, shift))
        return false;
    *index >>= shift;
    low >>= shift;
    high >>= shift;
    /* Some room on the side that grows. */
    if (high - low + 1 + GROWTH <= EXPONENTIAL_LENGTH_MAX) {
        if (*index == low)
            low -= GROWTH / 2;
        if (*index == high)
            high += GROWTH / 2;
    }
    if (!reshape(exponential, budget, low, (uint32_t)(high - low + 1), exponential->width, 0))
        return false;
    thread_as_newest(budget, exponential);
    return true;
}

static bool widen(struct exponential *exponential, struct exponential_budget *budget, uint8_t width)
{
    if (width <= exponential->width)
        return true;
    if (!reshape(exponential, budget, exponential->offset, exponential->length, width, 0))
        return false;
    thread_as_newest(budget, exponential);
    return true;
}

/* Adds at @index, given at the histogram's scale, whatever that does to the budget: the caller
 * keeps it afterwards, when no index is in anybody's hands. */
static bool add(struct exponential *exponential, struct exponential_budget *budget, int32_t index,
                uint64_t count)
{
    uint64_t sum;
    uint32_t position;

    if (!cover(exponential, budget, &index))
        return false;
    position = (uint32_t)(index - exponential->offset);
    sum = exponential_count_at(exponential, position) + count;
    if (!widen(exponential, budget, width_for(sum)))
        return false;
    counter_put(exponential->counts, exponential->width, position, sum);
    return true;
}

bool exponential_record(struct exponential *exponential, struct exponential_budget *budget,
                        double value, uint64_t count)
{
    if (!(value > 0) || !isfinite(value)) {
        exponential->zero_count += count;
        return true;
    }
    if (!add(exponential, budget, index_of(value) >> (EXPONENTIAL_SCALE_MAX - exponential->scale),
             count))
        return false;
    if (budget->bytes > budget->bytes_max)
        keep_budget(budget);
    return true;
}

/* Makes room for all of @from, which is as fine or finer, so that nothing can fail later. */
static bool reserve(struct exponential *exponential, struct exponential_budget *budget,
                    const struct exponential *from)
{
    uint64_t most = 0, sum = 0;
    uint32_t first = 0, last = from->length;
    int32_t low, high, before = 0;

    while (first < last && exponential_count_at(from, first) == 0)
        first++;
    while (last > first && exponential_count_at(from, last - 1) == 0)
        last--;
    if (first == last)
        return true;
    low = (from->offset + (int32_t)first) >> (from->scale - exponential->scale);
    if (!cover(exponential, budget, &low))
        return false;
    high = (from->offset + (int32_t)last - 1) >> (from->scale - exponential->scale);
    if (!cover(exponential, budget, &high))
        return false;
    for (uint32_t i = first; i < last; i++) {
        int32_t index = (from->offset + (int32_t)i) >> (from->scale - exponential->scale);
        if (i == first || index != before)
            sum = exponential_count_at(exponential, (uint32_t)(index - exponential->offset));
        before = index;
        sum += exponential_count_at(from, i);
        most = sum > most ? sum : most;
    }
    return widen(exponential, budget, width_for(most));
}

bool exponential_merge(struct exponential *exponential, struct exponential_budget *budget,
                       const struct exponential *from)
{
    if (from->scale < exponential->scale &&
        !downscale(exponential, budget, (unsigned)(exponential->scale - from->scale)))
        return false;
    if (!reserve(exponential, budget, from))
        return false;
    for (uint32_t i = 0; i < from->length; i++) {
        uint64_t count = exponential_count_at(from, i);
        int32_t index = (from->offset + (int32_t)i) >> (from->scale - exponential->scale);
        if (count)
            (void)add(exponential, budget, index, count); /* there is room */
    }
    exponential->zero_count += from->zero_count;
    if (budget->bytes > budget->bytes_max)
        keep_budget(budget); /* not before: @from might be the one that is made coarser */
    return true;
}

double exponential_quantile(const struct exponential *exponential, uint64_t count, double q)
{
    uint64_t rank, seen = exponential->zero_count;

    if (count == 0)
        return 0;
    rank = (uint64_t)ceil(q * (double)count);
    rank = rank < 1 ? 1 : rank > count ? count : rank;
    if (rank <= seen)
        return 0;
    for (uint32_t i = 0; i < exponential->length; i++) {
        seen += exponential_count_at(exponential, i);
        if (seen >= rank)
            return exp2(ldexp((double)exponential->offset + i + 0.5, -exponential->scale));
    }
    return 0;
}

/* ---- on disk -------------------------------------------------------------------------------- */

/* Seven bits a byte, lowest first: most counters are small. */
static void write_varint(struct buffer *value, uint64_t number)
{
    while (number >= 0x80) {
        row_write_u8(value, (uint8_t)(number | 0x80));
        number >>= 7;
    }
    row_write_u8(value, (uint8_t)number);
}

static uint64_t read_varint(struct row_reader *reader)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = row_read_u8(reader);
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return number;
    }
    reader->failed = true;
    return 0;
}

void exponential_write(const struct exponential *exponential, struct buffer *value)
{
    row_write_u8(value, (uint8_t)exponential->scale);
    row_write_u32(value, (uint32_t)exponential->offset);
    write_varint(value, exponential->zero_count);
    write_varint(value, exponential->length);
    for (uint32_t i = 0; i < exponential->length; i++)
        write_varint(value, exponential_count_at(exponential, i));
}

bool exponential_read(struct exponential *exponential, struct exponential_budget *budget,
                      struct row_reader *reader)
{
    int8_t scale = (int8_t)row_read_u8(reader);
    int32_t offset = (int32_t)row_read_u32(reader);
    uint64_t zero_count = read_varint(reader), length = read_varint(reader);
    int32_t limit;

    exponential_init(exponential);
    if (reader->failed || scale > EXPONENTIAL_SCALE_MAX || scale < EXPONENTIAL_SCALE_MIN) {
        reader->failed = true;
        return false;
    }
    limit = INDEX_LIMIT >> (EXPONENTIAL_SCALE_MAX - scale);
    if (length > EXPONENTIAL_LENGTH_MAX || offset > limit || offset < -limit ||
        offset + (int32_t)length > limit) {
        reader->failed = true;
        return false;
    }
    exponential->scale = scale;
    exponential->zero_count = zero_count;
    for (uint64_t i = 0; i < length; i++) {
        uint64_t count = read_varint(reader);
        int32_t index = (offset + (int32_t)i) >> (scale - exponential->scale);
        if (reader->failed || (count && !add(exponential, budget, index, count))) {
            reader->failed = true;
            break;
        }
    }
    if (reader->failed)
        exponential_deinit(exponential, budget);
    else if (budget->bytes > budget->bytes_max)
        keep_budget(budget);
    return !reader->failed;
}
