import psycopg2

connection = psycopg2.connect("")
with connection, connection.cursor() as cursor:
    for number in range(10):
        cursor.execute("SELECT %s::int + 1, %s", (number, "text"))
        print(cursor.fetchone())
    cursor.execute("SELECT generate_series(1, 5)")
    print(cursor.fetchall())
try:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM item")
except psycopg2.Error as error:
    print(error.pgcode)
with connection, connection.cursor("named_cursor") as cursor:
    cursor.execute("SELECT id FROM item ORDER BY id")
    print(cursor.fetchmany(3))
connection.close()
