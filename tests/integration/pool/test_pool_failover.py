"""The primary is lost and the standby promoted: with both in the conninfo the service writes again by
itself, and nothing that it was told is written lies anywhere else."""

import os

import harness
from harness.faults import FaultCase
from harness.postgres import Postgres
from harness.process import await_condition
from proxy import Proxy

SYNCHRONOUS = {"synchronous_standby_names": "*", "synchronous_commit": "remote_apply"}


class Failover(FaultCase):
    def servers(self):
        primary = Postgres(extension=False)
        self.addCleanup(primary.close)
        primary.sql("CREATE TABLE written (id text)")
        standby = Postgres(source=primary)
        self.addCleanup(standby.close)
        # What is answered is on both: then rows can be compared with answers, one by one.
        for name, value in SYNCHRONOUS.items():
            primary.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        primary.reload()
        await_condition(lambda: primary.value("SELECT sync_state FROM pg_stat_replication")
                        == "sync", 10, "synchronous replication")
        return primary, standby

    def conninfo(self, *ports):
        hosts = ",".join("127.0.0.1" for _ in ports)
        return (f"host={hosts} port={','.join(map(str, ports))} user=postgres dbname=postgres"
                " target_session_attrs=read-write sslmode=disable")

    def assert_written(self, server, sums):
        """Each round that was told to have succeeded is there; one that failed may be."""
        rows = int(server.value("SELECT count(*) FROM written"))
        distinct = int(server.value("SELECT count(DISTINCT id) FROM written"))
        failed = sum(sums["failed"].values())
        print(f"{rows} rows, {sums['ok']} rounds succeeded, {failed} failed")
        self.assertEqual(rows, distinct)
        self.assertGreaterEqual(rows, sums["ok"])
        self.assertLessEqual(rows, sums["ok"] + failed)

    def test_the_primary_crashes_under_load(self):
        primary, standby = self.servers()
        client = self.client(self.conninfo(primary.port, standby.port),
                             load=["4:statement:INSERT INTO written VALUES ($1)"],
                             connections_min=6, connections_max=6, acquire_timeout_ms=10000,
                             pace_us=500)
        client.go()
        client.await_event("second", 10, count=2)
        primary.stop("immediate")
        asked_ns = client.mark("promoted")
        self.assertEqual(standby.value("SELECT pg_promote()"), "t")
        self.recover(client, "promoted", asked_ns, 2.5)
        # The old one comes back as a standby would: reachable, but not to be written to.
        open(os.path.join(primary.data, "standby.signal"), "w", encoding="utf-8").close()
        primary.start()
        self.assertEqual(primary.value("SELECT pg_is_in_recovery()"), "t")
        client.ask("evict", "evicted")
        self.recover(client, "returned", client.mark("returned"), 2.0)
        sums = self.end(client)
        self.assertLessEqual(set(sums["failed"]), {"connection"}, self.failure_kinds(client))
        self.assertLessEqual(sum(sums["failed"].values()), 4)
        self.assert_written(standby, sums)

    def test_idle_connections_of_the_old_primary_reach_nobody(self):
        primary, standby = self.servers()
        client = self.client(self.conninfo(primary.port, standby.port),
                             load=["1:statement:INSERT INTO written VALUES ($1)"],
                             connections_min=6, connections_max=6, rounds=100)
        await_condition(lambda: client.stats()["idle"] == 6, 10, "six idle connections")
        # A switchover: the primary is restarted as a standby, the other one promoted.
        primary.stop("fast")
        self.assertEqual(standby.value("SELECT pg_promote()"), "t")
        open(os.path.join(primary.data, "standby.signal"), "w", encoding="utf-8").close()
        primary.start()
        client.go()
        client.await_event("over", 20)
        sums = self.end(client)
        self.assertEqual((sums["ok"], sums["failed"]), (99, {"connection": 1}), client.failures())
        self.assert_written(standby, sums)

    def test_the_primary_is_out_of_reach(self):
        primary, standby = self.servers()
        proxy = Proxy(primary.port)
        self.addCleanup(proxy.close)
        client = self.client(self.conninfo(proxy.port, standby.port),
                             load=["4:statement:INSERT INTO written VALUES ($1)"],
                             connections_min=6, connections_max=6, acquire_timeout_ms=10000,
                             connect_timeout_ms=1000, validate_timeout_ms=300, statement_ms=400,
                             pace_us=500)
        client.go()
        client.await_event("second", 10, count=2)
        proxy.swallow()
        asked_ns = client.mark("promoted")
        self.assertEqual(standby.value("SELECT pg_promote()"), "t")
        # Statement, look at the others, half of an attempt on the host that says nothing, back-off.
        self.recover(client, "promoted", asked_ns, 3.5)
        sums = self.end(client)
        self.assertLessEqual(sum(sums["failed"].values()), 4, self.failure_kinds(client))
        self.assertLessEqual(set(self.failure_kinds(client)), {("execute", "timeout")})
        self.assert_written(standby, sums)


if __name__ == "__main__":
    harness.main()
