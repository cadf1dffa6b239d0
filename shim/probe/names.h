/* Announcements: a name's text goes into the names ring at its first use in the current epoch.
 *
 * Lock-free, any thread, never waits longer than some spins. */
#pragma once

#include "base/view.h"
#include "shim/probe/segment.h"

/* Whether @id was announced in the current epoch, as far as we remember. */
bool names_is_announced(const struct segment *segment, uint64_t id);

/* Announces unless it was. True: the agent will find it in the ring. False: the ring was full or
 * busy (counted), or we were told to stop; the next use tries again. */
bool names_announce(const struct segment *segment, enum name_kind kind, uint64_t id,
                    struct view text, uint16_t flags);

/* Whether an announcement of the longest text would fit now; counts a refusal if not. Saves making
 * a text that could not be written. */
bool names_has_room(const struct segment *segment);

/* Keeps a text that nobody will tell us again. Bounded; what does not fit is announced once only.
 */
void names_remember(enum name_kind kind, uint64_t id, struct view text);

/* Announces a remembered name. True also if it is not remembered: there is nothing left to try. */
bool names_announce_known(const struct segment *segment, enum name_kind kind, uint64_t id);
