"""Acquire and release, by one thread and by many, in a libweir pool, Go's puddle and HikariCP.

The pools take turns on the same machine, and who begins changes; a row's ratio is the middle of the
ratios of neighbouring turns. Ours has real connections, which acquire and release never touch at
rest, the peers have stubs. Telemetry is on: every acquire and release is written to the segment,
and the working threads free it themselves now and then, since an agent that reads on the second
core would cost the peers that core, or us alone.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import unittest

sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "../integration")))

import harness  # noqa: E402
from harness.postgres import Postgres  # noqa: E402
from harness.turns import Turns  # noqa: E402

ROUNDS = 21
TURN_MS = 100
SAMPLED_ROUNDS = 5
SAMPLED_MS = 300
WARM_UP_TURNS, WARM_UP_MS = 4, 500  # Java compiles in that time, and does so again for each case

ON, OFF, PUDDLE, HIKARI = "ours", "ours with telemetry off", "Go's puddle", "HikariCP"

# threads, connections, budget beside puddle, budget beside HikariCP
CASES = [
    (1, 10, 0.8, 1.0),
    (2, 10, 0.8, None),
    (8, 10, 0.8, None),
    (16, 10, 0.8, None),
    (16, 2, 0.8, None),
    (64, 8, 0.8, None),
]
FAIRNESS = (16, 2)


def row(name, turns, field, peer, unit="ns", scale=1.0, budget=None):
    """One row from what a case's turns answered, ours beside @peer's."""
    pairs = [(ours[field], other[field]) for ours, other in zip(turns[ON], turns[peer])]
    ratio = statistics.median(ours / other for ours, other in pairs)
    print(json.dumps({
        "name": name, "ours": round(statistics.median(ours for ours, _ in pairs) / scale, 1),
        "peer": round(statistics.median(other for _, other in pairs) / scale, 1),
        "peer_name": peer, "unit": unit, "ratio": round(ratio, 3), "budget": budget,
        "holds": None if budget is None else ratio <= budget}), flush=True)


def take_turns(pools, rounds, *words):
    """Each pool's answers, a round after the other; another one begins each round."""
    answers = {name: [] for name in pools}
    names = list(pools)
    for number in range(rounds):
        begin = number % len(names)
        for name in names[begin:] + names[:begin]:
            answers[name].append(pools[name].ask(*words))
    return answers


def tell_dropped(what, answers):
    dropped = sum(answer["dropped"] for answer in answers[ON])
    if dropped:
        print(f"{what}: {dropped} events found no place", file=sys.stderr)


def compare(pools, threads, connections, budgets):
    what = f"{threads} thread{'s' if threads > 1 else ''} on {connections}"
    take_turns(pools, WARM_UP_TURNS, threads, connections, WARM_UP_MS, 0)
    answers = take_turns(pools, ROUNDS, threads, connections, TURN_MS, 0)
    tell_dropped(what, answers)
    for peer in pools:
        if peer != ON:
            row(f"acquire + release, {what}", answers, "ns", peer, budget=budgets.get(peer))


def compare_fairness(pools, threads, connections):
    """How long requests wait where connections are short: each pool sees its own load."""
    what = f"{threads} threads on {connections}"
    answers = take_turns(pools, SAMPLED_ROUNDS, threads, connections, SAMPLED_MS, 1)
    for peer in pools:
        if peer not in (ON, OFF):
            row(f"wait, p99, {what}", answers, "wait_p99_ns", peer, "us", 1e3)
            row(f"wait, longest, {what}", answers, "wait_max_ns", peer, "us", 1e3)


def peer_commands():
    """The peers that are there; of the others it is said why they are missing."""
    found = {}
    try:
        found[PUDDLE] = [harness.peers_bin("puddle-turns")]
    except unittest.SkipTest as missing:
        print(f"{PUDDLE}: n/a: {missing}", file=sys.stderr)
    java = shutil.which("java")
    try:
        jar = harness.peers_bin("../hikari/hikari-turns.jar")
        if java:
            found[HIKARI] = [java, "-jar", jar]
        else:
            print(f"{HIKARI}: n/a: no java", file=sys.stderr)
    except unittest.SkipTest as missing:
        print(f"{HIKARI}: n/a: {missing}", file=sys.stderr)
    return found


def main():
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(
            Postgres({"shared_preload_libraries": ""}, extension=False))
        ours = [harness.built("bench_turns/bench_pool"), f"host={postgres.dir}"]
        off = {"WEIR_DISABLED": "true"}
        pools = {ON: stack.enter_context(Turns(ours, postgres.env())),
                 OFF: stack.enter_context(Turns(ours, postgres.env(**off)))}
        for name, command in peer_commands().items():
            pools[name] = stack.enter_context(Turns(command))
        for threads, connections, beside_puddle, beside_hikari in CASES:
            compare(pools, threads, connections, {PUDDLE: beside_puddle, HIKARI: beside_hikari})
        compare_fairness(pools, *FAIRNESS)


if __name__ == "__main__":
    main()
