"""TLS that cannot be: a certificate of the wrong authority or for another host, a server without
TLS. The request is told why, in time, there is no storm, and what is put right is found."""

import os

import harness
from harness.certificate import Authority
from harness.faults import FaultCase
from harness.postgres import Postgres

HOST = "database.test"


class Tls(FaultCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)
        account = cls.postgres._as_user
        owner = (account["user"], account["group"]) if account else None
        cls.authority = Authority(os.path.join(cls.postgres.dir, "authority"))
        cls.other = Authority(os.path.join(cls.postgres.dir, "other"))
        certificate, key = cls.authority.certify(HOST, "127.0.0.1", owner)
        for name, value in (("ssl_cert_file", certificate), ("ssl_key_file", key)):
            cls.postgres.sql(f"ALTER SYSTEM SET {name} = '{value}'")

    def turn(self, state):
        self.postgres.sql(f"ALTER SYSTEM SET ssl = {state}")
        self.postgres.reload()

    def conninfo(self, host=HOST, root=None, mode="verify-full"):
        return (f"host={host} hostaddr=127.0.0.1 port={self.postgres.port} user=postgres"
                f" dbname=postgres sslmode={mode} sslrootcert={root or self.authority.root}")

    def refused(self, conninfo, reason, **arguments):
        """Returns a client that gets no connection, for that reason."""
        client = self.client(conninfo, load=["4:statement:SELECT 1"], connections_max=4,
                             acquire_timeout_ms=600, pace_us=10000, **arguments)
        client.go()
        client.await_event("failure", 10, count=12)
        self.assertEqual({(one["step"], one["category"]) for one in client.failures()},
                         {("acquire", "connection")}, client.failures()[:2])
        for failure in client.failures():
            self.assertIn(reason, failure["message"])
        return client

    def assert_told_at_once(self, client):
        """It would fail the same way again: nobody waits for that, and it is seldom tried."""
        client.await_event("second", 10, count=4)
        times = sorted(one["took_ms"] for one in client.failures())
        self.assertLess(times[len(times) // 2], 10, times)
        # In four seconds: 0.5 s at least after the first attempt, then 1, 2 and 4 s.
        self.assertLessEqual(client.stats()["connect_failures"], 5)

    def test_right(self):
        self.turn("on")
        client = self.client(self.conninfo(), load=["2:statement:SELECT 1"], rounds=20)
        client.go()
        client.await_event("over", 10)
        self.assertEqual(self.end(client)["failed"], {})

    def test_a_certificate_of_another_authority(self):
        self.turn("on")
        client = self.refused(self.conninfo(root=self.other.root), "certificate verify failed")
        self.assert_told_at_once(client)
        self.end(client)

    def test_a_certificate_for_another_host(self):
        self.turn("on")
        client = self.refused(self.conninfo(host="elsewhere.test"), "does not match host name")
        self.assert_told_at_once(client)
        self.end(client)

    def test_a_server_without_tls_that_learns_it(self):
        # With a hook the next attempt may go elsewhere: requests wait for it, up to their deadlines.
        self.turn("off")
        client = self.refused(self.conninfo(), "does not support SSL", hooks="before_connect")
        # Three deadlines of 600 ms have passed: 50 ms at least, then 100, 200, 400, 500 …
        self.assertLessEqual(len(client.attempts()), 10)
        self.turn("on")
        self.recover(client, "tls", client.mark("tls"), 2.0)
        self.end(client)


if __name__ == "__main__":
    harness.main()
