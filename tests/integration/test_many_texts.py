"""A million distinct texts do not turn the statements that matter into `other`, and a traceparent in
a comment makes no new text."""

import os
import subprocess
import time
import unittest

import harness
from harness.agent import Agent
from harness.collector import Collector
from harness.process import await_condition

COUNT = 1_000_000 if not os.environ.get("WEIR_SANITIZE") else 50_000
RATE = 40_000 if not os.environ.get("WEIR_SANITIZE") else 10_000
MEMORY_MAX_KB = 24 * 1024


def private_memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    raise AssertionError("no RssAnon")


class Client:
    """The many_texts program; ends when the test does."""

    def __init__(self, agent, mode):
        self.popen = subprocess.Popen(
            [harness.built("tests/many_texts"), mode, str(COUNT), str(RATE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **agent.client_env("many")})

    def await_done(self):
        line = self.popen.stdout.readline()
        if line != "done\n":
            raise AssertionError(f"the client ended early: {line!r}, {self.popen.wait()}")

    def close(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        if self.popen.wait(30):
            raise AssertionError(f"the client exited with {self.popen.returncode}")


class ManyTexts(unittest.TestCase):
    def test_a_newcomer_is_listed_by_its_own_text(self):
        with Agent() as agent:
            client = Client(agent, "tables")
            self.addCleanup(client.close)
            client.await_done()
            done = time.monotonic()

            def newcomer():
                return [row for row in agent.api("statements")
                        if row["text"] == "SELECT name FROM newcomer WHERE id = $1"
                        and row["calls"] == 1000]
            await_condition(newcomer, 10, "the newcomer listed with 1,000 calls")
            seconds = time.monotonic() - done
            print(f"listed after {seconds:.3f} s")
            if not os.environ.get("WEIR_SANITIZE"):
                self.assertLess(seconds, 1.0)
            rows = agent.api("statements")
            self.assertLessEqual(len(rows), 5001)
            self.assertTrue(any(row["fingerprint"] is None or row["text"] == "other"
                                for row in rows), "no row `other`")
            self.assertEqual(sum(row["calls"] for row in rows), COUNT + 1000)
            ledger = agent.api("ledger")["total"]
            self.assertEqual(ledger["imbalance"], 0)
            self.assertEqual(sum(ledger["dropped"].values()), 0, ledger)
            if not os.environ.get("WEIR_SANITIZE"):
                memory = private_memory_kb(agent.process.pid)
                print(f"agent private memory {memory} kB")
                self.assertLessEqual(memory, MEMORY_MAX_KB)

    def test_traceparents_make_one_text_and_right_parents(self):
        with Collector() as collector, Agent(
                "--otlp-endpoint", collector.grpc_endpoint, "--otlp-protocol", "grpc",
                env={"OTEL_BSP_SCHEDULE_DELAY": "200"}) as agent:
            client = Client(agent, "traceparents")
            self.addCleanup(client.close)
            client.await_done()

            def counted():
                rows = agent.api("statements")
                return rows if sum(row["calls"] for row in rows) == COUNT else None
            rows = await_condition(counted, 10, f"{COUNT} calls counted")
            self.assertEqual([row["text"] for row in rows], ["SELECT $1"])
            spans = await_condition(collector.spans, 15, "spans at the Collector")
            for _, span in spans:
                trace, parent = int(span["traceId"], 16), int(span["parentSpanId"], 16)
                self.assertEqual(trace, parent)
                self.assertTrue(1 <= trace <= COUNT, span)
            self.assertEqual(len({span["spanId"] for _, span in spans}), len(spans))
            print(f"{len(spans)} spans, all with the parent of their own comment")


if __name__ == "__main__":
    harness.main()
