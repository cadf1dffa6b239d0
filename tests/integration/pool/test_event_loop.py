"""The example for event loops: many statements in flight in one thread, and nothing blocks it."""

import json
import signal
import subprocess
import unittest

import harness
from harness import built
from harness.agent import Agent
from harness.counts import fingerprints
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import await_condition


class EventLoop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = built("bin/examples/weir-event-loop")
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)

    def begin(self, *arguments, env=None):
        environment = self.postgres.env("postgres", WEIR_SOCKET=f"{self.postgres.dir}/no-agent")
        environment.update(env or {})
        return subprocess.Popen([self.program, *arguments], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, popen, code):
        out, error = popen.communicate(timeout=120)
        self.assertEqual(popen.returncode, code, error)
        self.assertNotIn("Sanitizer", error)
        return json.loads(out), error

    def running(self, statement):
        return int(self.postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <>"
            f" pg_backend_pid() AND query = '{statement}'")[0][0])

    def test_many_in_flight_on_few_connections(self):
        statement = "SELECT pg_sleep(0.005)"
        with Agent() as agent:
            popen = self.begin("--requests", "2000", "--in-flight", "50", "--connections", "5",
                               "--statement", statement, env=agent.client_env("loop"))
            seen, _ = self.end(popen, 0)
            self.assertEqual((seen["succeeded"], seen["failed"], seen["in_flight_peak"]),
                             (2000, 0, 50))
            # Five at a time: neither one after the other nor more than there are connections.
            self.assertGreaterEqual(seen["seconds"], 2.0)
            wanted, = fingerprints([statement])
            await_condition(lambda: [row["calls"] for row in agent.api("statements")
                                     if row["fingerprint"] == wanted] == [2000],
                            10, "each statement being counted")
            waits = select(agent.metrics(), "db_client_connection_wait_time_seconds_count",
                           db_client_connection_pool_name="event-loop")
            self.assertEqual(sum(value for _, value in waits), 2000)

    def test_the_loop_goes_on_while_statements_run(self):
        popen = self.begin("--requests", "8", "--in-flight", "8", "--connections", "4",
                           "--statement", "SELECT pg_sleep(1.5)")
        seen, _ = self.end(popen, 0)
        self.assertEqual(seen["succeeded"], 8)
        self.assertLess(seen["loop_latest_ms"], 750)

    def test_a_deadline_cancels_on_the_server(self):
        statement = "SELECT pg_sleep(100)"
        popen = self.begin("--requests", "12", "--in-flight", "6", "--connections", "3",
                           "--statement", statement, "--statement-timeout-ms", "300")
        seen, error = self.end(popen, 1)
        self.assertEqual((seen["succeeded"], seen["failed"]), (0, 12))
        self.assertIn("300 ms", error)
        self.assertLess(seen["seconds"], 20)
        await_condition(lambda: self.running(statement) == 0, 10, "no statement left")

    def test_an_acquire_has_its_own_deadline(self):
        popen = self.begin("--requests", "10", "--in-flight", "10", "--connections", "1",
                           "--statement", "SELECT pg_sleep(1)", "--acquire-timeout-ms", "400")
        seen, error = self.end(popen, 1)
        self.assertEqual((seen["succeeded"], seen["failed"]), (1, 9))
        self.assertIn("no connection within 400 ms", error)

    def test_an_interrupt_gives_up_what_is_under_way(self):
        statement = "SELECT pg_sleep(200)"
        popen = self.begin("--requests", "1000", "--in-flight", "20", "--connections", "4",
                           "--statement", statement, "--statement-timeout-ms", "300000",
                           "--acquire-timeout-ms", "300000")
        await_condition(lambda: self.running(statement) == 4, 20, "four statements running")
        popen.send_signal(signal.SIGINT)
        seen, error = self.end(popen, 1)
        self.assertEqual((seen["succeeded"], seen["failed"]), (0, 20))
        self.assertIn("given up", error)
        await_condition(lambda: self.running(statement) == 0, 10, "no statement left")

    def test_statements_that_fail_are_told(self):
        seen, error = self.end(self.begin("--requests", "5", "--statement", "SELECT 1/0"), 1)
        self.assertEqual((seen["succeeded"], seen["failed"]), (0, 5))
        self.assertIn("division by zero", error)
        seen, error = self.end(self.begin("--requests", "5", "--conninfo", "port=1",
                                          "--acquire-timeout-ms", "300"), 1)
        self.assertEqual((seen["succeeded"], seen["failed"]), (0, 5))
        self.assertIn("refused", error)

    def test_arguments(self):
        ran = subprocess.run([self.program, "--help"], check=True, capture_output=True, text=True)
        self.assertIn("--in-flight", ran.stdout)
        for arguments in (["--requests", "0"], ["--in-flight", "x"], ["--connections", "9999"],
                          ["--nothing"], ["more"], ["--statement"]):
            ran = subprocess.run([self.program, *arguments], check=False, capture_output=True,
                                 text=True)
            self.assertEqual((ran.returncode, ran.stdout), (2, ""), arguments)
            self.assertIn(arguments[0].lstrip("-"), ran.stderr)


if __name__ == "__main__":
    harness.main()
