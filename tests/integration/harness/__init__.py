"""Real peers for tests: PostgreSQL, the agent, the OpenTelemetry Collector, Prometheus.

Each is started by the test on a free port in a temporary directory, and stopped by its own process
id. Only the standard library is used.
"""

import os
import sys
import unittest

SKIP_EXIT_CODE = 77


def main():
    """Runs the calling file's tests; exits 77 with the reason if every one of them was skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.testsRun and len(result.skipped) == result.testsRun:
        print("skipped:", result.skipped[0][1])
        sys.exit(SKIP_EXIT_CODE)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


def build_dir():
    """The build under test; ctest sets WEIR_BUILD."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    return os.environ.get("WEIR_BUILD", os.path.join(root, "build", "release"))


def built(path):
    found = os.path.join(build_dir(), path)
    if not os.path.exists(found):
        raise unittest.SkipTest(f"{found} is not built")
    return found


def preload_library():
    """The preload for programs that nobody instrumented: sanitized builds use the release one."""
    if os.environ.get("WEIR_SANITIZE"):
        found = os.path.join(os.path.dirname(build_dir()), "release", "lib", "libweir_preload.so")
        if not os.path.exists(found):
            raise unittest.SkipTest(f"{found} is not built: sanitized runs need the release preload")
        return found
    return built("lib/libweir_preload.so")


def peers_bin(name):
    cache = os.environ.get("WEIR_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weir"
    )
    found = os.path.join(cache, "peers", "bin", name)
    if not os.path.exists(found):
        raise unittest.SkipTest(f"{found} is missing: run tools/setup")
    return found


def test_python():
    """The Python that has the test clients of tests/peers/python."""
    cache = os.environ.get("WEIR_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weir"
    )
    found = os.path.join(cache, "python", "bin", "python")
    if not os.path.exists(found):
        raise unittest.SkipTest(f"{found} is missing: run tools/setup")
    return found
