"""A real Prometheus server that scrapes the agent."""

import json
import os
import shutil
import unittest
import urllib.parse
import urllib.request

from .process import Process, await_condition, free_port, temporary_directory

CONFIGURATION = """
global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}
scrape_configs:
  - job_name: weir
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    def __init__(self, target_port, interval="1s", features="native-histograms,exemplar-storage"):
        program = shutil.which("prometheus")
        if not program:
            raise unittest.SkipTest("no Prometheus is installed: run tools/setup")
        self._holder = temporary_directory()
        self.dir = self._holder.name
        self.port = free_port()
        config = os.path.join(self.dir, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(port=target_port, interval=interval))
        self.process = Process(
            [program, f"--config.file={config}", f"--storage.tsdb.path={self.dir}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}", f"--enable-feature={features}"],
            os.path.join(self.dir, "prometheus.log"))
        await_condition(lambda: self.get("/-/ready") is not None, 30, "Prometheus being ready")

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()

    def query(self, expression):
        """The instant vector of an expression."""
        answer = json.loads(self.get("/api/v1/query", query=expression))
        if answer["status"] != "success":
            raise AssertionError(answer)
        return answer["data"]["result"]

    def targets(self):
        return json.loads(self.get("/api/v1/targets"))["data"]["activeTargets"]

    def close(self):
        if self.process.alive():
            self.process.stop()
        self._holder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
