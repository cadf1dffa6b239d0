"""The program that serves fixed rows over the real endpoints (prometheus_server.c)."""

import http.client
import os
import socket
import subprocess
import threading

from harness import built
from harness.process import await_condition


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Server:
    def __init__(self, http="127.0.0.1:0", metrics="off", *more):
        self.process = subprocess.Popen(
            [built("tests/prometheus_server"), http, metrics, *more], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        ready = self.await_line("ready ")
        self.port, self.metrics_port = (int(word) for word in ready.split()[1:])

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def await_line(self, start, after=0):
        def found():
            if self.process.poll() is not None and not self.reader.is_alive():
                raise AssertionError("the server ended:\n" + "\n".join(self.lines))
            return next((line for line in self.lines[after:] if line.startswith(start)), None)
        return await_condition(found, 15, f"a line {start!r}")

    def tell(self, line, answer=None):
        after = len(self.lines)
        self.process.stdin.write(line + "\n")
        return self.await_line(answer or f"done {line}", after)

    def stats(self):
        words = self.tell("stats", "stats ").split()
        return {"requests": int(words[1]), "refused": int(words[2]), "late": int(words[3])}

    def request(self, path, method="GET", headers=None, port=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {}, body=body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def stop(self):
        """End of input: everything is closed and freed, then it exits 0."""
        self.process.stdin.close()
        code = self.process.wait(15)
        self.reader.join(5)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"the server exited {code}:\n" + "\n".join(self.lines))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self.process.poll() is None:
            os.kill(self.process.pid, 9)
            self.process.wait()
