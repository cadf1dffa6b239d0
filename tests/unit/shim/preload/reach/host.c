/* A program that comes to libpq in one of several ways: argument 1 says which, argument 2 is the
 * library to open, argument 3 where to connect to. Prints what a program can see of it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef int (*connect_fn)(const char *conninfo);
typedef void *(*connectdb_fn)(const char *conninfo);

static int by_driver(const char *file, int mode, const char *conninfo)
{
    void *handle = dlopen(file, mode), *symbol;
    connect_fn connect;

    symbol = handle ? dlsym(handle, "driver_connect") : NULL;
    if (!symbol) {
        printf("%s\n", dlerror());
        return 1;
    }
    memcpy(&connect, &symbol, sizeof(symbol));
    printf("refused: %d\n", connect(conninfo));
    return 0;
}

/* As foreign-function interfaces call: by the address in the library itself. */
static int by_address(const char *file, const char *conninfo)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL), *symbol;
    connectdb_fn connect;

    symbol = handle ? dlsym(handle, "PQconnectdb") : NULL;
    if (!symbol)
        return 1;
    memcpy(&connect, &symbol, sizeof(symbol));
    printf("made: %d\n", connect(conninfo) != NULL);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    if (!strcmp(argv[1], "local"))
        return by_driver(argv[2], RTLD_NOW | RTLD_LOCAL, argv[3]);
    if (!strcmp(argv[1], "deep"))
        return by_driver(argv[2], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND, argv[3]);
    return by_address(argv[2], argv[3]);
}
