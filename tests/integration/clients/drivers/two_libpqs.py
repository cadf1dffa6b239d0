"""Two drivers in one process, each with a libpq of its own version, used in turns."""

import psycopg
import psycopg2

older = psycopg2.connect("")
newer = psycopg.connect("")
print(psycopg2.extensions.libpq_version() != psycopg.pq.version())
for number in range(5):
    with older.cursor() as cursor:
        cursor.execute("SELECT %s::int AS older", (number,))
        print(cursor.fetchone())
    print(newer.execute("SELECT %s::bigint AS newer", (number,)).fetchone())
older.commit()
newer.commit()
older.close()
newer.close()
