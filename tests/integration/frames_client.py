"""A client that sends frames: the nucleus of one in another language, written against
proto/wire/WIRE.md alone. It keeps every frame until it is acknowledged, and sends those again after
a reconnect.

Names are hashed with libxxhash, which the build needs anyway.
"""

import ctypes
import os
import select
import socket
import struct
import time

MAGIC = 0x52494557  # "WEIR"
HELLO, WELCOME, REFUSED, FRAME, ACK = 1, 2, 3, 4, 5
HELLO_SEGMENT, HELLO_SEGMENT_WITHOUT_PIDFD, HELLO_FRAMES = 1, 2, 3
MESSAGE_MAX = 1 << 20

NAME, CONNECT, CLOSE, ACQUIRE, RELEASE, STATEMENT = 1, 2, 3, 4, 5, 6
TRANSACTION, PREPARE, CANCEL, PARAMETERS, POOL_STATE = 7, 8, 9, 10, 11
NAME_STATEMENT, NAME_CALL_SITE, NAME_TENANT, NAME_TARGET = 1, 2, 3, 4

STOP_RECORDING, ANNOUNCE = 1, 2
HAS_CONTEXT = 1
FAILURE_NONE, FAILURE_SQLSTATE = 0, 1
NO_SLOT = 0xFFFF
UNKNOWN = 0xFFFFFFFFFFFFFFFF

REASONS = {1: "malformed", 2: "version", 3: "descriptors", 4: "seals", 5: "segment_size",
           6: "segment_layout", 7: "clients_max", 8: "mapped_max", 9: "huge_pages", 10: "too_long",
           11: "position", 12: "unexpected"}

_xxhash = None


def name_id(text):
    """XXH3-64, seed 0, of a name's bytes; 0 is replaced by 1."""
    global _xxhash
    if _xxhash is None:
        _xxhash = ctypes.CDLL("libxxhash.so.0")
        _xxhash.XXH3_64bits.restype = ctypes.c_uint64
        _xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return _xxhash.XXH3_64bits(text, len(text)) or 1


# ---- bytes ---------------------------------------------------------------------------------------

def message(kind, body, major=1, minor=0, oldest=0):
    header = struct.pack("<IHHHHI", MAGIC, kind, major, minor, oldest, 0)
    return struct.pack("<I", len(header) + len(body)) + header + body


def hello(client_id, attributes, kind=HELLO_FRAMES, pid=0, clocks=None, major=1, minor=0, oldest=1):
    monotonic, realtime = clocks or (time.monotonic_ns(), time.time_ns())
    body = struct.pack("<HHI16sQQ", kind, len(attributes), pid, client_id, monotonic, realtime)
    for key, value in attributes:
        body += struct.pack("<HH", len(key), len(value)) + key + value
    return message(HELLO, body, major, minor, oldest)


def frame(number, records, count=None):
    body = struct.pack("<QII", number, len(records) if count is None else count, 0)
    return message(FRAME, body + b"".join(records))


def name(kind, text, identity=None, flags=0, time_ns=0):
    padding = -(32 + len(text)) % 32
    length = 32 + len(text) + padding
    return struct.pack("<HHIQQHHI", NAME, length, 0, time_ns,
                       name_id(text) if identity is None else identity, kind, flags,
                       len(text)) + text + bytes(padding)


def target(pool="", namespace="", address="", port=""):
    """The text of a target: its four lines."""
    return "\n".join((pool, namespace, address, str(port))).encode()


def event_head(kind, number, time_ns, target_id, length=96, hold=0, sequence=0, flags=0):
    return struct.pack("<HHIQQQII", kind, length, number, time_ns, target_id, hold, sequence, flags)


def statement(number, time_ns, target_id, fingerprint, duration_ns, first_byte_ns=UNKNOWN,
              rows=UNKNOWN, sqlstate=None, slot=NO_SLOT, call_site=0, wait_ns=0, **head):
    failure = FAILURE_SQLSTATE if sqlstate else FAILURE_NONE
    return event_head(STATEMENT, number, time_ns, target_id, **head) + struct.pack(
        "<QQQQ5sBHQQ", fingerprint, duration_ns, first_byte_ns, rows, sqlstate or b"", failure,
        slot, call_site, wait_ns)


def pool_state(time_ns, target_id, used, idle, waiting=0, connecting=0, limits=None):
    """limits: (max, min, idle max, idle min), or None where none is known."""
    flags = (1 << 24) | (1 << 25 if limits else 0)
    return event_head(POOL_STATE, 0, time_ns, target_id, flags=flags) + struct.pack(
        "<IIIIIIIIQQQ", *(limits or (0, 0, 0, 0)), used, idle, waiting, connecting, 0, 0, 0)


class Refused(Exception):
    def __init__(self, reason, text):
        super().__init__(f"{REASONS.get(reason, reason)}: {text}")
        self.reason = REASONS.get(reason, str(reason))
        self.text = text


def split_message(buffer):
    """(message without its length, what is behind it), or (None, buffer) if it is not whole."""
    if len(buffer) < 4:
        return None, buffer
    length, = struct.unpack_from("<I", buffer)
    if not 16 <= length <= MESSAGE_MAX:
        raise ValueError(f"a message of {length} bytes")
    if len(buffer) < 4 + length:
        return None, buffer
    return buffer[4:4 + length], buffer[4 + length:]


def read_answer(whole):
    """("welcome", flags, acknowledged), ("refused", reason, text) or ("ack", number)."""
    magic, kind, _, _, _, _ = struct.unpack_from("<IHHHHI", whole)
    if magic != MAGIC:
        raise ValueError("no message of the wire")
    if kind == WELCOME:
        flags, _, acknowledged = struct.unpack_from("<IIQ", whole, 16)
        return "welcome", flags, acknowledged
    if kind == REFUSED:
        reason, length = struct.unpack_from("<II", whole, 16)
        return "refused", reason, whole[24:24 + length].decode()
    if kind == ACK:
        return ("ack", *struct.unpack_from("<Q", whole, 16))
    raise ValueError(f"a message of kind {kind} from an agent")


# ---- the client ----------------------------------------------------------------------------------

class FramesClient:
    """Counts events from 0 and frames from 1; reconnects with the same id. Bounded: with
    UNACKNOWLEDGED_MAX frames kept, events are numbered and left out, which the agent books as
    lanes_full."""

    UNACKNOWLEDGED_MAX = 1024

    def __init__(self, path, service, client_id=None):
        self.path = path
        self.client_id = client_id or os.urandom(16)
        self.attributes = [(b"weir.shim.name", b"python-frames"), (b"weir.shim.version", b"0"),
                           (b"weir.service", service.encode())]
        self.events = 0
        self.frames = 0
        self.acknowledged = 0
        self.kept = []  # [(number, bytes)], oldest first
        self.names = {}  # id: record; all that were announced, for an agent that forgot them
        self.announced = set()
        self.is_stopped = False
        self.socket = None
        self.buffer = b""

    def connect(self, timeout=10):
        self.close()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(self.path)
        self.socket.sendall(hello(self.client_id, self.attributes, pid=os.getpid()))
        while True:
            answer = self.read(timeout)
            if answer is None:
                raise ConnectionError("the agent did not answer")
            if answer[0] == "welcome":
                break
        for _, sent in self.kept:
            self.socket.sendall(sent)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def read(self, timeout=0.0):
        """The next answer, already acted upon; None if there is none in time or nobody is left."""
        while True:
            whole, self.buffer = split_message(self.buffer)
            if whole is not None:
                return self.act(read_answer(whole))
            if not select.select([self.socket], [], [], timeout)[0]:
                return None
            try:
                received = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not received:
                return None
            self.buffer += received

    def act(self, answer):
        if answer[0] == "refused":
            raise Refused(answer[1], answer[2])
        if answer[0] == "welcome":
            self.is_stopped = bool(answer[1] & STOP_RECORDING)
            if answer[1] & ANNOUNCE:
                self.announced.clear()
        self.acknowledged = max(self.acknowledged, answer[-1])
        self.kept = [kept for kept in self.kept if kept[0] > self.acknowledged]
        return answer

    def name(self, kind, text, identity=None):
        """The id of a text, which goes with the next frame if this agent was not told it."""
        identity = name_id(text) if identity is None else identity
        self.names.setdefault(identity, name(kind, text, identity))
        return identity

    def statement(self, target_id, fingerprint, duration_ns, **fields):
        """A record that begins now - duration; it must be sent."""
        record = statement(self.events & 0xFFFFFFFF, time.monotonic_ns(), target_id, fingerprint,
                           duration_ns, **fields)
        self.events += 1
        return record

    def send(self, records):
        """One frame: names not yet announced, then @records. Returns its number; 0: left out."""
        if self.is_stopped or len(self.kept) >= self.UNACKNOWLEDGED_MAX:
            return 0
        fresh = [identity for identity in self.names if identity not in self.announced]
        self.frames += 1
        sent = frame(self.frames, [self.names[identity] for identity in fresh] + list(records))
        self.announced.update(fresh)
        self.kept.append((self.frames, sent))
        self.socket.sendall(sent)
        return self.frames

    def await_acknowledged(self, number, timeout=20):
        deadline = time.monotonic() + timeout
        while self.acknowledged < number:
            left = deadline - time.monotonic()
            if left <= 0 or self.read(left) is None:
                raise AssertionError(
                    f"frame {number} is not acknowledged, {self.acknowledged} is")
