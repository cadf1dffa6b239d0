"""The program that sends made-up telemetry (otlp_sender.c), and a server that answers it as told."""

import gzip
import http.server
import json
import os
import subprocess
import threading

from harness import built
from harness.process import await_condition


class Sender:
    def __init__(self, endpoint, protocol="http/protobuf", retry=(50, 200, 60000),
                 request_bytes=3 << 20, span_bytes=1 << 20, **variables):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("OTEL_") and not name.lower().endswith("_proxy")}
        if endpoint:
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        env["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
        env.update(variables)
        self.process = subprocess.Popen(
            [built("tests/otlp_sender"), *(str(wait) for wait in retry), str(request_bytes),
             str(span_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, env=env)
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.await_line("ready")
        except AssertionError:
            self.kill()
            raise

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def found(self, start, after=0):
        return next((line for line in list(self.lines)[after:] if line.startswith(start)), None)

    def await_line(self, start, after=0, timeout=30):
        def found():
            line = self.found(start, after)
            if not line and self.process.poll() is not None and not self.reader.is_alive():
                raise AssertionError("the sender ended:\n" + "\n".join(self.lines))
            return line
        return await_condition(found, timeout, f"a line {start!r} in {self.lines}")

    def tell(self, line, answer):
        after = len(self.lines)
        self.process.stdin.write(line + "\n")
        return self.await_line(answer, after)

    def metrics(self, count):
        return int(self.tell(f"metrics {count}", "offered ").split()[1])

    def spans(self, count):
        self.tell(f"spans {count}", "offered")

    def flush(self, milliseconds=20000):
        after = len(self.lines)
        self.process.stdin.write(f"flush {milliseconds}\n")
        await_condition(lambda: self.found("flushed", after) or self.found("timeout", after),
                        milliseconds / 1000 + 30, "the end of the flush")
        return self.found("flushed", after) is not None

    def stats(self):
        return json.loads(self.tell("stats", "stats ")[len("stats "):])

    def logs(self):
        return [line for line in self.lines if line.startswith("log ")]

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.reader.join(10)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"the sender exited {code}:\n" + "\n".join(self.lines))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()


class Answers(http.server.ThreadingHTTPServer):
    """Answers each POST by the next of `script` (status, headers, body), then by full success."""

    daemon_threads = True

    def __init__(self, script=(), port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = list(script)
        self.requests = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that goes away is no error here."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.requests.append((self.path, dict(self.headers), body))
        status, headers, answer = (self.server.script.pop(0) if self.server.script
                                   else (200, {}, b""))
        if status == 0:
            self.close_connection = True  # no answer at all
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass
