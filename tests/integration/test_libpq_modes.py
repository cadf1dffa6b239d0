"""Every part of libpq that programs use, under the preload and with the preload's functions linked into
the program (which sanitizers can see): the same output, and counts that equal PostgreSQL's own."""

import collections
import os
import re
import struct
import subprocess
import unittest

import harness
from harness.agent import Agent
from harness.counts import PREPARE
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import await_condition, temporary_directory

PT_DYNAMIC, DT_FLAGS, DF_SYMBOLIC = 2, 30, 2

# mode: (what failed, by SQLSTATE or reason, how often; calls of PQfn)
MODES = {
    "exec": ({"22012": 1, "42601": 1, "23505": 1}, 0),
    "params": ({"22012": 1, "42601": 1}, 0),
    "prepared": ({"26000": 2}, 0),
    "async": ({"42P01": 1}, 0),
    "rows": ({"22012": 1}, 0),
    "pipeline": ({"22012": 1}, 0),
    "copy": ({"22P02": 1}, 0),
    "fastpath": ({}, 6),
    "cancel": ({"57014": 1}, 0),
    "transactions": ({"22012": 1, "25P02": 1}, 0),
    "connect": ({"57P01": 1, "connection_lost": 2}, 0),
    "threads": ({}, 0),
}


# PostgreSQL takes statements for the same that differ in the names of their columns only, and numbers
# its parameters before we fold lists.
NO_DIFFERENCE = re.compile(r" AS \w+|(?<=\$)\d+")


def skeletons(rows):
    """{normalized text without what makes no difference: calls} of [(text, calls)]."""
    counts = collections.Counter()
    rows = list(rows)
    ran = subprocess.run([harness.built("tests/fingerprint")], check=True, capture_output=True,
                         text=True, input="".join(PREPARE.sub("", text) + "\0" for text, _ in rows))
    for line, (_, calls) in zip(ran.stdout.split("\n"), rows):
        counts[NO_DIFFERENCE.sub("", line.split("\t")[1])] += calls
    return {text: calls for text, calls in counts.items() if calls}


def bound_libpq(directory):
    """A copy of the system's libpq that calls itself unseen, as distributions link theirs: with the
    flag by which the loader binds a library's references to itself."""
    system = subprocess.run(["ldd", harness.built("tests/libpq_modes")], check=True,
                            capture_output=True, text=True).stdout
    path = re.search(r"libpq\.so\.5 => (\S+)", system).group(1)
    with open(path, "rb") as file:
        elf = bytearray(file.read())
    if elf[:6] != b"\x7fELF\x02\x01":
        raise unittest.SkipTest("libpq is no 64-bit little-endian object")
    headers, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for header in range(headers, headers + size * count, size):
        kind, = struct.unpack_from("<I", elf, header)
        if kind != PT_DYNAMIC:
            continue
        offset, = struct.unpack_from("<Q", elf, header + 8)
        while True:
            tag, value = struct.unpack_from("<QQ", elf, offset)
            if tag == DT_FLAGS:
                struct.pack_into("<Q", elf, offset + 8, value | DF_SYMBOLIC)
                with open(os.path.join(directory, "libpq.so.5"), "wb") as file:
                    file.write(elf)
                return directory
            if not tag:
                break
            offset += 16
    raise unittest.SkipTest("libpq has no word for the flag")


class LibpqModes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.libraries = temporary_directory()
        cls.addClassCleanup(cls.libraries.cleanup)
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.agent = Agent()
        cls.addClassCleanup(cls.agent.close)

    def run_program(self, database, mode, program, **env):
        ran = subprocess.run([harness.built(f"tests/{program}"), mode], check=False, timeout=60,
                             capture_output=True, text=True, env=self.postgres.env(database, **env))
        return ran.returncode, ran.stdout, ran.stderr

    def rows(self, database):
        return [row for row in self.agent.api("statements") if row["namespace"] == database]

    def observe(self, mode, name, program, **env):
        database = self.postgres.create_database(f"{mode}_{name}")
        plain = self.run_program(database, mode, "libpq_modes")
        self.assertEqual(plain[0], 0, plain)
        self.postgres.reset_statements()
        observed = self.run_program(database, mode, program, **env,
                                    **self.agent.client_env(database))
        self.assertEqual(observed, plain)
        errors, fastpaths = MODES[mode]
        expected = skeletons((text, calls) for text, calls, _ in self.postgres.statements(database))
        if fastpaths:
            expected["fastpath"] = fastpaths  # the server counts no calls of functions
        wanted = expected, errors

        def seen():
            failed = collections.Counter()
            for labels, value in select(self.agent.metrics(),
                                        "db_client_operation_duration_seconds_count",
                                        db_namespace=database):
                if "error_type" in labels:
                    failed[labels["error_type"]] += int(value)
            return (skeletons((row["text"], row["calls"] - row["errors"])
                              for row in self.rows(database)), dict(failed))
        try:
            await_condition(lambda: seen() == wanted, 5, "equal counts")
        except AssertionError:
            self.maxDiff = None
            self.assertEqual(seen(), wanted)


def add_tests(mode):
    def under_the_preload(self):
        if os.environ.get("WEIR_SANITIZE"):
            self.skipTest("the sanitizer's runtime wants to be loaded first")
        self.observe(mode, "preload", "libpq_modes", LD_PRELOAD=harness.preload_library())

    def linked(self):
        self.observe(mode, "linked", "libpq_modes_linked")

    def bound(self):
        if os.environ.get("WEIR_SANITIZE"):
            self.skipTest("the sanitizer's runtime wants to be loaded first")
        self.observe(mode, "bound", "libpq_modes", LD_PRELOAD=harness.preload_library(),
                     LD_LIBRARY_PATH=bound_libpq(self.libraries.name))

    if mode != "fastpath":  # such a libpq's functions for large objects call PQfn unseen
        setattr(LibpqModes, f"test_{mode}_with_a_libpq_that_calls_itself_unseen", bound)
    setattr(LibpqModes, f"test_{mode}_under_the_preload", under_the_preload)
    setattr(LibpqModes, f"test_{mode}_linked", linked)


for each in MODES:
    add_tests(each)

if __name__ == "__main__":
    harness.main()
