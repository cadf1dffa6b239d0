"""pgbench -S -M prepared with and without the preload, in pairs, on a real PostgreSQL; and the CPU that
shim and agent together take for a statement.

Prints one JSON object a line: {"name", "ours", "peer", "peer_name", "unit", "ratio", "budget", "holds"}.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "../integration")))

import harness  # noqa: E402
from harness.agent import Agent  # noqa: E402
from harness.postgres import Postgres  # noqa: E402

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def process_cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECONDS


def run(postgres, seconds, env):
    """One pgbench run: (transactions a second, CPU seconds of pgbench, transactions)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [f"{postgres.bin}/pgbench", "-n", "-S", "-M", "prepared", "-c", "1", "-T", str(seconds),
         "bench"], check=True, capture_output=True, text=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    tps = float(re.search(r"tps = ([\d.]+)", ran.stdout).group(1))
    done = int(re.search(r"actually processed: (\d+)", ran.stdout).group(1))
    return tps, cpu, done


def row(name, ours, peer, peer_name, unit, budget, higher_is_better):
    ratio = ours / peer if peer else None
    holds = None
    if budget is not None:
        value = ratio if peer else ours
        holds = value >= budget if higher_is_better else value <= budget
    print(json.dumps({"name": name, "ours": round(ours, 1), "peer": round(peer, 1) if peer else None,
                      "peer_name": peer_name, "unit": unit,
                      "ratio": round(ratio, 4) if ratio else None, "budget": budget,
                      "holds": holds}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    preload = harness.preload_library()
    with Postgres({"shared_preload_libraries": ""}, extension=False) as postgres, Agent() as agent:
        postgres.create_database("bench")
        subprocess.run([f"{postgres.bin}/pgbench", "-i", "-q", "bench"], check=True,
                       capture_output=True, env=postgres.env("bench"))
        plain_env = postgres.env("bench")
        ours_env = postgres.env("bench", LD_PRELOAD=preload, **agent.client_env("bench"))
        run(postgres, 1, plain_env)
        ours, plain, shim_ns, agent_ns = [], [], [], []
        for pair in range(arguments.pairs):
            agent_before = process_cpu(agent.process.pid)
            results = {}
            # Who goes first alternates, so that a drift of the machine favours nobody.
            order = [("ours", ours_env), ("plain", plain_env)]
            for name, env in order if pair % 2 else reversed(order):
                results[name] = run(postgres, arguments.seconds, env)
                if name == "ours":
                    agent.metrics()
                    agent_cpu = process_cpu(agent.process.pid) - agent_before
                else:
                    agent_before = process_cpu(agent.process.pid)
            ours.append(results["ours"][0])
            plain.append(results["plain"][0])
            shim_ns.append(1e9 * (results["ours"][1] / results["ours"][2]
                                  - results["plain"][1] / results["plain"][2]))
            agent_ns.append(1e9 * agent_cpu / results["ours"][2])
        ratios = [a / b for a, b in zip(ours, plain)]
        ratio = statistics.median(ratios)
        print(json.dumps({
            "name": "pgbench -S -M prepared under the preload, tps",
            "ours": round(statistics.median(ours), 1), "peer": round(statistics.median(plain), 1),
            "peer_name": f"without it ({arguments.pairs} pairs, ratio {min(ratios):.3f} to"
                         f" {max(ratios):.3f})",
            "unit": "tps", "ratio": round(ratio, 4), "budget": 0.99, "holds": ratio >= 0.99}))
        row("shim CPU a statement (pgbench with minus without)", statistics.median(shim_ns), None,
            None, "ns", None, False)
        row("agent CPU a statement", statistics.median(agent_ns), None, None, "ns", None, False)
        row("shim + agent CPU a statement",
            statistics.median(a + b for a, b in zip(shim_ns, agent_ns)), None, None, "ns", 500,
            False)


if __name__ == "__main__":
    main()
