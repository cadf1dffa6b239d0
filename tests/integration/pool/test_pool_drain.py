"""Draining under load: what can finish before the deadline does, the report names the rest, and the
server has no connection of the service left."""

import harness
from harness.faults import FaultCase
from harness.pool_client import LATE_MS
from harness.postgres import Postgres
from harness.process import await_condition
from proxy import Proxy

NAME = "drained"
ACTIVE = ("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND application_name ="
          f" '{NAME}' AND query LIKE '%s'")


class Drain(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)

    def conninfo(self, port=None):
        return (f"host=127.0.0.1 port={port or self.postgres.port} user=postgres dbname=postgres"
                f" sslmode=disable application_name={NAME}")

    def active(self, like):
        return {int(row[0]) for row in self.postgres.sql(ACTIVE % like)}

    def assert_nothing_left(self):
        await_condition(lambda: self.postgres.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
            f" '{NAME}'") == "0", 2, "no connection left on the server")

    def drain(self, client, timeout_ms):
        drained = client.ask(f"drain {timeout_ms}", "drained")
        took_ms = (drained["at_ns"] - drained["begin_ns"]) / 1e6
        print(f"drained in {took_ms:.0f} of {timeout_ms} ms: {drained['result']},"
              f" {len(drained['cuts'])} cut")
        self.assertLessEqual(took_ms, timeout_ms + LATE_MS)
        return drained

    def test_what_can_finish_does_and_the_rest_is_named(self):
        client = self.client(self.conninfo(), connections_max=8, acquire_timeout_ms=20000,
                             load=["4:statement:SELECT pg_sleep(0.3)",
                                   "2:statement:SELECT pg_sleep(1.6)",
                                   "2:statement:SELECT pg_sleep(60)",
                                   "3:statement:SELECT 1"])
        client.go()
        await_condition(lambda: len(self.active("SELECT pg_sleep(60)%")) == 2 and
                        len(self.active("SELECT pg_sleep(1.6)%")) == 2, 10, "all under way")
        # So that the drain begins in the first half second of a slow one.
        began = self.postgres.value("SELECT max(extract(epoch FROM query_start))"
                                    " FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(1.6)%'")
        await_condition(lambda: self.postgres.value(
            f"SELECT bool_and(extract(epoch FROM query_start) > {began} AND now() - query_start"
            " < interval '0.5 s') FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(1.6)%'"
            " AND state = 'active'") == "t", 20, "slow ones that have just begun")
        endless = self.active("SELECT pg_sleep(60)%")
        drained = self.drain(client, 2500)
        client.await_event("over", 5)
        self.assert_nothing_left()
        sums = self.end(client)
        self.assertEqual(drained["result"], "timeout")
        self.assertEqual({cut["backend_pid"] for cut in drained["cuts"]}, endless)
        for cut in drained["cuts"]:
            self.assertEqual((cut["pool"], cut["statement"], cut["was_executing"]),
                             ("client", "SELECT pg_sleep($1)", True))
            self.assertTrue(cut["call_site"])
            self.assertGreater(cut["held_ns"], 1e9)
        # Everything else finished: only the two were cut, and who waited was told to go.
        kinds = self.failure_kinds(client)
        print(kinds)
        self.assertEqual(sum(count for (step, _), count in kinds.items() if step == "execute"), 2)
        self.assertEqual({step for step, _ in kinds}, {"execute", "acquire"})
        self.assertEqual({category for step, category in kinds if step == "acquire"}, {"draining"})
        self.assertTrue(sums["ok"])

    def test_who_can_finish_is_not_kept_waiting(self):
        client = self.client(self.conninfo(), connections_max=6,
                             load=["4:transaction:SELECT pg_sleep(0.05)",
                                   "4:statement:SELECT pg_sleep(0.2)"])
        client.go()
        client.await_event("second", 10)
        drained = self.drain(client, 10000)
        client.await_event("over", 5)
        self.assert_nothing_left()
        self.end(client)
        self.assertEqual((drained["result"], drained["cuts"]), ("ok", []))
        self.assertLess(drained["at_ns"] - drained["begin_ns"], 2e9)
        self.assertEqual(set(self.failure_kinds(client)), {("acquire", "draining")})

    def test_the_deadline_holds_while_hooks_hang(self):
        for hook in ("after_release", "before_acquire", "before_connect"):
            client = self.client(self.conninfo(), connections_max=2, hooks=hook,
                                 acquire_timeout_ms=20000,
                                 load=["3:statement:SELECT pg_sleep(0.01)"])
            client.hook(f"{hook} hang")
            client.go()
            client.await_event("hook", 10, hook=hook)
            self.drain(client, 600)
            client.await_event("over", 1)  # who waited was told at once, whatever hangs
            self.end(client)
            self.assertEqual({one["category"] for one in client.failures()}, {"draining"})
            self.assert_nothing_left()

    def test_the_deadline_holds_without_a_network(self):
        proxy = Proxy(self.postgres.port)
        self.addCleanup(proxy.close)
        client = self.client(self.conninfo(proxy.port), connections_max=4,
                             load=["4:statement:SELECT pg_sleep(0.01)"])
        client.go()
        client.await_event("second", 10)
        proxy.swallow()
        await_condition(lambda: client.stats()["used"] == 4, 5, "all held")
        drained = self.drain(client, 1000)
        self.assertEqual(len(drained["cuts"]), 4)
        client.await_event("over", 5)
        proxy.heal("cut")
        self.assert_nothing_left()
        self.end(client)


if __name__ == "__main__":
    harness.main()
