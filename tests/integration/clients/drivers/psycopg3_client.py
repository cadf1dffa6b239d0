import psycopg

with psycopg.connect("", prepare_threshold=3) as connection:
    for number in range(10):
        print(connection.execute("SELECT %s::int + 1", (number,)).fetchone())
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::text", (str(number),)) for number in range(5)]
        print([cursor.fetchone() for cursor in cursors])
    with connection.cursor().copy("COPY item TO STDOUT") as copy:
        print(sum(len(block) for block in copy))
    try:
        connection.execute("SELECT no_such_column FROM item")
    except psycopg.Error as error:
        print(error.sqlstate)
