"""The agent under test."""

import http.client
import json
import os
import signal
import socket

from . import built
from .exposition import parse
from .process import Process, await_condition, free_port, temporary_directory


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Agent:
    """Starts at once; kill() and start() again keep socket, data and port."""

    def __init__(self, *flags, env=None, data=True, start=True):
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.socket = os.path.join(self.dir, "agent.sock")
        self.port = free_port()
        self.data = os.path.join(self.dir, "data") if data else "none"
        self.flags = list(flags)
        self.env = {**os.environ, **(env or {})}
        for name in list(self.env):
            if name.startswith("OTEL_") and name not in (env or {}):
                del self.env[name]
        self.process = None
        if start:
            self.start()

    def start(self, wait=True):
        if self.data != "none":
            os.makedirs(self.data, exist_ok=True)
        argv = [built("bin/weir-agent"), "--socket", self.socket,
                "--http", f"127.0.0.1:{self.port}", "--data", self.data, *self.flags]
        self.process = Process(argv, os.path.join(self.dir, "agent.log"), env=self.env)
        if wait:
            await_condition(self.ready, 20, "the agent being ready")

    def ready(self):
        if not self.process.alive():
            raise AssertionError("the agent ended:\n" + self.process.log())
        return self.request("/readyz")[0] == 200 and os.path.exists(self.socket)

    def request(self, path, method="GET", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def api(self, name):
        status, _, body = self.request(f"/api/v1/{name}")
        if status != 200:
            raise AssertionError(f"/api/v1/{name} answered {status}: {body[:300]!r}")
        return json.loads(body)

    def metrics(self):
        status, _, body = self.request("/metrics")
        if status != 200:
            raise AssertionError(f"/metrics answered {status}")
        return parse(body.decode())

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop(signal.SIGTERM)

    def close(self):
        """Asks it to stop, which must end well: what sanitizers found, they say at the end."""
        code = self.process.stop(signal.SIGTERM) if self.process and self.process.alive() else 0
        log = self.process.log() if self.process else ""
        self._holder.cleanup()
        if code != 0 or "Sanitizer" in log:
            raise AssertionError(f"the agent ended with {code}:\n{log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def client_env(self, service="test", **more):
        """What a probed program needs to find this agent."""
        return {"WEIR_SOCKET": self.socket, "OTEL_SERVICE_NAME": service, **more}
