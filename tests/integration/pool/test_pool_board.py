"""Which tenant holds, and which one waits for it: what libweir's pools show on the agent's board."""

import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.postgres import Postgres
from harness.process import await_condition

HOG_TRACE = "0af7651916cd43dd8448eb211c80319c"
WAITER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Board(unittest.TestCase):
    def setUp(self):
        self.postgres = Postgres()
        self.addCleanup(self.postgres.close)
        self.agent = Agent()
        self.addCleanup(self.agent.close)

    def await_equal(self, read, expected, what):
        try:
            await_condition(lambda: read() == expected, 10, what)
        except AssertionError:
            self.maxDiff = None
            self.assertEqual(read(), expected)

    def rows(self, what):
        return [row for row in self.agent.api(what) if row["pool"] == "board"]

    def connections(self):
        return sorted((row["backend_pid"], row["call_site"], row["tenant"], row["trace_id"])
                      for row in self.rows("connections") if row["state"] == "held")

    def waiters(self):
        return sorted((row["call_site"], row["tenant"] or "", row["trace_id"] or "")
                      for row in self.rows("waiters") if row["waiting_seconds"] > 0)

    def use(self, key):
        return [row[key] for row in self.rows("pools")]

    def test_tenants_and_traces_are_shown(self):
        with subprocess.Popen([harness.built("tests/pool_board_client")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True,
                              env=self.postgres.env(**self.agent.client_env("shop"))) as client:
            pids = [int(word) for word in client.stdout.readline().split()]
            self.assertEqual(client.stdout.readline(), "held\n")
            self.await_equal(self.connections,
                             sorted([(pids[0], "board.c:first", "hog", HOG_TRACE),
                                     (pids[1], "board.c:second", "hog", None)]), "who holds")
            self.await_equal(self.waiters, [("board.c:wait", "", ""),
                                            ("board.c:wait", "small", WAITER_TRACE)], "who waits")
            self.await_equal(lambda: (self.use("used"), self.use("waiting"), self.use("max")),
                             ([2], [2], [2]), "the pool's use")
            client.stdin.write("\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), "rested\n")
            self.await_equal(self.connections, [], "nobody holding")
            self.await_equal(self.waiters, [], "nobody waiting")
            self.await_equal(lambda: (self.use("used"), self.use("idle")), ([0], [2]), "idle ones")
            client.stdin.write("\n")
            client.stdin.flush()
            self.assertEqual(client.wait(20), 0)


if __name__ == "__main__":
    harness.main()
