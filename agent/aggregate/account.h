/* What the ledger knows of one client, or of the folded ones of a service: counts, and how much of
 * what was read arrived at the destination. Seen by this folder alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/ledger.h"
#include "agent/model/rows.h"

enum { MARKS = 4 }; /* snapshots on their way that are told apart */

/* How much a snapshot on its way contains of an account. */
struct mark {
    uint64_t generation, read;
};

/* What is known of one client, or of the folded ones of a service. */
struct account {
    struct ledger_counts counts; /* without lost */
    uint64_t exported;
    uint64_t lost; /* of counts.read: for want of memory */
    struct mark marks[MARKS];
    uint32_t mark_count;
    bool is_dirty;
};

/* Read and counted in a series; the rest of what was read was lost for want of memory. */
uint64_t account_read(const struct account *account);
uint64_t account_dropped(const struct account *account);
void account_update(struct account *account, const struct ledger_counts *counts);
/* The snapshot @generation contains what was read until now, and is on its way. */
void account_mark(struct account *account, uint64_t generation);
void account_exported(struct account *account, uint64_t generation);
/* Adds @from to @into, marks on their way too. */
void account_fold(struct account *into, const struct account *from);

void account_write(const struct account *account, struct buffer *value);
bool account_read_row(struct account *account, struct row_reader *reader);
/* Fills in the counts of a row. */
void account_row(const struct account *account, struct ledger_row *ret);
