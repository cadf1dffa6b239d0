/* The loaded object (program or shared library) that an address belongs to. Takes the loader's
 * lock: for the first sight of a library and for connects, never for statements. */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

struct object {
    uintptr_t begin, end; /* from the first to behind the last mapped byte */
    uintptr_t base;       /* what is added to its addresses */
    const char *name;     /* the loader's; lives as long as the object */
    const ElfW(Dyn) * dynamic;
    bool is_program;
};

bool object_find(const void *address, struct object *ret);

static inline bool object_contains(const struct object *object, const void *address)
{
    return (uintptr_t)address - object->begin < object->end - object->begin;
}

/* A handle for dlsym(), to be closed with dlclose(). NULL: none could be had. */
void *object_open(const struct object *object);

/* True if the object calls (or takes the address of) the function @name through the loader, so that
 * its calls can be seen. False for one that was linked to find its own functions itself. */
bool object_refers_to(const struct object *object, const char *name);
