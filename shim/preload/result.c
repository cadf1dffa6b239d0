#include "shim/preload/result.h"

#include <stdlib.h>

static enum transaction_state transaction_read(const struct libpq *libpq, const PGconn *conn)
{
    if (!libpq->PQtransactionStatus)
        return TRANSACTION_NOT_TOLD;
    switch (libpq->PQtransactionStatus(conn)) {
    case PQTRANS_IDLE:
        return TRANSACTION_NONE;
    case PQTRANS_INTRANS:
        return TRANSACTION_OPEN;
    case PQTRANS_INERROR:
        return TRANSACTION_FAILED;
    case PQTRANS_UNKNOWN:
        return TRANSACTION_LOST;
    case PQTRANS_ACTIVE:
    default:
        return TRANSACTION_NOT_TOLD;
    }
}

static bool is_bad(const struct libpq *libpq, const PGconn *conn)
{
    return libpq->PQstatus && libpq->PQstatus(conn) == CONNECTION_BAD;
}

enum weir_failure result_refusal(const struct libpq *libpq, const PGconn *conn)
{
    return is_bad(libpq, conn) ? WEIR_FAILURE_CONNECTION_LOST : WEIR_FAILURE_CLIENT;
}

static void error_read(const struct libpq *libpq, const PGconn *conn, const PGresult *result,
                       struct outcome *ret)
{
    struct weir_probe_statement_result *error = &ret->result;

    ret->kind = OUTCOME_ERROR;
    error->rows = WEIR_UNKNOWN;
    if (libpq->PQresultErrorField) {
        error->sqlstate = libpq->PQresultErrorField(result, PG_DIAG_SQLSTATE);
        error->constraint_name = libpq->PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
        error->table_name = libpq->PQresultErrorField(result, PG_DIAG_TABLE_NAME);
        error->column_name = libpq->PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    }
    error->failure = error->sqlstate ? WEIR_FAILURE_SQLSTATE : result_refusal(libpq, conn);
}

/* The number of rows in a tag: "INSERT 0 5", "COPY 5"; none in "CREATE TABLE". */
static uint64_t rows_of_tag(const struct libpq *libpq, PGresult *result)
{
    const char *rows = libpq->PQcmdTuples ? libpq->PQcmdTuples(result) : NULL;

    return rows && *rows ? strtoull(rows, NULL, 10) : WEIR_UNKNOWN;
}

static void rows_read(const struct libpq *libpq, const PGresult *result, struct outcome *ret)
{
    int rows = libpq->PQntuples ? libpq->PQntuples(result) : 0;

    ret->result.rows = rows > 0 ? (uint64_t)rows : 0;
}

static void done_read(const struct libpq *libpq, PGresult *result, struct outcome *ret)
{
    ret->kind = OUTCOME_DONE;
    ret->tag = libpq->PQcmdStatus ? libpq->PQcmdStatus(result) : NULL;
}

void result_read(const struct libpq *libpq, PGconn *conn, PGresult *result, struct outcome *ret)
{
    *ret = (struct outcome){.kind = OUTCOME_NOTHING};
    if (!result) {
        ret->transaction = transaction_read(libpq, conn);
        return;
    }
    switch ((int)libpq->PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
        done_read(libpq, result, ret);
        rows_read(libpq, result, ret);
        break;
    case PGRES_COMMAND_OK:
        done_read(libpq, result, ret);
        ret->result.rows = rows_of_tag(libpq, result);
        break;
    case PGRES_SINGLE_TUPLE:
    case RESULT_TUPLES_CHUNK:
        ret->kind = OUTCOME_ROWS;
        rows_read(libpq, result, ret);
        break;
    case PGRES_EMPTY_QUERY:
        ret->kind = OUTCOME_EMPTY;
        break;
    case PGRES_COPY_IN:
        ret->kind = OUTCOME_COPY_IN;
        break;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        ret->kind = OUTCOME_COPY_OUT;
        break;
    case PGRES_PIPELINE_SYNC:
        ret->kind = OUTCOME_SYNC;
        break;
    case PGRES_PIPELINE_ABORTED:
        ret->kind = OUTCOME_ABORTED;
        break;
    default:
        error_read(libpq, conn, result, ret);
        break;
    }
}
