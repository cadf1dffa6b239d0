"""The counts of the same statements as seen by PostgreSQL, the API, a scrape and a Collector."""

import collections
import re
import subprocess

from . import build_dir
from .exposition import select


def fingerprints(texts):
    """Each text's fingerprint, by our own normalizer."""
    texts = list(texts)
    ran = subprocess.run(
        [f"{build_dir()}/tests/fingerprint"], input="".join(t + "\0" for t in texts), check=True,
        capture_output=True, text=True,
    )
    lines = ran.stdout.split("\n")[:-1]
    if len(lines) != len(texts):
        raise AssertionError(f"{len(texts)} texts in, {len(lines)} fingerprints out")
    return [line.split("\t")[0] for line in lines]


# PostgreSQL keeps an EXECUTE under the whole text of its PREPARE; we keep it under what follows AS.
PREPARE = re.compile(r"^\s*PREPARE\s+\S+\s*(?:\([^)]*\))?\s+AS\s+", re.IGNORECASE)

# PostgreSQL writes TRUE as a parameter, we leave it; pgbench begins with this one.
TRUE = re.compile(r"current_schemas\(\$\d+\)")


def postgres_counts(postgres, database, without=()):
    """{fingerprint: calls} of pg_stat_statements; @without: the test's own statements."""
    rows = [(TRUE.sub("current_schemas(true)", PREPARE.sub("", query)), calls, rows)
            for query, calls, rows in postgres.statements(database)]
    counts = collections.Counter()
    skip = set(fingerprints(without)) if without else set()
    for fingerprint, (_, calls, _) in zip(fingerprints(row[0] for row in rows), rows):
        if fingerprint not in skip:
            counts[fingerprint] += calls
    return dict(counts)


# Constants that PostgreSQL writes as parameters and we leave as they are.
WORDS = re.compile(r"\b(true|false|null)\b", re.IGNORECASE)


def postgres_counts_by_shape(postgres, database):
    """As postgres_counts, for statements written by others: TRUE, FALSE and NULL count as $n."""
    return by_shape((PREPARE.sub("", query), calls)
                    for query, calls, _ in postgres.statements(database))


def api_counts_by_shape(agent, database):
    return by_shape((row["text"], row["calls"] - row["errors"])
                    for row in agent.api("statements") if row["namespace"] == database)


def by_shape(rows):
    counts = collections.Counter()
    rows = [(WORDS.sub("1", text), calls) for text, calls in rows]
    for fingerprint, (_, calls) in zip(fingerprints(row[0] for row in rows), rows):
        if calls:
            counts[fingerprint] += calls
    return dict(counts)


def api_counts(agent, database):
    """{fingerprint: calls - errors} of /api/v1/statements; None stands for `other`."""
    counts = collections.Counter()
    for row in agent.api("statements"):
        if row["namespace"] == database:
            counts[row["fingerprint"]] += row["calls"] - row["errors"]
    return {key: value for key, value in counts.items() if value}


def scrape_counts(agent, database):
    """{fingerprint: count without error.type} of /metrics."""
    counts = collections.Counter()
    for labels, value in select(agent.metrics(), "db_client_operation_duration_seconds_count",
                                db_namespace=database):
        if "error_type" not in labels:
            counts[labels["weir_statement_fingerprint"]] += int(value)
    return {key: value for key, value in counts.items() if value}


def collector_counts(collector, database):
    """{fingerprint: count without error.type} of the newest points at the Collector."""
    counts = collections.Counter()
    for (_, items), point in collector.latest_points("db.client.operation.duration").items():
        labels = dict(items)
        if labels.get("db.namespace") == database and "error.type" not in labels:
            counts[labels["weir.statement.fingerprint"]] += int(point.get("count", 0))
    return {key: value for key, value in counts.items() if value}
