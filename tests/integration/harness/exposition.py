"""Prometheus's text format, read strictly enough to compare numbers."""

import re

LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
ESCAPES = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


def parse(text):
    """[(name, labels, value)] of every sample; a line that is none raises ValueError."""
    samples = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.match(line)
        if not match:
            raise ValueError(f"no sample: {line!r}")
        name, labels, value = match.groups()
        pairs = {}
        position = 0
        while labels and position < len(labels):
            pair = LABEL.match(labels, position)
            if not pair:
                raise ValueError(f"bad labels in {line!r}")
            pairs[pair.group(1)] = re.sub(
                r"\\[\\n\"]", lambda escape: ESCAPES[escape.group(0)], pair.group(2)
            )
            position = pair.end()
        samples.append((name, pairs, float(value)))
    return samples


def select(samples, name, **labels):
    return [
        (found, value) for sample, found, value in samples
        if sample == name and all(found.get(key) == wanted for key, wanted in labels.items())
    ]
