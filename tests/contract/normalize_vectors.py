"""The vectors of statement text, by which clients in other languages are held to TEXT.md: ours gives
what they say.

    normalize_vectors.py --write    after a change of the rules: writes what ours gives into them
"""

import json
import os
import sys
import unittest

import normalize_program

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto", "wire",
                    "conformance", "text", "vectors.jsonl")
OPTIONS = {"backslash_strings": normalize_program.BACKSLASH_STRINGS}
LONG = 1000  # bytes of text from which on its length does


def read():
    with open(PATH, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def statement(vector):
    text = vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])
    return text * vector.get("repeat", 1)


def expectation(vector, fingerprint, verb, flags, text):
    """The vector with what ours gives."""
    made = {key: vector[key] for key in ("text", "hex", "repeat", "options") if key in vector}
    if len(text) > LONG:
        made["normalized_length"] = len(text)
    else:
        try:
            made["normalized"] = text.decode()
        except UnicodeDecodeError:
            made["normalized_hex"] = text.hex()
    made["fingerprint"] = fingerprint
    made["verb"] = verb
    if flags:
        made["flags"] = flags
    return made


def ours(vectors):
    # No statement holds a NUL: it ends them on their way to the server, and to our program.
    answers = normalize_program.normalize(
        [(sum(OPTIONS[name] for name in vector.get("options", [])), statement(vector))
         for vector in vectors]
    )
    return [expectation(vector, *answer) for vector, answer in zip(vectors, answers)]


class Vectors(unittest.TestCase):
    def test_ours_gives_what_they_say(self):
        vectors = read()
        self.assertGreater(len(vectors), 150)
        for vector, given in zip(vectors, ours(vectors)):
            with self.subTest(vector.get("text", vector.get("hex"))):
                self.assertEqual(vector, given)

    def test_they_show_every_verb_and_flag(self):
        vectors = read()
        self.assertEqual({vector["verb"] for vector in vectors}, set(normalize_program.VERBS))
        flags = {flag for vector in vectors for flag in vector.get("flags", [])}
        self.assertEqual(flags, set(normalize_program.FLAGS))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        lines = [json.dumps(vector, ensure_ascii=False) for vector in ours(read())]
        with open(PATH, "w", encoding="utf-8") as output:
            output.write("\n".join(lines) + "\n")
    else:
        unittest.main()
