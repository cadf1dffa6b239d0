"""The server goes and comes back: the pool recovers by itself, at the rate it may, and hands out no
connection that did not survive.

Under a sanitizer three restarts instead of ten."""

import harness
from harness.faults import FaultCase
from harness.pool_client import SANITIZE
from harness.postgres import Postgres
from harness.process import await_condition

RESTARTS = 3 if SANITIZE else 10
THREADS = 8
CAP = 5


class Restart(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)
        cls.conninfo = f"host=127.0.0.1 port={cls.postgres.port} user=postgres dbname=postgres"

    def test_restarts_under_load(self):
        client = self.client(self.conninfo, load=[f"{THREADS}:statement:SELECT 1"],
                             hooks="before_connect", connections_min=4, connections_max=THREADS,
                             connect_rate_max=CAP, acquire_timeout_ms=10000, pace_us=500)
        client.go()
        client.await_event("second", 10, count=2)
        for number in range(RESTARTS):
            self.postgres.stop("immediate" if number % 2 else "fast")
            mark = f"restart-{number}"
            stopped_ns = client.mark(mark)

            # Down for long enough that the back-off has grown.
            def tried():
                return sum(at_ns > stopped_ns for at_ns in client.attempts()) >= 5
            await_condition(tried, 20, "five attempts while the server is down")
            not_yet_ns = self.postgres.start()
            self.recover(client, mark, not_yet_ns, 2.0)
        client.await_event("second", 10, count=len(client.of("second")) + 2)
        sums = self.end(client)
        self.assert_rate(client, CAP)
        # Who waited was served when the server was there again; only what was under way was lost.
        self.assertEqual(set(sums["failed"]), {"connection"}, self.failure_kinds(client))
        self.assertLessEqual(sums["failed"]["connection"], THREADS * RESTARTS)
        self.assertEqual({one["step"] for one in client.failures()}, {"execute"})
        self.assertFalse(any(one["survived"] for one in client.failures()))

    def test_idle_connections_are_looked_at_after_one_was_lost(self):
        client = self.client(self.conninfo, load=["1:statement:SELECT 1"], connections_min=8,
                             connections_max=8, rounds=200)
        await_condition(lambda: client.stats()["idle"] == 8, 10, "eight idle connections")
        self.postgres.stop("immediate")
        self.postgres.start()
        client.go()
        client.await_event("over", 20)
        stats = client.stats()
        sums = self.end(client)
        # One request found out; what else was dead reached nobody.
        self.assertEqual(sums["failed"], {"connection": 1}, client.failures())
        self.assertEqual(sums["ok"], 199)
        self.assertGreaterEqual(stats["validations_failed"], 1)

    def test_backends_that_are_terminated_one_by_one(self):
        client = self.client(self.conninfo + " application_name=terminated",
                             load=["4:statement:SELECT 1"], connections_max=4, pace_us=500)
        client.go()
        client.await_event("second", 10)
        for number in range(5):
            pids = self.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                     " WHERE application_name = 'terminated'")
            self.assertTrue(pids)
            mark = f"terminated-{number}"
            self.recover(client, mark, client.mark(mark), 2.0)
        sums = self.end(client)
        self.assertLessEqual(set(sums["failed"]), {"connection"}, self.failure_kinds(client))
        self.assertLessEqual(sums["failed"].get("connection", 0), 4 * 5)


if __name__ == "__main__":
    harness.main()
