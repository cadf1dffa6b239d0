"""What is sent, as a real OpenTelemetry Collector understood it: gRPC and HTTP, plain and packed."""

import math
import os
import subprocess
import unittest

import harness
from harness.collector import Collector, attributes
from harness.process import Process, await_condition
from otlp_peer import Sender

START = 1700000000000000000
ENDPOINTS = (("grpc", "grpc_endpoint"), ("http/protobuf", "http_endpoint"))


def metrics_of(message):
    """{(service, metric name): metric} of one message."""
    found = {}
    for resource in message.get("resourceMetrics", []):
        service = attributes(resource["resource"]["attributes"])["service.name"]
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                found[(service, metric["name"])] = metric
    return found


class Received(unittest.TestCase):
    def send(self, collector, protocol, where, **variables):
        """The messages that the Collector wrote of one snapshot and six spans."""
        before = len(collector.messages())
        with Sender(getattr(collector, where), protocol, **variables) as sender:
            sender.metrics(5)
            sender.spans(6)
            self.assertTrue(sender.flush(), sender.lines)
            stats = sender.stats()
            self.assertEqual((stats["metrics"]["exported"], stats["traces"]["exported"]), (25, 6))
            self.assertEqual((stats["acknowledged"], stats["generation"]), (1, 1))
            self.assertEqual(sender.logs(), [])

        def complete():
            messages = collector.messages()[before:]
            spans = sum(len(scope["spans"]) for message in messages
                        for resource in message.get("resourceSpans", [])
                        for scope in resource["scopeSpans"])
            points = sum(len(next(metric[kind] for kind in
                                  ("gauge", "sum", "histogram", "exponentialHistogram")
                                  if kind in metric)["dataPoints"])
                         for message in messages for metric in metrics_of(message).values())
            return messages if spans == 6 and points == 25 else None
        return await_condition(complete, 15, "everything written by the Collector")

    def check_numbers(self, metrics):
        number, = metrics[("shop", "db.client.connection.count")]["sum"]["dataPoints"]
        self.assertEqual(number["asInt"], "-3")
        self.assertEqual(int(number["startTimeUnixNano"]), START)
        self.assertEqual(int(number["timeUnixNano"]), START + 10 ** 9)
        self.assertEqual(attributes(number["attributes"]),
                         {"db.client.connection.pool.name": "main",
                          "db.client.connection.state": "used"})
        updown = metrics[("shop", "db.client.connection.count")]["sum"]
        self.assertEqual((updown["aggregationTemporality"], updown.get("isMonotonic", False)),
                         (2, False))
        counter = metrics[("shop", "db.client.connection.timeouts")]
        self.assertEqual((counter["sum"]["isMonotonic"], counter["unit"]), (True, "{timeout}"))
        self.assertEqual(counter["sum"]["dataPoints"][0]["asInt"], str(2 ** 63 - 1))
        seconds, = metrics[("shop", "weir.pool.connection_time")]["sum"]["dataPoints"]
        self.assertEqual(seconds["asDouble"], 0.25)
        gauge, = metrics[("shop", "weir.pool.used.peak")]["gauge"]["dataPoints"]
        self.assertEqual(gauge["asInt"], "9")
        uptime, = metrics[("weir-agent", "weir.agent.uptime")]["gauge"]["dataPoints"]
        self.assertEqual(uptime["asDouble"], 12.5)

    def check_histograms(self, metric):
        self.assertEqual(metric["unit"], "s")
        points = metric["histogram"]["dataPoints"]
        self.assertEqual(metric["histogram"]["aggregationTemporality"], 2)
        self.assertEqual([attributes(point["attributes"])["weir.statement.fingerprint"]
                          for point in points], [f"{i:016x}" for i in range(20)])
        for point in points:
            self.assertEqual(point["bucketCounts"], ["0", "0", "5", "0", "1", "0"])
            self.assertEqual(point["explicitBounds"], [0.001, 0.01, 0.1, 1, 10])
            self.assertEqual((point["count"], point["sum"], point["min"], point["max"]),
                             ("6", 5 / 64 + 4, 1 / 64, 4))
            self.assertEqual(attributes(point["attributes"])["db.query.summary"],
                             "SELECT \u00e4 \ufffd.")
            exemplar, = point["exemplars"]
            self.assertEqual((exemplar["traceId"], exemplar["spanId"], exemplar["asDouble"],
                              int(exemplar["timeUnixNano"])),
                             ("ab" * 16, "cd" * 8, 4, START + 7))

    def check_spans(self, messages):
        spans = []
        for message in messages:
            for resource in message.get("resourceSpans", []):
                self.assertEqual(attributes(resource["resource"]["attributes"]),
                                 {"service.name": "shop"})
                for scope in resource["scopeSpans"]:
                    self.assertEqual(scope["scope"]["name"], "weir")
                    spans += scope["spans"]
        self.assertEqual(len({span["spanId"] for span in spans}), 6)
        for span in spans:
            number = attributes(span["attributes"])["process.pid"]
            self.assertEqual(span["traceId"], "11" * 16)
            self.assertEqual(span["spanId"], number.to_bytes(7, "little").hex() + "22")
            self.assertEqual(span.get("parentSpanId", ""), "33" * 8 if number % 3 else "")
            self.assertEqual((span["kind"], span["name"], span["flags"], span["traceState"]),
                             (3, "SELECT orders", 0x101, "vendor=value"))
            self.assertEqual((int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])),
                             (START + number, START + number + 1000))
            self.assertEqual(span["status"].get("code", 0), 2 if number % 2 else 0)

    def test_all_ways(self):
        with Collector() as collector:
            for protocol, where in ENDPOINTS:
                for compression in ("none", "gzip"):
                    with self.subTest(protocol=protocol, compression=compression):
                        messages = self.send(collector, protocol, where,
                                             OTEL_EXPORTER_OTLP_COMPRESSION=compression)
                        metrics = {}
                        for message in messages:
                            metrics.update(metrics_of(message))
                        self.assertEqual(len(metrics), 6)
                        self.check_numbers(metrics)
                        self.check_histograms(metrics[("shop", "db.client.operation.duration")])
                        self.check_spans(messages)

    def test_exponential_histograms(self):
        name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
        with Collector() as collector:
            messages = self.send(collector, "grpc", "grpc_endpoint",
                                 **{name: "base2_exponential_bucket_histogram"})
            metric = next(metrics_of(message)[("shop", "db.client.operation.duration")]
                          for message in messages if message.get("resourceMetrics"))
            for point in metric["exponentialHistogram"]["dataPoints"]:
                self.assertEqual((point["count"], point.get("scale", 0), point["min"],
                                  point["max"]), ("6", 0, 1 / 64, 4))
                buckets = point["positive"]
                self.assertEqual(buckets["bucketCounts"], ["5"] + ["0"] * 7 + ["1"])
                # Bucket k holds (2^(offset+k), 2^(offset+k+1)]: 1/64 and 4 are upper ends.
                self.assertEqual(math.ldexp(1, buckets["offset"] + 1), 1 / 64)
                self.assertEqual(math.ldexp(1, buckets["offset"] + 9), 4)

    def test_small_requests_hold_everything(self):
        with Collector() as collector:
            messages = self.send(collector, "grpc", "grpc_endpoint", request_bytes=1000)
            self.assertGreater(len(messages), 8)
            fingerprints = [attributes(point["attributes"])["weir.statement.fingerprint"]
                            for message in messages for (_, name), metric in
                            metrics_of(message).items() if name == "db.client.operation.duration"
                            for point in metric["histogram"]["dataPoints"]]
            self.assertEqual(sorted(fingerprints), [f"{i:016x}" for i in range(20)])

    def test_a_collector_that_comes_later(self):
        for protocol, where in ENDPOINTS:
            with self.subTest(protocol), Collector() as collector:
                collector.process.stop()
                with Sender(getattr(collector, where), protocol,
                            OTEL_BSP_SCHEDULE_DELAY="10") as sender:
                    sender.spans(6)
                    for count in range(1, 6):
                        sender.metrics(count)
                    await_condition(lambda: sender.stats()["metrics"]["retries"] >= 2 and
                                    sender.stats()["traces"]["retries"] >= 2, 30, "retries")
                    self.assertEqual(sender.stats()["acknowledged"], 0)
                    collector.start()
                    sender.await_line("acknowledged 5 rejected 0")
                    self.assertTrue(sender.flush(), sender.lines)
                    stats = sender.stats()
                    self.assertEqual((stats["offered"], stats["acknowledged"],
                                      stats["superseded"]), (5, 1, 4))
                    self.assertEqual((stats["traces"]["exported"], stats["traces"]["expired"],
                                      stats["queue_full"]), (6, 0, 0))
                    # One line when it began, one when it ended, of each signal.
                    self.assertEqual(len(sender.logs()), 4, sender.logs())
                await_condition(lambda: len(collector.spans()) == 6, 15, "six spans")
                points = await_condition(
                    lambda: collector.metric_points("db.client.operation.duration"), 15, "points")
                self.assertEqual([point["count"] for _, _, point in points], ["6"] * 20)


class Tls(unittest.TestCase):
    """A Collector that asks for the client's certificate."""

    def certificates(self, directory):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
        if not os.path.exists("/usr/bin/openssl"):
            self.skipTest("no openssl")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2")
        for name in ("server", "client"):
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
                    "-copy_extensions", "copy")
        return {name: os.path.join(directory, name) for name in os.listdir(directory)}

    def restart_with_tls(self, collector, files):
        collector.process.stop()
        path = os.path.join(collector.dir, "tls.yaml")
        with open(os.path.join(collector.dir, "config.yaml"), encoding="utf-8") as file:
            text = file.read()
        tls = (f', tls: {{cert_file: "{files["server.pem"]}", key_file: "{files["server.key"]}", '
               f'client_ca_file: "{files["ca.pem"]}"}}}}')
        for port in (collector.grpc_port, collector.http_port):
            text = text.replace(f'"127.0.0.1:{port}"}}', f'"127.0.0.1:{port}"{tls}')
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        log = os.path.join(collector.dir, "tls.log")
        collector.process = Process([collector.process.argv[0], "--config", path], log)
        await_condition(lambda: "Everything is ready" in collector.process.log(), 30, "readiness")

    def test_both_certificates(self):
        with Collector() as collector:
            files = self.certificates(collector.dir)
            self.restart_with_tls(collector, files)
            for protocol, where in ENDPOINTS:
                endpoint = getattr(collector, where).replace("http:", "https:")
                trusted = {"OTEL_EXPORTER_OTLP_CERTIFICATE": files["ca.pem"]}
                known = {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": files["client.pem"],
                         "OTEL_EXPORTER_OTLP_CLIENT_KEY": files["client.key"]}
                for variables, arrives in (({**trusted, **known}, True), (trusted, False),
                                           (known, False)):
                    with self.subTest(protocol=protocol, variables=list(variables)):
                        with Sender(endpoint, protocol, **variables) as sender:
                            sender.metrics(1)
                            if arrives:
                                self.assertTrue(sender.flush(), sender.lines)
                                self.assertEqual(sender.stats()["acknowledged"], 1)
                            else:
                                sender.await_line("log warning OTLP metrics to https://")
                                self.assertEqual(sender.stats()["acknowledged"], 0)


if __name__ == "__main__":
    harness.main()
