"""A real query through the pool (acquire, execute, release; telemetry on) beside bare libpq on a
connection that is there already, and beside PgBouncer.

Ours and the peer take short turns, and who begins changes; a ratio is the middle of the ratios of
four turns (ours, peer, peer, ours or the other way round). Connections, and with them the server's
processes, are made anew several times, since their luck lasts as long as they do.
"""

import json
import os
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "../integration")))

import harness  # noqa: E402
from harness.bouncer import Bouncer  # noqa: E402
from harness.postgres import Postgres  # noqa: E402
from harness.turns import Turns  # noqa: E402

PROCESSES = 6
QUARTETS = 30  # of turns, a process
BOUNCER_QUARTETS = 10
OVERHEAD_BUDGET = 1.01

# bench_query's queries: their number there, what they are, requests a thread and turn
ONE_ROW = (0, "one row by key", 400)
THOUSAND_ROWS = (1, "sum of 1,000 rows", 100)


def quartet(program, number, kinds, *words):
    """Two turns of each kind, ours first in every other quartet; the sums of their figures."""
    ours, peer = kinds
    order = [ours, peer, peer, ours] if number % 2 else [peer, ours, ours, peer]
    sums = {kind: {"ns": 0, "cpu_ns": 0, "dropped": 0} for kind in kinds}
    for kind in order:
        for field, value in program.ask(kind, *words).items():
            sums[kind][field] += value / 2
    return sums[ours], sums[peer]


def row(name, peer_name, pairs, field, budget):
    ratio = statistics.median(ours[field] / peer[field] for ours, peer in pairs)
    print(json.dumps({
        "name": name, "ours": round(statistics.median(ours[field] for ours, _ in pairs) / 1e3, 2),
        "peer": round(statistics.median(peer[field] for _, peer in pairs) / 1e3, 2),
        "peer_name": peer_name, "unit": "us", "ratio": round(ratio, 4), "budget": budget,
        "holds": None if budget is None else ratio <= budget}), flush=True)


def compare_libpq(postgres, host, transport, query, is_prepared):
    number, what, requests = query
    program = harness.built("bench_turns/bench_query")
    conninfo = f"host={host} dbname=bench"
    words = (1, requests, number, is_prepared)
    pairs = []
    for _ in range(PROCESSES):
        with Turns([program, conninfo, conninfo, "1"], postgres.env("bench")) as turns:
            quartet(turns, 0, ("pool", "kept"), *words)
            pairs += [quartet(turns, turn, ("pool", "kept"), *words)
                      for turn in range(QUARTETS)]
    dropped = sum(ours["dropped"] for ours, _ in pairs)
    if dropped:
        print(f"{what}, {transport}: {dropped:.0f} events found no place", file=sys.stderr)
    how = "prepared" if is_prepared else "with parameters"
    name = f"query through the pool: {what}, {how}, {transport}"
    row(name, "bare libpq", pairs, "ns", OVERHEAD_BUDGET)
    row(f"{name}: client's CPU", "bare libpq", pairs, "cpu_ns", None)


def compare_pgbouncer(postgres, threads, connections):
    """The same request, to our own pool in the process and to PgBouncer's behind a socket."""
    number, what, requests = ONE_ROW
    program = harness.built("bench_turns/bench_query")
    name = f"acquire, {what}, release, {threads} thread{'s' if threads > 1 else ''}" \
           f" on {connections}"
    with Bouncer(postgres, size=connections) as bouncer:
        direct = f"host=127.0.0.1 port={postgres.port} dbname=bench"
        pooled = f"host=127.0.0.1 port={bouncer.port} dbname=bench"
        with Turns([program, direct, pooled, str(connections)], postgres.env("bench")) as turns:
            for kind, count, peer in (
                    ("kept", requests, "PgBouncer, client stays connected"),
                    ("connect", requests // 4, "PgBouncer, client connects each time")):
                words = (threads, count, number, 0)
                quartet(turns, 0, ("pool", kind), *words)
                pairs = [quartet(turns, turn, ("pool", kind), *words)
                         for turn in range(BOUNCER_QUARTETS)]
                row(name, peer, pairs, "ns", None)


def main():
    with Postgres({"shared_preload_libraries": ""}, extension=False) as postgres:
        postgres.create_database("bench")
        subprocess.run([f"{postgres.bin}/pgbench", "-i", "-q", "bench"], check=True,
                       capture_output=True, env=postgres.env("bench"))
        for host, transport in ((postgres.dir, "Unix socket"), ("127.0.0.1", "TCP")):
            compare_libpq(postgres, host, transport, ONE_ROW, 1)
            compare_libpq(postgres, host, transport, ONE_ROW, 0)
            compare_libpq(postgres, host, transport, THOUSAND_ROWS, 1)
        try:
            compare_pgbouncer(postgres, 1, 4)
            compare_pgbouncer(postgres, 8, 4)
        except unittest.SkipTest as missing:
            print(f"PgBouncer: n/a: {missing}", file=sys.stderr)


if __name__ == "__main__":
    main()
