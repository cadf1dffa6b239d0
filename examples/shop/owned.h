/* Scope-bound ownership of what libweir, libpq and jansson hand out: released on every path. */
#pragma once

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/manager.h>
#include <weir/statement.h>

#define OWNED(fn) __attribute__((cleanup(fn)))

static inline void owned_text(char **text)
{
    free(*text);
}

static inline void owned_file(FILE **file)
{
    if (*file)
        (void)fclose(*file); /* only read, or thrown away */
}

static inline void owned_json(json_t **json)
{
    json_decref(*json);
}

static inline void owned_result(PGresult **result)
{
    PQclear(*result);
}

static inline void owned_error(struct weir_error **error)
{
    weir_error_free(*error);
}

static inline void owned_connection(struct weir_connection **connection)
{
    if (*connection)
        (void)weir_connection_release(*connection); /* misuse is told to the log */
}

static inline void owned_stream(struct weir_stream **stream)
{
    weir_stream_close(*stream);
}

static inline void owned_pipeline(struct weir_pipeline **pipeline)
{
    if (*pipeline)
        weir_pipeline_close(*pipeline);
}
