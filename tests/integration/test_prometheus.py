"""A real Prometheus scrapes the agent: the counts are PostgreSQL's, both histogram forms are there."""

import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.counts import postgres_counts
from harness.postgres import Postgres
from harness.process import await_condition
from harness.prometheus import Prometheus


class PrometheusScrape(unittest.TestCase):
    def test_counts_and_quantiles(self):
        with Postgres() as postgres, Agent() as agent, Prometheus(agent.port) as prometheus:
            database = postgres.create_database("scraped")
            subprocess.run([f"{postgres.bin}/pgbench", "-i", "-q", database], check=True,
                           capture_output=True, env=postgres.env(database))
            postgres.reset_statements()
            ran = subprocess.run(
                [f"{postgres.bin}/pgbench", "-n", "-c", "4", "-t", "500", database], check=False,
                capture_output=True, text=True,
                env=postgres.env(database, LD_PRELOAD=harness.preload_library(),
                                 **agent.client_env("scraped")))
            self.assertEqual(ran.returncode, 0, ran.stderr)
            expected = postgres_counts(postgres, database)

            def seen():
                # Native histograms: the series has the family's name and carries its own count.
                return {
                    sample["metric"]["weir_statement_fingerprint"]: int(float(sample["value"][1]))
                    for sample in prometheus.query(
                        "histogram_count(db_client_operation_duration_seconds"
                        f'{{db_namespace="{database}",error_type=""}})')
                }
            try:
                await_condition(lambda: seen() == expected, 20, "Prometheus equal to PostgreSQL")
            except AssertionError:
                self.assertEqual(seen(), expected)
            target, = prometheus.targets()
            self.assertEqual((target["health"], target["lastError"]), ("up", ""))
            slowest = prometheus.query(
                "max(histogram_quantile(0.99, db_client_operation_duration_seconds))")
            self.assertGreater(float(slowest[0]["value"][1]), 0)
            imbalance = prometheus.query("sum(weir_ledger_imbalance)")
            self.assertEqual(float(imbalance[0]["value"][1]), 0)
            info = prometheus.query('weir_statement_info{db_query_text=~"UPDATE pgbench_tellers.*"}')
            self.assertEqual(len(info), 1, info)


if __name__ == "__main__":
    harness.main()
