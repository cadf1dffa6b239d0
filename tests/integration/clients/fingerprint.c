/* Reads NUL-terminated statements from standard input; writes a line for each: its fingerprint in
 * hex, a tab, its normalized text. What tests put PostgreSQL's own texts through. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/probe/normalize.h"

int main(void)
{
    char *CLEANUP(freep) sql = NULL;
    size_t capacity = 0;
    ssize_t length;
    static char text[NORMALIZE_TEXT_MAX];

    while ((length = getdelim(&sql, &capacity, '\0', stdin)) > 0) {
        struct normalized normalized;
        if (sql[length - 1] == '\0')
            length--;
        normalize((struct view){sql, (size_t)length}, 0, text, sizeof(text), &normalized);
        printf("%016llx\t", (unsigned long long)normalized.fingerprint);
        for (uint32_t i = 0; i < normalized.text_length; i++)
            putchar(text[i] == '\n' ? ' ' : text[i]);
        putchar('\n');
    }
    return 0;
}
