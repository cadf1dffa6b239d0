/* A program that is linked to libpq. */
#include <libpq-fe.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    PGconn *conn = PQconnectdb(argc > 1 ? argv[1] : "");

    printf("refused: %d\n", PQstatus(conn) == CONNECTION_BAD);
    PQfinish(conn);
    return 0;
}
