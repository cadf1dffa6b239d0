/* The shop's log: one JSON object a line on standard error. Any thread. */
#pragma once

#include <jansson.h>
#include <weir/manager.h>

/* Something happened; @event is a word for machines, the rest a sentence for people. */
void journal_note(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with fields; takes the reference. */
void journal_write(const char *event, json_t *fields);
/* A text as JSON; null if it is empty or none. */
json_t *journal_text(const char *text);
/* What the connection manager has to tell: a weir_log_fn. */
void journal_weir(void *userdata, const struct weir_log_entry *entry);
