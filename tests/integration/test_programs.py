"""Unchanged programs under the preload: the same output and exit code, with and without an agent, and
counts that equal PostgreSQL's own."""

import os
import re
import shutil
import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.counts import api_counts_by_shape, postgres_counts_by_shape
from harness.postgres import Postgres
from harness.process import await_condition

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVERS = os.path.join(HERE, "clients", "drivers")

PSQL_SCRIPT = r"""
SELECT id, name FROM item ORDER BY id LIMIT 3;
SELECT 1; SELECT 2 \; SELECT 3;
INSERT INTO item VALUES (1, 'again');
SELECT nothing FROM item;
BEGIN; UPDATE item SET name = name WHERE id = 2; COMMIT;
BEGIN; SELECT 1/0; SELECT 'never run'; ROLLBACK;
COPY (SELECT id FROM item ORDER BY id LIMIT 4) TO STDOUT;
PREPARE one AS SELECT name FROM item WHERE id = $1; EXECUTE one(2); EXECUTE one(3); DEALLOCATE one;
\d item
SELECT $$dollar$$ AS quoted \gdesc
LISTEN channel; NOTIFY channel, 'payload'; UNLISTEN channel;
"""


# Who sent a notification: another server process in each run.
SERVER_PROCESS = re.compile(r"PID \d+")
# PostgreSQL keeps TRUE, FALSE and NULL as parameters where they are constants; we keep them as words.
CONSTANT = re.compile(r"\$\d+|\b(?:true|false|null)\b", re.IGNORECASE)


def skeletons(rows):
    """{text with its constants left out: calls} of [(text, calls)]."""
    counts = collections.Counter()
    for text, calls in rows:
        counts[CONSTANT.sub("?", "".join(PREPARE.sub("", text).split()))] += calls
    return {text: calls for text, calls in counts.items() if calls}


def program(name, *arguments):
    found = shutil.which(name)
    if not found:
        raise unittest.SkipTest(f"{name} is not installed: run tools/setup")
    return [found, *arguments]


BACKEND = re.compile(r"PID \d+")  # each run has another one


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.agent = Agent()
        cls.addClassCleanup(cls.agent.close)
        cls.preload = harness.preload_library()

    def same_output_and_exact_counts(self, argv, script=None, minimum=1, env=None,
                                     by_skeleton=False):
        name = self.id().rsplit(".", 1)[1]
        database = self.postgres.create_database(name)
        setup = ("CREATE TABLE item (id int PRIMARY KEY, name text);"
                 "INSERT INTO item SELECT n, 'item ' || n FROM generate_series(1, 100) n")
        self.postgres.sql(setup, database)

        def run(**more):
            ran = subprocess.run(argv, input=script, capture_output=True, text=True, check=False,
                                 env=self.postgres.env(database, **(env or {}), **more))
            return ran.returncode, BACKEND.sub("PID n", ran.stdout), ran.stderr
        plain = run()
        without_agent = run(LD_PRELOAD=self.preload, WEIR_SOCKET="/nonexistent/agent.sock")
        self.assertEqual(without_agent, plain)
        self.postgres.reset_statements()
        observed = run(LD_PRELOAD=self.preload, **self.agent.client_env(name))
        self.assertEqual(observed, plain)
        expected = postgres_counts_by_shape(self.postgres, database)
        self.assertGreaterEqual(sum(expected.values()), minimum)
        try:
            await_condition(lambda: api_counts_by_shape(self.agent, database) == expected, 8, "equal counts")
        except AssertionError:
            self.maxDiff = None
            self.assertEqual(api_counts_by_shape(self.agent, database), expected)
        self.assertEqual(self.agent.api("ledger")["total"]["imbalance"], 0)
        return plain

    def test_psql_script(self):
        code, out, _ = self.same_output_and_exact_counts(
            [f"{self.postgres.bin}/psql", "-X", "-f", "-"], PSQL_SCRIPT, minimum=15)
        self.assertEqual(code, 0)
        self.assertIn("item 1", out)

    def test_psql_that_lives_for_milliseconds(self):
        code, out, _ = self.same_output_and_exact_counts(
            [f"{self.postgres.bin}/psql", "-X", "-A", "-t", "-c", "SELECT 5"])
        self.assertEqual((code, out), (0, "5\n"))

    def test_pg_dump(self):
        argv = [f"{self.postgres.bin}/pg_dump"]
        if "--restrict-key" in subprocess.run([*argv, "--help"], capture_output=True, text=True,
                                              check=True).stdout:
            argv.append("--restrict-key=same")  # else it makes a random one for each dump
        code, out, _ = self.same_output_and_exact_counts(argv, minimum=20, by_skeleton=True)
        self.assertEqual(code, 0)
        self.assertIn("CREATE TABLE public.item", out)

    def test_psycopg2_loaded_by_dlopen_local(self):
        code, out, _ = self.same_output_and_exact_counts(
            ["/usr/bin/python3", f"{DRIVERS}/psycopg2_client.py"], minimum=12)
        self.assertEqual(code, 0, out)

    def test_psycopg2_binary_wheel(self):
        code, out, _ = self.same_output_and_exact_counts(
            [harness.test_python(), f"{DRIVERS}/psycopg2_client.py"], minimum=12)
        self.assertEqual(code, 0, out)

    def test_psycopg3_binary_wheel(self):
        code, out, err = self.same_output_and_exact_counts(
            [harness.test_python(), f"{DRIVERS}/psycopg3_client.py"], minimum=12,
            env={"PSYCOPG_IMPL": "binary"})
        self.assertEqual(code, 0, out + err)

    def test_two_libpqs_in_one_process(self):
        code, out, err = self.same_output_and_exact_counts(
            [harness.test_python(), f"{DRIVERS}/two_libpqs.py"], minimum=14,
            env={"PSYCOPG_IMPL": "binary"})
        self.assertEqual(code, 0, out + err)
        self.assertTrue(out.startswith("True"), "the wheels have the same libpq")

    def test_ruby_pg(self):
        code, out, err = self.same_output_and_exact_counts(
            program("ruby", f"{DRIVERS}/ruby_client.rb"), minimum=14)
        self.assertEqual(code, 0, out + err)

    def test_perl_dbd_pg(self):
        code, out, err = self.same_output_and_exact_counts(
            program("perl", f"{DRIVERS}/perl_client.pl"), minimum=11)
        self.assertEqual(code, 0, out + err)

    def test_a_libpq_that_is_called_by_address_is_said_not_to_be_observed(self):
        database = self.postgres.create_database("by_address")
        argv = ["/usr/bin/python3", os.path.join(DRIVERS, "ctypes_client.py")]
        plain = subprocess.run(argv, capture_output=True, text=True, check=True,
                               env=self.postgres.env(database))
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=self.postgres.env(database, LD_PRELOAD=self.preload,
                                                    WAIT_FOR_INPUT="1",
                                                    **self.agent.client_env("by_address"))) as ran:
            self.assertEqual(ran.stdout.readline(), plain.stdout)

            def shown():
                return [row["observed"] for row in self.agent.api("ledger")["processes"]
                        if row["service"] == "by_address"]
            try:
                await_condition(lambda: shown() == ["bypassed_libpq"], 10, "the reason shown")
            except AssertionError:
                self.assertEqual(shown(), ["bypassed_libpq"])
            ran.communicate("\n")
            self.assertEqual(ran.returncode, 0)
        self.assertIn("attached, not observed: bypassed_libpq", self.agent.process.log())


if __name__ == "__main__":
    harness.main()
