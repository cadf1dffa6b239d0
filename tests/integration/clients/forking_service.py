"""A preforking service over psycopg2: WORKERS at a time, each lives for a few statements, until
RECYCLES of them are done. Says "done <statements>" and waits for its standard input to end.

The driver brings libpq in by dlopen(RTLD_LOCAL), after the process has started.
"""

import os
import sys

import psycopg2

WORKERS, RECYCLES, STATEMENTS = (int(argument) for argument in sys.argv[1:4])


def work():
    connection = psycopg2.connect("")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for number in range(STATEMENTS):
            cursor.execute("SELECT %s::int AS worked", (number,))
            cursor.fetchall()
    connection.close()


def main():
    parent = psycopg2.connect("")  # the parent holds one of its own all the while
    parent.autocommit = True
    parent.cursor().execute("SELECT 'parent' AS who")
    living, started = set(), 0
    while started < RECYCLES or living:
        while started < RECYCLES and len(living) < WORKERS:
            pid = os.fork()
            if pid == 0:
                work()
                os._exit(0)
            living.add(pid)
            started += 1
        pid, status = os.wait()
        if status:
            sys.exit(f"worker {pid} ended with {status}")
        living.discard(pid)
    parent.cursor().execute("SELECT 'parent' AS who")
    print("done", RECYCLES * STATEMENTS, flush=True)
    sys.stdin.read()


main()
