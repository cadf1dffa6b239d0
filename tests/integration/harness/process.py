"""A child process of the test: its output goes to a file, it ends by its own process id."""

import os
import random
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lasting_port():
    """A free port that nobody takes while its server is down: not of those that the system gives to
    outgoing connections, nor to who asks it for any."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def await_condition(condition, timeout=15.0, what="condition", interval=0.02):
    """Returns the first true value of condition(); fails loudly after the timeout."""
    deadline = time.monotonic() + timeout
    last_error = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
            last_error = None
        except (OSError, ValueError, KeyError) as error:
            last_error = error
        time.sleep(interval)
    raise AssertionError(f"{what} not met within {timeout} s (last error: {last_error})")


def temporary_directory():
    """A directory that other users may enter (PostgreSQL runs as one of its own)."""
    holder = tempfile.TemporaryDirectory(prefix="weir-test-")
    os.chmod(holder.name, 0o755)
    return holder


class Process:
    def __init__(self, argv, log_path, env=None, **popen):
        self.argv = argv
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, **popen
            )

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def send(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        return self.popen.wait()

    def stop(self, number=signal.SIGTERM, timeout=20.0):
        """Asks it to end; returns its exit code."""
        if self.alive():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.argv[0]} did not end within {timeout} s:\n{self.log()}")
