"""Runs a test program beside a PostgreSQL of its own: `run_with_postgres.py PROGRAM [ARGUMENT…]`.

The program finds the server through libpq's variables, and ends with the exit code
that ctest is to see."""

import os
import subprocess
import sys

from harness.postgres import Postgres


def main():
    with Postgres() as postgres:
        env = postgres.env("postgres", WEIR_SOCKET=os.path.join(postgres.dir, "no-agent.sock"))
        ran = subprocess.run(sys.argv[1:], env=env, check=False)
        return ran.returncode


sys.exit(main())
