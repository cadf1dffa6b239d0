"""The installed package as a service's author meets it: docs/POOL.md's program, built against a
temporary prefix by pkg-config, by CMake and with the archives, moves money in a real database."""

import glob
import os
import subprocess
import unittest

import harness
from harness.postgres import Postgres
from harness.process import temporary_directory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BALANCE = 10

PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(weir 0.1 REQUIRED)
add_executable(transfer transfer.c)
target_link_libraries(transfer PRIVATE weir::weir)
add_executable(probed probed.c)
target_link_libraries(probed PRIVATE weir::probe)
"""

PROBED = """
#include <weir/probe.h>

int main(void)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts), .name = "mine"};
    struct weir_probe_pool *pool = weir_probe_pool_open(&opts);

    weir_probe_pool_close(pool);
    return pool ? 0 : 1;
}
"""


def run(argv, **more):
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, **more)
    if ran.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {ran.returncode}:\n"
                             f"{ran.stdout}{ran.stderr}")
    return ran.stdout


def program_of_the_page():
    with open(os.path.join(ROOT, "docs", "POOL.md"), encoding="utf-8") as page:
        return page.read().split("\n```c\n", 1)[1].split("\n```\n", 1)[0] + "\n"


def loaded_from(program, library, env):
    """The directory in which the loader finds it."""
    for line in run(["ldd", program], env=env).splitlines():
        if line.split()[0] == library:
            return os.path.dirname(os.path.realpath(line.split()[2]))
    return None


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = temporary_directory()
        cls.addClassCleanup(cls.holder.cleanup)
        cls.prefix = os.path.join(os.path.realpath(cls.holder.name), "prefix")
        run(["cmake", "--install", harness.build_dir(), "--prefix", cls.prefix])
        pc_files = glob.glob(f"{cls.prefix}/lib*/**/weir.pc", recursive=True)
        assert len(pc_files) == 1, pc_files
        cls.pc_dir = os.path.dirname(pc_files[0])
        cls.lib_dir = os.path.dirname(cls.pc_dir)
        cls.source = os.path.join(cls.holder.name, "transfer.c")
        with open(cls.source, "w", encoding="utf-8") as source:
            source.write(program_of_the_page())
        cls.postgres = Postgres(extension=False)
        cls.addClassCleanup(cls.postgres.close)
        cls.postgres.create_database("bank")
        cls.postgres.sql("CREATE TABLE account (id int PRIMARY KEY, balance int)", "bank")

    def setUp(self):
        self.postgres.sql(f"TRUNCATE account; INSERT INTO account VALUES (7, {BALANCE})", "bank")
        self.env = self.postgres.env(
            "postgres", LD_LIBRARY_PATH=self.lib_dir, PKG_CONFIG_PATH=self.pc_dir,
            WEIR_SOCKET=os.path.join(self.holder.name, "no-agent.sock"))

    def flags(self, *what):
        return run(["pkg-config", *what], env=self.env).split()

    def compile(self, name, *flags):
        program = os.path.join(self.holder.name, name)
        run(["cc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", self.source, "-o",
             program, *flags])
        return program

    def check_transfers(self, program):
        run([program], env=self.env)
        self.assertEqual(self.postgres.value("SELECT balance FROM account WHERE id = 7", "bank"),
                         str(BALANCE - 1))

    def test_pkg_config(self):
        program = self.compile("by-pkg-config", *self.flags("--cflags", "--libs", "weir"))
        self.assertEqual(loaded_from(program, "libweir.so.1", self.env), self.lib_dir)
        self.check_transfers(program)

    def test_archives(self):
        program = self.compile(
            "by-archives", *self.flags("--cflags", "weir"), f"-L{self.lib_dir}", "-l:libweir.a",
            "-l:libweir_probe.a", "-lpq", "-lcyaml", "-lyaml", "-lm", "-ldl", "-pthread")
        self.assertIsNone(loaded_from(program, "libweir.so.1", self.env))
        self.check_transfers(program)

    def test_cmake(self):
        project = os.path.join(self.holder.name, "project")
        os.mkdir(project)
        for name, text in (("CMakeLists.txt", PROJECT), ("probed.c", PROBED),
                           ("transfer.c", program_of_the_page())):
            with open(os.path.join(project, name), "w", encoding="utf-8") as file:
                file.write(text)
        build = os.path.join(project, "build")
        run(["cmake", "-S", project, "-B", build, "-G", "Ninja",
             f"-DCMAKE_PREFIX_PATH={self.prefix}"])
        run(["cmake", "--build", build])
        probed = os.path.join(build, "probed")
        self.assertEqual(loaded_from(probed, "libweir_probe.so.1", self.env), self.lib_dir)
        self.assertIsNone(loaded_from(probed, "libpq.so.5", self.env))
        run([probed], env=self.env)
        self.check_transfers(os.path.join(build, "transfer"))

    def test_each_header_stands_alone_in_c_and_cpp(self):
        headers = sorted(os.listdir(os.path.join(self.prefix, "include", "weir")))
        self.assertEqual(headers, sorted(os.listdir(os.path.join(ROOT, "include", "weir"))))
        for header in headers:
            for compiler in (["cc", "-x", "c", "-std=c11"], ["clang-14", "-x", "c", "-std=c11"],
                             ["clang++-14", "-x", "c++", "-std=c++17"]):
                with self.subTest(header=header, compiler=compiler[0]):
                    run([*compiler, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                         *self.flags("--cflags", "weir"), "-"],
                        input=f"#include <weir/{header}>\n")

    def test_the_library_shows_its_own_names_only(self):
        shown = {line.split()[-1].split("@")[0] for line in
                 run(["nm", "-D", "--defined-only", os.path.join(self.lib_dir, "libweir.so")])
                 .splitlines()}
        self.assertIn("weir_pool_acquire", shown)
        self.assertEqual({name for name in shown if not name.startswith("weir_")}, {"WEIR_1"})

    def test_the_agent_runs_where_it_was_installed(self):
        agent = os.path.join(self.prefix, "bin", "weir-agent")
        self.assertEqual(loaded_from(agent, "libweir_pg_query.so", os.environ),
                         os.path.join(self.lib_dir, "weir"))
        self.assertRegex(run([agent, "--version"]), r"^weir-agent \d+\.\d+\.\d+\n$")
        target = os.path.join(self.holder.name, "handed-over")
        os.mkdir(target)
        run([agent, "install-preload", target])
        with open(os.path.join(target, "libweir_preload.so"), "rb") as copy, \
                open(os.path.join(self.lib_dir, "weir", "libweir_preload.so"), "rb") as original:
            self.assertEqual(copy.read(), original.read())


if __name__ == "__main__":
    harness.main()
