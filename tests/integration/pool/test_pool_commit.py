"""The connection is lost between COMMIT and its answer: nobody can know whether it happened, so the
caller is told just that, and nothing is done twice."""

import harness
from harness.faults import FaultCase
from harness.postgres import Postgres
from harness.process import await_condition
from proxy import Proxy

CUTS = 3
INSERT = "INSERT INTO paid VALUES ($1)"


class Commit(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)

    def setUp(self):
        self.postgres.sql("DROP TABLE IF EXISTS paid; CREATE TABLE paid (id text)")
        self.proxy = Proxy(self.postgres.port)
        self.addCleanup(self.proxy.close)

    def run_cut(self, work, step):
        client = self.client(f"host=127.0.0.1 port={self.proxy.port} user=postgres"
                             " dbname=postgres sslmode=disable", load=[f"3:{work}:{INSERT}"],
                             connections_max=3, pace_us=500)
        client.go()
        for number, when in enumerate(("after", "before"), 1):
            self.proxy.cut_commits(when, CUTS)
            await_condition(lambda: self.proxy.cut == CUTS * number, 10, "commits cut")
            self.recover(client, when, client.mark(when), 2.0)
        sums = self.end(client)
        self.assertEqual(sums["failed"], {"commit_unknown": 2 * CUTS}, client.failures())
        self.assertEqual({(one["step"], one["survived"], one["retryable"])
                          for one in client.failures()}, {(step, False, False)})
        return client, sums

    def rows(self):
        return {id: int(count) for id, count in
                self.postgres.sql("SELECT id, count(*) FROM paid GROUP BY id")}

    def assert_once(self, client, sums):
        """Nothing is there twice; of the unknown ones the first are there, and the others not."""
        rows = self.rows()
        self.assertEqual([id for id, count in rows.items() if count > 1], [])
        self.assertEqual(len(rows), sums["ok"] + CUTS)
        unknown = [one["round"] for one in client.failures()]
        self.assertEqual([id in rows for id in unknown], [True] * CUTS + [False] * CUTS)

    def test_commit(self):
        self.assert_once(*self.run_cut("transaction", "commit"))

    def test_work_that_is_tried_again_is_not(self):
        self.assert_once(*self.run_cut("run", "run"))

    def test_the_server_process_dies_at_commit(self):
        # A deferred trigger runs inside COMMIT, and there the whole server crashes.
        self.postgres.sql("""
            CREATE OR REPLACE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER crash AFTER INSERT ON paid DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION crash()""")
        client = self.client(f"host=127.0.0.1 port={self.postgres.port} user=postgres"
                             " dbname=postgres", load=[f"1:run:{INSERT}"], rounds=1)
        client.go()
        await_condition(lambda: self.postgres.value(
            "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'")
            == "1", 10, "a COMMIT under way")
        self.postgres.stop("immediate")
        client.await_event("over", 10)
        self.postgres.start()
        sums = self.end(client)
        self.assertEqual(sums["failed"], {"commit_unknown": 1}, client.failures())
        self.assertEqual(self.rows(), {})


if __name__ == "__main__":
    harness.main()
