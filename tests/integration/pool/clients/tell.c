#include "tell.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

json_int_t tell_number(uint64_t number)
{
    return (json_int_t)number;
}

void tell(json_t *event)
{
    char *line;

    if (!event)
        tell_fatal("making a line", NULL);
    if (!json_object_get(event, "at_ns"))
        (void)json_object_set_new(event, "at_ns", json_integer(tell_number(clock_monotonic_ns())));
    line = json_dumps(event, JSON_COMPACT);
    if (!line)
        tell_fatal("writing a line", NULL);
    /* One call each, so that lines of several threads do not mix. */
    (void)printf("%s\n", line);
    (void)fflush(stdout);
    free(line);
    json_decref(event);
}

void tell_fatal(const char *doing, const struct weir_error *error)
{
    (void)fprintf(stderr, "pool_client: %s: %s\n", doing, weir_error_message(error));
    exit(1);
}
