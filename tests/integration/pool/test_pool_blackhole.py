"""A network that drops silently: requests and statements end by their deadlines all the same, and the
pool recovers when the network does, whatever became of its old connections."""

import os
import signal

import harness
from harness.faults import FaultCase
from harness.pool_client import SANITIZE
from harness.postgres import Postgres
from harness.process import await_condition
from proxy import Proxy

STATEMENT_MS = 300
ACQUIRE_MS = 400
TIMES = {"acquire_timeout_ms": ACQUIRE_MS, "statement_timeout_ms": STATEMENT_MS,
         "connect_timeout_ms": 500, "validate_timeout_ms": 200, "reset_timeout_ms": 300}


class Blackhole(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)

    def setUp(self):
        self.proxy = Proxy(self.postgres.port)
        self.addCleanup(self.proxy.close)
        self.conninfo = (f"host=127.0.0.1 port={self.proxy.port} user=postgres dbname=postgres"
                         " sslmode=disable")

    def dark_and_back(self, client, mark, old, failures):
        """The network is gone until so many requests have failed, and comes back."""
        before = len(client.failures())
        self.proxy.swallow()
        client.await_event("failure", 20, count=before + failures)
        self.proxy.heal(old)
        # The attempt that is under way, the longest back-off, and looks at those that are old.
        self.recover(client, mark, client.mark(mark), 0.5 + 1.0 + 0.4)

    def test_each_way_back(self):
        client = self.client(self.conninfo, load=["2:statement:SELECT 1", "2:event:SELECT 1"],
                             connections_min=4, connections_max=4, pace_us=500, **TIMES)
        client.go()
        client.await_event("second", 10)
        for old in ("resume", "dark", "cut"):
            self.dark_and_back(client, old, old, 16)
        self.end(client)
        kinds = self.failure_kinds(client)
        print(kinds)
        self.assertIn(("execute", "timeout"), kinds)
        self.assertLessEqual({step for step, _ in kinds}, {"execute", "acquire"})
        self.assertLessEqual({category for _, category in kinds}, {"timeout", "connection"})

    def test_transactions(self):
        client = self.client(self.conninfo, load=["3:transaction:SELECT pg_sleep(0.005)"],
                             connections_min=4, connections_max=4, pace_us=500, **TIMES)
        client.go()
        client.await_event("second", 10)
        for number in range(3):
            self.dark_and_back(client, f"transactions-{number}", "dark", 6)
        self.end(client)
        kinds = self.failure_kinds(client)
        print(kinds)
        # A COMMIT without an answer is another matter than a statement without one.
        self.assertLessEqual({category for _, category in kinds},
                             {"timeout", "connection", "commit_unknown"})
        self.assertLessEqual({step for step, category in kinds if category == "commit_unknown"},
                             {"commit"})

    def test_cancel_requests_that_hang_use_nothing_up(self):
        # Each statement that ends at its deadline asks the server to cancel it, and that request
        # hangs as well, for as long as the connection that it was made on stays dark: here for ever.
        # Under a sanitizer only a few, which do not use it up: two cores then are too slow for more.
        threads, times = (4, 3) if SANITIZE else (16, 8)
        client = self.client(self.conninfo, load=[f"{threads}:statement:SELECT 1"],
                             connections_min=threads, connections_max=threads,
                             connect_rate_max=200, connects_max=8, pace_us=500, **TIMES)
        client.go()
        client.await_event("second", 10)
        for number in range(times):
            await_condition(lambda: client.stats()["used"] + client.stats()["idle"] == threads, 10,
                            "all connections open")
            self.dark_and_back(client, f"cancelled-{number}", "dark", threads)
        self.end(client)

    def test_requests_that_wait_for_a_look_at_their_connection(self):
        # The look may take longer than the request has: its descriptor tells at the deadline.
        client = self.client(self.conninfo, load=["2:event:SELECT 1", "1:statement:SELECT 1"],
                             connections_min=6, connections_max=6, pace_us=500,
                             **{**TIMES, "acquire_timeout_ms": 200, "validate_timeout_ms": 3000})
        await_condition(lambda: client.stats()["idle"] == 6, 10, "six idle connections")
        client.go()
        client.await_event("second", 10)
        self.proxy.swallow()
        client.await_event("failure", 20, count=9, step="acquire")
        self.proxy.heal("cut")
        self.recover(client, "looked", client.mark("looked"), 2.0)
        self.end(client)

    def test_a_server_that_accepts_and_says_nothing(self):
        client = self.client(f"host=127.0.0.1 port={self.postgres.port} user=postgres"
                             " dbname=postgres", load=["3:statement:SELECT 1"], connections_max=4,
                             pace_us=500, **TIMES)
        os.kill(self.postgres.process.pid, signal.SIGSTOP)
        try:
            client.go()
            client.await_event("failure", 20, count=9)
            self.assertEqual(set(self.failure_kinds(client)) -
                             {("acquire", "timeout"), ("acquire", "connection")}, set())
        finally:
            os.kill(self.postgres.process.pid, signal.SIGCONT)
        self.recover(client, "continued", client.mark("continued"), 2.0)
        self.end(client)

    def test_a_slow_network_is_no_dead_one(self):
        client = self.client(self.conninfo, load=["4:statement:SELECT 1"], connections_min=4,
                             connections_max=4, acquire_timeout_ms=3000, validate_every_ms=200,
                             statement_timeout_ms=2000)
        self.proxy.delay(0.1)
        client.go()
        client.await_event("second", 10, count=3)
        sums = self.end(client)
        self.assertEqual(sums["failed"], {}, client.failures())


if __name__ == "__main__":
    harness.main()
