"""A real PgBouncer before a server of the tests."""

import os
import shutil
import signal
import socket
import unittest

from .postgres import server_account
from .process import Process, await_condition, lasting_port, temporary_directory

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
server_login_retry = 0.2
server_check_delay = 0
"""


class Bouncer:
    """In transaction mode; @size: its connections to the server."""

    def __init__(self, postgres, size=4):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not os.path.exists(program):
            raise unittest.SkipTest("no PgBouncer is installed: run tools/setup")
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = lasting_port()
        self._as_user = server_account()
        config = os.path.join(self.dir, "pgbouncer.ini")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(server=postgres.port, user=postgres.user,
                                            port=self.port, size=size))
        self.argv = [program, config]
        self.process = None
        self.start()

    def start(self):
        self.process = Process(self.argv, os.path.join(self.dir, "pgbouncer.log"), cwd=self.dir,
                               **self._as_user)
        await_condition(self.ready, 15, "PgBouncer accepting connections")

    def ready(self):
        if not self.process.alive():
            raise AssertionError("PgBouncer ended:\n" + self.process.log())
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def kill(self):
        self.process.kill()

    def close(self):
        if self.process.alive():
            self.process.stop(signal.SIGTERM)
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
