"""Planted secrets are searched for wherever telemetry goes: none is found.

Each secret carries a marker, and each place is also searched for something that must be there, so
that a search that looks at nothing fails.
"""

import os
import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.collector import Collector
from harness.postgres import Postgres
from harness.process import await_condition

MARKER = "hunter2"
SEEN = "planted_table"  # an identifier: it may, and must, appear

STATEMENTS = f"""
CREATE TABLE {SEEN} (id int PRIMARY KEY, note text, CONSTRAINT note_is_short CHECK (length(note) < 99));
INSERT INTO {SEEN} VALUES (1, '{MARKER}-literal');
INSERT INTO {SEEN} VALUES (1, E'\\x41{MARKER}-violation');
INSERT INTO {SEEN} VALUES (9, repeat('{MARKER}-detail', 50));
SELECT * FROM {SEEN} WHERE note = $tag${MARKER}-dollar$tag$;
SELECT * FROM {SEEN} WHERE note = U&'{MARKER}-\\0041unicode' OR note = N'{MARKER}-national';
CREATE ROLE planted PASSWORD '{MARKER}-role';
ALTER ROLE planted PASSWORD '{MARKER}-password';
ALTER ROLE planted VALID UNTIL 'infinity' ENCRYPTED PASSWORD '{MARKER}-encrypted';
DO $$ BEGIN PERFORM '{MARKER}-do-body'; END $$;
CREATE FUNCTION planted() RETURNS text LANGUAGE sql AS $f$ SELECT '{MARKER}-function' $f$;
SELECT 1 /* {MARKER}-comment */ -- {MARKER}-line-comment
;
/* password='{MARKER}-other-key',route='%2Fplanted' */ SELECT 2;
SELECT '{MARKER}-unterminated-in-error
' FROM no_such_table;
SELECT '{MARKER}-cast'::int;
SET application_name = '{MARKER}-application';
SELECT set_config('search_path', '{MARKER}-path', false);
SET search_path = public;
PREPARE planted_statement AS SELECT * FROM {SEEN} WHERE note = '{MARKER}-prepared';
EXECUTE planted_statement;
NOTIFY planted_channel, '{MARKER}-payload';
COPY {SEEN} FROM STDIN;
2	{MARKER}-copied-row
\\.
COPY {SEEN} TO STDOUT;
COPY (SELECT '{MARKER}-copy-query') TO STDOUT;
\\bind '{MARKER}-bound'
SELECT * FROM {SEEN} WHERE note = '{MARKER}-last';
"""


def process_memory(pid, name):
    """The bytes of a process's mappings whose name contains @name."""
    found = b""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        ranges = [line.split()[0] for line in maps if name in line]
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for span in ranges:
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            found += memory.read(end - start)
    return found


class Secrets(unittest.TestCase):
    def test_no_planted_secret_is_found(self):
        with Postgres() as postgres, Collector() as collector, Agent(
                "--otlp-endpoint", collector.grpc_endpoint, "--otlp-protocol", "grpc",
                "--log-level", "debug",
                env={"OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_BSP_SCHEDULE_DELAY": "100",
                     "OTEL_TRACES_SAMPLER": "always_on"}) as agent:
            database = postgres.create_database("planted")
            psql = subprocess.Popen(
                [f"{postgres.bin}/psql", "-X", "-q", "-f", "-",
                 f"host=127.0.0.1 port={postgres.port} user=postgres dbname={database}"
                 f" password={MARKER}-connection application_name={MARKER}-name"
                 f" options='-c myapp.key={MARKER}-option'"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=postgres.env(database, LD_PRELOAD=harness.preload_library(),
                                 PGPASSWORD=f"{MARKER}-environment", **agent.client_env("planted")))
            psql.stdin.write(STATEMENTS.encode())
            psql.stdin.flush()
            await_condition(
                lambda: [row for row in agent.api("statements")
                         if row["text"] and row["text"].startswith("COPY (SELECT")],
                15, "the statements seen by the agent")
            segment = process_memory(psql.pid, "memfd:weir")
            psql.stdin.close()
            psql.wait(20)
            await_condition(lambda: SEEN in collected(collector), 15, "OTLP at the Collector")
            await_condition(collector.spans, 15, "spans at the Collector")
            places = {
                "segment": segment,
                "agent's view of the segment": process_memory(agent.process.pid, "memfd:weir"),
                "/metrics": agent.request("/metrics")[2],
                "OpenMetrics": agent.request("/metrics", headers={
                    "Accept": "application/openmetrics-text;version=1.0.0"})[2],
                "OTLP": collected(collector).encode(),
            }
            for name in ("statements", "pools", "connections", "waiters", "ledger", "incidents",
                         "config"):
                places[f"/api/v1/{name}"] = agent.request(f"/api/v1/{name}")[2]
            agent.stop()
            for folder, _, files in os.walk(agent.data):
                for file in files:
                    with open(os.path.join(folder, file), "rb") as content:
                        places[f"data/{file}"] = content.read()
            places["log"] = agent.process.log().encode()

            for place in ("segment", "/metrics", "OTLP", "/api/v1/statements",
                          "data/checkpoint.db"):
                self.assertIn(SEEN.encode(), places[place], f"{place} was not searched")
            found = {
                place: [content[max(0, at - 60):at + 40]
                        for at in [content.find(MARKER.encode())]]
                for place, content in places.items() if MARKER.encode() in content
            }
            self.assertEqual(found, {})
            print("searched:", ", ".join(f"{name} ({len(content)} bytes)"
                                         for name, content in places.items()))


def collected(collector):
    if not os.path.exists(collector.out):
        return ""
    with open(collector.out, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    harness.main()
