"""WebSocket bytes made by hand from RFC 6455, so that tests do not judge wsproto by itself."""

from __future__ import annotations

import base64
import hashlib
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
MASK = b"\x11\x22\x33\x44"

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False, length: int | None = None
) -> bytes:
    """One frame; `length` lies about the payload's size."""
    size = len(payload) if length is None else length
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size <= 125:
        head += bytes([mask_bit | size])
    elif size <= 0xFFFF:
        head += bytes([mask_bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", size)
    if masked:
        head += MASK
        payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return head + payload


def close_frame(code: int | None = None, reason: str = "", *, masked: bool = False) -> bytes:
    """A Close frame, perhaps without a code."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode(), masked=masked)


def fragments(opcode: int, payload: bytes, size: int, between: bytes = b"") -> bytes:
    """One message as frames of `size` bytes, with `between` after each but the last."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    frames = [
        frame(CONTINUATION if at else opcode, piece, fin=at == len(pieces) - 1) for at, piece in enumerate(pieces)
    ]
    return between.join(frames)


def read_frames(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Opcode, fin and unmasked payload of each frame. Fails if something is left over."""
    found: list[tuple[int, bool, bytes]] = []
    while data:
        opcode, fin, masked, size = data[0] & 15, bool(data[0] & 0x80), bool(data[1] & 0x80), data[1] & 127
        at = 2
        if size == 126:
            size, at = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            size, at = struct.unpack_from("!Q", data, 2)[0], 10
        mask = data[at : at + 4] if masked else bytes(4)
        at += 4 if masked else 0
        assert len(data) >= at + size
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[at : at + size]))
        found.append((opcode, fin, payload))
        data = data[at + size :]
    return found


def request_headers(request: bytes) -> dict[str, str]:
    """The headers of a request, and its target under an empty name."""
    first, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {"": first.split(" ")[1], **headers}


def accepting(request: bytes, protocol: str | None = "v2.bsatn.spacetimedb", **changed: str | None) -> bytes:
    """The 101 that answers a handshake; headers can be changed, or left out with None."""
    key = request_headers(request)["sec-websocket-key"]
    headers: dict[str, str | None] = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-accept": base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode(),
        "sec-websocket-protocol": protocol,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode()
