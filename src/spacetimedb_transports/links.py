"""The bytes of an open TCP or TLS connection, without waiting. `sockets.py` opens one.

TLS works on memory here, not on the socket: so the system's own errors are told by their names, and any number of bytes
may be taken or offered at any time.
"""

from __future__ import annotations

import socket
import ssl as tls
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final

__all__ = ["SocketLink", "TlsLink"]

CHUNK: Final = 256 * 1024
"""Bytes handed to the system, or with TLS asked of it, at once."""

RECORD: Final = 16 * 1024
"""Bytes in one record of TLS, at most."""


class SocketLink:
    """The bytes of a TCP connection. No call blocks, or raises what happens to the connection.

    Args:
        connected: A socket that does not block. It belongs to the link from here on.

    Attributes:
        is_ended: Whether no more bytes will come.
        may_send: Whether sending has not failed so far. When it has, there may still be bytes to receive.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unsent = memoryview(b"")
        self._fault: OSError | None = None
        self.is_ended = False
        self.may_send = True

    @property
    def reason(self) -> str:
        """What the operating system or TLS says about the end, if anything."""
        return "" if self._fault is None else str(self._fault)

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is kept that has not been sent."""
        return not self._unsent

    @property
    def has_pending(self) -> bool:
        """Whether there may be bytes to receive that no selector knows of."""
        return False

    def receive(self, size: int) -> bytes | None:
        """Take what has come, at most `size` bytes; none of them if no more will come, and None if there is nothing."""
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            self._fault = error
            data = b""
        self.is_ended = self.is_ended or not data
        return data

    def send(self, data: bytes = b"", limit: int = CHUNK) -> None:
        """Send what was kept and then `data`, as far as the system takes it; the rest is kept for the next call.

        Once sending has failed, nothing is kept.

        Args:
            data: Bytes to add.
            limit: Bytes to send at most.
        """
        if self.may_send:
            self._unsent = _appended(self._unsent, data)
        try:
            while self._unsent and limit > 0:
                sent = self._socket.send(self._unsent[: min(CHUNK, limit)])
                self._unsent = self._unsent[sent:]
                limit -= sent
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail_sending(error)

    def interest(self, *, reading: bool) -> int:
        """What to wait for at `fileno()`, as `selectors` says it; 0 for nothing.

        Args:
            reading: Whether anybody would take bytes.
        """
        wanted = EVENT_READ if reading and not self.is_ended else 0
        return wanted if self.is_flushed else wanted | EVENT_WRITE

    def fileno(self) -> int:
        """The descriptor to wait for, or -1 after `close`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close at once, without TLS's goodbye. What was not received or sent is dropped. Twice does no harm."""
        self._drop_unsent()
        self.is_ended = True
        self._socket.close()

    def _fail_sending(self, error: OSError) -> None:
        self._fault = self._fault or error
        self._drop_unsent()

    def _drop_unsent(self) -> None:
        self.may_send = False
        self._unsent = memoryview(b"")


class TlsLink(SocketLink):
    """The same with TLS. Nothing passes before `shake_hands` has returned True.

    Servers end a connection without TLS's own goodbye, which is taken for an end like any other: frames and lengths
    tell whether something is missing.

    Args:
        connected: A socket that does not block.
        context: How to check the server's certificate.
        name: Whose it must be.

    Raises:
        OSError: The settings cannot be used; the socket is left to the caller.
        ValueError: The name cannot be sent; the socket is left to the caller.
    """

    def __init__(self, connected: socket.socket, context: tls.SSLContext, name: str) -> None:
        super().__init__(connected)
        self._plain = memoryview(b"")  # not yet encrypted, where `_unsent` is
        self._incoming, self._outgoing = tls.MemoryBIO(), tls.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._is_over = False  # for TLS: its goodbye, or an error
        self._is_drained = False  # the handshake may have taken in more than itself

    def shake_hands(self) -> bool:
        """Go on with the handshake; returns whether it is over.

        Raises:
            OSError: It failed; `ssl.SSLError` if that is what the two disagree about.
        """
        while True:
            try:
                self._tls.do_handshake()
            except tls.SSLWantReadError:
                is_over = False
            else:
                is_over = True
            finally:
                self._send_encrypted()  # when it fails, the server is told
            if is_over:
                return True
            data = super().receive(CHUNK)
            if self._fault is not None:
                raise self._fault
            if data is None:
                return False
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is kept that has not been sent."""
        return not self._plain and super().is_flushed

    @property
    def has_pending(self) -> bool:
        """Whether there may be bytes to receive that have left the socket already."""
        return not self._is_drained

    def receive(self, size: int) -> bytes | None:
        """Take what has come, at most `size` bytes; none of them if no more will come, and None if there is nothing."""
        while not (data := self._decrypt(size)):
            if self._is_over:
                self.is_ended = True
                return b""
            encrypted = super().receive(CHUNK)
            if not encrypted:
                return encrypted
            self._incoming.write(encrypted)
        return data

    def send(self, data: bytes = b"", limit: int = CHUNK) -> None:
        """Send what was kept and then `data`, as far as the system takes it; the rest is kept for the next call.

        Once sending has failed, nothing is kept.

        Args:
            data: Bytes to add.
            limit: Bytes after which no more are encrypted; those that are still leave.
        """
        if self.may_send:
            self._plain = _appended(self._plain, data)
        super().send()
        try:
            while self._plain and super().is_flushed and limit > 0:
                sent = self._tls.write(self._plain[:RECORD])
                self._plain = self._plain[sent:]
                limit -= sent
                self._send_encrypted()
        except tls.SSLWantReadError:
            pass  # an old server wants another handshake first
        except OSError as error:
            self._fail_sending(error)

    def _decrypt(self, size: int) -> bytes:
        """Up to so many bytes of what has come, of which TLS hands out one record at a time."""
        records: list[bytes] = []
        while size > 0 and not self._is_over and (record := self._next_record(size)):
            records.append(record)
            size -= len(record)
        self._send_encrypted()
        return b"".join(records)

    def _next_record(self, size: int) -> bytes:
        try:
            record = self._tls.read(size)
        except tls.SSLWantReadError:
            self._is_drained = True
            return b""
        except OSError as error:
            self._fault = error
            record = b""
        self._is_drained = False
        self._is_over = not record
        return record

    def _send_encrypted(self) -> None:
        """Send what TLS has to say, also by itself."""
        if self._outgoing.pending:
            super().send(self._outgoing.read())

    def _drop_unsent(self) -> None:
        super()._drop_unsent()
        self._plain = memoryview(b"")


def _appended(before: memoryview, data: bytes) -> memoryview:
    return memoryview(b"".join((before, data)) if before else data)
