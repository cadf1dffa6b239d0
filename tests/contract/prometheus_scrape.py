"""Prometheus's own tools read what we serve: promtool, and a server that scrapes each format."""

import json
import shutil
import subprocess
import unittest

import harness
from harness.process import await_condition
from harness.prometheus import Prometheus
from prometheus_peer import Server

NAME = "db_client_operation_duration_seconds"
WHOSE = {"job": "retail/shop", "instance": "shop-1", "service_name": "shop", "namespace": "prod",
         "pod": "shop-abc"}


class Promtool(unittest.TestCase):
    def test_check_metrics(self):
        promtool = shutil.which("promtool")
        if not promtool:
            raise unittest.SkipTest("no promtool is installed: run tools/setup")
        with Server() as server:
            body = server.request("/metrics")[2]
        checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True,
                                 check=False)
        complaints = set((checked.stdout + checked.stderr).decode().splitlines())
        # OpenTelemetry's own name, which the translation must keep.
        self.assertLessEqual(complaints, {
            'db_client_connection_count non-histogram and non-summary metrics should not have '
            '"_count" suffix'})


class Scrape(unittest.TestCase):
    def one(self, prometheus, expression):
        found = prometheus.query(expression)
        self.assertEqual(len(found), 1, (expression, found))
        return found[0]

    def value(self, prometheus, expression):
        return float(self.one(prometheus, expression)["value"][1])

    def scraped(self, prometheus):
        def up():
            target, = prometheus.targets()
            if target["health"] == "down":
                raise AssertionError(target["lastError"])
            return target["health"] == "up"
        await_condition(up, 30, "a scrape")

    def check_numbers(self, prometheus):
        """What every format must show alike."""
        self.assertEqual(self.value(prometheus, "count(target_info)"), 3)
        timeouts = self.one(prometheus, "db_client_connection_timeouts_total")
        self.assertEqual(float(timeouts["value"][1]), 2.0 ** 53)
        self.assertEqual({key: timeouts["metric"][key] for key in WHOSE}, WHOSE)
        self.assertEqual(timeouts["metric"]["otel_scope_name"], "weir")
        self.assertEqual(self.value(prometheus, "weir_pool_connection_time_seconds_total"), 0.1)
        self.assertEqual(self.value(prometheus, 'db_client_connection_count{job="billing"}'), -1)
        joined = self.one(
            prometheus, "db_client_connection_timeouts_total * on (job, instance) group_left "
                        "(service_version) target_info")
        self.assertEqual(joined["metric"]["service_version"], "1.2")

    def test_openmetrics_with_exemplars(self):
        with Server("off", "127.0.0.1:0") as server, \
                Prometheus(server.metrics_port, features="exemplar-storage") as prometheus:
            self.scraped(prometheus)
            self.check_numbers(prometheus)
            buckets = {found["metric"]["le"]: float(found["value"][1]) for found in
                       prometheus.query(NAME + '_bucket{weir_statement_fingerprint!=""}')}
            self.assertEqual(buckets, {"0.001": 0, "0.01": 2, "0.1": 2, "1.0": 2, "10.0": 2,
                                       "+Inf": 3})
            self.assertEqual(self.value(prometheus, NAME + '_sum{error_type="40001"}'), 0.5)
            odd = self.one(prometheus, NAME + '_count{weir_statement_fingerprint!=""}')
            self.assertEqual(odd["metric"]["db_query_summary"], 'SELECT "odd\\table"\n')
            answer = json.loads(prometheus.get("/api/v1/query_exemplars", query=NAME + "_bucket",
                                               start="1600000000", end="1800000000"))
            exemplar, = answer["data"][0]["exemplars"]
            self.assertEqual(exemplar["labels"], {"trace_id": "ab" * 16, "span_id": "cd" * 8})
            self.assertEqual((float(exemplar["value"]), exemplar["timestamp"]),
                             (0.002, 1700000001.5))

    def test_protobuf_with_native_histograms(self):
        with Server("off", "127.0.0.1:0") as server, \
                Prometheus(server.metrics_port) as prometheus:
            self.scraped(prometheus)
            self.check_numbers(prometheus)
            whose = NAME + '{weir_statement_fingerprint!=""}'
            self.assertEqual(self.value(prometheus, f"histogram_count({whose})"), 3)
            self.assertEqual(self.value(prometheus, f"histogram_sum({whose})"), 0.5)
            # Scale 1, offset -18: the first bucket is (2^-9, 2^-8.5], the fourth (2^-7.5, 2^-7].
            low = self.value(prometheus, f"histogram_quantile(0, {whose})")
            self.assertAlmostEqual(low, 2 ** -9, places=12)
            high = self.value(prometheus, f"histogram_quantile(1, {whose})")
            self.assertAlmostEqual(high, 2 ** -7, places=12)
            share = self.value(prometheus, f"histogram_fraction({2 ** -9}, {2 ** -8.5}, {whose})")
            self.assertAlmostEqual(share, 2 / 3, places=9)
            server.tell("calls 1000000")
            await_condition(
                lambda: self.value(prometheus, f"histogram_count({whose})") == 1000001, 20,
                "the next scrape")


if __name__ == "__main__":
    harness.main()
