"""The test's service: tests/integration/pool/clients/pool_client.c, driven line by line."""

import bisect
import json
import os
import signal
import subprocess
import threading
import time

from . import built
from .process import temporary_directory

SANITIZE = os.environ.get("WEIR_SANITIZE", "")

# No acquire and no statement may end later than this after its deadline. Under a sanitizer the
# client itself runs several times slower, and the bound is so much wider.
LATE_MS = 50 * (5 if "thread" in SANITIZE else 3 if SANITIZE else 1)


class PoolClient:
    """Each keyword is an argument of the program; @load is a list of its loads."""

    def __init__(self, conninfo, load=(), env=None, **arguments):
        self._holder = temporary_directory()
        self.log_path = os.path.join(self._holder.name, "client.log")
        argv = [built("tests/pool_client"), f"conninfo={conninfo}"]
        argv += [f"load={one}" for one in load]
        argv += [f"{name}={value}" for name, value in arguments.items()]
        # No agent is there; the path keeps it from one that may be on the machine.
        env = {**os.environ, "WEIR_SOCKET": os.path.join(self._holder.name, "no-agent"),
               **(env or {})}
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=log, env=env, text=True)
        self.events = []
        self._arrived = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.await_event("ready")

    def _read(self):
        for line in self.popen.stdout:
            event = json.loads(line)
            with self._arrived:
                self.events.append(event)
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def of(self, kind, **fields):
        """The events of a kind so far whose fields are these."""
        with self._arrived:
            return [event for event in self.events if event["event"] == kind
                    and all(event.get(name) == value for name, value in fields.items())]

    def await_event(self, kind, timeout=20.0, count=1, **fields):
        """The @count-th of these events; fails loudly if it does not come."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                found = self.of(kind, **fields)
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    raise AssertionError(
                        f"no event {kind} {fields} within {timeout} s; the last ones: "
                        f"{self.events[-5:]}\n{self.log()}")
                self._arrived.wait(left)

    def send(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def ask(self, line, kind, timeout=20.0):
        """Sends a line and returns the event of that kind that answers it."""
        before = len(self.of(kind))
        self.send(line)
        return self.await_event(kind, timeout, before + 1)

    def go(self):
        self.send("go")

    def mark(self, name):
        return self.ask(f"mark {name}", "mark")["at_ns"]

    def stats(self):
        return self.ask("stats", "stats")

    def sums(self):
        return self.ask("sums", "sums")

    def hook(self, text):
        self.ask(f"hook {text}", "hook_set")

    def failures(self, **fields):
        return self.of("failure", **fields)

    def attempts(self):
        """When each attempt to connect began, in ns; wants the hook before_connect."""
        return sorted(event["at_ns"] for event in self.of("hook", hook="before_connect"))

    def stop(self, timeout=30.0):
        """Ends it; returns its sums."""
        self.send("stop")
        end = self.await_event("end", timeout)
        code = self.popen.wait(timeout)
        if code != 0 or "Sanitizer" in self.log():
            raise AssertionError(f"the client ended with {code}:\n{self.log()}")
        return end

    def close(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        self._reader.join()
        self.popen.stdin.close()
        self.popen.stdout.close()
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def most_within(times_ns, span_ns):
    """How many of the sorted moments lie within any span of that length at most."""
    return max((bisect.bisect_left(times_ns, first + span_ns) - place
                for place, first in enumerate(times_ns)), default=0)
