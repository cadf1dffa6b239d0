"""A service that closes every descriptor it did not open, as daemons do, and opens files in their
place. Then goes on with the database. Argument: the folder for its files."""

import os
import sys

import psycopg2

folder = sys.argv[1]
CONTENT = b"nobody writes here but us\n"


def query(count):
    connection = psycopg2.connect("")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute("SELECT 7 AS closing")
            cursor.fetchall()
    connection.close()


query(10)
os.closerange(3, 4096)
files = [os.open(os.path.join(folder, f"file-{n}"), os.O_RDWR | os.O_CREAT, 0o600)
         for n in range(200)]
for descriptor in files:
    os.write(descriptor, CONTENT)
query(90)
for descriptor in files:
    if os.pread(descriptor, 4096, 0) != CONTENT:
        sys.exit(f"descriptor {descriptor} was written to by somebody else")
print("done", flush=True)
sys.stdin.read()
for descriptor in files:
    if os.pread(descriptor, 4096, 0) != CONTENT:
        sys.exit(f"descriptor {descriptor} was written to by somebody else")
query(1)
