"""The service's own hooks fail, or hang: who waits is told in time, what hangs holds up nobody else
for longer than its deadline, and the pool recovers by itself."""

import harness
from harness.faults import FaultCase
from harness.postgres import Postgres
from harness.process import await_condition

ACQUIRE_MS = 500
CONNECT_MS = 400


class Hooks(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)
        cls.conninfo = f"host=127.0.0.1 port={cls.postgres.port} user=postgres dbname=postgres"

    def loaded(self, hook):
        hooks = hook if hook == "before_connect" else f"before_connect,{hook}"
        client = self.client(self.conninfo, hooks=hooks, load=["3:statement:SELECT 1"],
                             connections_max=3, acquire_timeout_ms=ACQUIRE_MS,
                             connect_timeout_ms=CONNECT_MS, reset_timeout_ms=300,
                             validate_timeout_ms=200, backoff_max_ms=400, pace_us=2000)
        client.go()
        self.recover(client, "warm", client.mark("warm"), 2.0)
        return client

    def fails(self, client, hook):
        """Each call of the hook fails, and then none."""
        before = len(client.failures())
        client.hook(f"{hook} fail")
        client.ask("evict", "evicted")
        client.await_event("failure", 10, count=before + 6)
        failures = client.failures()[before:]
        self.assertEqual({(one["step"], one["category"]) for one in failures},
                         {("acquire", "hook")}, failures[:2])
        self.assertIn(hook, failures[0]["message"])
        client.hook(f"{hook} work")
        self.recover(client, f"{hook}-failed", client.mark(f"{hook}-failed"), 1.0)
        return failures

    def hangs(self, client, hook, calls):
        """So many calls hang and do not come back before the pool has recovered without them."""
        before = len(client.of("hook", hook=hook, mode=2))
        client.hook(f"{hook} hang {calls}")
        client.ask("evict", "evicted")
        client.await_event("hook", 20, count=before + calls, hook=hook, mode=2)
        self.recover(client, f"{hook}-hangs", client.mark(f"{hook}-hangs"),
                     (ACQUIRE_MS + CONNECT_MS) / 1000 + 0.5)
        client.hook(f"{hook} work")
        self.recover(client, f"{hook}-back", client.mark(f"{hook}-back"), 1.0)

    def test_before_connect(self):
        client = self.loaded("before_connect")
        failures = self.fails(client, "before_connect")
        # Nothing can be handed out, so they wait for another attempt: by their deadlines.
        self.assertTrue(all(one["took_ms"] >= ACQUIRE_MS for one in failures))
        self.hangs(client, "before_connect", 4)
        self.end(client)
        self.assert_rate(client, 20)
        self.assertLessEqual(set(self.failure_kinds(client)),
                             {("acquire", "hook"), ("acquire", "connection"),
                              ("acquire", "timeout")})

    def test_after_connect(self):
        client = self.loaded("after_connect")
        self.fails(client, "after_connect")
        self.hangs(client, "after_connect", 4)
        self.end(client)
        self.assert_rate(client, 20)

    def test_before_acquire(self):
        client = self.loaded("before_acquire")
        failures = self.fails(client, "before_acquire")
        # Told at once, not at the deadline.
        self.assertTrue(any(one["took_ms"] < ACQUIRE_MS / 2 for one in failures))
        self.hangs(client, "before_acquire", 4)
        sums = self.end(client)
        self.assertLessEqual(set(sums["failed"]), {"hook", "timeout"}, self.failure_kinds(client))

    def test_after_release(self):
        client = self.loaded("after_release")
        closed = client.stats()["closed"]
        client.hook("after_release fail")
        # Nobody is told: the connection is closed, and there are others.
        await_condition(lambda: client.stats()["closed"] > closed + 10, 20, "closed connections")
        client.hook("after_release work")
        self.hangs(client, "after_release", 4)
        sums = self.end(client)
        self.assertLessEqual(set(sums["failed"]), {"timeout"}, self.failure_kinds(client))

    def test_every_call_hangs_for_a_while(self):
        for hook in ("before_connect", "before_acquire", "after_release"):
            client = self.loaded(hook)
            before = len(client.failures())
            client.hook(f"{hook} hang")
            client.ask("evict", "evicted")
            client.await_event("failure", 20, count=before + 6)
            client.hook(f"{hook} work")
            mark = f"{hook}-all-hung"
            self.recover(client, mark, client.mark(mark), 1.5)
            self.end(client)


if __name__ == "__main__":
    harness.main()
