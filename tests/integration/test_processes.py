"""Processes that fork, end, and close what is not theirs: counts, series and gauges stay right."""

import os
import subprocess
import threading
import time
import unittest

import harness
from harness.agent import Agent
from harness.counts import api_counts, fingerprints, postgres_counts
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import await_condition

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTERS = ("_total", "_count", "_sum", "_bucket")


class Watch(threading.Thread):
    """Scrapes every 100 ms; remembers any counter that went down, and how many series there were."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.agent = agent
        self.fallen = []
        self.ended = threading.Event()
        self.last = {}

    def run(self):
        while not self.ended.wait(0.1):
            try:
                samples = self.agent.metrics()
            except OSError:
                continue
            for name, labels, value in samples:
                if not name.endswith(COUNTERS) or name == "db_client_connection_count":
                    continue
                key = (name, tuple(sorted(labels.items())))
                if value < self.last.get(key, 0):
                    self.fallen.append((key, self.last[key], value))
                self.last[key] = value

    def stop(self):
        self.ended.set()
        self.join()


class Service:
    def __init__(self, postgres, agent, database, script, *arguments):
        self.popen = subprocess.Popen(
            ["/usr/bin/python3", "-B", os.path.join(HERE, "clients", script), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=postgres.env(database, LD_PRELOAD=harness.preload_library(),
                             **agent.client_env("service")))

    def await_done(self):
        line = self.popen.stdout.readline().split()
        if not line or line[0] != "done":
            raise AssertionError(f"the service ended early with {self.popen.wait()}")
        return line

    def end(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        code = self.popen.wait(30)
        if code:
            raise AssertionError(f"the service exited with {code}")


def statement_series(agent):
    return {tuple(sorted(labels.items())) for labels, _ in
            select(agent.metrics(), "db_client_operation_duration_seconds_count")}


class Processes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        probe = subprocess.run(["/usr/bin/python3", "-c", "import psycopg2"], check=False,
                               capture_output=True)
        if probe.returncode:
            raise unittest.SkipTest("python3-psycopg2 is not installed: run tools/setup")
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)

    def equal_counts(self, agent, database):
        expected = postgres_counts(self.postgres, database)
        try:
            await_condition(lambda: api_counts(agent, database) == expected, 10, "equal counts")
        except AssertionError:
            self.assertEqual(api_counts(agent, database), expected)
        self.assertTrue(expected)

    def test_recycled_workers_add_up_in_the_same_series(self):
        with Agent() as agent:
            database = self.postgres.create_database("forking")
            watch = Watch(agent)
            watch.start()
            service = Service(self.postgres, agent, database, "forking_service.py", "8", "8", "20")
            service.await_done()
            self.equal_counts(agent, database)
            agent.metrics()
            before = statement_series(agent)
            service.end()
            service = Service(self.postgres, agent, database, "forking_service.py", "8", "100",
                              "20")
            service.await_done()
            self.equal_counts(agent, database)
            worked, = fingerprints(["SELECT 7::int AS worked"])
            self.assertEqual(api_counts(agent, database)[worked], 8 * 20 + 100 * 20)

            def only_the_parent():
                counts = select(agent.metrics(), "db_client_connection_count")
                return sum(value for _, value in counts) == 1
            await_condition(only_the_parent, 10, "one connection left on the gauges")
            self.assertEqual(statement_series(agent), before)
            service.end()
            await_condition(
                lambda: not sum(value for _, value in
                                select(agent.metrics(), "db_client_connection_count")),
                10, "no connection left on the gauges")
            watch.stop()
            self.assertEqual(watch.fallen, [])
            total = agent.api("ledger")["total"]
            self.assertEqual((total["imbalance"], sum(total["dropped"].values())), (0, 0), total)

    def test_a_program_that_closes_everything_keeps_its_files_and_is_recorded(self):
        with Agent() as agent:
            database = self.postgres.create_database("closing")
            service = Service(self.postgres, agent, database, "closing_service.py", agent.dir)
            service.await_done()
            self.equal_counts(agent, database)
            closing, = fingerprints(["SELECT 7 AS closing"])
            self.assertEqual(api_counts(agent, database)[closing], 100)
            time.sleep(0.5)  # nothing to await: whoever wrote into the files would do it by now
            service.end()
            self.equal_counts(agent, database)


if __name__ == "__main__":
    harness.main()
