"""The endpoints as a client meets them: paths, methods, guards, negotiation, waiting, limits."""

import gzip
import http.client
import json
import os
import socket
import threading
import time
import unittest

import harness
from harness.process import await_condition, free_port, temporary_directory
from prometheus_peer import Server, UnixConnection

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def raw(port, text, timeout=10):
    """Sends bytes and returns all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(text)
        answer = b""
        try:
            while True:
                piece = connection.recv(65536)
                if not piece:
                    return answer
                answer += piece
        except ConnectionResetError:
            return answer


class Paths(unittest.TestCase):
    def test_api(self):
        with Server() as server:
            rows = {}
            for name in ("statements", "pools", "connections", "waiters", "incidents", "ledger",
                         "config"):
                status, headers, body = server.request(f"/api/v1/{name}")
                self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
                rows[name] = json.loads(body)
            self.assertEqual(rows["statements"][0], {
                "fingerprint": "00000000000000ff", "summary": "SELECT orders",
                "text": 'SELECT "\ufffd(" FROM orders\n', "namespace": "shop", "pool": None,
                "service": "shop", "instance": None, "calls": 12, "errors": 2, "rows": 30,
                "total_seconds": 0.1, "p50_seconds": 0.001, "p95_seconds": 0.002,
                "p99_seconds": 0.003, "max_seconds": 0.004})
            self.assertEqual(rows["statements"][1]["text"], "other")
            self.assertIsNone(rows["statements"][1]["p50_seconds"])
            pool, = rows["pools"]
            self.assertEqual((pool["used"], pool["max"], pool["waiting"], pool["timeouts"]),
                             (3, 10, None, None))
            connection, = rows["connections"]
            self.assertEqual((connection["state"], connection["since_seconds"],
                              connection["backend_pid"], connection["trace_id"]),
                             ("idle_in_transaction", 1.5, 99, "01020300000000000000000000000000"))
            waiter, = rows["waiters"]
            self.assertEqual((waiter["waiting_seconds"], waiter["pool"]), (0.5, None))
            self.assertEqual(rows["incidents"], [])
            total = rows["ledger"]["total"]
            self.assertEqual(total["recorded"], total["exported"] + total["buffered"] +
                             sum(total["dropped"].values()))
            self.assertEqual((total["recorded"], total["tail_unknown"]), (200, 1))
            self.assertEqual(rows["config"], {"token": "***"})
            self.assertEqual(server.stats()["requests"], 7)

    def test_unknown_paths_are_json(self):
        with Server() as server:
            for path in ("/nothing", "/api/v1/", "/api/v1/nothing", "/api/v1/pools/1", "/metrics/",
                         "/../etc/passwd", "//"):
                status, headers, body = server.request(path)
                self.assertEqual((status, headers["Content-Type"]), (404, "application/json"), path)
                self.assertIn("error", json.loads(body))

    def test_page_brings_everything_itself(self):
        with Server() as server:
            status, headers, body = server.request("/")
            self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            for word in (b"http:", b"https:", b"src=", b"@import", b"<link"):
                self.assertNotIn(word, body)
            for name in (b'"statements"', b'"pools"', b'"ledger"'):
                self.assertIn(name, body)

    def test_health(self):
        with Server() as server:
            self.assertEqual(server.request("/healthz")[0], 200)
            self.assertEqual(server.request("/readyz")[0], 200)
            server.tell("ill the socket is not bound yet")
            for path in ("/healthz", "/readyz"):
                status, _, body = server.request(path)
                self.assertEqual((status, body), (503, b"the socket is not bound yet\n"))
            server.tell("well")
            self.assertEqual(server.request("/readyz")[0], 200)

    def test_head_is_get_without_body(self):
        with Server() as server:
            for path in ("/metrics", "/", "/healthz", "/api/v1/ledger", "/nothing"):
                status, headers, body = server.request(path)
                head_status, head_headers, head_body = server.request(path, "HEAD")
                self.assertEqual((head_status, head_body), (status, b""))
                self.assertEqual(head_headers["Content-Length"], str(len(body)))
                self.assertEqual(head_headers["Content-Type"], headers["Content-Type"])

    def test_other_methods_are_refused(self):
        with Server() as server:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
                status, headers, body = server.request(
                    "/api/v1/pools", method, body=b"x" * 10 if method != "TRACE" else None)
                self.assertEqual((status, headers.get("Allow")), (405, "GET, HEAD"), method)
                self.assertIn("error", json.loads(body))
                self.assertNotIn("Access-Control-Allow-Origin", headers)
            self.assertEqual(server.stats()["refused"], 7)


class Guards(unittest.TestCase):
    def test_only_local_hosts_and_the_own_origin(self):
        with Server() as server:
            own = f"127.0.0.1:{server.port}"
            for headers, expected in (
                    ({}, 200), ({"Host": "localhost"}, 200), ({"Host": "[::1]:1"}, 200),
                    ({"Host": "evil.example"}, 403), ({"Host": "127.0.0.1.evil.example"}, 403),
                    ({"Host": own, "Origin": f"http://{own}"}, 200),
                    ({"Host": own, "Origin": "http://evil.example"}, 403),
                    ({"Host": own, "Origin": "null"}, 403)):
                for path in ("/api/v1/statements", "/metrics", "/", "/healthz"):
                    status, answer, _ = server.request(path, headers=headers)
                    self.assertEqual(status, expected, (path, headers))
                    self.assertNotIn("Access-Control-Allow-Origin", answer)
            nobody = raw(server.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 403 ", nobody.split(b"\r\n")[0])

    def test_every_answer_has_the_security_headers(self):
        with Server() as server:
            for path in ("/", "/metrics", "/api/v1/pools", "/nothing", "/healthz"):
                _, headers, _ = server.request(path)
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["X-Frame-Options"], "DENY")
                self.assertEqual(headers["Cache-Control"], "no-store")
                self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])

    def test_the_token_guards_all_but_health_and_the_empty_page(self):
        with Server("[::]:0", "off", "s3cret") as server:
            for path, expected in (("/api/v1/statements", 401), ("/metrics", 401),
                                   ("/nothing", 401), ("/", 200), ("/healthz", 200)):
                self.assertEqual(server.request(path)[0], expected, path)
            status, headers, _ = server.request("/metrics",
                                                headers={"Authorization": "Bearer wrong"})
            self.assertEqual((status, headers["WWW-Authenticate"]), (401, "Bearer"))
            for path in ("/metrics", "/api/v1/statements"):
                status, _, _ = server.request(path, headers={
                    "Authorization": "Bearer s3cret", "Host": "agent.prod:9348"})
                self.assertEqual(status, 200)

    def test_all_addresses_need_a_token(self):
        for address in ("0.0.0.0:0", "[::]:0", ":0", "nonsense", "127.0.0.1"):
            with self.assertRaisesRegex(AssertionError, "server_new: Invalid argument"):
                Server(address)

    def test_the_metrics_listener_shows_metrics_alone(self):
        with Server("127.0.0.1:0", ":0") as server:
            for path, expected in (("/metrics", 200), ("/healthz", 200), ("/readyz", 200),
                                   ("/", 404), ("/api/v1/statements", 404), ("/api/v1/config", 404)):
                status, _, _ = server.request(path, port=server.metrics_port,
                                              headers={"Host": "10.1.2.3:9347"})
                self.assertEqual(status, expected, path)

    def test_unix_socket(self):
        with temporary_directory() as directory:
            path = os.path.join(directory, "http.sock")
            for _ in range(2):
                with Server(path):
                    connection = UnixConnection(path)
                    connection.request("GET", "/api/v1/ledger")
                    self.assertEqual(connection.getresponse().status, 200)
                    connection.close()
                self.assertFalse(os.path.exists(path))


class Scrapes(unittest.TestCase):
    def test_negotiation(self):
        with Server() as server:
            plain = server.request("/metrics")
            self.assertEqual(plain[1]["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            self.assertNotIn(b"# EOF", plain[2])
            self.assertTrue(plain[2].endswith(b"\n"))
            _, headers, body = server.request("/metrics", headers={"Accept": OPENMETRICS})
            self.assertEqual(headers["Content-Type"], OPENMETRICS)
            self.assertTrue(body.endswith(b"\n# EOF\n"))
            _, headers, packed = server.request("/metrics", headers={"Accept-Encoding": "gzip"})
            self.assertEqual(headers["Content-Encoding"], "gzip")
            self.assertEqual(gzip.decompress(packed), plain[2])
            self.assertLess(len(packed), len(plain[2]) / 2)

    def test_waits_for_the_checkpoint(self):
        with Server() as server:
            server.tell("hold")
            answers = []
            asker = threading.Thread(target=lambda: answers.append(server.request("/metrics")))
            asker.start()
            await_condition(lambda: server.stats()["requests"] == 1, 10, "the scrape waiting")
            server.tell("calls 41")
            asker.join()
            # On a machine so slow that 200 ms went by, it must be the older one.
            expected = 42 if server.stats()["late"] == 0 else 3
            self.assertIn(b'fingerprint="00000000000000ff"} %d\n' % expected, answers[0][2])

    def test_waits_200_ms_at_most(self):
        with Server() as server:
            server.tell("hold")
            begun = time.monotonic()
            answers = []
            askers = [threading.Thread(target=lambda: answers.append(server.request("/metrics")))
                      for _ in range(5)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            seconds = time.monotonic() - begun
            self.assertGreater(seconds, 0.15)
            self.assertLess(seconds, 5 if os.environ.get("WEIR_SANITIZE") else 1)
            for status, _, body in answers:
                self.assertEqual(status, 200)
                self.assertIn(b'fingerprint="00000000000000ff"} 3\n', body)
            self.assertEqual(server.stats()["late"], 5)
            # The answers that come later find nobody, and health was never held up.
            self.assertEqual(server.request("/healthz")[0], 200)
            server.tell("give")
            self.assertEqual(server.request("/metrics")[0], 200)

    def test_scraper_that_goes_away(self):
        with Server() as server:
            server.tell("hold")
            for _ in range(20):
                connection = http.client.HTTPConnection("127.0.0.1", server.port)
                connection.request("GET", "/metrics")
                connection.close()
            await_condition(lambda: server.stats()["requests"] == 20, 10, "all scrapes seen")
            server.tell("calls 5")
            self.assertEqual(server.request("/healthz")[0], 200)

    def test_stop_while_scrapes_wait(self):
        with Server() as server:
            server.tell("hold")
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/metrics")
            await_condition(lambda: server.stats()["requests"] == 1, 10, "the scrape waiting")
            server.stop()
            with self.assertRaises((OSError, http.client.HTTPException)):
                connection.getresponse()
            connection.close()

    def test_many_on_one_connection(self):
        with Server() as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            for path in ("/metrics", "/api/v1/pools", "/metrics", "/healthz", "/nothing") * 20:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                self.assertIn(answer.status, (200, 404))
            connection.close()


class Limits(unittest.TestCase):
    def test_a_taken_port_is_tried_again(self):
        port = free_port()
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", port))
            holder.listen()
            server = Server(f"127.0.0.1:{port}", "127.0.0.1:0")
            self.assertIn("log warning http cannot listen: Address already in use; running without "
                          "it, trying again every 3 s", server.lines)
            self.assertEqual(server.request("/healthz", port=server.metrics_port)[0], 200)
        with server:
            server.await_line(f"log info http listens on 127.0.0.1:{port}")
            self.assertEqual(server.request("/healthz", port=port)[0], 200)

    def test_what_is_no_request_costs_itself_alone(self):
        with Server() as server:
            for text in (b"\x00\xff\x16\x03\x01" * 100 + b"\r\n\r\n",
                         b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
                         b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                         b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
                         b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n"
                         b"\r\n" + b"x" * 1000,
                         b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"):
                try:
                    answer = raw(server.port, text)
                except OSError:
                    answer = b""
                self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0], text[:60])
            self.assertEqual(server.request("/healthz")[0], 200)

    def test_connections_are_bounded(self):
        with Server("127.0.0.1:0", "off", "", "4") as server:
            idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
            for connection in idle:
                connection.close()
            await_condition(lambda: server.request("/healthz")[0] == 200, 15,
                            "an answer after the flood")


if __name__ == "__main__":
    harness.main()
