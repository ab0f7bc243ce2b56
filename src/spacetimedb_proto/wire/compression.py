"""The envelope of server payloads: one tag byte, then the body, compressed as a whole (protocol reference, 3.1).

The server announces no size, and both codecs reach ratios of a thousand to one. So data is inflated piece by piece and
refused as soon as it passes its limit (trap 19). Nothing here knows what a body holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Final

from ..errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "GZIP",
    "NAMES",
    "THRESHOLD",
    "Sealed",
    "available",
    "compress",
    "inflate",
    "is_long_to_open",
    "seal",
    "unseal",
]

NAMES: Final = ("none", "brotli", "gzip")
"""What can be asked for; the position is the tag on the wire."""

BROTLI: Final = 1
GZIP: Final = 2

THRESHOLD: Final = 1024
"""Bodies up to this many bytes are never compressed (protocol reference, 3.1)."""

LONG: Final = 64 * 1024
"""Compressed bytes of a payload that may take more than some milliseconds to inflate."""

_SLICE = 64 * 1024  # compressed bytes fed at once
_PIECE = 1024 * 1024  # inflated bytes taken at once: how far a bomb can get past its limit, within a factor of two
_GZIP_WINDOW = 31  # zlib's way to say: a gzip header and trailer, and the largest window


def available() -> tuple[str, ...]:
    """The compressions this installation can read and write, best first; brotli needs an extra."""
    return ("brotli", "gzip", "none") if _brotli() else ("gzip", "none")


def compress(name: str, body: bytes) -> bytes:
    """Compress with `"brotli"` or `"gzip"`, fast rather than small, as a server does for every message."""
    if name == "brotli":
        return bytes(_require_brotli(LocalProtocolError).compress(body, quality=1))
    if name == "gzip":
        stream = zlib.compressobj(1, wbits=_GZIP_WINDOW)
        return stream.compress(body) + stream.flush()
    raise LocalProtocolError(f"unknown compression {name!r}; there are {', '.join(NAMES)}")


def inflate(tag: int, data: memoryview | bytes, limit: int, where: str) -> bytes:
    """Decompress a whole stream.

    Args:
        tag: What it was compressed with, as on the wire: 1 or 2.
        data: The stream, nothing before and nothing after it. A gzip stream has exactly one member.
        limit: Bytes that may come out.
        where: What the stream is, for messages.

    Raises:
        RemoteProtocolError: The stream is corrupt, truncated, followed by something, or holds more than `limit`.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in _STREAMS[tag](memoryview(data), where):
        size += len(piece)
        if size > limit:
            raise RemoteProtocolError(f"{where}: expected at most {limit} bytes after decompression, got more")
        pieces.append(piece)
    return b"".join(pieces)


def seal(body: bytes, compression: str) -> bytes:
    """Put a body into the envelope, compressed if that is asked for and the body is long enough."""
    if compression not in NAMES:
        raise LocalProtocolError(f"unknown compression {compression!r}; there are {', '.join(NAMES)}")
    if compression == "none" or len(body) <= THRESHOLD:
        return b"\0" + body
    return bytes((NAMES.index(compression),)) + compress(compression, body)


def is_long_to_open(payload: bytes) -> bool:
    """Whether a payload is compressed and so large that an event loop would notice its opening."""
    return len(payload) > LONG and payload[0] in _STREAMS


class Sealed:
    """A compressed payload that may be opened before it is read, on any thread."""

    __slots__ = ("_limit", "_payload", "_result", "_where")

    def __init__(self, payload: bytes, limit: int, where: str) -> None:
        self._payload = payload
        self._limit = limit
        self._where = where
        self._result: bytes | RemoteProtocolError | None = None

    def __len__(self) -> int:
        return len(self._payload)

    def open(self) -> None:
        """Inflate it, or find out why that cannot be done. Doing it twice is a waste, but no harm."""
        if self._result is None:
            try:
                self._result = inflate(self._payload[0], memoryview(self._payload)[1:], self._limit, self._where)
            except RemoteProtocolError as error:
                self._result = error

    def body(self) -> bytes:
        """What was in it; raises `RemoteProtocolError` as `unseal`."""
        self.open()
        if isinstance(self._result, bytes):
            return self._result
        assert self._result is not None
        raise self._result


def unseal(payload: bytes | Sealed, limit: int, where: str) -> tuple[bytes, int]:
    """Take a body out of the envelope: the bytes that hold it and where it begins, so that plain ones are not copied.

    Raises:
        RemoteProtocolError: There is no tag or an unknown one, or the body cannot be inflated within `limit`.
    """
    if isinstance(payload, Sealed):
        return payload.body(), 0
    if not payload:
        raise RemoteProtocolError(f"{where}: expected a compression tag, got an empty payload")
    tag = payload[0]
    if tag == 0:
        if len(payload) - 1 > limit:
            raise RemoteProtocolError(f"{where}: expected at most {limit} bytes, got {len(payload) - 1}")
        return payload, 1
    if tag not in _STREAMS:
        raise RemoteProtocolError(f"{where}: expected a compression tag of 0, 1 or 2, got {tag}")
    return inflate(tag, memoryview(payload)[1:], limit, where), 0


@cache
def _brotli() -> ModuleType | None:
    """The brotli module, if there is one that will do. Not imported before it is asked for: most sessions never are.

    Before 1.2 its decoder has no way to stop at a size: a bomb would be in memory before it could be refused.
    """
    try:
        import brotli  # noqa: PLC0415
    except ImportError:
        return None
    return brotli if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data") else None


def _require_brotli(error: type[LocalProtocolError | RemoteProtocolError]) -> ModuleType:
    module = _brotli()
    if module is None:
        raise error("brotli data needs the brotli package, version 1.2 or later: install spacetimedb-sdk[brotli]")
    return module


def _brotli_pieces(data: memoryview, where: str) -> Iterator[bytes]:
    codec = _require_brotli(RemoteProtocolError)
    stream = codec.Decompressor()
    try:
        for start in range(0, len(data), _SLICE):
            piece = stream.process(data[start : start + _SLICE], output_buffer_limit=_PIECE)
            while piece:
                yield piece
                piece = stream.process(b"", output_buffer_limit=_PIECE)
    except codec.error:
        # After a failure the library does not tell what went wrong.
        raise RemoteProtocolError(
            f"{where}: expected a brotli stream, got corrupt data or bytes after its end"
        ) from None
    if not stream.is_finished():
        raise RemoteProtocolError(f"{where}: expected a whole brotli stream, got only its beginning")


def _gzip_pieces(data: memoryview, where: str) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=_GZIP_WINDOW)
    position = 0
    try:
        while position < len(data) and not stream.eof:
            piece = stream.decompress(data[position : position + _SLICE], _PIECE)
            position += _SLICE
            yield piece
            while stream.unconsumed_tail or len(piece) == _PIECE:
                piece = stream.decompress(stream.unconsumed_tail, _PIECE)
                yield piece
    except zlib.error as error:
        raise RemoteProtocolError(f"{where}: expected a gzip stream, got corrupt data ({error})") from None
    if not stream.eof:
        raise RemoteProtocolError(f"{where}: expected a whole gzip stream, got only its beginning")
    if stream.unused_data or position < len(data):
        raise RemoteProtocolError(f"{where}: expected a gzip stream of one member, got bytes after its end")


_STREAMS: Final[dict[int, Callable[[memoryview, str], Iterator[bytes]]]] = {BROTLI: _brotli_pieces, GZIP: _gzip_pieces}
