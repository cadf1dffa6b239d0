"""Servers that refuse, put off, reject in part, stay silent or are not there."""

import email.utils
import socket
import time
import unittest

import harness
from harness.process import await_condition, free_port
from otlp_peer import Answers, Sender

# protobuf by hand: google.rpc.Status{message: "no"} and a partial success of 3 points, "too old".
REFUSAL = b"\x12\x02no"
PARTIAL = b"\x0a\x0b\x08\x03\x12\x07too old"
WARNING = b"\x0a\x08\x12\x06hoping"
EMPTY_PARTIAL = b"\x0a\x00"


class Http(unittest.TestCase):
    def test_the_request(self):
        with Answers() as server:
            with Sender(server.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
                        OTEL_EXPORTER_OTLP_HEADERS="Api-Key=a%20b, other=c",
                        OTEL_EXPORTER_OTLP_TRACES_HEADERS="mine=d") as sender:
                sender.metrics(1)
                sender.spans(1)
                self.assertTrue(sender.flush())
            requests = {path: headers for path, headers, _ in server.requests}
            self.assertEqual(sorted(requests), ["/v1/metrics", "/v1/traces"])
            metrics = {name.lower(): value for name, value in requests["/v1/metrics"].items()}
            self.assertEqual(metrics["content-type"], "application/x-protobuf")
            self.assertEqual(metrics["content-encoding"], "gzip")
            self.assertEqual((metrics["api-key"], metrics["other"]), ("a b", "c"))
            self.assertRegex(metrics["user-agent"], r"^weir-agent/\S+ OTel-OTLP-Exporter-C/\S+$")
            self.assertNotIn("expect", metrics)
            traces = {name.lower(): value for name, value in requests["/v1/traces"].items()}
            self.assertEqual(traces["mine"], "d")
            self.assertNotIn("api-key", traces)

    def test_paths(self):
        with Answers() as server:
            for variables, path in (
                    ({"OTEL_EXPORTER_OTLP_ENDPOINT": server.endpoint + "/base/"}, "/base/v1/metrics"),
                    ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": server.endpoint}, "/"),
                    ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": server.endpoint + "/x?y=z"}, "/x?y=z")):
                with Sender(None, **variables) as sender:
                    sender.metrics(1)
                    self.assertTrue(sender.flush())
                self.assertEqual(server.requests[-1][0], path)

    def test_the_same_request_again(self):
        for status in (429, 502, 503, 504, 0):
            with self.subTest(status), Answers([(status, {}, b"")] * 2) as server:
                with Sender(server.endpoint) as sender:
                    sender.metrics(1)
                    sender.await_line("acknowledged 1 rejected 0")
                    stats = sender.stats()["metrics"]
                    self.assertEqual((stats["requests"], stats["retries"], stats["failures"],
                                      stats["exported"]), (3, 2, 2, 25))
                    self.assertEqual(len(sender.logs()), 2, sender.logs())
                bodies = {body for _, _, body in server.requests}
                self.assertEqual((len(server.requests), len(bodies)), (3, 1))

    def test_final_answers(self):
        for status in (400, 401, 404, 408, 413, 500, 501, 302):
            with self.subTest(status), Answers([(status, {}, REFUSAL)]) as server:
                with Sender(server.endpoint) as sender:
                    sender.metrics(1)
                    self.assertTrue(sender.flush())
                    stats = sender.stats()
                    self.assertEqual((len(server.requests), stats["metrics"]["refused"],
                                      stats["acknowledged"]), (1, 25, 0))
                    self.assertIn(f"HTTP status {status}: no; 25 items dropped", sender.logs()[0])
                    # The next snapshot holds what this one held.
                    sender.metrics(2)
                    sender.await_line("acknowledged 2 rejected 0")
                    self.assertEqual(len(sender.logs()), 2)

    def test_retry_after(self):
        begun = time.time()
        date = email.utils.formatdate(int(begun) + 3, usegmt=True)
        for value, least in (("1", 1.0), (date, 1.0)):
            with self.subTest(value):
                with Answers([(503, {"Retry-After": value}, b"")]) as server:
                    with Sender(server.endpoint, retry=(10, 20, 60000)) as sender:
                        begun = time.monotonic()
                        sender.metrics(1)
                        sender.await_line("acknowledged 1")
                        self.assertGreaterEqual(time.monotonic() - begun, least)

    def test_partial_success(self):
        with Answers([(200, {}, PARTIAL), (200, {}, WARNING), (200, {}, EMPTY_PARTIAL)]) as server:
            with Sender(server.endpoint) as sender:
                for number, rejected in ((1, 3), (2, 0), (3, 0)):
                    sender.metrics(number)
                    sender.await_line(f"acknowledged {number} rejected {rejected}")
                stats = sender.stats()["metrics"]
                self.assertEqual((stats["rejected"], stats["exported"], stats["failures"]),
                                 (3, 72, 0))
                self.assertEqual(len(server.requests), 3)
                self.assertEqual(len(sender.logs()), 1)
                self.assertIn("3 of 25 items rejected: too old", sender.logs()[0])

    def test_a_refused_part_is_not_acknowledged(self):
        with Answers([(200, {}, b""), (400, {}, b"")]) as server:
            with Sender(server.endpoint, request_bytes=2000) as sender:
                sender.metrics(1)
                self.assertTrue(sender.flush())
                stats = sender.stats()
                self.assertGreater(len(server.requests), 3)
                self.assertEqual(stats["acknowledged"], 0)
                self.assertEqual(stats["metrics"]["exported"] + stats["metrics"]["refused"], 25)

    def test_an_endless_answer(self):
        with Answers([(200, {}, b"x" * (5 << 20))]) as server:
            with Sender(server.endpoint) as sender:
                sender.metrics(1)
                self.assertTrue(sender.flush())
                self.assertEqual(sender.stats()["metrics"]["refused"], 25)
                self.assertIn("4 MiB", sender.logs()[0])


class Waiting(unittest.TestCase):
    def test_giving_up(self):
        for protocol in ("grpc", "http/protobuf"):
            endpoint = f"http://127.0.0.1:{free_port()}"
            with self.subTest(protocol), Sender(endpoint, protocol, retry=(10, 20, 100),
                                                OTEL_BSP_SCHEDULE_DELAY="1") as sender:
                sender.metrics(1)
                sender.spans(5)
                await_condition(lambda: sender.stats()["traces"]["expired"] == 5 and
                                sender.stats()["metrics"]["expired"] == 25, 30, "given up")
                stats = sender.stats()
                self.assertEqual((stats["spans_waiting"], stats["acknowledged"]), (0, 0))

    def test_the_queue_is_bounded(self):
        endpoint = f"http://127.0.0.1:{free_port()}"
        with Sender(endpoint, OTEL_BSP_MAX_QUEUE_SIZE="10") as sender:
            sender.spans(25)
            stats = sender.stats()
            self.assertEqual((stats["spans_offered"], stats["queue_full"], stats["spans_waiting"]),
                             (25, 15, 10))

    def test_the_oldest_spans_leave_when_their_memory_is_full(self):
        with Answers() as server:
            with Sender(server.endpoint, span_bytes=2000) as sender:
                sender.spans(60)
                stats = sender.stats()
                self.assertEqual(stats["queue_bytes"] + stats["spans_waiting"], 60)
                self.assertTrue(2 <= stats["spans_waiting"] < 30, stats)
                self.assertTrue(sender.flush())
                self.assertEqual(sender.stats()["traces"]["exported"], stats["spans_waiting"])
            (path, _, body), = server.requests
            self.assertEqual(path, "/v1/traces")
            # The last is there, the first is not: their ids are their numbers.
            self.assertIn(bytes((59, 0, 0, 0, 0, 0, 0, 0x22)), body)
            self.assertNotIn(bytes((0, 0, 0, 0, 0, 0, 0, 0x22)), body)

    def test_silence_ends_with_the_timeout(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(8)
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            for protocol in ("grpc", "http/protobuf"):
                with self.subTest(protocol):
                    with Sender(endpoint, protocol, OTEL_EXPORTER_OTLP_TIMEOUT="200") as sender:
                        sender.metrics(1)
                        await_condition(lambda: sender.stats()["metrics"]["retries"] >= 1, 20,
                                        "a second attempt")
                    # Without a limit only the end of the program ends it, and at once.
                    with Sender(endpoint, protocol, OTEL_EXPORTER_OTLP_TIMEOUT="0",
                                OTEL_METRIC_EXPORT_TIMEOUT="0") as sender:
                        sender.metrics(1)
                        sender.metrics(2)
                        begun = time.monotonic()
                        self.assertFalse(sender.flush(300))
                        self.assertLess(time.monotonic() - begun, 10)

    def test_flush_does_not_wait_for_the_back_off(self):
        with Answers([(503, {}, b"")]) as server:
            with Sender(server.endpoint, retry=(60000, 60000, 300000)) as sender:
                sender.metrics(1)
                sender.await_line("log warning")
                self.assertTrue(sender.flush(5000))
                self.assertEqual(sender.stats()["acknowledged"], 1)

    def test_proxies_and_secrets_stay_out_of_the_log(self):
        with Answers([(401, {}, b"")]) as server:
            endpoint = server.endpoint.replace("//", "//user:s3cret@")
            with Sender(endpoint, OTEL_EXPORTER_OTLP_HEADERS="api-key=s3cret") as sender:
                sender.metrics(1)
                self.assertTrue(sender.flush())
                sender.stats()
                self.assertNotIn("s3cret", "\n".join(sender.lines))
            self.assertIn("Authorization", server.requests[0][1])


class Refusals(unittest.TestCase):
    def test_an_endpoint_that_is_no_url(self):
        for endpoint in ("collector", "collector:4318", "ftp://x", "http://", "http://a:99999",
                         "http://a b/", "http://user:s3cret@:1"):
            with self.subTest(endpoint):
                with self.assertRaisesRegex(
                        AssertionError, "wrong 1 OTEL_EXPORTER_OTLP_ENDPOINT: the OTLP endpoint"):
                    Sender(endpoint)
        with self.assertRaisesRegex(
                AssertionError, "wrong 1 OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE: /nowhere: No such"):
            Sender("https://127.0.0.1:1", "grpc", OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE="/nowhere")


if __name__ == "__main__":
    harness.main()
