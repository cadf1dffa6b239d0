"""What the tests of faults share: a client on a bad day, and what must hold on any."""

import unittest

from .pool_client import LATE_MS, SANITIZE, PoolClient, most_within

# Between taking a place in the rate and the hook that notes it a thread has to start.
RATE_SPAN_NS = 950_000_000


class FaultCase(unittest.TestCase):
    maxDiff = None

    def client(self, conninfo, **arguments):
        client = PoolClient(conninfo, **arguments)
        self.addCleanup(client.close)
        return client

    def recover(self, client, mark, since_ns, within_s):
        """Every thread of the client has had a success since @mark, in time after @since_ns."""
        event = client.await_event("all", 30, mark=mark)
        took_s = (event["at_ns"] - since_ns) / 1e9
        print(f"{mark}: all threads served {took_s:.3f} s after")
        self.assertLess(took_s, within_s * (3 if SANITIZE else 1), mark)
        return event["at_ns"]

    def end(self, client):
        """Stops the client; whatever happened, no deadline was outlived. Returns its sums."""
        sums = client.stop()
        print({name: sums[name] for name in ("ok", "failed", "acquire_longest_ms",
                                             "acquire_late_ms", "statement_late_ms")})
        self.assertLessEqual(sums["acquire_late_ms"], LATE_MS, sums)
        self.assertLessEqual(sums["statement_late_ms"], LATE_MS, sums)
        return sums

    def assert_rate(self, client, cap):
        attempts = client.attempts()
        most = most_within(attempts, RATE_SPAN_NS)
        print(f"{len(attempts)} attempts to connect, at most {most} within a second, cap {cap}")
        self.assertLessEqual(most, cap)

    def failure_kinds(self, client):
        """{(step, category): count} of the failures that were told one by one."""
        kinds = {}
        for failure in client.failures():
            key = failure["step"], failure["category"]
            kinds[key] = kinds.get(key, 0) + 1
        return kinds
