"""What an idle service and its agent cost together: percent of a core."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "../integration")))

import harness  # noqa: E402
from harness.agent import Agent  # noqa: E402
from harness.postgres import Postgres  # noqa: E402

SETTLE_SECONDS = 8  # the last checkpoint is written five seconds after the last event
SECONDS = 20
BUDGET_PERCENT = 0.1


def cpu_seconds(pid):
    """Of all threads, as the scheduler counts it: in nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def main():
    with Postgres() as postgres, Agent() as agent:
        client = subprocess.Popen(
            [f"{postgres.bin}/psql", "-X", "-q"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True, env=postgres.env("postgres", LD_PRELOAD=harness.preload_library(),
                                        **agent.client_env("idle")))
        try:
            client.stdin.write("SELECT 1;\n")
            client.stdin.flush()
            time.sleep(SETTLE_SECONDS)
            pids = (agent.process.pid, client.pid)
            before = sum(cpu_seconds(pid) for pid in pids)
            time.sleep(SECONDS)
            percent = (sum(cpu_seconds(pid) for pid in pids) - before) / SECONDS * 100
        finally:
            client.stdin.close()
            client.wait()
    print(json.dumps({"name": "idle service and agent, of a core", "ours": round(percent, 4),
                      "peer": None, "peer_name": None, "unit": "%", "ratio": None,
                      "budget": BUDGET_PERCENT, "holds": percent <= BUDGET_PERCENT}))


if __name__ == "__main__":
    main()
