"""The wire's conformance kit: weir-wire-check finds in the golden files what the manifest says, and
names the fault in each damaged copy; a client in another language makes the same bytes."""

import json
import os
import re
import subprocess
import tempfile
import unittest

import frames_client as wire
import harness

KIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto", "wire",
                   "conformance")
MONOTONIC_NS = 1_000_000_000_000
REALTIME_NS = 1_700_000_000_123_456_789
EVENT_NS = MONOTONIC_NS + 5_000_000_000
TARGET = b"primary\nshop\n10.0.0.5\n5432"
SITE = b"0badc0ffee0ddf00d0badc0ffee0ddf00d0badc0+0x4711"
FINGERPRINT = 0xF1F2F3F4F5F6F7F8
CLIENT_ID = bytes(range(1, 17))


def golden(name):
    with open(os.path.join(KIT, "golden", name), "rb") as file:
        return file.read()


def check(path, form=None):
    """(exit code, objects) of weir-wire-check."""
    argv = [harness.built("bin/weir-wire-check")] + ([f"--{form}"] if form else []) + [path]
    ran = subprocess.run(argv, check=False, capture_output=True, text=True)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]


class Kit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(KIT, "manifest.json"), encoding="utf-8") as file:
            cls.manifest = json.load(file)

    def test_manifest_names_every_golden_file(self):
        self.assertEqual(sorted(entry["file"] for entry in self.manifest["golden"]),
                         sorted(os.listdir(os.path.join(KIT, "golden"))))

    def test_golden_files_hold_what_the_manifest_says(self):
        for entry in self.manifest["golden"]:
            with self.subTest(entry["file"]):
                path = os.path.join(KIT, "golden", entry["file"])
                self.assertEqual(check(path, entry["form"]), (0, entry["holds"]))
                self.assertEqual(check(path), (0, entry["holds"]), "by its first bytes")

    def test_damage_is_named_where_it_is(self):
        forms = {entry["file"]: entry["form"] for entry in self.manifest["golden"]}
        self.assertGreater(len(self.manifest["damaged"]), 50)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "damaged.bin")
            for entry in self.manifest["damaged"]:
                with self.subTest(f"{entry['file']}: {entry['about']}"):
                    whole, bytes_ = bytearray(golden(entry["file"])), bytes.fromhex(entry["bytes"])
                    whole[entry["at"]:entry["at"] + len(bytes_)] = bytes_
                    with open(path, "wb") as file:
                        file.write(whole)
                    code, found = check(path, forms[entry["file"]])
                    faults = [(line["fault"], line["at"]) for line in found if "fault" in line]
                    self.assertEqual(code, 1)
                    self.assertEqual(faults[0], (entry["fault"], entry["fault_at"]))

    def test_a_file_cut_anywhere_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "cut.bin")
            for name in ("hello_frames.bin", "ack.bin", "record_statement.bin"):
                whole = golden(name)
                form = "records" if name.startswith("record") else "messages"
                for length in range(1, len(whole)):
                    with open(path, "wb") as file:
                        file.write(whole[:length])
                    self.assertEqual(check(path, form)[0], 1, f"{name}, {length} bytes")

    def test_usage(self):
        program = harness.built("bin/weir-wire-check")
        for argv in ([], ["--nothing", "x"], ["a", "b", "c"]):
            ran = subprocess.run([program, *argv], check=False, capture_output=True, text=True)
            self.assertEqual(ran.returncode, 2)
            self.assertIn("usage", ran.stderr)
        ran = subprocess.run([program, "/nonexistent"], check=False, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("No such file", ran.stderr)


class Document(unittest.TestCase):
    """The pictures of WIRE.md against layout.h, which the compiler holds against the structs."""

    ALIASES = {("message_header", "version_major_oldest"): "major_oldest",
               ("message_hello", "attribute_count"): "attributes",
               ("event_context", "trace_flags"): "flags"}
    NOT_SHOWN = {"window", "used_and_idle"}  # a part of another cell; two cells in one

    def pictures(self):
        """[{label: byte}] of each picture: a cell's byte follows from its column."""
        with open(os.path.join(KIT, "..", "WIRE.md"), encoding="utf-8") as file:
            blocks = re.findall(r"^```\nbyte   0(.*?)^```", file.read(), re.S | re.M)
        found = []
        for block in blocks:
            cells = {}
            for row in re.findall(r"^ *(\d+) \|(.*)\|$", block, re.M):
                column = 0
                for cell in row[1].split("|"):
                    self.assertEqual(column % 8, 0, row)
                    label = cell.split("(")[0].strip()
                    if label and label != "reserved":
                        cells[label] = int(row[0]) + column // 8
                    column += len(cell) + 1
            found.append(cells)
        return found

    def test_every_place_is_where_the_picture_shows_it(self):
        with open(os.path.join(KIT, "..", "layout.h"), encoding="utf-8") as file:
            places = re.findall(r"^WIRE_PLACE\((\w+), (\w+), (\d+)\);", file.read(), re.M)
        structs = {}
        for struct_, member, place in places:
            is_beginning = member in ("header", "head") and place == "0"  # has its own picture
            if member not in self.NOT_SHOWN and not is_beginning:
                structs.setdefault(struct_, {})[self.ALIASES.get((struct_, member), member)] = int(place)
        self.assertGreater(len(structs), 20)
        pictures = self.pictures()
        self.assertEqual(len(pictures), len(structs), "a picture for each struct")
        for struct_, members in structs.items():
            self.assertIn(members, pictures, struct_)


class OtherLanguage(unittest.TestCase):
    """What the Python client makes out of WIRE.md, byte by byte."""

    def test_hello(self):
        made = wire.hello(CLIENT_ID, [
            (b"weir.shim.name", b"golden"), (b"weir.shim.version", b"1.2.3"),
            (b"weir.service", "bücher".encode()),
            (b"weir.resource", b"deployment.environment.name=test"),
        ], pid=4711, clocks=(MONOTONIC_NS, REALTIME_NS))
        self.assertEqual(made, golden("hello_frames.bin"))

    def test_records(self):
        self.assertEqual(wire.name(wire.NAME_TARGET, TARGET, time_ns=EVENT_NS),
                         golden("record_name.bin"))
        self.assertEqual(wire.target("primary", "shop", "10.0.0.5", 5432), TARGET)
        made = wire.statement(2, EVENT_NS + 2_000_000, wire.name_id(TARGET), FINGERPRINT, 1_250_000,
                              first_byte_ns=900_000, rows=3, slot=0, call_site=wire.name_id(SITE),
                              wait_ns=7, hold=0x0A0B0C0D00000001, sequence=1,
                              flags=1 << 13 | 1 << 17)
        self.assertEqual(made, golden("record_statement.bin"))

    def test_frame_starts_as_ours(self):
        whole = golden("frame.bin")
        records = whole[4 + 32:]
        self.assertEqual(wire.frame(7, [records], count=19), whole)

    def test_answers(self):
        for name, expected in (("welcome.bin", ("welcome", 3, 42)),
                               ("refused.bin", ("refused", 4, "not sealed")),
                               ("ack.bin", ("ack", 0x100000001))):
            whole, left = wire.split_message(golden(name))
            self.assertEqual(left, b"")
            self.assertEqual(wire.read_answer(whole), expected)


if __name__ == "__main__":
    harness.main()
