/* Somebody else's LD_PRELOAD over libpq. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

__attribute__((visibility("default"))) void *PQconnectdb(const char *conninfo);
__attribute__((visibility("default"))) void *PQconnectStart(const char *conninfo);

static void *pass_on(const char *name, const char *conninfo)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    void *(*next)(const char *conninfo);

    memcpy(&next, &symbol, sizeof(symbol));
    printf("interposed %s\n", name);
    return next(conninfo);
}

void *PQconnectdb(const char *conninfo)
{
    return pass_on("PQconnectdb", conninfo);
}

void *PQconnectStart(const char *conninfo)
{
    return pass_on("PQconnectStart", conninfo);
}
