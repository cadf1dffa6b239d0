"""tools/demo in a Debian that holds nothing but its base and a clone: works, and tells the truth."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    ran = subprocess.run(
        [os.path.join(HERE, "run-in-fresh-root"), "tools/demo", "--seconds", "5", "--json"],
        stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode == 77:
        print(ran.stdout)
        return 77
    assert ran.returncode == 0, f"tools/demo exited with {ran.returncode}"
    result = json.loads(ran.stdout.strip().split("\n")[-1])
    texts = " ".join(row["text"] or "" for row in result["statements"])
    assert result["agent"].startswith("http://127.0.0.1:"), result["agent"]
    assert result["seconds"] >= 5, result["seconds"]
    assert "UPDATE pgbench_accounts" in texts and "FROM shop.order_line" in texts, texts
    services = {row["service"] for row in result["statements"]}
    assert {"bank", "shop", "office"} <= services, services
    pools = {row["pool"]: row for row in result["pools"] if row["service"] == "shop"}
    assert pools["shop"]["max"] == 8 and pools["reports"]["max"] == 2, pools
    acquires = {row["pool"]: row["acquires"] for row in result["waits"]}
    load = result["load"]
    assert load["failed"] == 0 and load["requests"] > 500, load
    assert acquires["shop"] + acquires["reports"] >= load["requests"], (acquires, load)
    assert "connections" in result["advice"], result["advice"]
    assert any(row["errors"] for row in result["statements"]), "no failed statement was seen"
    assert result["connections"]["opened"] > 8, result["connections"]
    ledger = result["ledger"]
    assert ledger["recorded"] > 1000 and ledger["imbalance"] == 0, ledger
    assert sum(ledger["dropped"].values()) == 0, ledger
    print("the demo's ledger:", ledger)
    return 0


if __name__ == "__main__":
    sys.exit(main())
