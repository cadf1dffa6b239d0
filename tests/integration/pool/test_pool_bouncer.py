"""PgBouncer in between, in transaction mode: work goes through, deadlines hold, and the pool recovers
from the loss of the server behind it and of PgBouncer itself."""

import harness
from harness.bouncer import Bouncer
from harness.faults import FaultCase
from harness.postgres import Postgres
from harness.process import await_condition


class PgBouncer(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)
        cls.bouncer = Bouncer(cls.postgres, size=3)
        cls.addClassCleanup(cls.bouncer.close)
        cls.postgres.sql("CREATE TABLE paid (id text)")
        cls.conninfo = (f"host=127.0.0.1 port={cls.bouncer.port} user=postgres dbname=postgres"
                        " sslmode=disable")

    def loaded(self):
        client = self.client(self.conninfo, load=["3:statement:SELECT 1",
                                                  "3:transaction:INSERT INTO paid VALUES ($1)"],
                             connections_min=2, connections_max=6, prepared_max=0,
                             acquire_timeout_ms=10000, pace_us=500)
        client.go()
        self.recover(client, "warm", client.mark("warm"), 2.0)
        return client

    def test_more_connections_than_the_server_sees(self):
        self.postgres.sql("TRUNCATE paid")
        client = self.loaded()
        client.await_event("second", 10, count=3)
        self.assertGreaterEqual(client.stats()["connected"], 4)
        seen = int(self.postgres.value("SELECT count(*) FROM pg_stat_activity"
                                       " WHERE backend_type = 'client backend'"))
        self.assertLessEqual(seen, 3 + 1)
        sums = self.end(client)
        self.assertEqual(sums["failed"], {}, client.failures())
        rows = int(self.postgres.value("SELECT count(DISTINCT id) FROM paid"))
        self.assertGreater(rows, 100)

    def test_the_server_behind_it_restarts(self):
        client = self.loaded()
        for mode in ("fast", "immediate"):
            self.postgres.stop(mode)
            client.mark(mode)
            not_yet_ns = self.postgres.start()
            self.recover(client, mode, not_yet_ns, 2.0)
        self.end(client)
        print(self.failure_kinds(client))

    def test_it_is_killed_and_comes_back(self):
        client = self.loaded()
        for number in range(3):
            self.bouncer.kill()
            mark = f"killed-{number}"
            killed_ns = client.mark(mark)
            self.bouncer.start()
            self.recover(client, mark, killed_ns, 2.5)
        sums = self.end(client)
        self.assertLessEqual(set(sums["failed"]), {"connection", "commit_unknown"},
                             self.failure_kinds(client))
        self.assertLessEqual(sum(sums["failed"].values()), 6 * 3)

    def test_a_statement_is_cancelled_through_it(self):
        client = self.client(self.conninfo, load=["2:statement:SELECT pg_sleep(20)"],
                             statement_ms=300, connections_max=2, prepared_max=0, rounds=4)
        client.go()
        client.await_event("over", 20)
        await_condition(lambda: self.postgres.value(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%'"
            " AND state = 'active'") == "0", 5, "nothing executing any more")
        sums = self.end(client)
        self.assertEqual(sums["failed"], {"timeout": 8}, client.failures())


if __name__ == "__main__":
    harness.main()
