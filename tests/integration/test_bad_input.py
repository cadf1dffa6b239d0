"""Bad input, one kind after the other, against a real agent: each gets its reason, is counted by its
cause, costs at most the client that sent it, and never stops the agent, which a well-behaved client
proves each time by exact counts."""

import errno
import fcntl
import mmap
import os
import resource
import socket
import sqlite3
import struct
import subprocess
import tempfile
import unittest

import frames_client as wire
import harness
from harness.agent import Agent
from harness.exposition import select
from harness.postgres import Postgres
from harness.process import Process, await_condition, free_port

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto", "wire",
                      "conformance", "golden", "segment.bin")
SIZE = 512 << 10
NAMES, LANES, STRIDE = 40960, 139264, 20480  # of the golden segment
RING = 192
GOLDEN_EVENTS = 11  # that wait in its lanes 0 and 1, without one of a later version
MFD_HUGETLB = 0x0004
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
FINGERPRINT = 0x1234


def pidfd():
    return os.pidfd_open(os.getpid())


def make_memfd(size=SIZE, seals=SEALS, flags=os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC):
    fd = os.memfd_create("weir-bad", flags)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class Segment:
    """A copy of the golden segment with an id of its own."""

    def __init__(self, size=SIZE, seals=SEALS):
        self.client_id = os.urandom(16)
        self.memfd = make_memfd(size, 0)
        self.map = mmap.mmap(self.memfd, size)
        with open(GOLDEN, "rb") as file:
            golden = file.read()
        self.map[:min(size, SIZE)] = golden[:min(size, SIZE)]
        self.map[24:40] = self.client_id
        if seals:
            fcntl.fcntl(self.memfd, fcntl.F_ADD_SEALS, seals)

    def put(self, form, at, *values):
        struct.pack_into(form, self.map, at, *values)

    def close(self):
        self.map.close()
        os.close(self.memfd)


class Stranger:
    """One connection of somebody who may do anything."""

    def __init__(self, agent):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        await_condition(lambda: self.connected(agent.socket), 20, "room in the agent's backlog")
        self.buffer = b""

    def connected(self, path):
        self.socket.connect(path)  # EAGAIN, an OSError, with a full backlog
        return True

    def send(self, bytes_, descriptors=()):
        if descriptors:
            socket.send_fds(self.socket, [bytes_], list(descriptors))
        else:
            self.socket.sendall(bytes_)

    def answer(self):
        """The next answer; None when the agent has closed."""
        while True:
            whole, self.buffer = wire.split_message(self.buffer)
            if whole is not None:
                return wire.read_answer(whole)
            try:
                received = self.socket.recv(4096)
            except ConnectionResetError:
                return None
            if not received:
                return None
            self.buffer += received

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def refused(agent, reason):
    return sum(value for _, value in select(agent.metrics(), "weir_agent_clients_refused_total",
                                            weir_agent_reason=reason))


def bad_records(agent, reason):
    return sum(value for _, value in select(agent.metrics(), "weir_agent_records_bad_total",
                                            weir_agent_reason=reason))


def calls(agent, text):
    return sum(row["calls"] for row in agent.api("statements") if row["text"] == text)


class GoodClient:
    """Sends statements by frames and finds each of them counted."""

    def __init__(self, agent):
        self.agent = agent
        self.client = wire.FramesClient(agent.socket, "good")
        self.client.connect()
        self.target = self.client.name(wire.NAME_TARGET, wire.target("good", "db", "127.0.0.1", 5432))
        self.text = "SELECT good FROM client WHERE id = $1"
        self.client.name(wire.NAME_STATEMENT, self.text.encode(), FINGERPRINT)
        self.sent = 0

    def send(self, count=10):
        number = self.client.send([self.client.statement(self.target, FINGERPRINT, 1_000_000)
                                   for _ in range(count)])
        self.sent += count
        return number

    def prove(self):
        self.send()
        await_condition(lambda: calls(self.agent, self.text) == self.sent, 15,
                        f"{self.sent} calls of the well-behaved client")

    def close(self):
        self.client.close()


class BadClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = Agent()
        cls.good = GoodClient(cls.agent)

    @classmethod
    def tearDownClass(cls):
        cls.good.close()
        cls.agent.close()

    def tearDown(self):
        self.assertTrue(self.agent.process.alive(), self.agent.process.log())
        self.good.prove()

    def expect_refusal(self, reason, text, hello, descriptors=()):
        before = refused(self.agent, reason)
        with Stranger(self.agent) as stranger:
            stranger.send(hello, descriptors)
            answer = stranger.answer()
            self.assertIsNotNone(answer, "closed without a reason")
            self.assertEqual(answer[0], "refused", answer)
            self.assertEqual(wire.REASONS[answer[1]], reason, answer[2])
            self.assertIn(text, answer[2])
            self.assertIsNone(stranger.answer(), "not closed")
        self.assertEqual(refused(self.agent, reason), before + 1)
        self.assertIn(f"({reason})", self.agent.process.log())

    def hello_of(self, segment, **more):
        return wire.hello(segment.client_id, [(b"weir.service", b"bad")],
                          kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD, **more)

    def expect_segment_refusal(self, reason, text, segment):
        self.addCleanup(segment.close)
        self.expect_refusal(reason, text, self.hello_of(segment), [segment.memfd])

    # ---- hello

    def test_another_major_version(self):
        self.expect_refusal("version", "speaks major version 1", wire.hello(
            os.urandom(16), [], major=9, oldest=9))

    def test_a_newer_client_that_speaks_ours_is_welcome(self):
        with Stranger(self.agent) as stranger:
            stranger.send(wire.hello(os.urandom(16), [], major=2, minor=7, oldest=1))
            self.assertEqual(stranger.answer()[0], "welcome")

    def test_garbage_for_a_hello(self):
        self.expect_refusal("malformed", "malformed", b"\x40\0\0\0" + b"GET / HTTP/1.1\r\n" * 4)
        self.expect_refusal("too_long", "longer", b"GET / HTTP/1.1\r\n\r\n")
        self.expect_refusal("malformed", "shorter", b"\x03\0\0\0abc")
        self.expect_refusal("too_long", "longer", struct.pack("<I", 64 * 1024 + 1))

    def test_hello_with_impossible_insides(self):
        self.expect_refusal("malformed", "malformed", wire.hello(bytes(16), []))
        self.expect_refusal("malformed", "malformed", wire.hello(os.urandom(16), [], kind=77))
        self.expect_refusal("malformed", "malformed", wire.hello(os.urandom(16), [(b"", b"x")]))
        whole = bytearray(wire.hello(os.urandom(16), [(b"key", b"value")]))
        struct.pack_into("<H", whole, 4 + 56 + 2, 60000)
        self.expect_refusal("malformed", "malformed", bytes(whole))

    def test_a_frame_before_the_hello(self):
        self.expect_refusal("unexpected", "must be a hello", wire.frame(1, []))

    def test_invalid_utf8_everywhere(self):
        fingerprint, text = 0xBAD8, b"SELECT \xff\xfe\xc3 FROM t\x80"
        client = wire.FramesClient(self.agent.socket, "x")
        client.attributes = [(b"weir.service", b"caf\xe9"), (b"k\xff", b"\xf0\x28\x8c\xbc")]
        self.addCleanup(client.close)
        client.connect()
        target = client.name(wire.NAME_TARGET, b"p\xff\nd\xfe\n127.0.0.1\n5432")
        client.name(wire.NAME_STATEMENT, text, fingerprint)
        client.send([client.statement(target, fingerprint, 1_000_000)])

        def found():
            return [row for row in self.agent.api("statements")
                    if row["fingerprint"] == f"{fingerprint:016x}"]
        row = await_condition(found, 10, "the statement with invalid UTF-8")[0]
        self.assertEqual(row["calls"], 1)
        self.assertEqual(row["text"], "SELECT ??? FROM t?")
        services = {labels.get("service_name") for name, labels, _ in self.agent.metrics()}
        self.assertIn("caf\ufffd", services)

    # ---- descriptors

    def test_descriptors(self):
        segment = Segment()
        self.addCleanup(segment.close)
        death = pidfd()
        self.addCleanup(os.close, death)
        with_pidfd = wire.hello(segment.client_id, [], kind=wire.HELLO_SEGMENT)
        alone = self.hello_of(segment)
        self.expect_refusal("descriptors", "too few", alone)
        self.expect_refusal("descriptors", "too few", with_pidfd, [segment.memfd])
        self.expect_refusal("descriptors", "surplus", alone, [segment.memfd, death])
        self.expect_refusal("descriptors", "surplus", wire.hello(os.urandom(16), []),
                            [segment.memfd])
        self.expect_refusal("descriptors", "more descriptors", with_pidfd,
                            [segment.memfd, death] + [segment.memfd] * 12)
        self.expect_refusal("descriptors", "more descriptors", with_pidfd,
                            [segment.memfd, death] + [segment.memfd] * 200)
        self.expect_refusal("descriptors", "no pidfd", with_pidfd, [segment.memfd, segment.memfd])

    def test_descriptors_of_the_wrong_type(self):
        segment = Segment()
        self.addCleanup(segment.close)
        alone = self.hello_of(segment)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.expect_refusal("descriptors", "no memfd", alone, [reader])
        with open("/dev/null", "rb") as null, tempfile.TemporaryFile() as file:
            self.expect_refusal("descriptors", "", alone, [null.fileno()])
            file.truncate(SIZE)
            self.expect_refusal("descriptors", "", alone, [file.fileno()])
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        self.expect_refusal("descriptors", "", alone, [directory])
        read_only = os.open(f"/proc/self/fd/{segment.memfd}", os.O_RDONLY)
        self.addCleanup(os.close, read_only)
        self.expect_refusal("descriptors", "not writable", alone, [read_only])

    def test_no_descriptor_is_leaked(self):
        def descriptors():
            return len(os.listdir(f"/proc/{self.agent.process.pid}/fd"))
        segment = Segment(seals=0)
        self.addCleanup(segment.close)
        self.expect_segment_hello_once(segment)
        before = await_condition(descriptors, 5)
        for _ in range(50):
            self.expect_segment_hello_once(segment)
        await_condition(lambda: descriptors() <= before, 10, "as many descriptors as before")

    def expect_segment_hello_once(self, segment):
        with Stranger(self.agent) as stranger:
            stranger.send(self.hello_of(segment), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "refused")

    # ---- segments

    def test_unsealed_memfd(self):
        self.expect_segment_refusal("seals", "not sealed", Segment(seals=0))
        self.expect_segment_refusal("seals", "not sealed", Segment(seals=fcntl.F_SEAL_GROW))

    def test_short_memfd(self):
        self.expect_segment_refusal("segment_size", "out of range", Segment(size=4096))

    def test_memfd_longer_than_its_header_says(self):
        self.expect_segment_refusal("segment_size", "segment_size", Segment(size=2 * SIZE))

    def test_huge_memfd(self):
        client_id = os.urandom(16)
        fd = make_memfd(size=512 << 20)
        self.addCleanup(os.close, fd)
        self.expect_refusal("segment_size", "out of range", wire.hello(
            client_id, [], kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD), [fd])

    def test_huge_pages(self):
        try:
            fd = make_memfd(size=2 << 20, flags=os.MFD_ALLOW_SEALING | MFD_HUGETLB)
        except OSError as error:
            self.assertIn(error.errno, (errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOMEM,
                                        errno.ENOENT))
            self.skipTest(f"this kernel makes no memfd of huge pages: {error}")
        self.addCleanup(os.close, fd)
        self.expect_refusal("huge_pages", "huge pages", wire.hello(
            os.urandom(16), [], kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD), [fd])

    def test_another_magic_version_and_id(self):
        segment = Segment()
        segment.put("<Q", 0, 0)
        self.expect_segment_refusal("segment_layout", "magic", segment)
        segment = Segment()
        segment.put("<H", 8, 9)
        self.expect_segment_refusal("version", "version_major", segment)
        segment = Segment()
        segment.map[24:40] = os.urandom(16)
        self.expect_segment_refusal("segment_layout", "segment_id", segment)

    def test_offsets_out_of_range(self):
        for form, at, value, what in (
                ("<Q", 40, 1 << 40, "board_offset"), ("<Q", 40, 64, "board_offset"),
                ("<Q", 48, 2**64 - 64, "names_offset"), ("<Q", 48, 0, "names_offset"),
                ("<Q", 56, SIZE - 64, "lanes_offset"), ("<Q", 56, 2**63, "lanes_offset"),
                ("<I", 64, 2**32 - 64, "names_offset"), ("<I", 68, 63, "strides"),
                ("<I", 72, 2**32 - 1, "counts"), ("<I", 72, 0, "counts"),
                ("<I", 80, 2**32 - 1, "counts"), ("<I", 12, 2**32 - 1, "header_size")):
            with self.subTest(what=what, value=value):
                segment = Segment()
                segment.put(form, at, value)
                self.expect_segment_refusal("segment_layout", what, segment)

    def test_an_id_that_somebody_else_has(self):
        segment = Segment()
        self.addCleanup(segment.close)
        with Stranger(self.agent) as first:
            first.send(self.hello_of(segment), [segment.memfd])
            self.assertEqual(first.answer()[0], "welcome")
            thief = Segment()
            thief.client_id = segment.client_id
            thief.map[24:40] = segment.client_id
            self.expect_segment_refusal("segment_layout", "another client", thief)
            self.expect_refusal("segment_layout", "another client",
                                wire.hello(segment.client_id, []))

    def test_a_segment_client_that_goes_on_talking(self):
        segment = Segment()
        self.addCleanup(segment.close)
        with Stranger(self.agent) as stranger:
            stranger.send(self.hello_of(segment), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "welcome")
            stranger.send(wire.message(wire.FRAME, b""))
            self.assertEqual(wire.REASONS[stranger.answer()[1]], "unexpected")

    # ---- what stands in a segment

    def ledger_row(self, service):
        rows = [row for row in self.agent.api("ledger")["processes"] if row["service"] == service]
        return rows[0] if rows else None

    def expect_lane_lost(self, reason, damage, read, ring="lane"):
        """Enters with a golden segment, one ring of which is damaged: that ring is given up, counted
        and named in the log; @read events of the other lanes are read; nothing is left over."""
        before, segment = bad_records(self.agent, reason), Segment()
        self.addCleanup(segment.close)
        damage(segment)
        service = f"bad-{reason}-{segment.client_id.hex()[:8]}"
        with Stranger(self.agent) as stranger:
            stranger.send(wire.hello(segment.client_id, [(b"weir.service", service.encode())],
                                     kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "welcome")
            await_condition(lambda: bad_records(self.agent, reason) > before, 10,
                            f"a bad record counted as {reason}")

            def settled():
                row = self.ledger_row(service)
                return row if row and row["exported"] + row["buffered"] == read else None
            row = await_condition(settled, 10, f"{read} events read, not {self.ledger_row(service)}")
            self.assertEqual(row["imbalance"], 0, row)
        self.assertIn(f"its {ring} is not read any more", self.agent.process.log())
        return row

    def test_impossible_length(self):
        first = LANES + RING
        row = self.expect_lane_lost("length", lambda s: s.put("<H", first + 2, 0), 1)
        self.assertEqual(row["dropped"]["corrupt"], 11, row)
        self.expect_lane_lost("length", lambda s: s.put("<H", first + 2, 97), 1)
        self.expect_lane_lost("length", lambda s: s.put("<H", first + 2, 65504), 1)

    def test_impossible_content(self):
        third = 139648  # the first statement, behind two good events
        self.expect_lane_lost("value", lambda s: s.put("<B", third + 77, 200), 3)
        self.expect_lane_lost("text", lambda s: s.put("<5s", third + 72, b"1"), 3)
        self.expect_lane_lost("value", lambda s: s.put("<H", third, wire.POOL_STATE), 3)
        self.expect_lane_lost("pad", lambda s: s.put("<H", third, 0), 3)

    def test_an_unknown_kind_is_skipped(self):
        segment = Segment()
        self.addCleanup(segment.close)
        with Stranger(self.agent) as stranger:
            stranger.send(wire.hello(segment.client_id, [(b"weir.service", b"newer")],
                                     kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "welcome")

            def settled():
                row = self.ledger_row("newer")
                return row if row and row["exported"] + row["buffered"] == GOLDEN_EVENTS else None
            row = await_condition(settled, 10, "all events of the golden segment")
            self.assertEqual(row["dropped"]["unknown_kind"], 1, row)
            self.assertEqual(row["imbalance"], 0, row)

    def test_a_head_that_jumps(self):
        head = LANES + 72
        self.expect_lane_lost("head_beyond", lambda s: s.put("<Q", head, 1 << 40), 1)
        self.expect_lane_lost("head_align", lambda s: s.put("<Q", head, 1153), 1)
        self.expect_lane_lost("head_back", lambda s: s.put("<Q", LANES + 128, 1184), 1)
        self.expect_lane_lost("number", lambda s: s.put("<I", LANES + RING + 96 + 4, 77), 2)

    def test_a_head_that_jumps_later(self):
        segment = Segment()
        self.addCleanup(segment.close)
        with Stranger(self.agent) as stranger:
            stranger.send(wire.hello(segment.client_id, [(b"weir.service", b"jumper")],
                                     kind=wire.HELLO_SEGMENT_WITHOUT_PIDFD), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "welcome")
            await_condition(lambda: self.ledger_row("jumper") and
                            self.ledger_row("jumper")["exported"] == GOLDEN_EVENTS, 10, "all read")
            before = bad_records(self.agent, "head_back")
            segment.put("<Q", LANES + 72, 0)
            await_condition(lambda: bad_records(self.agent, "head_back") == before + 1, 10,
                            "the head that went back")

    def test_bad_names_ring(self):
        first = NAMES + RING
        self.expect_lane_lost("length", lambda s: s.put("<I", first + 28, 60000), GOLDEN_EVENTS,
                              "names ring")
        self.expect_lane_lost("magic", lambda s: s.put("<I", NAMES, 0), GOLDEN_EVENTS, "names ring")

    def test_a_board_of_nonsense(self):
        segment = Segment()
        self.addCleanup(segment.close)
        segment.map[4096:NAMES] = os.urandom(NAMES - 4096)
        with Stranger(self.agent) as stranger:
            stranger.send(self.hello_of(segment), [segment.memfd])
            self.assertEqual(stranger.answer()[0], "welcome")
            for name in ("pools", "connections", "waiters"):
                self.agent.api(name)
            self.agent.metrics()

    # ---- frames

    def enter(self, service="frames"):
        stranger = Stranger(self.agent)
        self.addCleanup(stranger.close)
        stranger.send(wire.hello(os.urandom(16), [(b"weir.service", service.encode())]))
        self.assertEqual(stranger.answer()[0], "welcome")
        return stranger

    def expect_frame_refusal(self, reason, text, bytes_):
        before, stranger = refused(self.agent, reason), self.enter()
        stranger.send(bytes_)
        answer = stranger.answer()
        self.assertIsNotNone(answer, "closed without a reason")
        self.assertEqual((answer[0], wire.REASONS[answer[1]]), ("refused", reason), answer)
        self.assertIn(text, answer[2])
        self.assertIsNone(stranger.answer())
        self.assertEqual(refused(self.agent, reason), before + 1)

    def test_bad_frames(self):
        good = wire.statement(0, 1, 0, 1, 1)
        self.expect_frame_refusal("malformed", "do not add up", wire.frame(0, [good]))
        self.expect_frame_refusal("malformed", "do not add up", wire.frame(1, [good], count=2))
        self.expect_frame_refusal("malformed", "do not add up", wire.frame(1, [good, good], count=1))
        self.expect_frame_refusal("malformed", "do not add up", wire.frame(1, [good[:95]]))
        self.expect_frame_refusal("malformed", "do not add up", wire.frame(
            1, [struct.pack("<HH", wire.STATEMENT, 0) + good[4:]]))
        self.expect_frame_refusal("too_long", "longer", struct.pack("<I", (1 << 20) + 1))
        self.expect_frame_refusal("unexpected", "no frame", wire.message(wire.ACK, bytes(8)))
        self.expect_frame_refusal("unexpected", "no frame", wire.hello(os.urandom(16), []))

    def test_a_bad_record_in_a_frame(self):
        before = bad_records(self.agent, "value")
        good = wire.statement(0, 1, 0, 0xDEAD, 1)
        bad = bytearray(wire.statement(1, 1, 0, 0xDEAD, 1))
        bad[77] = 99
        self.expect_frame_refusal("malformed", "impossible record", wire.frame(1, [good, bytes(bad)]))
        self.assertEqual(bad_records(self.agent, "value"), before + 1)
        self.expect_frame_refusal("malformed", "impossible record", wire.frame(
            1, [wire.name(wire.NAME_STATEMENT, b"x" * 16385, 7)]))
        self.expect_frame_refusal("malformed", "backwards", wire.frame(
            1, [wire.statement(5, 1, 0, 1, 1), wire.statement(4, 1, 0, 1, 1)]))
        # Nothing of a refused frame was taken.
        self.assertEqual([row for row in self.agent.api("statements")
                          if row["fingerprint"] == f"{0xDEAD:016x}"], [])

    def test_descriptors_with_a_frame(self):
        before, stranger = refused(self.agent, "descriptors"), self.enter()
        with open("/dev/null", "rb") as null:
            stranger.send(wire.frame(1, []), [null.fileno()])
        self.assertEqual(wire.REASONS[stranger.answer()[1]], "descriptors")
        self.assertEqual(refused(self.agent, "descriptors"), before + 1)

    def test_a_client_that_stops_in_its_message(self):
        hellos, frames = refused(self.agent, "hello_timeout"), refused(self.agent, "frame_timeout")
        silent, half_hello, half_frame = Stranger(self.agent), Stranger(self.agent), self.enter()
        half_hello.send(wire.hello(os.urandom(16), [])[:30])
        half_frame.send(wire.frame(1, [wire.statement(0, 1, 0, 1, 1)])[:50])
        for stranger in (silent, half_hello, half_frame):
            answer = stranger.answer()
            while answer and answer[0] == "welcome":  # it may come again, to ask for names
                answer = stranger.answer()
            self.assertIsNone(answer)
            stranger.close()
        self.assertEqual(refused(self.agent, "hello_timeout"), hellos + 2)
        self.assertEqual(refused(self.agent, "frame_timeout"), frames + 1)
        log = self.agent.process.log()
        self.assertTrue("no hello in time" in log or "stopped in its middle" in log, log)

    def test_a_whole_frame_byte_by_byte(self):
        stranger, target = self.enter("slow"), wire.name(wire.NAME_TARGET, b"a\nb\nc\n1")
        text = "SELECT slow"
        for byte in wire.frame(1, [target, wire.name(wire.NAME_STATEMENT, text.encode(), 0x510),
                                   wire.statement(0, 1, 0, 0x510, 1)]):
            stranger.send(bytes([byte]))
        await_condition(lambda: calls(self.agent, text) == 1, 10, "the call")


class Crowds(unittest.TestCase):
    def test_ten_thousand_connects(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            many = subprocess.Popen(
                [harness.built("tests/many_texts"), "traceparents", "20000", "5000"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, **agent.client_env("many")})
            self.addCleanup(many.stdout.close)
            kept = []
            self.addCleanup(lambda: [stranger.close() for stranger in kept])
            for i in range(10_000):
                stranger = Stranger(agent)
                if i % 4 == 1:
                    stranger.send(b"\xff" * 8)
                elif i % 4 == 2:
                    stranger.send(wire.hello(os.urandom(16), [])[:20])
                kept.append(stranger)
                if len(kept) > 400:
                    kept.pop(0).close()
                if i % 1000 == 0:
                    good.send()
                if i % 100 == 50:
                    newcomer = wire.FramesClient(agent.socket, "newcomer")
                    newcomer.connect()  # raises if it is not welcome
                    newcomer.close()
            self.assertEqual(many.stdout.readline(), "done\n")
            await_condition(lambda: calls(agent, "SELECT $1") == 20_000, 20,
                            "the calls of a service in the crowd")
            good.prove()
            for stranger in kept:
                stranger.close()
            kept.clear()
            # Those that sent garbage, and those that gave way for being too many.
            self.assertGreater(refused(agent, "too_long") + refused(agent, "clients_max"), 1000)
            many.stdin.close()
            self.assertEqual(many.wait(30), 0)
            ledger = agent.api("ledger")["total"]
            self.assertEqual(ledger["imbalance"], 0, ledger)
            self.assertEqual(sum(ledger["dropped"].values()), 0, ledger)

            def settled():
                return len(os.listdir(f"/proc/{agent.process.pid}/fd")) < 100
            await_condition(settled, 20, "the connections gone")

    def test_more_clients_than_served(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write("limits:\n  clients: 8\n")
            config.flush()
            with Agent("--config", config.name) as agent:
                good = GoodClient(agent)
                strangers = [Stranger(agent) for _ in range(20)]
                answers = []
                for stranger in strangers:
                    stranger.send(wire.hello(os.urandom(16), []))
                    answers.append(stranger.answer())
                self.assertEqual(sum(answer[0] == "welcome" for answer in answers), 7)
                turned_away = [answer for answer in answers if answer[0] == "refused"]
                self.assertEqual({wire.REASONS[answer[1]] for answer in turned_away}, {"clients_max"})
                self.assertEqual(refused(agent, "clients_max"), 13)
                good.prove()
                for stranger in strangers:
                    stranger.close()
                good.close()

    def test_no_descriptors_left(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            used = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
            resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (used + 20, hard))
            before = refused(agent, "clients_max")
            strangers = [Stranger(agent) for _ in range(100)]
            await_condition(lambda: "no file descriptors are left" in agent.process.log(), 10,
                            "the agent saying so")
            resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (used + 200, hard))
            await_condition(lambda: refused(agent, "clients_max") > before, 10, "counted as refused")
            good.prove()
            for stranger in strangers:
                stranger.close()


class Start(unittest.TestCase):
    """What is wrong before the agent serves: exit 2 for usage and configuration, 1 for the rest."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(holder.cleanup)
        self.dir = holder.name

    def run_agent(self, *flags, config=None, env=None):
        argv = [harness.built("bin/weir-agent"), "--socket", f"{self.dir}/agent.sock",
                "--http", f"127.0.0.1:{free_port()}"]
        if "--data" not in flags:
            argv += ["--data", "none"]
        if config is not None:
            with open(f"{self.dir}/config.yaml", "w", encoding="utf-8") as file:
                file.write(config)
            argv += ["--config", f"{self.dir}/config.yaml"]
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("OTEL_", "WEIR_"))}
        ran = subprocess.run([*argv, *flags], check=False, capture_output=True, text=True,
                             timeout=60, env={**environment, **(env or {})})
        return ran.returncode, ran.stdout + ran.stderr

    def expect(self, exit_code, text, *flags, **how):
        code, output = self.run_agent(*flags, **how)
        self.assertEqual(code, exit_code, output)
        self.assertIn(text, output)

    def test_wrong_flags(self):
        self.expect(2, "--nonsense", "--nonsense")
        self.expect(2, "--socket", "--socket")
        self.expect(2, "loud", "--log-level", "loud")
        self.expect(2, "token_file", "--http", "0.0.0.0:9348")

    def test_unknown_key(self):
        self.expect(2, "unknown key: nonsense", config="nonsense: 1\n")
        self.expect(2, "config.yaml:2", config="limits:\n  clientz: 1\n")
        self.expect(2, "clients", config="limits:\n  clients: many\n")

    def test_endpoint_that_is_no_url(self):
        self.expect(2, "no URL", "--otlp-endpoint", "nonsense")
        self.expect(2, "no URL", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "::::"})

    def test_data_directory_of_another_agent(self):
        with Agent() as agent:
            self.expect(1, "another agent uses the data directory", "--data", agent.data)
            good = GoodClient(agent)
            good.prove()
            good.close()

    def test_socket_of_another_agent(self):
        with Agent() as agent:
            self.expect(1, "another agent serves", "--socket", agent.socket)

    def test_data_directory_that_cannot_be(self):
        with open(f"{self.dir}/file", "w", encoding="ascii"):
            pass
        self.expect(1, "cannot use the data directory", "--data", f"{self.dir}/file")
        self.expect(1, "cannot use the data directory", "--data", "/proc/nonsense")

    def set_aside(self, damage, kind):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            good.client.await_acknowledged(good.send())
            agent.stop()
            damage(os.path.join(agent.data, "checkpoint.db"))
            agent.start()
            self.assertIn(f"is {kind}: kept as", agent.process.log())
            self.assertTrue([name for name in os.listdir(agent.data)
                             if name.startswith(f"checkpoint.db.{kind}-")])
            fresh = GoodClient(agent)
            fresh.prove()
            fresh.close()

    def test_newer_checkpoint(self):
        def damage(path):
            database = sqlite3.connect(path)
            database.execute("PRAGMA user_version = 99")
            database.commit()
            database.close()
        self.set_aside(damage, "newer")

    def test_corrupt_checkpoint(self):
        def overwrite(path):
            with open(path, "r+b") as file:
                file.write(os.urandom(os.path.getsize(path)))

        def cut(path):
            os.truncate(path, os.path.getsize(path) // 2 + 100)
        self.set_aside(overwrite, "damaged")
        self.set_aside(cut, "damaged")

    def test_a_row_that_cannot_be_read(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            good.client.await_acknowledged(good.send())
            agent.stop()
            database = sqlite3.connect(os.path.join(agent.data, "checkpoint.db"))
            self.assertGreater(database.execute("SELECT count(*) FROM rows").fetchone()[0], 0)
            # Texts of statements, which stand in their row as they are, are the exception.
            database.execute("UPDATE rows SET value = x'ff00' WHERE length(value) > 60")
            database.commit()
            database.close()
            agent.start()
            self.assertIn("could not be read and are left out", agent.process.log())
            fresh = GoodClient(agent)
            fresh.prove()
            fresh.close()


class Statements(unittest.TestCase):
    """What a program may send to its server, it may send under the preload."""

    def test_ten_megabytes_and_invalid_utf8(self):
        library = harness.preload_library()
        huge = b"SELECT length('" + b"x" * (10 << 20) + b"');\n"
        long_list = b"SELECT 1 IN (" + b", ".join(b"%d" % i for i in range(1_200_000)) + b");\n"
        script = huge + b"SELECT 'after';\n" + b"SELECT '\xff\xfe' AS broken;\n" + long_list + \
            b"SELECT 'end';\n"
        with Postgres() as server, Agent() as agent:
            def psql(env):
                return subprocess.run(
                    [f"{server.bin}/psql", "-X", "-q", "-A", "-t", "-f", "-"], input=script,
                    check=False, capture_output=True, env=env, timeout=120)
            plain = psql(server.env())
            observed = psql({**server.env(), **agent.client_env("huge"), "LD_PRELOAD": library})
            self.assertIn(b"10485760", plain.stdout)
            self.assertEqual((observed.returncode, observed.stdout, observed.stderr),
                             (plain.returncode, plain.stdout, plain.stderr))

            def rows():
                found = agent.api("statements")
                return found if sum(row["calls"] for row in found) == 5 else None
            found = await_condition(rows, 15, "five calls")
            # 64 KiB of each are read; the literal that is cut open there is one all the same.
            texts = {row["text"] for row in found}
            self.assertEqual(len([text for text in texts
                                  if text.startswith("SELECT length($1")]), 1, texts)
            self.assertEqual(sum(row["errors"] for row in found), 1, found)
            self.assertLessEqual(max(len(text) for text in texts), 16384)
            ledger = agent.api("ledger")["total"]
            self.assertEqual(ledger["imbalance"], 0, ledger)
            good = GoodClient(agent)
            self.addCleanup(good.close)
            good.prove()


class Frames(unittest.TestCase):
    """A client over frames, end to end, and exactly once over every way to lose a connection."""

    def test_counts_and_pool(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            client = good.client
            failing = client.name(wire.NAME_STATEMENT, b"INSERT INTO t VALUES ($1)", 0x5678) and 0x5678
            client.send([client.statement(good.target, failing, 2_000_000, sqlstate=b"23505"),
                         client.statement(good.target, failing, 2_000_000, rows=1),
                         wire.pool_state(0, good.target, used=3, idle=4, waiting=2,
                                         limits=(10, 1, 5, 0))])
            good.prove()
            row, = [row for row in agent.api("statements")
                    if row["text"] == "INSERT INTO t VALUES ($1)"]
            self.assertEqual((row["calls"], row["errors"], row["rows"]), (2, 1, 1), row)
            self.assertEqual((row["namespace"], row["pool"]), ("db", "good"), row)
            pool, = agent.api("pools")
            self.assertEqual((pool["used"], pool["idle"], pool["waiting"], pool["max"], pool["min"]),
                             (3, 4, 2, 10, 1), pool)
            ledger = agent.api("ledger")["total"]
            self.assertEqual((ledger["recorded"], ledger["imbalance"]), (good.sent + 2, 0), ledger)

    def test_acknowledged_is_in_the_checkpoint(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            number = good.send(100)
            # No scrape and nobody else asks: the checkpoint comes by itself.
            good.client.await_acknowledged(number)
            self.assertEqual(good.client.kept, [])
            agent.kill()
            agent.start()
            self.assertEqual(calls(agent, good.text), 100)
            good.client.connect()
            self.assertEqual(good.client.acknowledged, number)
            good.prove()

    def test_sent_again_counts_once(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            for round_ in range(10):
                good.send(50)
                await_condition(lambda: calls(agent, good.text) == good.sent, 10, "counted")
                kept = len(good.client.kept)
                if round_ % 2:
                    agent.metrics()  # takes a checkpoint; its acknowledgement is not read
                good.client.close()
                good.client.connect()
                self.assertLessEqual(len(good.client.kept), kept)
                self.assertEqual(calls(agent, good.text), good.sent)
            good.prove()
            good.client.await_acknowledged(good.client.frames)
            self.assertEqual(calls(agent, good.text), good.sent)

    def test_killed_agent(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            for round_ in range(6):
                good.send(50)
                await_condition(lambda: calls(agent, good.text) == good.sent, 10, "counted")
                if round_ % 2:
                    agent.metrics()
                agent.kill()
                agent.start()
                good.client.connect()
                await_condition(lambda: calls(agent, good.text) == good.sent, 10,
                                f"{good.sent} calls, each once")
            good.prove()
            total = [value for labels, value in select(
                agent.metrics(), "db_client_operation_duration_seconds_count")]
            self.assertEqual(sum(total), good.sent)
            ledger = agent.api("ledger")["total"]
            self.assertEqual(ledger["imbalance"], 0, ledger)
            self.assertEqual(sum(ledger["dropped"].values()), 0, ledger)

    def test_an_agent_that_forgot_everything(self):
        with Agent(data=False) as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            good.client.await_acknowledged(good.send(30))
            agent.kill()
            agent.start()
            good.client.connect()
            good.send(5)
            await_condition(lambda: calls(agent, good.text) == 5, 10, "what came since, by its text")
            row, = agent.api("ledger")["processes"]
            self.assertEqual((row["recorded"], row["dropped"]["read_by_other"], row["imbalance"]),
                             (35, 30, 0), row)

    def test_events_left_out_are_booked(self):
        with Agent() as agent:
            good = GoodClient(agent)
            self.addCleanup(good.close)
            good.prove()
            good.client.events += 7  # made, and no room for them
            good.prove()
            total = agent.api("ledger")["total"]
            self.assertEqual(total["dropped"]["lanes_full"], 7, total)
            self.assertEqual(total["imbalance"], 0, total)


if __name__ == "__main__":
    harness.main()
