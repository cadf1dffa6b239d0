"""The libraries that go into other people's processes: what they need, and what they show.

Arguments: the preload, the probe's library.
"""

import re
import subprocess
import sys
import unittest

GLIBC_MAX = (2, 17)
NEEDED = {"libc.so.6", "libpthread.so.0", "libdl.so.2"}  # the latter are glibc's own, once apart
LOADERS = re.compile(r"ld-linux.*\.so\.\d+")
TLS_BYTES_MAX = 128


def readelf(flags, path):
    return subprocess.run(["readelf", "-W", *flags, path], check=True, capture_output=True,
                          text=True).stdout


def exported(path):
    names = set()
    for line in readelf(["--dyn-syms"], path).splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[4] in ("GLOBAL", "WEAK") and fields[6] not in ("UND", "ABS"):
            names.add(fields[7].split("@")[0])
    return names


class Objects(unittest.TestCase):
    def each(self):
        for path in (PRELOAD, PROBE):
            with self.subTest(object=path):
                yield path

    def test_need_no_symbol_newer_than_the_oldest_glibc(self):
        for path in self.each():
            versions = {tuple(map(int, found.split("."))) for found in
                        re.findall(r"GLIBC_([\d.]+)", readelf(["--version-info"], path))}
            self.assertTrue(versions)
            self.assertLessEqual(max(versions), GLIBC_MAX)

    def test_need_libc_alone(self):
        for path in self.each():
            needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(["--dynamic"], path)))
            self.assertIn("libc.so.6", needed)
            self.assertEqual({name for name in needed - NEEDED if not LOADERS.fullmatch(name)},
                             set())

    def test_are_never_unloaded(self):
        for path in self.each():
            self.assertRegex(readelf(["--dynamic"], path), r"FLAGS_1\).*NODELETE")

    def test_have_little_thread_local_storage(self):
        for path in self.each():
            found = re.search(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)",
                              readelf(["--segments"], path), re.MULTILINE)
            self.assertLessEqual(int(found.group(1), 16), TLS_BYTES_MAX)

    def test_the_preload_shows_what_it_stands_before(self):
        names = exported(PRELOAD)
        others = {name for name in names if not name.startswith("PQ")}
        self.assertEqual(others, {"dlopen", "weir_probe_v1"})
        for name in ("PQconnectdb", "PQconnectPoll", "PQexec", "PQsendQueryPrepared", "PQgetResult",
                     "PQcancel", "PQfn", "PQclosePrepared", "PQfinish"):
            self.assertIn(name, names)
        # A definition with a version would not stand before one with another.
        self.assertNotIn("Version definition section", readelf(["--version-info"], PRELOAD))

    def test_the_probe_shows_its_own_names_only(self):
        self.assertEqual({name for name in exported(PROBE) if not name.startswith("weir_")
                          and not name.startswith("WEIR_")}, set())


if __name__ == "__main__":
    PRELOAD, PROBE = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
