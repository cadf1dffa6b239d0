"""A throw-away PostgreSQL server with pg_stat_statements."""

import glob
import os
import pwd
import signal
import subprocess
import time
import unittest

from .process import Process, await_condition, lasting_port, temporary_directory


def bin_dir():
    found = sorted(
        glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2])
    )
    if not found:
        raise unittest.SkipTest("no PostgreSQL server is installed: run tools/setup")
    return found[-1]


def server_account():
    """Popen's arguments for programs that refuse to run as root; any account of their own will do."""
    if os.getuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Postgres:
    """@source: another server, of which this one becomes a streaming standby."""

    def __init__(self, settings=None, extension=True, source=None):
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = lasting_port()
        self.bin = bin_dir()
        self.data = os.path.join(self.dir, "data")
        self.user = "postgres"
        self._as_user = server_account()
        if self._as_user:
            os.chown(self.dir, self._as_user["user"], self._as_user["group"])
        if source:
            argv = [f"{self.bin}/pg_basebackup", "-h", "127.0.0.1", "-p", str(source.port),
                    "-U", self.user, "-D", self.data, "-R", "-X", "stream", "-c", "fast",
                    "--no-sync"]
        else:
            argv = [f"{self.bin}/initdb", "-D", self.data, "-U", self.user, "-A", "trust",
                    "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=self.dir, **self._as_user)
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
        if extension and not source:
            self.sql("CREATE EXTENSION pg_stat_statements")

    def start(self):
        """Returns the last moment (CLOCK_MONOTONIC) at which it was seen not to accept yet."""
        argv = [f"{self.bin}/postgres", "-D", self.data]
        for name, value in self.settings.items():
            argv += ["-c", f"{name}={value}"]
        self.process = Process(argv, os.path.join(self.dir, "server.log"), cwd=self.dir,
                               **self._as_user)
        looks = []

        def accepts():
            looks.append(time.monotonic_ns())
            return self.ready()
        await_condition(accepts, 30, "PostgreSQL accepting connections")
        return looks[-2] if len(looks) > 1 else looks[0]

    def ready(self):
        if not self.process.alive():
            raise AssertionError("PostgreSQL ended:\n" + self.process.log())
        return subprocess.run(
            [f"{self.bin}/pg_isready", "-q", "-h", self.dir, "-p", str(self.port)], check=False
        ).returncode == 0

    def stop(self, mode="fast"):
        """@mode as pg_ctl has it; "immediate" is a crash."""
        if self.process and self.process.alive():
            self.process.stop(STOPS[mode])

    def reload(self):
        self.process.send(signal.SIGHUP)

    def let_in(self, *lines):
        """Who may connect and how, by lines of pg_hba.conf before those that trust everybody on the
        Unix socket."""
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines) + "local all all trust\n")
        self.reload()

    def log(self):
        return self.process.log()

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

    def sql(self, text, database="postgres", **more):
        """Runs SQL outside any observation; returns rows as lists of strings."""
        ran = subprocess.run(
            [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-F", "\x1f", "-R", "\x1e", "-f", "-"],
            input=text, check=False, capture_output=True, text=True, env=self.env(database, **more),
        )
        if ran.returncode:
            raise AssertionError(f"psql failed on {text[:200]!r}: {ran.stderr}")
        out = ran.stdout.rstrip("\n")
        return [row.split("\x1f") for row in out.split("\x1e") if row] if out else []

    def value(self, text, database="postgres"):
        """The one value of a query. Over the Unix socket, where everybody is let in."""
        return self.sql(text, database, PGHOST=self.dir)[0][0]

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
