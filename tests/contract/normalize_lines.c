/* What the scripts of this folder ask the normalizer: reads "options text NUL" from standard input,
 * options in decimal and one space behind them; writes "fingerprint verb flags text NUL" for each,
 * the fingerprint in hex, verb and flags in decimal. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/probe/normalize.h"

int main(void)
{
    char *CLEANUP(freep) line = NULL, *text;
    size_t capacity = 0;
    ssize_t length;
    static char normalized_text[NORMALIZE_TEXT_MAX];

    while ((length = getdelim(&line, &capacity, '\0', stdin)) > 0) {
        struct normalized normalized;
        unsigned long options = strtoul(line, &text, 10);
        if (line[length - 1] != '\0' || *text != ' ')
            return 2;
        text++;
        normalize((struct view){text, (size_t)(line + length - 1 - text)}, (uint32_t)options,
                  normalized_text, sizeof(normalized_text), &normalized);
        printf("%016llx %d %u ", (unsigned long long)normalized.fingerprint, (int)normalized.verb,
               normalized.flags);
        (void)fwrite(normalized_text, 1, normalized.text_length, stdout);
        putchar('\0');
    }
    return ferror(stdout) ? 1 : 0;
}
