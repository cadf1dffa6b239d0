"""The normalizer as the scripts of this folder call it."""

import os
import subprocess

BACKSLASH_STRINGS = 1
KEEP_LISTS = 2
KEEP_SIGNS = 4
KEEP_NAMES = 8

VERBS = ["empty", "other", "begin", "commit", "rollback", "prepare", "execute", "deallocate",
         "discard", "listen", "unlisten", "copy", "set"]
FLAGS = ["cut", "malformed"]


def normalize(statements):
    """[(options, bytes)] -> [(fingerprint as hex, verb, [flags], normalized bytes)]."""
    program = os.path.join(os.environ["WEIR_BUILD"], "tests", "normalize_lines")
    ran = subprocess.run(
        [program], check=True, capture_output=True,
        input=b"".join(b"%d %s\0" % (options, text) for options, text in statements),
    )
    answers = ran.stdout.split(b"\0")[:-1]
    if len(answers) != len(statements):
        raise AssertionError(f"{len(statements)} statements, {len(answers)} answers")
    normalized = []
    for answer in answers:
        fingerprint, verb, flags, text = answer.split(b" ", 3)
        marked = [name for bit, name in enumerate(FLAGS) if int(flags) >> bit & 1]
        normalized.append((fingerprint.decode(), VERBS[int(verb)], marked, text))
    return normalized
