"""A TCP proxy between a client and a PostgreSQL of the tests, which can be made a bad network.

It passes, delays, refuses, or swallows everything (a blackhole: sockets stay open and nothing
comes through, neither on old connections nor on new ones). And it can cut a connection around its
COMMIT: before the server has it, or after the server has answered and before the client knows.
"""

import collections
import select
import socket
import struct
import threading
import time

STARTUP_CODE = 196608  # protocol 3.0; other codes ask for TLS, GSS or a cancel


class Flow:
    """One direction: what was read and is not written yet, each piece with the time it is due."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.pieces = collections.deque()
        self.is_ended = False


class Pair:
    def __init__(self, client):
        self.client, self.server = client, None
        self.up = self.down = None
        self.is_dark = False     # for ever
        self.unparsed = b""      # of what the client sent: a message that is not whole yet
        self.is_started = False  # its startup packet was seen: messages have a type from there on
        self.is_cutting = False  # a COMMIT went to the server, and its answer is not to come back

    def sockets(self):
        return [one for one in (self.client, self.server) if one]


def statement_of(kind, body):
    """The text that a Query or a Parse message carries; of others nothing."""
    if kind == b"Q":
        return body.split(b"\0", 1)[0]
    if kind == b"P":
        return body.split(b"\0", 2)[1]
    return b""


class Proxy:
    def __init__(self, target_port, host="127.0.0.1"):
        self.host, self.target_port = host, target_port
        self.pairs = []
        self.accepted = 0
        self.cut = 0  # connections cut at a COMMIT
        self._mode, self._delay_s = "pass", 0.0
        self._cut_when, self._cut_left = None, 0
        self._lock = threading.RLock()
        self._is_closed = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._listener = None
        self.port = 0
        self._listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    # ---- what the test asks for -----------------------------------------------------------------

    def swallow(self):
        """From now on nothing comes through."""
        self._set(mode="swallow")

    def heal(self, old="resume"):
        """All is well for new connections; old ones resume, stay dark, or are cut."""
        with self._lock:
            for pair in list(self.pairs):
                if old == "cut":
                    self._end(pair)
                elif old == "dark":
                    pair.is_dark = True
            self._set(mode="pass")

    def refuse(self):
        """Ends every connection and takes no new one."""
        with self._lock:
            for pair in list(self.pairs):
                self._end(pair)
            if self._listener:
                self._listener.close()
            self._listener = None
            self._set(mode="refuse")

    def delay(self, seconds):
        self._set(delay_s=seconds)

    def cut_commits(self, when, count):
        """@when: "before" the server has the next @count COMMITs, or "after" it has done them."""
        self._set(cut_when=when, cut_left=count)

    def close(self):
        with self._lock:
            self._is_closed = True
        self._wake()
        self._thread.join()
        for pair in list(self.pairs):
            self._end(pair)
        for one in (self._listener, self._wake_read, self._wake_write):
            if one:
                one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- inside ---------------------------------------------------------------------------------

    def _set(self, **values):
        with self._lock:
            for name, value in values.items():
                setattr(self, "_" + name, value)
            if self._mode != "refuse" and not self._listener:
                self._listen()
        self._wake()

    def _wake(self):
        self._wake_write.send(b"!")

    def _listen(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]

    def _accept(self):
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        self.pairs.append(Pair(client))

    def _connect(self, pair):
        try:
            pair.server = socket.create_connection((self.host, self.target_port), timeout=5)
        except OSError:
            self._end(pair)
            return
        pair.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for one in pair.sockets():
            one.setblocking(False)
        pair.up = Flow(pair.client, pair.server)
        pair.down = Flow(pair.server, pair.client)

    def _end(self, pair):
        for one in pair.sockets():
            one.close()
        self.pairs.remove(pair)

    def _live_pairs(self):
        return [] if self._mode == "swallow" else [one for one in self.pairs if not one.is_dark]

    def _interest(self):
        reads, writes, timeout = [self._wake_read], [], None
        if self._listener:
            reads.append(self._listener)
        now = time.monotonic()
        for pair in self._live_pairs():
            for flow in (pair.up, pair.down):
                if not flow.is_ended:
                    reads.append(flow.source)
                if flow.pieces and flow.pieces[0][0] <= now:
                    writes.append(flow.sink)
                elif flow.pieces:
                    wait = flow.pieces[0][0] - now
                    timeout = wait if timeout is None else min(timeout, wait)
        return reads, writes, timeout

    def _run(self):
        while True:
            with self._lock:
                if self._is_closed:
                    return
                for pair in self._live_pairs():
                    if not pair.server:
                        self._connect(pair)
                reads, writes, timeout = self._interest()
            try:
                readable, writable, _ = select.select(reads, writes, [], timeout)
            except (OSError, ValueError):
                continue  # the test has just closed one of them
            with self._lock:
                if self._wake_read in readable:
                    self._wake_read.recv(4096)
                if self._listener and self._listener in readable:
                    self._accept()
                for pair in self._live_pairs():
                    self._step(pair, readable, writable)

    def _step(self, pair, readable, writable):
        for flow in (pair.up, pair.down):
            if flow is None or pair not in self.pairs:
                return
            if flow.source in readable and not self._read(pair, flow):
                continue
            if flow.sink in writable and flow.pieces:
                self._write(pair, flow)
            if pair in self.pairs and flow.is_ended and not flow.pieces:
                self._end(pair)

    def _read(self, pair, flow):
        """False: the pair is over."""
        try:
            got = flow.source.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            got = b""
        if not got:
            flow.is_ended = True
            return True
        if flow is pair.up and not self._let_up(pair, got):
            return False
        if flow is pair.down and pair.is_cutting:
            self.cut += 1
            self._end(pair)
            return False
        flow.pieces.append((time.monotonic() + self._delay_s, got))
        return True

    def _write(self, pair, flow):
        due, piece = flow.pieces.popleft()
        try:
            sent = flow.sink.send(piece)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(pair)
            return
        if sent < len(piece):
            flow.pieces.appendleft((due, piece[sent:]))

    def _let_up(self, pair, got):
        """Whether what the client sent may pass. False: the pair was cut."""
        for kind, body in self._messages(pair, got):
            is_commit = statement_of(kind, body).strip().upper().startswith(b"COMMIT")
            if not is_commit or not self._cut_left:
                continue
            self._cut_left -= 1
            if self._cut_when == "before":
                self.cut += 1
                self._end(pair)
                return False
            pair.is_cutting = True
        return True

    @staticmethod
    def _messages(pair, got):
        """The frontend's messages that are whole by now, as (type, body)."""
        pair.unparsed += got
        messages = []
        while True:
            head = 1 if pair.is_started else 0
            if len(pair.unparsed) < head + 4:
                return messages
            length, = struct.unpack_from("!I", pair.unparsed, head)
            if len(pair.unparsed) < head + length:
                return messages
            kind, body = pair.unparsed[:head], pair.unparsed[head + 4:head + length]
            pair.unparsed = pair.unparsed[head + length:]
            if not head and body[:4] == struct.pack("!I", STARTUP_CODE):
                pair.is_started = True
            messages.append((kind, body))
