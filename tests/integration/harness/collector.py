"""A real OpenTelemetry Collector that writes what it receives to a file."""

import json
import os

from . import peers_bin
from .process import Process, await_condition, free_port, temporary_directory

CONFIGURATION = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  file: {{path: "{out}", flush_interval: 100ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [file]}}
    traces: {{receivers: [otlp], exporters: [file]}}
    logs: {{receivers: [otlp], exporters: [file]}}
"""


def attributes(items):
    """OTLP/JSON attributes as a plain dictionary."""
    plain = {}
    for item in items or []:
        (kind, value), = item["value"].items() or [("stringValue", "")]
        plain[item["key"]] = int(value) if kind == "intValue" else value
    return plain


class Collector:
    def __init__(self):
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.grpc_port = free_port()
        self.http_port = free_port()
        self.out = os.path.join(self.dir, "received.json")
        self.process = None
        self.start()

    @property
    def grpc_endpoint(self):
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self):
        return f"http://127.0.0.1:{self.http_port}"

    def start(self):
        config = os.path.join(self.dir, "config.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(grpc=self.grpc_port, http=self.http_port, out=self.out))
        self.process = Process([peers_bin("otelcol"), "--config", config],
                               os.path.join(self.dir, "collector.log"))
        await_condition(lambda: "Everything is ready" in self.process.log(), 30,
                        "the Collector being ready")

    def messages(self):
        """Every OTLP message received so far."""
        if not os.path.exists(self.out):
            return []
        with open(self.out, encoding="utf-8") as file:
            lines = file.read().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def metric_points(self, name):
        """[(resource, attributes, point)] of one metric, oldest first."""
        found = []
        for message in self.messages():
            for resource in message.get("resourceMetrics", []):
                owner = attributes(resource.get("resource", {}).get("attributes"))
                for scope in resource.get("scopeMetrics", []):
                    for metric in scope.get("metrics", []):
                        if metric["name"] != name:
                            continue
                        for kind in ("sum", "gauge", "histogram", "exponentialHistogram"):
                            for point in metric.get(kind, {}).get("dataPoints", []):
                                found.append((owner, attributes(point.get("attributes")), point))
        return found

    def latest_points(self, name):
        """{(resource items, attribute items): point}: the newest point of each series."""
        latest = {}
        for owner, labels, point in self.metric_points(name):
            latest[(tuple(sorted(owner.items())), tuple(sorted(labels.items())))] = point
        return latest

    def spans(self):
        """[(resource, span)] of every span received."""
        found = []
        for message in self.messages():
            for resource in message.get("resourceSpans", []):
                owner = attributes(resource.get("resource", {}).get("attributes"))
                for scope in resource.get("scopeSpans", []):
                    found += [(owner, span) for span in scope.get("spans", [])]
        return found

    def close(self):
        if self.process.alive():
            self.process.stop()
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
