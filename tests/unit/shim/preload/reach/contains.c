/* A program that contains a libpq, as far as anybody can tell from outside. */
#include <stdio.h>

static const char *volatile said = "fe_sendauth: no password supplied\n";

int main(void)
{
    printf("%d\n", said[0] == 'f');
    return 0;
}
