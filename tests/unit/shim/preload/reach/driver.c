/* A driver over libpq, as scripting languages load them. */
#include <libpq-fe.h>

__attribute__((visibility("default"))) int driver_connect(const char *conninfo);

int driver_connect(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    int is_bad = PQstatus(conn) == CONNECTION_BAD;

    PQfinish(conn);
    return is_bad;
}
