"""Signs, and the single literals of SELECT, INSERT, UPDATE and DELETE, judged by the text that
pg_stat_statements keeps.

Lists are not folded here, since it folds none. Where its rule and ours differ by design there is no
statement below: TRUE, FALSE and NULL, which stay with us; numbers in types and in ORDER BY, which
are no constants to it; what it garbles itself (`- -5`).
"""

import unittest

import normalize_program
from harness.postgres import Postgres

TABLES = """
CREATE TABLE t (a int[], b int, c text, d numeric, j jsonb, at timestamptz);
CREATE TABLE u (id int PRIMARY KEY, name text, n int DEFAULT 0);
"""

SIGNS = """
SELECT b + -5 FROM t
SELECT b - 5 FROM t
SELECT b -5 FROM t
SELECT b-5 FROM t
SELECT -5
SELECT - 5
SELECT -5::int
SELECT -5 :: int
SELECT (-5)::int
SELECT -5 ^ 2
SELECT - 5 ^ 2
SELECT 2 ^ -3
SELECT -'5'::int
SELECT +5
SELECT b + +5 FROM t
SELECT 5 - -5
SELECT -5 * 2
SELECT 2*-3
SELECT 2/-3
SELECT -5 % 2
SELECT -.5
SELECT -1.5e3
SELECT -b FROM t
SELECT -b - 1 FROM t
SELECT (b) -1 FROM t
SELECT b::int -1 FROM t
SELECT a[1] -1 FROM t
SELECT a[-1] FROM t
SELECT a[-1:2] FROM t
SELECT 1.5 -1
SELECT 'a' || -1
SELECT abs(-5), greatest(-1, -2)
SELECT abs(-5) - 5
SELECT ARRAY[-1,-2]
SELECT array[1,2] && array[-1]
SELECT b FROM t WHERE b = -1
SELECT b FROM t WHERE b=-1 OR b>=-1 OR b<>-2 OR NOT -1 = b
SELECT b FROM t WHERE b IS NOT NULL AND -1 < b
SELECT b FROM t WHERE b IN (-1, -2)
SELECT b FROM t WHERE b NOT IN (-1,2)
SELECT b BETWEEN -1 AND -2 FROM t
SELECT -1 IS NULL
SELECT -1 AS x, -2 x
SELECT DISTINCT -1 FROM t
SELECT ALL -1 FROM t
SELECT CASE WHEN b > -1 THEN -2 ELSE -3 END FROM t
SELECT CASE b WHEN -1 THEN b END -5 FROM t
SELECT * FROM generate_series(-1,-5,-1)
SELECT b FROM t OFFSET -0
SELECT b FROM t LIMIT +5
SELECT b FROM t UNION SELECT -1
SELECT current_date -1
SELECT at - interval '-1 day' FROM t
INSERT INTO u VALUES (-1, 'x', -2)
INSERT INTO u (id) SELECT -2
INSERT INTO u (id) VALUES (-3) RETURNING -1, n -1
INSERT INTO u VALUES (-4), (-5)
UPDATE t SET b = -1
UPDATE t SET b = b + -17 WHERE b = 3
UPDATE t SET b = b - 17, d = -d WHERE b > -3
DELETE FROM t WHERE b = -1 AND d < -1.5
"""

LITERALS = """
SELECT 'it''s'
SELECT E'a\\'b'
SELECT U&'d\\0061ta'
SELECT B'101', X'1F'
SELECT $$a$$, $x$b$$c$x$
SELECT 1, 1.5, .5, 1., 1e5, 1.5E-3, 99999999999999999999
SELECT '5'::int, CAST('6' AS int), int '7'
SELECT interval '1 day', date '2024-01-01'
SELECT c ~ '^x' AND c LIKE 'y%' FROM t
SELECT j ? 'k', j ?| '{a}', j @> '{}', j -> 'a' ->> 'b', j #> '{c}' FROM t
SELECT b, c FROM t WHERE b = 1 AND c = 'x' AND d > 2.5
SELECT b FROM t WHERE c = 'x' LIMIT 10 OFFSET 20
SELECT b FROM t FETCH FIRST 5 ROWS ONLY
SELECT count(*) FROM t WHERE at > now() - interval '1 hour' GROUP BY b HAVING count(*) > 1
SELECT substring('abc', 1, 2), position('b' in 'abc'), overlay('a' placing 'b' from 1)
SELECT coalesce(c, 'none'), nullif(b, 0) FROM t
SELECT (SELECT 1), EXISTS (SELECT 2 FROM u WHERE id = 3)
WITH w AS (SELECT 1 AS x) SELECT x + 1 FROM w
SELECT * FROM t JOIN u ON u.id = t.b + 1 WHERE u.name = 'n'
SELECT string_agg(c, ',') FILTER (WHERE b > 1) OVER (PARTITION BY b + 1) FROM t
SELECT a[1], a[2:3] FROM t
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v (x, y)
SELECT b FROM t WHERE at AT TIME ZONE 'UTC' > '2024-01-01'
SELECT c COLLATE "C" < 'x' FROM t
SELECT "b" AS "Quoted 1", 'x' AS "it's" FROM t
INSERT INTO u VALUES (10, 'ten', 1)
INSERT INTO u (id, name) VALUES (11, E'el\\neven')
INSERT INTO u (id, name) VALUES (12, 'a'), (13, 'b'), (14, 'c')
INSERT INTO u (id) VALUES (10) ON CONFLICT (id) DO UPDATE SET n = u.n + 1
INSERT INTO u (id, name) SELECT 15, 'x' RETURNING id, 'y'
UPDATE u SET name = 'n', n = n + 1 WHERE id = 10
UPDATE u SET (name, n) = ('z', 3) WHERE id IN (11, 12)
UPDATE u SET n = 2 FROM t WHERE t.b = u.id AND t.c = 'x' RETURNING u.n * 2
DELETE FROM u WHERE id = 10
DELETE FROM u USING t WHERE u.id = t.b AND t.c <> 'x'
"""


def lines(text):
    return [line for line in text.splitlines() if line]


class Statements(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.postgres.sql(TABLES)

    def kept(self, statements):
        """The one text that the server keeps of each."""
        script = []
        for statement in statements:
            script += [
                "\\o /dev/null", "SELECT pg_stat_statements_reset();", statement + ";", "\\o",
                "SELECT query FROM pg_stat_statements"
                " WHERE query !~ 'pg_stat_statements' AND toplevel;",
            ]
        [[texts]] = self.postgres.sql("\n".join(script))  # results are lines
        kept = texts.split("\n")
        self.assertEqual(len(kept), len(statements), "one text a statement")
        return kept

    def compare(self, statements):
        ours = normalize_program.normalize(
            [(normalize_program.KEEP_LISTS, statement.encode()) for statement in statements]
        )
        for statement, kept, (_, _, flags, text) in zip(statements, self.kept(statements), ours):
            with self.subTest(statement):
                self.assertEqual(flags, [])
                self.assertEqual(text.decode(), kept)

    def test_signs(self):
        self.compare(lines(SIGNS))

    def test_literals(self):
        self.compare(lines(LITERALS))


if __name__ == "__main__":
    unittest.main()
