"""PgBouncer in transaction mode before a throw-away PostgreSQL, on loopback."""

import os
import pwd
import shutil
import signal
import unittest

from .process import Process, await_condition, free_port, temporary_directory


class PgBouncer:
    def __init__(self, postgres, database, connections):
        program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not program:
            raise unittest.SkipTest("pgbouncer is not installed: run tools/setup")
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = free_port()
        as_user = {}
        if os.getuid() == 0:
            # It refuses to run as root.
            account = pwd.getpwnam("postgres")
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        users = self._write("users.txt", f'"{postgres.user}" ""\n')
        config = self._write("pgbouncer.ini", f"""[databases]
{database} = host=127.0.0.1 port={postgres.port} dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
log_connections = 0
log_disconnections = 0
""")
        self.process = Process([program, config], os.path.join(self.dir, "log"), cwd=self.dir,
                               **as_user)
        await_condition(self.ready, 20, "PgBouncer listening")

    def _write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def ready(self):
        if not self.process.alive():
            raise AssertionError("PgBouncer ended:\n" + self.process.log())
        return "process up" in self.process.log()

    def close(self):
        if self.process.alive():
            self.process.stop(signal.SIGINT)
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
