"""The example shop, its schema and its load."""

import http.client
import json
import os
import subprocess
import urllib.parse

from . import built
from .process import Process, await_condition, free_port, temporary_directory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
EXAMPLE = os.path.join(ROOT, "examples", "shop")


def create_database(postgres, name="shop"):
    postgres.create_database(name)
    with open(os.path.join(EXAMPLE, "schema.sql"), encoding="utf-8") as schema:
        postgres.sql(schema.read(), name)
    return name


class Shop:
    """One copy of the shop. @config: the text of its file; None: the example's own, as it stands."""

    def __init__(self, postgres, *flags, agent=None, config=None, env=None, start=True):
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(self.dir, "shop.yaml")
        if config is None:
            with open(os.path.join(EXAMPLE, "shop.yaml"), encoding="utf-8") as example:
                config = example.read()
        self.write_config(config)
        self.argv = [built("bin/examples/shop"), "--config", self.config,
                     "--listen", f"127.0.0.1:{self.port}", *flags]
        self.env = postgres.env("shop", **(agent.client_env("shop") if agent else
                                           {"WEIR_SOCKET": os.path.join(self.dir, "no-agent")}))
        del self.env["PGUSER"]
        self.env.update(env or {})
        self.process = None
        if start:
            self.start()

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        self.process = Process(self.argv, os.path.join(self.dir, "shop.log"), env=self.env)
        await_condition(self.ready, 30, "the shop being ready")

    def ready(self):
        if not self.process.alive():
            raise AssertionError("the shop ended:\n" + self.process.log())
        return self.request("GET", "/readyz")[0] == 200

    def request(self, method, path, body=None, headers=None):
        """(status, body, headers); JSON bodies are parsed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            connection.request(method, urllib.parse.quote(path, safe="/?&=%"), body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            if answer.getheader("Content-Type") == "application/json" and text:
                text = json.loads(text)
            return answer.status, text, dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path):
        status, body, _ = self.request("GET", path)
        if status != 200:
            raise AssertionError(f"{path} answered {status}: {body!r}")
        return body

    def pool(self, name="shop"):
        return next(pool for pool in self.get("/pools") if pool["name"] == name)

    def events(self, name=None):
        """What it logged; other lines than JSON objects are told as they are."""
        found = []
        for line in self.process.log().splitlines():
            event = json.loads(line)
            if name is None or event["event"] == name:
                found.append(event)
        return found

    def send(self, number):
        self.process.send(number)

    def stop(self):
        """Asks it to leave; returns its exit code."""
        return self.process.stop(timeout=60)

    def close(self, expected=0):
        code = self.stop() if self.process else expected
        log = self.process.log() if self.process else ""
        self._holder.cleanup()
        if code != expected or "Sanitizer" in log:
            raise AssertionError(f"the shop ended with {code}:\n{log}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
            return
        if self.process:
            if self.process.alive():
                self.process.kill()
            print(self.process.log())
        self._holder.cleanup()


class Load:
    """shop-load in the background, until stop()."""

    def __init__(self, *urls, threads=6, rate=None):
        argv = [built("bin/examples/shop-load"), "--seconds", "600", "--threads", str(threads)]
        if rate:
            argv += ["--rate", str(rate)]
        self.popen = subprocess.Popen([*argv, *urls], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)

    def running(self):
        return self.popen.poll() is None

    def stop(self):
        """What it saw."""
        self.popen.terminate()
        out, error = self.popen.communicate(timeout=60)
        if self.popen.returncode or error:
            raise AssertionError(f"shop-load ended with {self.popen.returncode}: {error}")
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running():
            self.popen.kill()
        self.popen.communicate()
