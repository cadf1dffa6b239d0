"""The example shop: what it serves, what Weir sees of it, and that it changes and leaves well."""

import os
import re
import signal
import socket
import subprocess
import threading
import unittest

import harness
from harness import built
from harness.agent import Agent
from harness.counts import fingerprints
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import await_condition
from harness.shop import Load, Shop, create_database

CONFIG = """\
service_name: shop
pools:
  - name: shop
    conninfo: dbname=shop user=shop_app
    connections_max: {max}
    connections_min: 1
    acquire_timeout: {timeout}
    leak_after: 500ms
    lifetime: {lifetime}
    validate_every: 500ms
  - name: reports
    conninfo: dbname=shop user=shop_reports
    connections_max: 1
    lifetime: {lifetime}
"""
SHOW_SQL = "SELECT sku, title, price, stock FROM product WHERE sku = $1"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def config(maximum=2, timeout="20s", lifetime="30m"):
    return CONFIG.format(max=maximum, timeout=timeout, lifetime=lifetime)


class Background(threading.Thread):
    """A request of its own thread."""

    def __init__(self, shop, *request):
        super().__init__(daemon=True)
        self.shop, self.asked, self.answer = shop, request, None
        self.start()

    def run(self):
        self.answer = self.shop.request(*self.asked)

    def wait(self):
        self.join(60)
        return self.answer


class ShopTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        built("bin/examples/shop")
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        create_database(cls.postgres)

    def connections(self):
        return int(self.postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'shop%'")[0][0])


class Requests(ShopTest):
    """On the example's own file."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shop = Shop(cls.postgres, "--drain-delay", "0ms")
        cls.addClassCleanup(cls.shop.close)

    def import_products(self, tenant, *rows):
        csv = "\n".join(["sku,title,price,stock", *rows, ""])
        status, answer, _ = self.shop.request("POST", f"/tenants/{tenant}/import", csv)
        self.assertEqual((status, answer), (200, {"rows": len(rows)}))

    def order(self, tenant, *items):
        body = {"customer": "Ada", "items": [{"sku": sku, "quantity": quantity}
                                             for sku, quantity in items]}
        return self.shop.request("POST", f"/tenants/{tenant}/orders", body)

    def stock(self, tenant, sku):
        return self.shop.get(f"/tenants/{tenant}/products/{sku}")["stock"]

    def test_products_are_found(self):
        found = self.shop.get("/tenants/acme/products?q=ARTICLE 10 &limit=5")
        self.assertEqual([row["sku"] for row in found], ["A-10"])
        self.assertEqual(len(self.shop.get("/tenants/acme/products?limit=7")), 7)
        self.assertEqual(self.shop.get("/tenants/acme/products?q=100% sure"), [])
        self.assertEqual(self.shop.get("/tenants/acme/products/A-3"),
                         {"sku": "A-3", "title": "Article 3 of acme", "price": "3.99",
                          "stock": self.stock("acme", "A-3")})
        self.assertEqual(self.shop.request("GET", "/tenants/acme/products/none")[0], 404)

    def test_an_order_takes_from_stock_whole_or_not_at_all(self):
        self.import_products("acme", "O-1,One,1.50,10", "O-2,Two,2.25,3")
        status, answer, _ = self.order("acme", ("O-2", 2), ("O-1", 4))
        self.assertEqual(status, 201, answer)
        self.assertEqual((self.stock("acme", "O-1"), self.stock("acme", "O-2")), (6, 1))
        newest = self.shop.get("/tenants/acme/orders?limit=1")[0]
        self.assertEqual((newest["id"], newest["customer"], newest["items"], newest["total"]),
                         (answer["id"], "Ada", 2, "10.50"))
        # More than there is, and what nobody has: nothing stays of either.
        status, answer, _ = self.order("acme", ("O-1", 1), ("O-2", 2))
        self.assertEqual((status, answer),
                         (409, {"error": "constraint", "constraint": "product_stock_check"}))
        status, answer, _ = self.order("acme", ("O-1", 1), ("O-9", 1))
        self.assertEqual((status, answer["error"]), (422, "unknown_product"))
        self.assertEqual((self.stock("acme", "O-1"), self.stock("acme", "O-2")), (6, 1))
        self.assertEqual(self.shop.get("/tenants/acme/orders?limit=1")[0]["id"], newest["id"])

    def test_orders_that_want_the_same_products_all_succeed(self):
        self.import_products("acme", "S-1,One,1,1000", "S-2,Two,1,1000")
        answers = [Background(self.shop, "POST", "/tenants/acme/orders",
                              {"customer": "Ada", "items": [{"sku": sku, "quantity": 1}
                                                            for sku in skus]})
                   for _ in range(20) for skus in (("S-1", "S-2"), ("S-2", "S-1"))]
        self.assertEqual([answer.wait()[0] for answer in answers], [201] * 40)
        self.assertEqual((self.stock("acme", "S-1"), self.stock("acme", "S-2")), (960, 960))

    def test_export_is_what_was_imported(self):
        rows = [f'E-{n},"Title, {n}",{n}.00,{n}' for n in range(1000, 3000)]
        self.import_products("initech", *rows)
        self.import_products("initech", 'E-1000,"Title, 1000",1000.00,7')
        rows[0] = 'E-1000,"Title, 1000",1000.00,7'
        exported = self.shop.get("/tenants/initech/export").decode().splitlines()
        self.assertEqual(exported[0], "sku,title,price,stock")
        self.assertEqual([row for row in exported if row.startswith("E-")], rows)

    def test_many_orders_are_streamed(self):
        listed = self.shop.get("/tenants/globex/orders?limit=10000")
        expected = self.postgres.sql(
            "SELECT id FROM shop.purchase WHERE tenant = 'globex' ORDER BY id DESC", "shop")
        self.assertGreaterEqual(len(listed), 2000)
        self.assertEqual([str(row["id"]) for row in listed], [row[0] for row in expected])

    def test_a_tenant_sees_its_own_alone(self):
        self.import_products("acme", "T-1,Secret,1,1")
        self.assertEqual(self.shop.request("GET", "/tenants/globex/products/T-1")[0], 404)
        self.assertEqual(self.order("globex", ("T-1", 1))[0], 422)
        self.assertEqual(self.shop.get("/tenants/nobody/products"), [])
        self.assertEqual(self.shop.get("/tenants/nobody/orders"), [])
        status, answer, _ = self.shop.request("POST", "/tenants/nobody/import",
                                              "sku,title,price,stock\nX,x,1,1\n")
        self.assertEqual((status, answer["constraint"]), (409, "product_tenant_fkey"))
        # The database's doing and not the shop's: the role sees nothing without a tenant.
        env = {**self.postgres.env("shop"), "PGUSER": "shop_app"}
        seen = subprocess.run([f"{self.postgres.bin}/psql", "-XAtc", "SELECT count(*) FROM product"],
                              env=env, check=True, capture_output=True, text=True).stdout
        self.assertEqual(seen.strip(), "0")

    def test_reports_read_over_all_tenants(self):
        self.assertEqual({row["tenant"] for row in self.shop.get("/reports/daily?days=30")},
                         {"acme", "globex", "initech"})
        self.assertGreater(self.shop.pool("reports")["stats"]["acquired"], 0)

    def test_bad_requests_are_told_so(self):
        good = {"customer": "Ada", "items": [{"sku": "A-1", "quantity": 1}]}
        bad_bodies = [
            "", "[]", "{", '{"a":1,"a":2}', {"customer": "Ada"}, {**good, "customer": ""},
            {**good, "customer": "x" * 81}, {**good, "items": []}, {**good, "items": {}},
            {**good, "items": good["items"] * 2}, {**good, "items": good["items"] * 51},
            {**good, "items": [{"sku": "A 1", "quantity": 1}]},
            {**good, "items": [{"sku": "A-1", "quantity": 0}]},
            {**good, "items": [{"sku": "A-1", "quantity": 1.5}]},
            {**good, "items": [{"sku": "A-1", "quantity": 1001}]}, {**good, "items": [7]},
        ]
        for body in bad_bodies:
            status, answer, _ = self.shop.request("POST", "/tenants/acme/orders", body)
            self.assertEqual((status, answer["error"]), (400, "bad_body"), body)
        for path in ("/tenants/acme/products?limit=0", "/tenants/acme/products?limit=x",
                     "/tenants/acme/orders?limit=99999999999999999999", "/reports/daily?days=-1",
                     "/tenants/acme/products?q=" + "x" * 101):
            self.assertEqual(self.shop.request("GET", path)[0], 400, path)
        for path in ("/", "/tenants/ACME/products", "/tenants//products", "/tenants/acme/products/",
                     "/tenants/acme/products/a%27b", "/tenants/" + "a" * 32 + "/products",
                     "/drill/leak"):
            self.assertEqual(self.shop.request("GET", path)[0], 404, path)
        self.assertEqual(self.shop.request("POST", "/drill/leak")[0], 404)
        status, _, headers = self.shop.request("DELETE", "/tenants/acme/export")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        status, _, headers = self.shop.request("DELETE", "/tenants/acme/orders")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, POST"))
        self.assertEqual(self.shop.request("HEAD", "/healthz")[:2], (200, b""))
        self.assertEqual(self.shop.request("POST", "/tenants/acme/import", b"x" * 5000000)[0], 413)
        self.assertEqual(self.shop.request("POST", "/tenants/acme/import", "a,b\n1,2\n")[0], 422)

    def test_everything_is_given_back(self):
        self.test_bad_requests_are_told_so()
        for name in ("shop", "reports"):
            stats = self.shop.pool(name)["stats"]
            self.assertEqual((stats["used"], stats["rolled_back"], stats["leaked"],
                              stats["misused"]), (0, 0, 0, 0), stats)


class Seen(ShopTest):
    """What the agent sees, on a pool of two."""

    def test_statements_pools_holders_and_waiters(self):
        with Agent() as agent, Shop(self.postgres, "--drill", "--drain-delay", "0ms", agent=agent,
                                    config=config()) as shop:
            self.postgres.reset_statements()
            for n in range(1, 31):
                shop.get(f"/tenants/globex/products/A-{n}")
            show, = fingerprints([SHOW_SQL])
            row = await_condition(
                lambda: next((row for row in agent.api("statements")
                              if row["fingerprint"] == show and row["calls"] == 30), None),
                10, "30 calls of the product's statement")
            self.assertEqual((row["service"], row["pool"], row["namespace"], row["errors"]),
                             ("shop", "shop", "shop", 0))
            counted = {query: calls for query, calls, _ in self.postgres.statements("shop")}
            self.assertEqual(counted[SHOW_SQL], 30)
            self.holders_and_waiters(agent, shop)
            self.leak_is_told(shop)
            rows = [(row["pool"], row["max"]) for row in agent.api("pools")
                    if row["service"] == "shop"]
            self.assertEqual(sorted(rows), [("reports", 1), ("shop", 2)])
            waits = select(agent.metrics(), "db_client_connection_wait_time_seconds_count",
                           db_client_connection_pool_name="shop")
            self.assertEqual(sum(value for _, value in waits),
                             shop.pool()["stats"]["acquired"])
            self.assertEqual(agent.api("ledger")["total"]["imbalance"], 0)

    def holders_and_waiters(self, agent, shop):
        trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        status, answer, _ = shop.request("POST", "/drill/leak?count=2&tenant=acme", headers=trace)
        self.assertEqual((status, answer), (200, {"leaked": 2}))
        held = await_condition(
            lambda: [row for row in agent.api("connections")
                     if row["pool"] == "shop" and row["tenant"] == "acme"] or None, 10,
            "holders on the board")
        self.assertEqual({(row["call_site"], row["trace_id"], row["state"]) for row in held},
                         {("drill.leak", TRACE, "held")})
        self.assertEqual(len(held), 2)
        waiting = Background(shop, "GET", "/tenants/globex/products/A-1")
        waiter = await_condition(lambda: next(iter(agent.api("waiters")), None), 10, "a waiter")
        self.assertEqual((waiter["service"], waiter["pool"], waiter["tenant"],
                          waiter["call_site"]), ("shop", "shop", "globex", "products.show"))
        self.assertEqual(shop.pool()["stats"]["waiting"], 1)
        await_condition(lambda: len(shop.events("leak")) >= 2, 10, "both leaks being told")
        self.assertEqual(shop.request("POST", "/drill/heal")[:2], (200, {"released": 2}))
        self.assertEqual(waiting.wait()[0], 200)
        await_condition(lambda: not agent.api("waiters"), 10, "no waiter")

    def leak_is_told(self, shop):
        self.assertEqual(len(shop.events("leak")), 2)  # each once
        for leak in shop.events("leak"):
            self.assertEqual((leak["pool"], leak["tenant"], leak["call_site"]),
                             ("shop", "acme", "drill.leak"))
            self.assertIn("FROM product", leak["statement"])

    def test_drills_do_what_they_say(self):
        with Agent() as agent, Shop(self.postgres, "--drill", "--drain-delay", "0ms", agent=agent,
                                    config=config(maximum=5)) as shop:
            idle = Background(shop, "POST", "/drill/idle-in-transaction?ms=60000&tenant=globex")
            row = await_condition(
                lambda: next((row for row in agent.api("connections")
                              if row["tenant"] == "globex"
                              and row["state"] == "idle_in_transaction"), None), 10,
                "a connection idle in transaction")
            self.assertEqual(row["call_site"], "drill.idle_in_transaction")
            lock = Background(shop, "POST", "/drill/lock?ms=60000&sku=A-7")
            await_condition(lambda: self.postgres.sql(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'"
                " AND query LIKE 'UPDATE product%'"), 10, "the row's lock")
            behind = [Background(shop, "POST", "/drill/lock?ms=60000&sku=A-7"),
                      Background(shop, "POST", "/tenants/acme/orders",
                                 {"customer": "Ada", "items": [{"sku": "A-7", "quantity": 1}]})]
            await_condition(lambda: len(self.postgres.sql(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) == 2, 10,
                "two that wait for it")
            self.assertEqual(shop.request("POST", "/drill/slow")[1]["lines"], 200)
            many = shop.request("POST", "/drill/n-plus-one?orders=25&tenant=initech")[1]
            self.assertEqual(many, {"queries": 26})
            shop.send(signal.SIGTERM)
            self.assertEqual(shop.process.popen.wait(60), 1)
            cut = shop.events("cut")
            self.assertEqual(sorted((event["call_site"], event["tenant"]) for event in cut),
                             [("drill.idle_in_transaction", "globex"), ("drill.lock", "acme"),
                              ("drill.lock", "acme"), ("orders.place", "acme")])
            locks = [event for event in cut if event["call_site"] == "drill.lock"]
            self.assertEqual(sorted(event["was_executing"] for event in locks), [False, True])
            for event in locks:
                self.assertIn("UPDATE product", event["statement"])
            self.assertEqual([request.wait()[0] for request in behind], [503, 503])
            self.assertGreaterEqual(lock.wait()[0], 500)
            self.assertGreaterEqual(idle.wait()[0], 500)
            self.assertEqual(self.connections(), 0)
            shop.process = None  # it has ended, and not with 0

    def test_hog_leaves_others_their_part(self):
        text = config(maximum=4).replace("    leak_after", "    tenant_share: 50%\n    leak_after")
        with Agent() as agent, Shop(self.postgres, "--drill", "--drain-delay", "0ms", agent=agent,
                                    config=text) as shop:
            Background(shop, "POST", "/drill/hog?tenant=acme&connections=4&ms=60000")
            await_condition(
                lambda: [shop.pool()["stats"][key] for key in ("used", "connecting", "waiting")]
                == [2, 0, 1], 10, "the hog having its part and waiting for more")
            for _ in range(10):
                self.assertEqual(shop.request("GET", "/tenants/globex/products/A-1")[0], 200)
            shop.send(signal.SIGTERM)
            self.assertEqual(shop.process.popen.wait(60), 1)
            self.assertEqual({event["call_site"] for event in shop.events("cut")}, {"drill.hog"})
            shop.process = None


class Changes(ShopTest):
    def test_nobody_is_served_in_vain(self):
        with Shop(self.postgres, "--drill", "--drain-delay", "0ms", "--threads", "2",
                  config=config(timeout="300ms")) as shop:
            shop.request("POST", "/drill/leak?count=2")
            waiting = [Background(shop, "GET", "/tenants/acme/products/A-1") for _ in range(6)]
            await_condition(lambda: shop.pool()["stats"]["waiting"] == 2, 10, "both workers waiting")
            self.assertEqual(shop.request("GET", "/readyz")[0], 200)  # waits for no worker
            for request in waiting:
                status, answer, headers = request.wait()
                self.assertEqual((status, answer["error"], headers["Retry-After"]),
                                 (503, "timeout", "1"))
            self.assertEqual(shop.pool()["stats"]["timeouts"], 6)
            shop.request("POST", "/drill/heal")
            self.assertEqual(shop.request("GET", "/tenants/acme/products/A-1")[0], 200)

    def test_readiness_follows_the_server(self):
        with Shop(self.postgres, "--drain-delay", "0ms", config=config(timeout="500ms")) as shop:
            self.postgres.stop()
            try:
                await_condition(lambda: shop.request("GET", "/readyz")[0] == 503, 20,
                                "the shop not being ready")
                self.assertIn("pool", shop.request("GET", "/readyz")[1]["reason"])
                self.assertEqual(shop.request("GET", "/healthz")[0], 200)
                self.assertEqual(shop.request("GET", "/tenants/acme/products")[0], 503)
            finally:
                self.postgres.start()
            await_condition(shop.ready, 20, "the shop being ready again")
            self.assertEqual(shop.request("GET", "/tenants/acme/products/A-1")[0], 200)

    def test_hup_reads_the_file_again(self):
        with Shop(self.postgres, "--drain-delay", "0ms", config=config(maximum=2)) as shop:
            with Load(shop.url, threads=4) as load:
                shop.write_config(config(maximum=5))
                shop.send(signal.SIGHUP)
                await_condition(lambda: shop.pool()["connections_max"] == 5, 10, "the new maximum")
                shop.write_config(config(maximum=7).replace("leak_after", "leek_after"))
                shop.send(signal.SIGHUP)
                failed = await_condition(lambda: shop.events("reload_failed"), 10, "a refusal")
                self.assertRegex(failed[0]["message"], r"shop\.yaml:8: .*leek_after")
                self.assertEqual(shop.pool()["connections_max"], 5)
                await_condition(lambda: shop.pool()["stats"]["acquired"] > 50, 30, "requests")
                seen = load.stop()
            self.assertEqual((seen["failed"], seen["reasons"]), (0, {}))
            self.assertGreater(seen["requests"], 0)

    def test_a_rotated_password_fails_no_request(self):
        hba = os.path.join(self.postgres.data, "pg_hba.conf")
        with open(hba, encoding="utf-8") as file:
            trusting = file.read()
        with open(hba, "w", encoding="utf-8") as file:
            file.write("host shop shop_app,shop_reports 127.0.0.1/32 scram-sha-256\n" + trusting)
        self.postgres.sql("SELECT pg_reload_conf()")
        try:
            self.rotate()
        finally:
            with open(hba, "w", encoding="utf-8") as file:
                file.write(trusting)
            self.postgres.sql("SELECT pg_reload_conf()")

    def set_passwords(self, directory, generation):
        """The server's first: who is connected stays so, and who connects in between tries again."""
        for role, pool in (("shop_app", "shop"), ("shop_reports", "reports")):
            password = f"{pool}-{generation}"
            self.postgres.sql(f"ALTER ROLE {role} PASSWORD '{password}'")
            path = os.path.join(directory, f"{pool}.password")
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(password + "\n")
            os.replace(path + ".new", path)

    def rotate(self):
        with harness.process.temporary_directory() as secrets:
            self.set_passwords(secrets, 0)
            with Shop(self.postgres, "--drain-delay", "0ms", "--secrets", secrets,
                      config=config(maximum=4, lifetime="1s")) as shop:
                with Load(shop.url, threads=4, rate=200) as load:
                    for generation in range(1, 4):
                        self.set_passwords(secrets, generation)
                        since, = self.postgres.sql("SELECT now()")[0]
                        await_condition(lambda since=since: int(self.postgres.sql(
                            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_app'"
                            f" AND backend_start > '{since}'")[0][0]) >= 2, 20,
                            "connections with the new password")
                    seen = load.stop()
                self.assertEqual((seen["failed"], seen["reasons"]), (0, {}), shop.process.log())
                self.assertGreater(seen["requests"], 100)
            # With a password that is wrong nobody gets in: the server did ask.
            with Shop(self.postgres, "--secrets", self.postgres.dir, "--drain-delay", "0ms",
                      config=config(timeout="500ms"), start=False) as shop:
                shop.process = harness.process.Process(
                    shop.argv, os.path.join(shop.dir, "shop.log"), env=shop.env)
                await_condition(lambda: shop.events("secret") and shop.events("started"), 20,
                                "the file being missed")
                self.assertEqual(shop.request("GET", "/readyz")[0], 503)
                self.assertEqual(shop.request("GET", "/tenants/acme/products")[0], 503)


class Leaving(ShopTest):
    def test_copies_replaced_one_after_the_other_fail_no_request(self):
        with Shop(self.postgres, "--drain-delay", "1s") as first, \
                Shop(self.postgres, "--drain-delay", "1s", start=False) as second, \
                Load(first.url, second.url) as load:
            old, new = first, second
            for _ in range(4):
                new.start()
                await_condition(lambda copy=new: copy.pool()["stats"]["acquired"] > 50, 30,
                                "requests reaching the new copy")
                old.send(signal.SIGTERM)
                await_condition(lambda copy=old: copy.request("GET", "/readyz")[0] == 503, 5,
                                "the old copy not being ready")
                self.assertEqual(old.process.popen.wait(60), 0, old.process.log())
                old, new = new, old
            self.assertTrue(load.running())
            seen = load.stop()
        self.assertEqual((seen["failed"], seen["reasons"]), (0, {}))
        self.assertTrue(all(count > 200 for count in seen["copies"].values()), seen)
        print(f"{seen['requests']} requests, {seen['failed']} failed, over 4 replacements;"
              f" p50 {seen['p50_ms']:.1f} ms, p99 {seen['p99_ms']:.1f} ms")

    def test_what_can_finish_is_finished(self):
        with Shop(self.postgres, "--drill", "--drain-delay", "0ms", config=config()) as shop:
            slow = Background(shop, "POST", "/drill/idle-in-transaction?ms=1500")
            await_condition(lambda: shop.pool()["stats"]["used"] == 1, 10, "the request at work")
            self.assertEqual(shop.stop(), 0, shop.process.log())
            status, answer, headers = slow.wait()
            self.assertEqual((status, answer, headers["Connection"]),
                             (200, {"held_ms": 1500}, "close"))
            drained, = shop.events("drained")
            self.assertEqual((drained["cut"], drained["unanswered"]), (0, 0))
            self.assertEqual(self.connections(), 0)

    def test_what_cannot_is_cut_and_told(self):
        shop = Shop(self.postgres, "--drill", "--drain-delay", "0ms", "--drain-timeout", "2s",
                    config=config())
        shop.request("POST", "/drill/leak?tenant=globex")
        hanging = Background(shop, "POST", "/drill/idle-in-transaction?ms=600000")
        await_condition(lambda: shop.pool()["stats"]["used"] == 2, 10, "both at work")
        self.assertEqual(shop.stop(), 1)
        drained, = shop.events("drained")
        self.assertEqual(drained["cut"], 2)
        self.assertLess(drained["seconds"], 3.5)
        self.assertEqual({(cut["pool"], cut["call_site"], cut["tenant"])
                          for cut in shop.events("cut")},
                         {("shop", "drill.leak", "globex"),
                          ("shop", "drill.idle_in_transaction", "acme")})
        self.assertGreaterEqual(hanging.wait()[0], 500)
        self.assertEqual(self.connections(), 0)
        shop.close(expected=1)


class Usage(ShopTest):
    def run_shop(self, *arguments):
        ran = subprocess.run([built("bin/examples/shop"), *arguments], check=False, text=True,
                             capture_output=True, timeout=60)
        return ran.returncode, ran.stdout, ran.stderr

    def test_arguments(self):
        code, out, error = self.run_shop("--help")
        self.assertEqual((code, error), (0, ""))
        self.assertIn("--drain-delay", out)
        for arguments in (["--drain-delay", "3"], ["--drain-timeout", "99h"], ["--listen", "8080"],
                          ["--listen", "x:99999"], ["--threads", "0"], ["--threads", "1000"],
                          ["--nothing"], ["more"], ["--threads"], ["--drain-delay", "4000s"]):
            code, out, error = self.run_shop(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn(arguments[0], error)
        code, _, error = self.run_shop("--config", "/nowhere/shop.yaml")
        self.assertEqual(code, 2)
        self.assertIn("/nowhere/shop.yaml", error)

    def test_an_address_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with Shop(self.postgres, start=False) as shop:
                argv = [*shop.argv, "--listen", "127.0.0.1:%d" % taken.getsockname()[1]]
                ran = subprocess.run(argv, check=False, env=shop.env, timeout=60, text=True,
                                     capture_output=True)
        self.assertEqual(ran.returncode, 1)
        self.assertTrue(re.search(r"--listen 127.0.0.1:\d+: Address already in use", ran.stderr),
                        ran.stderr)

    def test_load_arguments(self):
        for arguments in ([], ["--rate", "-1", "http://x"], ["--seconds", "x", "http://x"],
                          ["--threads", "0", "http://x"], ["--tenants", ",", "http://x"]):
            ran = subprocess.run([built("bin/examples/shop-load"), *arguments], check=False,
                                 text=True, capture_output=True, timeout=60)
            self.assertEqual((ran.returncode, ran.stdout), (2, ""), arguments)
            self.assertIn("shop-load: ", ran.stderr)


if __name__ == "__main__":
    harness.main()
