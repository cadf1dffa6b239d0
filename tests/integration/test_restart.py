"""The agent comes late, dies, and comes back: programs do not notice, counts stay exact, and no
counter that anybody saw ever went down."""

import http.client
import os
import re
import subprocess
import threading
import time
import unittest

import harness
from harness.agent import Agent
from harness.counts import api_counts, postgres_counts, scrape_counts
from harness.exposition import parse
from harness.postgres import Postgres
from harness.process import await_condition

TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
MEMBER = re.compile(r"_(count|sum|bucket)$")
TRANSACTIONS = 4000
CLIENTS = 4


class Scraper:
    """Scrapes every 100 ms, over the agent's deaths, and compares each counter with what it was."""

    def __init__(self, agent):
        self.agent = agent
        self.seen = {}
        self.scrapes = self.failures = 0
        self.went_down = []
        self.twice = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.done.wait(0.1):
            try:
                body = self.agent.request("/metrics")[2].decode()
            except (OSError, http.client.HTTPException):
                self.failures += 1
                continue
            self.scrapes += 1
            types = dict(TYPE.findall(body))
            here = set()
            for name, labels, value in parse(body):
                kind = types.get(name) or types.get(MEMBER.sub("", name))
                # The agent's own counters begin with the agent, which its instance id says.
                if kind == "gauge" or labels.get("service_name") == "weir-agent":
                    continue
                key = (name, tuple(sorted(labels.items())))
                if key in here:
                    self.twice.append(key)
                here.add(key)
                if value < self.seen.get(key, 0):
                    self.went_down.append((key, self.seen[key], value))
                self.seen[key] = value

    def stop(self):
        self.done.set()
        self.thread.join()


class Restart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.preload = harness.preload_library()

    def prepare(self):
        database = self.postgres.create_database(self.id().rsplit(".", 1)[1][:50])
        subprocess.run([f"{self.postgres.bin}/pgbench", "-i", "-q", database], check=True,
                       capture_output=True, env=self.postgres.env(database))
        self.postgres.reset_statements()
        return database

    def pgbench(self, agent, database, *flags, **more):
        """At a rate, so that a second is enough to kill an agent in."""
        return subprocess.Popen(
            [f"{self.postgres.bin}/pgbench", "-n", "-c", str(CLIENTS),
             *(flags or ("-t", str(TRANSACTIONS // CLIENTS), "-R", "1000")), database],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.postgres.env(database, LD_PRELOAD=self.preload,
                                  **agent.client_env("restarted"), **more))

    def finish(self, popen):
        out, err = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 0, err)
        self.assertIn(f"processed: {TRANSACTIONS}/{TRANSACTIONS}", out)

    def await_equal(self, agent, database):
        expected = postgres_counts(self.postgres, database)
        self.assertGreaterEqual(sum(expected.values()), TRANSACTIONS)
        self.maxDiff = None
        for name, seen in (("api", api_counts), ("scrape", scrape_counts)):
            try:
                await_condition(lambda: seen(agent, database) == expected, 15, f"{name} equal")
            except AssertionError:
                self.assertEqual(seen(agent, database), expected, name)
        total = agent.api("ledger")["total"]
        self.assertEqual((total["imbalance"], sum(total["dropped"].values())), (0, 0), total)

    def test_an_agent_that_comes_after_the_program_began(self):
        with Agent(start=False) as agent:
            database = self.prepare()
            popen = self.pgbench(agent, database)
            await_condition(lambda: self.calls(database) > 500, 20, "the program being under way")
            agent.start()
            self.finish(popen)
            self.await_equal(agent, database)

    def test_killed_halfway_with_a_scraper_watching(self):
        with Agent() as agent:
            database = self.prepare()
            scraper = Scraper(agent)
            self.addCleanup(scraper.stop)
            popen = self.pgbench(agent, database)
            for calls in (3000, 9000, 15000):
                await_condition(lambda: self.calls(database) > calls, 20, f"{calls} calls")
                agent.kill()
                time.sleep(0.5)  # an outage, shorter than what the lanes hold
                agent.start()
            self.finish(popen)
            self.await_equal(agent, database)
            scraper.stop()
            print(f"{scraper.scrapes} scrapes answered, {scraper.failures} during outages")
            self.assertGreater(scraper.scrapes, 5)
            self.assertGreater(scraper.failures, 3)
            self.assertEqual(scraper.went_down[:3], [])
            self.assertEqual(scraper.twice[:3], [])

    def test_texts_are_there_after_a_restart_without_data(self):
        with Agent(data=False) as agent:
            database = self.prepare()
            popen = self.pgbench(agent, database)
            await_condition(lambda: self.calls(database) > 3000, 20, "calls")
            agent.kill()
            agent.start()
            self.finish(popen)

            def texts():
                rows = agent.api("statements")
                return rows and all(row["text"] for row in rows)
            await_condition(texts, 10, "every statement listed with its text")

    def test_an_outage_longer_than_the_lanes(self):
        transactions = 20000
        with Agent() as agent:
            database = self.prepare()
            popen = self.pgbench(agent, database, "-t", str(transactions // CLIENTS), "-R", "2500",
                                 WEIR_SEGMENT_SIZE="512KiB")
            await_condition(lambda: self.calls(database) > 1000, 20, "calls")
            agent.kill()
            await_condition(lambda: self.calls(database) > 40000, 30, "more than lanes hold")
            agent.start()  # the program lives on for longer than the shim waits between attempts
            out, err = popen.communicate(timeout=60)
            self.assertEqual(popen.returncode, 0, err)
            self.assertIn(f"processed: {transactions}/{transactions}", out)
            expected = sum(postgres_counts(self.postgres, database).values())

            def ended():
                processes = agent.api("ledger")["processes"]
                return processes and not any(process["alive"] for process in processes)
            await_condition(ended, 15, "the program's end read")
            total = agent.api("ledger")["total"]
            dropped = total["dropped"]
            counted = sum(api_counts(agent, database).values())
            print(f"{expected} calls, {counted} counted, {dropped['lanes_full']} events dropped")
            self.assertEqual(total["imbalance"], 0, total)
            self.assertGreater(dropped["lanes_full"], 0)
            self.assertEqual(sum(dropped.values()), dropped["lanes_full"] + dropped["lanes_busy"])
            # Everything but statements: of each transaction its end and its hold's, of each
            # connection four.
            others = 2 * transactions + 4 * (CLIENTS + 1)
            self.assertLessEqual(expected - counted, sum(dropped.values()))
            self.assertGreaterEqual(expected - counted, sum(dropped.values()) - others)
            self.assertEqual(total["recorded"], total["exported"] + total["buffered"]
                             + sum(dropped.values()))

    def test_an_idle_agent_writes_nothing(self):
        with Agent() as agent:
            database = self.prepare()
            self.finish(self.pgbench(agent, database))
            self.await_equal(agent, database)
            # Saved five seconds after the last event; from then on nothing.
            await_condition(lambda: self.written(agent) == (time.sleep(6), self.written(agent))[1],
                            30, "the last checkpoint written")
            agent.metrics()  # which saves that the last one arrived
            before = self.written(agent)
            for _ in range(10):
                agent.metrics()
                time.sleep(0.1)
            self.assertEqual(self.written(agent), before)

    @staticmethod
    def written(agent):
        """When and how long each of its files was last changed."""
        return {name: (os.stat(os.path.join(agent.data, name)).st_mtime_ns,
                       os.stat(os.path.join(agent.data, name)).st_size)
                for name in sorted(os.listdir(agent.data))}

    def calls(self, database):
        return sum(row[1] for row in self.postgres.statements(database))


if __name__ == "__main__":
    harness.main()
