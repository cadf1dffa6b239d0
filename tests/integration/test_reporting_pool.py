"""A pool that reports itself, alone, under the preload, and with the preload's functions in it: every
statement and connection is counted once, whoever else stands by; and what the agent says of such a pool."""

import os
import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.counts import api_counts_by_shape, by_shape, postgres_counts_by_shape
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import await_condition

PREFIX = "db_client_connection_"
TRACE = "0af7651916cd43dd8448eb211c80319c"
# What the program runs on each of its two connections that report nothing.
PLAIN = ["SELECT count(*) FROM pg_proc", "SELECT count(*) FROM pg_type",
         "SELECT count(*) FROM pg_index"]
ACQUIRES = 4  # two in use_own(), two in use_all()


class ReportingPool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.agent = Agent()
        cls.addClassCleanup(cls.agent.close)

    def await_equal(self, read, expected, what):
        try:
            await_condition(lambda: read() == expected, 8, what)
        except AssertionError:
            self.maxDiff = None
            self.assertEqual(read(), expected)

    def rows(self, what, service):
        return [row for row in self.agent.api(what) if row["service"] == service]

    def metric(self, service, name, pool="reporting", **labels):
        """The sum over one service's series of the pool, or None without any."""
        values = [value for found, value in
                  select(self.agent.metrics(), PREFIX + name, **labels,
                         db_client_connection_pool_name=pool)
                  if found.get("job", found.get("service_name", service)) == service]
        return sum(values) if values else None

    def while_held(self, service):
        def pools():
            return [{key: row[key] for key in ("used", "idle", "waiting", "connecting", "max", "min",
                                               "timeouts")}
                    for row in self.rows("pools", service) if row["pool"] == "reporting"]
        self.await_equal(pools, [{"used": 2, "idle": 0, "waiting": 1, "connecting": 0, "max": 5,
                                  "min": 1, "timeouts": 0}], "the pool's gauges")
        self.await_equal(lambda: [(row["pool"], row["call_site"], row["tenant"],
                                   row["waiting_seconds"] > 0)
                                  for row in self.rows("waiters", service)],
                         [("reporting", "still waiting", "tenant-that-waits", True)], "the waiter")
        self.await_equal(lambda: sorted(
            (row["call_site"], row["state"], row["tenant"], row["trace_id"])
            for row in self.rows("connections", service) if row["pool"] == "reporting"),
                         [("held after a wait", "held", None, None),
                          ("held at once", "held", "tenant-of-acquire", TRACE)], "who holds what")
        self.await_equal(lambda: self.metric(service, "pending_requests"), 1, "the waiter")
        self.await_equal(lambda: self.metric(service, "count", db_client_connection_state="used"), 2,
                         "connections in use")

    def at_rest(self, service):
        metrics = {
            "wait_time_seconds_count": ACQUIRES,
            "use_time_seconds_count": ACQUIRES,
            "create_time_seconds_count": 3,  # one of them was reset
            "timeouts_total": 1,
            "pending_requests": 0,
            "max": 5,
            "idle_max": 4,
            "idle_min": 2,
        }
        self.await_equal(lambda: {name: self.metric(service, name) for name in metrics}, metrics,
                         "the pool's metrics")
        for state, count in (("used", 0), ("idle", 2)):
            self.await_equal(lambda state=state: self.metric(
                service, "count", db_client_connection_state=state), count, f"{state} connections")
        self.assertEqual([row["state"] for row in self.rows("connections", service)
                          if row["pool"] == "reporting"], ["idle", "idle"])

    def observe(self, program, has_preload, **env):
        service = self.id().rsplit(".", 1)[1]
        database = self.postgres.create_database(service)
        self.postgres.reset_statements()
        with subprocess.Popen([harness.built(f"tests/{program}")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True,
                              env=self.postgres.env(database, **env,
                                                    **self.agent.client_env(service))) as ran:
            self.assertEqual(ran.stdout.readline(), "held\n")
            self.while_held(service)
            ran.stdin.write("\n")
            ran.stdin.flush()
            self.assertEqual(ran.stdout.readline(), "rested\n")
            self.at_rest(service)
            stand_in = f"127.0.0.1:{self.postgres.port}/{database}"
            self.assertEqual(self.metric(service, "create_time_seconds_count", stand_in),
                             2 if has_preload else None)
            self.assertEqual(self.metric(service, "wait_time_seconds_count", stand_in), None)
            out, _ = ran.communicate("\n", timeout=30)
            self.assertEqual((ran.returncode, out), (0, "closed\n"))
        expected = postgres_counts_by_shape(self.postgres, database)
        if not has_preload:  # then nobody sees what is plain
            for fingerprint, calls in by_shape((text, 2) for text in PLAIN).items():
                expected[fingerprint] -= calls
            expected = {fingerprint: calls for fingerprint, calls in expected.items() if calls}
        self.await_equal(lambda: api_counts_by_shape(self.agent, database), expected, "equal counts")
        ledger = self.agent.api("ledger")
        self.assertEqual(ledger["total"]["imbalance"], 0)
        self.assertEqual({row["pid"] for row in ledger["processes"] if row["service"] == service},
                         {ran.pid})  # one segment, hence one copy of the probe

    def test_alone(self):
        self.observe("reporting_pool", False)

    def test_linked_with_the_preloads_functions(self):
        self.observe("reporting_pool_linked", True)

    def under_the_preload(self, program):
        if os.environ.get("WEIR_SANITIZE"):
            self.skipTest("the sanitizer's runtime wants to be loaded first")
        self.observe(program, True, LD_PRELOAD=harness.preload_library())

    def test_under_the_preload(self):
        self.under_the_preload("reporting_pool")

    def test_under_the_preload_with_a_probe_that_was_there_first(self):
        self.under_the_preload("reporting_pool_shown")


if __name__ == "__main__":
    harness.main()
