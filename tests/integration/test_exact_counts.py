"""Every count equals PostgreSQL's own: in the API, in a scrape, and at a real Collector.

pgbench runs unchanged under the preload in each of its protocol modes and as a pipeline. One known
exception: PostgreSQL 15 counts BEGIN and END once a session when they are sent as prepared
statements; there pgbench's own number of transactions is the truth.
"""

import os
import re
import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.collector import Collector
from harness.counts import (api_counts, collector_counts, fingerprints, postgres_counts,
                            scrape_counts)
from harness.postgres import Postgres
from harness.process import await_condition

TRANSACTIONS = int(os.environ.get("WEIR_TEST_TRANSACTIONS", "10000"))
CLIENTS = 4

PIPELINE = r"""
\set aid random(1, 100000)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SELECT abalance, filler FROM pgbench_accounts WHERE aid = :aid;
\endpipeline
"""


class ExactCounts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.preload = harness.preload_library()

    def pgbench(self, agent, database, *flags):
        ran = subprocess.run(
            [f"{self.postgres.bin}/pgbench", "-n", "-c", str(CLIENTS), "-t",
             str(TRANSACTIONS // CLIENTS), *flags, database],
            check=False, capture_output=True, text=True,
            env=self.postgres.env(database, LD_PRELOAD=self.preload,
                                  **agent.client_env("pgbench")),
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        done = re.search(r"transactions actually processed: (\d+)/(\d+)", ran.stdout)
        self.assertEqual(done.group(1), done.group(2))
        return int(done.group(1))

    def run_all_modes(self, protocol):
        with Collector() as collector:
            endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
            with Agent("--otlp-endpoint", endpoint, "--otlp-protocol", protocol,
                       env={"OTEL_METRIC_EXPORT_INTERVAL": "500"}) as agent:
                script = os.path.join(agent.dir, "pipeline.pgbench")
                with open(script, "w", encoding="utf-8") as file:
                    file.write(PIPELINE)
                for mode, flags in (("simple", ["-M", "simple"]), ("extended", ["-M", "extended"]),
                                    ("prepared", ["-M", "prepared"]),
                                    ("pipeline", ["-M", "extended", "-f", script])):
                    with self.subTest(mode=mode, protocol=protocol):
                        self.one_mode(agent, collector, f"{mode}_{protocol[:4]}", flags)

    def one_mode(self, agent, collector, database, flags):
        self.postgres.create_database(database)
        subprocess.run([f"{self.postgres.bin}/pgbench", "-i", "-q", database], check=True,
                       capture_output=True, env=self.postgres.env(database))
        self.postgres.reset_statements()
        transactions = self.pgbench(agent, database, *flags)
        expected = postgres_counts(self.postgres, database)
        if "prepared" in flags:
            for fingerprint in fingerprints(["BEGIN", "END"]):
                self.assertIn(fingerprint, expected)
                expected[fingerprint] = transactions
        self.assertGreaterEqual(sum(expected.values()), 3 * transactions)
        self.maxDiff = None
        for name, seen in (("api", lambda: api_counts(agent, database)),
                           ("scrape", lambda: scrape_counts(agent, database)),
                           ("collector", lambda: collector_counts(collector, database))):
            try:
                await_condition(lambda: seen() == expected, 15, f"{name} equal to PostgreSQL")
            except AssertionError:
                self.assertEqual(seen(), expected, name)  # fails, and shows the difference
        self.assertEqual(agent.api("ledger")["total"]["imbalance"], 0)

    def test_grpc(self):
        self.run_all_modes("grpc")

    def test_http(self):
        self.run_all_modes("http/protobuf")


class SeriesLimit(unittest.TestCase):
    """Above the limit of statement sets: the admitted ones stay exact, and nothing is missing."""

    def test_admitted_sets_are_exact_and_all_sum_up(self):
        with Postgres() as postgres, Agent() as agent:
            database = postgres.create_database("many")
            script = os.path.join(agent.dir, "many.pgbench")
            tables = [f"table_{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(120)]
            postgres.sql("".join(f"CREATE TABLE {table} ();\n" for table in tables), database)
            with open(script, "w", encoding="utf-8") as file:
                file.writelines(f"SELECT count(*) FROM {table};\n" for table in tables)
            postgres.reset_statements()
            ran = subprocess.run(
                [f"{postgres.bin}/pgbench", "-n", "-c", "2", "-t", "50", "-f", script, database],
                check=False, capture_output=True, text=True,
                env=postgres.env(database, LD_PRELOAD=harness.preload_library(),
                                 **agent.client_env("many")))
            self.assertEqual(ran.returncode, 0, ran.stderr)
            expected = postgres_counts(postgres, database)
            self.assertGreater(len(expected), 100)
            total = sum(expected.values())

            def all_there():
                return sum(scrape_sums(agent).values()) == total
            await_condition(all_there, 15, f"all series summing to {total}")
            sums = scrape_sums(agent)
            overflow = sums.pop("overflow")
            self.assertGreater(overflow, 0)
            self.assertGreaterEqual(len(sums), 40)
            for fingerprint, count in sums.items():
                self.assertEqual(count, expected[fingerprint], fingerprint)
            self.assertEqual(api_counts(agent, database), expected)


def scrape_sums(agent):
    sums = {"overflow": 0}
    for name, labels, value in agent.metrics():
        if name != "db_client_operation_duration_seconds_count":
            continue
        if labels.get("otel_metric_overflow") == "true":
            sums["overflow"] += int(value)
        else:
            fingerprint = labels["weir_statement_fingerprint"]
            sums[fingerprint] = sums.get(fingerprint, 0) + int(value)
    return sums


if __name__ == "__main__":
    harness.main()
