/* A program that contains its libpq never calls us, so its start is the only time to see it. Stands
 * in the shared library only: a program that is linked with us contains these words itself. */
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/preload/observe.h"

/* What only libpq says. Its colon is looked for first: that is rare among constants, and the search
 * for one byte is many times as fast as that for a word, which a program's start would feel. */
#define SAID_BEFORE "fe_sendauth"
#define SAID        SAID_BEFORE ": no password supplied"

static bool holds_libpq(const char *bytes, size_t size)
{
    const char *end = bytes + size, *at = bytes + sizeof(SAID_BEFORE) - 1;

    while (at < end && (at = memchr(at, ':', (size_t)(end - at)))) {
        const char *begin = at - (sizeof(SAID_BEFORE) - 1);
        if ((size_t)(end - begin) >= sizeof(SAID) && !memcmp(begin, SAID, sizeof(SAID) - 1))
            return true;
        at++;
    }
    return false;
}

/* True if constants stand there: in segments of their own, or in a program of the older form with
 * the code. */
static bool holds_constants(const ElfW(Phdr) * header, bool has_code_apart)
{
    return header->p_type == PT_LOAD && header->p_flags & PF_R && !(header->p_flags & PF_W) &&
           !(has_code_apart && header->p_flags & PF_X);
}

static int look_into_program(struct dl_phdr_info *program, size_t size, void *argument)
{
    bool *is_found = argument, has_code_apart = false;

    (void)size; /* we read only what every version has */
    for (ElfW(Half) i = 0; i < program->dlpi_phnum; i++)
        has_code_apart |= program->dlpi_phdr[i].p_type == PT_LOAD &&
                          !(program->dlpi_phdr[i].p_flags & (PF_X | PF_W));
    for (ElfW(Half) i = 0; i < program->dlpi_phnum && !*is_found; i++) {
        const ElfW(Phdr) *header = &program->dlpi_phdr[i];
        if (holds_constants(header, has_code_apart))
            *is_found =
                holds_libpq((const char *)(program->dlpi_addr + header->p_vaddr), header->p_filesz);
    }
    return 1; /* the program is the first; we look no further */
}

static __attribute__((constructor)) void observe_program(void)
{
    const char *disabled = secure_getenv("WEIR_DISABLED");
    bool is_found = false;

    if (disabled && !strcasecmp(disabled, "true"))
        return;
    (void)dl_iterate_phdr(look_into_program, &is_found); /* its result is is_found */
    if (is_found)
        observe_not(WEIR_OBSERVED_STATIC_LIBPQ, 0);
}
