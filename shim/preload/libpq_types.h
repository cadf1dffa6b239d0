/* libpq's own header, seen so that our functions of its names are visible outside, and the names
 * that newer versions brought. Needed to build; nothing of libpq is linked. */
#pragma once

#pragma GCC visibility push(default)
#include <libpq-fe.h>

/* Since version 17, 18. */
typedef struct pg_cancel_conn PGcancelConn;
extern PGresult *PQclosePrepared(PGconn *conn, const char *name);
extern PGresult *PQclosePortal(PGconn *conn, const char *name);
extern int PQsendClosePrepared(PGconn *conn, const char *name);
extern int PQsendClosePortal(PGconn *conn, const char *name);
extern int PQsetChunkedRowsMode(PGconn *conn, int chunk_size);
extern int PQsendPipelineSync(PGconn *conn);
extern PGcancelConn *PQcancelCreate(PGconn *conn);
extern int PQcancelStart(PGcancelConn *cancel);
extern int PQcancelBlocking(PGcancelConn *cancel);
extern PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancel);
extern void PQcancelFinish(PGcancelConn *cancel);
#pragma GCC visibility pop

enum {
    RESULT_TUPLES_CHUNK = 12, /* PGRES_TUPLES_CHUNK of version 17 */
};
