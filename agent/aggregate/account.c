#include "agent/aggregate/account.h"

#include <string.h>

uint64_t account_read(const struct account *account)
{
    return account->counts.read - account->lost;
}

uint64_t account_dropped(const struct account *account)
{
    uint64_t dropped = account->lost;

    for (size_t i = 0; i < DROP_END; i++)
        dropped += account->counts.dropped[i];
    return dropped;
}

void account_update(struct account *account, const struct ledger_counts *counts)
{
    if (memcmp(&account->counts, counts, sizeof(*counts)) == 0)
        return;
    account->counts = *counts;
    account->is_dirty = true;
}

/* When all marks are taken the newest but one gives way: what it would have said is said by the
 * newest, a little later. */
void account_mark(struct account *account, uint64_t generation)
{
    if (account->mark_count == MARKS)
        account->mark_count--;
    account->marks[account->mark_count++] = (struct mark){generation, account_read(account)};
}

void account_exported(struct account *account, uint64_t generation)
{
    uint32_t arrived = 0;

    while (arrived < account->mark_count && account->marks[arrived].generation <= generation) {
        if (account->marks[arrived].read > account->exported) {
            account->exported = account->marks[arrived].read;
            account->is_dirty = true;
        }
        arrived++;
    }
    account->mark_count -= arrived;
    memmove(account->marks, account->marks + arrived,
            account->mark_count * sizeof(account->marks[0]));
}

/* How much of it the snapshot @generation contains. */
static uint64_t account_contained(const struct account *account, uint64_t generation)
{
    for (uint32_t i = 0; i < account->mark_count; i++) {
        if (account->marks[i].generation == generation)
            return account->marks[i].read;
    }
    return account->exported;
}

void account_fold(struct account *into, const struct account *from)
{
    for (uint32_t i = 0; i < into->mark_count; i++)
        into->marks[i].read += account_contained(from, into->marks[i].generation);
    into->counts.recorded += from->counts.recorded;
    into->counts.read += from->counts.read;
    into->counts.in_lanes += from->counts.in_lanes;
    for (size_t i = 0; i < DROP_END; i++)
        into->counts.dropped[i] += from->counts.dropped[i];
    into->exported += from->exported;
    into->lost += from->lost;
    into->is_dirty = true;
}

void account_write(const struct account *account, struct buffer *value)
{
    row_write_u64(value, account->counts.recorded);
    row_write_u64(value, account->counts.read);
    row_write_u64(value, account->counts.in_lanes);
    row_write_u64(value, account->exported);
    row_write_u64(value, account->lost);
    row_write_u8(value, DROP_END);
    for (size_t i = 0; i < DROP_END; i++)
        row_write_u64(value, account->counts.dropped[i]);
}

bool account_read_row(struct account *account, struct row_reader *reader)
{
    account->counts.recorded = row_read_u64(reader);
    account->counts.read = row_read_u64(reader);
    account->counts.in_lanes = row_read_u64(reader);
    account->exported = row_read_u64(reader);
    account->lost = row_read_u64(reader);
    if (row_read_u8(reader) != DROP_END)
        reader->failed = true;
    for (size_t i = 0; i < DROP_END; i++)
        account->counts.dropped[i] = row_read_u64(reader);
    return !reader->failed;
}

void account_row(const struct account *account, struct ledger_row *ret)
{
    ret->recorded = account->counts.recorded;
    ret->exported = account->exported;
    ret->in_lanes = account->counts.in_lanes;
    ret->read = account_read(account) - account->exported;
    memcpy(ret->dropped, account->counts.dropped, sizeof(ret->dropped));
    ret->dropped[DROP_OUT_OF_MEMORY] += account->lost;
    ret->imbalance = (int64_t)(account->counts.recorded - account_read(account) -
                               account->counts.in_lanes - account_dropped(account));
}
