#include "tests/contract/normalize_corpus.h"

#include <stdbool.h>
#include <string.h>

static unsigned draw(struct corpus *c, unsigned below)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((c->random >> 33) % below);
}

static void put_bytes(struct corpus *c, const char *bytes, size_t length)
{
    if (length > sizeof(c->text) - 1 - c->length)
        return;
    memcpy(c->text + c->length, bytes, length);
    c->length += length;
    c->text[c->length] = '\0';
}

static void put(struct corpus *c, const char *text)
{
    put_bytes(c, text, strlen(text));
}

#define PICK(c, ...)                                                                               \
    __extension__({                                                                                \
        static const char *const pick_from[] = {__VA_ARGS__};                                      \
        pick_from[draw(c, sizeof(pick_from) / sizeof(pick_from[0]))];                              \
    })

/* ---- between tokens -------------------------------------------------------------------------- */

static void put_comment(struct corpus *c)
{
    put(c, PICK(c, "/* c */", "/**/", "/* a /* b */ c */", "/*'*/", "/*\"$$*/", "-- x\n", "--\n",
                "-- 'y\n", "/* -- */", "/***/", "--/*\n", "/* \xc3\xa4; */"));
}

static void put_space(struct corpus *c)
{
    switch (draw(c, 24)) {
    case 0:
        put(c, PICK(c, "\n", "\t", "\r\n", "  ", "\f", " \n  "));
        break;
    case 1:
        put(c, " ");
        put_comment(c);
        put(c, " ");
        break;
    default:
        put(c, " ");
        break;
    }
}

/* Words and pieces, separated; a piece may stand close to its neighbours where it says so. */
static void word(struct corpus *c, const char *text)
{
    if (c->length && c->text[c->length - 1] != '(' && c->text[c->length - 1] != '.')
        put_space(c);
    put(c, text);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void put_name(struct corpus *c)
{
    put(c, PICK(c, "id", "t1", "orders", "customer_id", "\"Total\"", "\"a b\"", "\"q\"\"q\"", "_x",
                "schema1.t", "pg_catalog.now", "\xc3\xbcmlaut", "A", "x$1", "\"sel/*ect\"",
                "\"it's\"", "created_at", "o.total", "c.\"Name\"", "e", "n", "b", "u", "x"));
}

static void put_string(struct corpus *c)
{
    put(c, PICK(c, "'a'", "''", "'it''s'", "'back\\slash'", "'-- no'", "'/* no */'", "'$1'",
                "'\xc3\xa4\xc3\xb6'", "'line\nbreak'", "E'a\\'b'", "e'\\\\'", "E'\\n\\t\\x41\\101'",
                "E'\\u0041'", "E'x''y\\\\'", "B'0101'", "b''", "X'1F'", "x'aB'", "$$body$$",
                "$tag$it's $$ \"x\" $tagg$ $tag$", "$_a1$;$_a1$", "$$$$", "'a'\n  'b'",
                "'a'\r\n'b'\n'c'", "'\"'", "'{\"k\": [1, 2]}'", "'2024-01-01'", "'%'"));
}

static void put_number(struct corpus *c)
{
    put(c, PICK(c, "0", "1", "42", "1000000", "3.5", "4.", ".001", "5e2", "1.925e-3", "1.5E+10",
                "2147483648", "99999999999999999999", "0.0", "1e10"));
}

static void put_parameter(struct corpus *c)
{
    put(c, PICK(c, "$1", "$2", "$3", "$10", "$0"));
}

static void put_constant(struct corpus *c)
{
    switch (draw(c, 8)) {
    case 0:
        put_parameter(c);
        break;
    case 1:
        put(c, PICK(c, "TRUE", "false", "NULL", "null", "DEFAULT", "current_date"));
        break;
    case 2:
    case 3:
    case 4:
        put_string(c);
        break;
    case 5:
        put(c, "-");
        put_number(c);
        break;
    default:
        put_number(c);
        break;
    }
}

static void put_operator(struct corpus *c)
{
    put(c, PICK(c, "=", "<>", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "^", "||", "->",
                "->>", "#>", "#>>", "@>", "<@", "?", "?|", "?&", "~", "!~~*", "&&", "@@", "<->",
                "|/", "~*", "<<", ">>", "&", "|", "#", "@-", "-|-", "^-", "`"));
}

/* ---- expressions ----------------------------------------------------------------------------- */

static void put_expression(struct corpus *c, unsigned depth);
static void put_select(struct corpus *c, unsigned depth);

static void put_constants(struct corpus *c)
{
    for (unsigned left = draw(c, 6) + 1; left--;) {
        put_constant(c);
        if (left)
            put(c, PICK(c, ",", ", ", " , "));
    }
}

static void put_expressions(struct corpus *c, unsigned depth)
{
    for (unsigned left = draw(c, 3) + 1; left--;) {
        put_expression(c, depth);
        if (left)
            put(c, ", ");
    }
}

static void put_case(struct corpus *c, unsigned depth)
{
    put(c, "CASE");
    put_space(c);
    put(c, "WHEN ");
    put_expression(c, depth);
    put(c, " THEN ");
    put_expression(c, depth);
    if (draw(c, 2)) {
        put(c, " ELSE ");
        put_expression(c, depth);
    }
    put(c, " END");
}

static void put_type(struct corpus *c)
{
    put(c, PICK(c, "int", "text", "numeric(10,2)", "varchar(255)", "timestamp with time zone",
                "int[]", "\"MyType\"", "bit(3)", "interval day to second(3)"));
}

static void put_operand(struct corpus *c, unsigned depth)
{
    switch (draw(c, depth ? 14 : 3)) {
    case 0:
        put_constant(c);
        break;
    case 3:
        put(c, "(");
        put_expression(c, depth - 1);
        put(c, ")");
        break;
    case 4:
        put_name(c);
        put(c, "(");
        put_expressions(c, depth - 1);
        put(c, ")");
        break;
    case 5:
        put_constant(c);
        put(c, PICK(c, "::", " :: "));
        put_type(c);
        break;
    case 6:
        put(c, "CAST(");
        put_expression(c, depth - 1);
        put(c, " AS ");
        put_type(c);
        put(c, ")");
        break;
    case 7:
        put_case(c, depth - 1);
        break;
    case 8:
        put(c, PICK(c, "ARRAY[", "array [", "ROW(1)::x[", "a["));
        put_constants(c);
        put(c, "]");
        break;
    case 9:
        put(c, PICK(c, "(SELECT ", "EXISTS (", "ANY (", "("));
        put_select(c, depth - 1);
        put(c, ")");
        break;
    case 10:
        put(c, PICK(c, "-", "+", "@", "NOT ", "~", "!!"));
        put_operand(c, depth - 1);
        break;
    case 11:
        put(c, PICK(c, "interval ", "date ", "timestamp ", "bool "));
        put_string(c);
        break;
    default:
        put_name(c);
        break;
    }
}

static void put_expression(struct corpus *c, unsigned depth)
{
    put_operand(c, depth);
    while (depth && draw(c, 2)) {
        switch (draw(c, 8)) {
        case 0:
            word(c, PICK(c, "IN (", "NOT IN (", "in("));
            put_constants(c);
            put(c, ")");
            break;
        case 1:
            word(c, PICK(c, "BETWEEN", "between symmetric"));
            put_space(c);
            put_operand(c, depth - 1);
            word(c, "AND");
            put_space(c);
            put_operand(c, depth - 1);
            break;
        case 2:
            word(c, PICK(c, "IS NULL", "IS NOT TRUE", "IS DISTINCT FROM 1", "COLLATE \"C\"",
                         "AT TIME ZONE 'UTC'"));
            break;
        case 3:
            word(c, PICK(c, "AND", "OR", "LIKE", "ILIKE", "SIMILAR TO"));
            put_space(c);
            put_operand(c, depth - 1);
            break;
        case 4: /* close */
            put_operator(c);
            put_operand(c, depth - 1);
            break;
        default:
            put_space(c);
            put_operator(c);
            put_space(c);
            put_operand(c, depth - 1);
            break;
        }
    }
}

/* ---- statements ------------------------------------------------------------------------------ */

static void put_where(struct corpus *c, unsigned depth)
{
    if (draw(c, 4)) {
        word(c, "WHERE");
        put_space(c);
        put_expression(c, depth);
    }
}

static void put_select(struct corpus *c, unsigned depth)
{
    put(c, PICK(c, "SELECT", "select", "Select", "SELECT DISTINCT"));
    put_space(c);
    put_expressions(c, depth);
    if (draw(c, 3))
        put(c, PICK(c, " AS x", " x", " AS \"X\""));
    word(c, "FROM");
    put_space(c);
    put_name(c);
    if (draw(c, 3) == 0) {
        word(c, PICK(c, "JOIN", "LEFT JOIN", "CROSS JOIN LATERAL", ","));
        put_space(c);
        put_name(c);
        word(c, "ON");
        put_space(c);
        put_expression(c, depth);
    }
    put_where(c, depth);
    if (draw(c, 4) == 0) {
        word(c, PICK(c, "GROUP BY", "ORDER BY"));
        put_space(c);
        put_expressions(c, depth);
    }
    if (draw(c, 4) == 0) {
        word(c, PICK(c, "LIMIT", "OFFSET", "FETCH FIRST"));
        put_space(c);
        put_constant(c);
    }
    if (depth && draw(c, 6) == 0) {
        word(c, PICK(c, "UNION ALL", "EXCEPT", "intersect"));
        put_space(c);
        put_select(c, depth - 1);
    }
}

static void put_insert(struct corpus *c)
{
    put(c, "INSERT INTO ");
    put_name(c);
    word(c, PICK(c, "VALUES", "(a, b) VALUES", "values"));
    for (unsigned left = draw(c, 5) + 1; left--;) {
        put(c, " (");
        put_constants(c);
        put(c, left ? ")," : ")");
    }
    put(c, PICK(c, "", " ON CONFLICT DO NOTHING", " RETURNING id, -1",
                " ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a + 1"));
}

static void put_update(struct corpus *c)
{
    put(c, "UPDATE ");
    put_name(c);
    word(c, "SET a");
    put(c, PICK(c, "=", " = ", " ="));
    put_expression(c, 2);
    put_where(c, 2);
}

static void put_utility(struct corpus *c)
{
    put(c, PICK(c, "BEGIN", "COMMIT AND CHAIN", "SAVEPOINT s1", "ROLLBACK TO SAVEPOINT sp_12",
                "RELEASE s1", "DECLARE c1 CURSOR FOR SELECT 1", "FETCH 10 FROM c1", "CLOSE c1",
                "PREPARE p1 (int) AS SELECT $1 + 1", "EXECUTE p1(-5, 'x')", "DEALLOCATE ALL",
                "LISTEN ch_1", "NOTIFY ch_1, 'payload'", "SET search_path TO a, \"B\"",
                "SET LOCAL statement_timeout = '5s'", "COPY t (a, b) FROM STDIN WITH (FORMAT csv)",
                "CREATE TABLE t1 (id int PRIMARY KEY DEFAULT -1, b varchar(10) CHECK (b <> ''))",
                "CREATE TEMP TABLE tmp_17 AS SELECT 1", "ALTER ROLE r PASSWORD 'secret'",
                "CREATE INDEX CONCURRENTLY ON t USING gin (a jsonb_path_ops) WHERE b > -1",
                "DO $do$ BEGIN PERFORM 'x'; END $do$",
                "CREATE FUNCTION f(a int = 1) RETURNS int LANGUAGE sql AS $$SELECT $1 + 2$$",
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN TRUE THEN "
                "2 END; END",
                "EXPLAIN (ANALYZE, FORMAT json) SELECT 1", "VACUUM (FULL) t", "TRUNCATE a, b",
                "CREATE OPERATOR @#@ (LEFTARG = int, PROCEDURE = f)", "CALL p(a => 1, b := 'x')",
                "SELECT a OPERATOR(pg_catalog.+) -1 FROM t", "GRANT SELECT ON t TO r", "SHOW ALL",
                "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)", "TABLE t", ""));
}

void corpus_statement(struct corpus *corpus)
{
    corpus->length = 0;
    corpus->text[0] = '\0';
    if (draw(corpus, 12) == 0)
        put_comment(corpus);
    switch (draw(corpus, 8)) {
    case 0:
        put_utility(corpus);
        break;
    case 1:
        put_insert(corpus);
        break;
    case 2:
        put_update(corpus);
        break;
    case 3:
        put(corpus, "DELETE FROM ");
        put_name(corpus);
        put_where(corpus, 2);
        break;
    case 4:
        put(corpus, "WITH w AS (");
        put_select(corpus, 1);
        put(corpus, ") ");
        put_select(corpus, 2);
        break;
    default:
        put_select(corpus, draw(corpus, 4));
        break;
    }
    if (draw(corpus, 6) == 0)
        put(corpus, PICK(corpus, ";", " ; ", ";;", "; -- x", " /* end */", "\n"));
}

void corpus_tokens(struct corpus *corpus)
{
    corpus->length = 0;
    corpus->text[0] = '\0';
    for (unsigned left = draw(corpus, 12) + 1; left--;) {
        switch (draw(corpus, 12)) {
        case 0:
        case 1:
            put_string(corpus);
            break;
        case 2:
            put_number(corpus);
            break;
        case 3:
            put_parameter(corpus);
            break;
        case 4:
        case 5:
            put_name(corpus);
            break;
        case 6:
            put_comment(corpus);
            break;
        case 7:
        case 8:
            put_operator(corpus);
            break;
        case 9:
            put(corpus, PICK(corpus, "SELECT", "in", "VALUES", "array", "and", "By", "null"));
            break;
        default:
            put(corpus, PICK(corpus, ",", "(", ")", "[", "]", ".", "..", ";", ":", "::", ":=", "=>",
                             "{", "\\", "$"));
            break;
        }
        if (draw(corpus, 3))
            put_space(corpus);
    }
}
