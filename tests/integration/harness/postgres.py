"""A throw-away PostgreSQL server with pg_stat_statements."""

import glob
import os
import pwd
import signal
import subprocess
import unittest

from .process import Process, await_condition, free_port, temporary_directory


def bin_dir():
    found = sorted(
        glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2])
    )
    if not found:
        raise unittest.SkipTest("no PostgreSQL server is installed: run tools/setup")
    return found[-1]


class Postgres:
    def __init__(self, settings=None, extension=True):
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = free_port()
        self.bin = bin_dir()
        self.data = os.path.join(self.dir, "data")
        self.user = "postgres"
        self._as_user = {}
        if os.getuid() == 0:
            # The server refuses to run as root; any account of its own will do.
            account = pwd.getpwnam("postgres")
            os.chown(self.dir, account.pw_uid, account.pw_gid)
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        subprocess.run(
            [f"{self.bin}/initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.dir, **self._as_user,
        )
        self.settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.dir,
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.max": "10000",
            "pg_stat_statements.track": "top",
            "fsync": "off",
            "max_connections": "200",
            "log_min_messages": "fatal",
            **(settings or {}),
        }
        self.process = None
        self.start()
        if extension:
            self.sql("CREATE EXTENSION pg_stat_statements")

    def start(self):
        argv = [f"{self.bin}/postgres", "-D", self.data]
        for name, value in self.settings.items():
            argv += ["-c", f"{name}={value}"]
        self.process = Process(argv, os.path.join(self.dir, "server.log"), cwd=self.dir,
                               **self._as_user)
        await_condition(self.ready, 30, "PostgreSQL accepting connections")

    def ready(self):
        if not self.process.alive():
            raise AssertionError("PostgreSQL ended:\n" + self.process.log())
        return subprocess.run(
            [f"{self.bin}/pg_isready", "-q", "-h", self.dir, "-p", str(self.port)], check=False
        ).returncode == 0

    def stop(self):
        if self.process and self.process.alive():
            self.process.stop(signal.SIGINT)

    def close(self):
        self.stop()
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def env(self, database="postgres", **more):
        """What libpq programs need to come here over TCP."""
        return {
            **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": self.user,
            "PGDATABASE": database, "PGCONNECT_TIMEOUT": "10", **more,
        }

    def sql(self, text, database="postgres"):
        """Runs SQL outside any observation; returns rows as lists of strings."""
        ran = subprocess.run(
            [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-F", "\x1f", "-R", "\x1e", "-f", "-"],
            input=text, check=False, capture_output=True, text=True, env=self.env(database),
        )
        if ran.returncode:
            raise AssertionError(f"psql failed on {text[:200]!r}: {ran.stderr}")
        out = ran.stdout.rstrip("\n")
        return [row.split("\x1f") for row in out.split("\x1e") if row] if out else []

    def create_database(self, name):
        self.sql(f'CREATE DATABASE "{name}"')
        return name

    def reset_statements(self):
        self.sql("SELECT pg_stat_statements_reset()")

    def statements(self, database):
        """[(query, calls, rows)] of the top-level statements that the server counted there."""
        return [
            (query, int(calls), int(rows))
            for query, calls, rows in self.sql(
                "SELECT query, calls, rows FROM pg_stat_statements s JOIN pg_database d"
                f" ON d.oid = s.dbid WHERE toplevel AND datname = '{database}'"
            )
        ]
