"""v1.bsatn and v1.json: payloads of v1, as messages of v2 and back.

The messages of v1 are declared in `v1_messages.py` and translated in `v1_translation.py`; this is how they get in and
out of payloads. In JSON a row is a text of its own, in one of three shapes (protocol reference, 2.5): it is read with
its table's codec and kept as BSATN, so that equal rows are equal bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..bsatn.codec import Codec
from ..errors import DecodeError, RemoteProtocolError
from ..limits import Limits
from ..schema.model import Schema
from . import messages as m
from . import v1_messages as v1
from .compression import NAMES, inflate, seal, unseal
from .rowlist import RowList
from .rows import RowReader, write_row_list
from .v1_translation import Translation

__all__ = ["V1Bsatn", "V1Json"]

_U32: Final = struct.Struct("<I")


class _V1:
    """What both formats share."""

    name: str
    batches = False
    shared_bag = True

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self._limits = limits
        self._schema = schema
        self._rows = RowReader(limits.rows_per_message)
        types = v1.LAYOUT.types(
            limits,
            args=self._args(),
            rows=self._row_lists(),
            query_update=self._query_updates(),
            query_id=_QUERY_ID,
        )
        self._client: Codec = types.codec(v1.CLIENT_MESSAGE)
        self._server: Codec = types.codec(v1.SERVER_MESSAGE)
        self._translation = Translation(schema, self._in_rows, self._out_rows)

    def read_server(self, payload: bytes | str) -> Iterator[m.ServerMessage]:
        """The server's message."""
        self._check_size(payload)
        self._rows.start()
        try:
            yield self._translation.up_server(self.decode_server(payload))
        except DecodeError as error:
            raise RemoteProtocolError(f"{self.name}: {error}") from error

    def read_client(self, payload: bytes | str) -> Iterator[m.ClientMessage]:
        """A client's message."""
        self._check_size(payload)
        try:
            yield self._translation.up_client(self.decode_client(payload))
        except DecodeError as error:
            raise RemoteProtocolError(f"{self.name}: {error}") from error

    def write_client(self, sent: Sequence[m.ClientMessage]) -> list[bytes | str]:
        """Payloads for the server."""
        return [self.encode_client(self._translation.down_client(message)) for message in sent]

    def write_server(self, sent: Sequence[m.ServerMessage], compression: str = "none") -> list[bytes | str]:
        """Payloads for a client."""
        return [self.encode_server(self._translation.down_server(message), compression) for message in sent]

    # --- v1's own messages --------------------------------------------------------------------------------------------

    def decode_server(self, payload: bytes | str) -> v1.ServerMessage:
        """A server's payload as v1 has it; raises `DecodeError` or `RemoteProtocolError`."""
        message: v1.ServerMessage = self._parse(payload, self._server, is_server=True)
        return message

    def decode_client(self, payload: bytes | str) -> v1.ClientMessage:
        """A client's payload as v1 has it; raises `DecodeError` or `RemoteProtocolError`."""
        message: v1.ClientMessage = self._parse(payload, self._client, is_server=False)
        return message

    def encode_server(self, message: v1.ServerMessage, compression: str = "none") -> bytes | str:
        """A server's payload."""
        return self._seal(self._format(message, self._server), compression)

    def encode_client(self, message: v1.ClientMessage) -> bytes | str:
        """A client's payload."""
        return self._format(message, self._client)

    def _check_size(self, payload: bytes | str) -> None:
        if len(payload) > self._limits.message_size:
            raise RemoteProtocolError(
                f"{self.name}: expected a message of at most {self._limits.message_size} bytes, got {len(payload)}"
            )

    # --- what the formats do differently ------------------------------------------------------------------------------

    def _parse(self, payload: bytes | str, codec: Codec, *, is_server: bool) -> Any:
        raise NotImplementedError

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        raise NotImplementedError

    def _seal(self, payload: bytes | str, compression: str) -> bytes | str:
        raise NotImplementedError

    def _in_rows(self, table: str, rows: v1.Rows) -> RowList:
        raise NotImplementedError

    def _out_rows(self, table: str, rows: RowList) -> v1.Rows:
        raise NotImplementedError

    # --- customs ------------------------------------------------------------------------------------------------------

    def _args(self) -> dict[str, Any]:
        return {
            "decode": _read_bytes,
            "encode": lambda value, append: append(_U32.pack(len(value)) + value),
            "min_size": 4,
            "from_json": _expect_text,
            "to_json": _as_it_is,
        }

    def _row_lists(self) -> dict[str, Any]:
        return {
            "decode": self._rows.row_list,
            "encode": lambda rows, append: append(write_row_list(rows)),
            "min_size": 7,
            "from_json": self._json_rows,
            "to_json": _as_it_is,
        }

    def _query_updates(self) -> dict[str, Any]:
        return {
            "decode": self._read_query_update,
            "encode": lambda update, append: append(_write_query_update(update)),
            "min_size": 5,
            "from_json": self._json_query_update,
            "to_json": lambda update: {"deletes": update.deletes, "inserts": update.inserts},
        }

    def _read_query_update(self, data: bytes, pos: int) -> tuple[v1.QueryUpdate, int]:
        """Plain, or compressed on its own; this server never compresses here, but a decoder must understand it."""
        tag = data[pos]
        if tag == 0:
            deletes, end = self._rows.row_list(data, pos + 1)
            inserts, end = self._rows.row_list(data, end)
            return v1.QueryUpdate(deletes, inserts), end
        if tag >= len(NAMES):
            raise DecodeError(f"tag of CompressableQueryUpdate: expected 0, 1 or 2, got {tag}")
        packed, end = _read_bytes(data, pos + 1)
        body = inflate(tag, packed, self._limits.decompressed_size, f"{self.name}: CompressableQueryUpdate")
        deletes, middle = self._rows.row_list(body, 0)
        inserts, last = self._rows.row_list(body, middle)
        if last != len(body):
            raise DecodeError(f"CompressableQueryUpdate: {len(body) - last} bytes after its end")
        return v1.QueryUpdate(deletes, inserts, data[pos:end]), end

    def _json_rows(self, value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(row, str) for row in value):
            raise DecodeError(f"rows: expected a list of JSON texts, got {repr(value)[:80]}")
        self._rows.rows_left -= len(value)
        if self._rows.rows_left < 0:
            raise DecodeError(f"rows: expected at most {self._rows.limit} in one message, got more")
        return value

    def _json_query_update(self, value: Any) -> v1.QueryUpdate:
        if not isinstance(value, dict) or value.keys() != {"deletes", "inserts"}:
            raise DecodeError(f"QueryUpdate: expected deletes and inserts, got {repr(value)[:80]}")
        return v1.QueryUpdate(self._json_rows(value["deletes"]), self._json_rows(value["inserts"]))


class V1Bsatn(_V1):
    """v1.bsatn."""

    name = "v1.bsatn.spacetimedb"
    text = False

    def _parse(self, payload: bytes | str, codec: Codec, *, is_server: bool) -> Any:
        if isinstance(payload, str):
            raise RemoteProtocolError(f"{self.name}: expected a binary message, got a text message")
        body, start = unseal(payload, self._limits.decompressed_size, self.name) if is_server else (payload, 0)
        message, end = codec.decode(body, start)
        if end != len(body):
            raise DecodeError(f"expected one message per payload, got {len(body) - end} bytes more")
        return message

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        return codec.encode(message)

    def _seal(self, payload: bytes | str, compression: str) -> bytes | str:
        assert isinstance(payload, bytes)
        return seal(payload, compression)

    def _in_rows(self, _table: str, rows: v1.Rows) -> RowList:
        assert isinstance(rows, RowList)
        return rows

    def _out_rows(self, _table: str, rows: RowList) -> v1.Rows:
        return rows


class V1Json(_V1):
    """v1.json."""

    name = "v1.json.spacetimedb"
    text = True

    def _parse(self, payload: bytes | str, codec: Codec, *, is_server: bool) -> Any:  # noqa: ARG002 - no envelope here
        if not isinstance(payload, str):
            raise RemoteProtocolError(f"{self.name}: expected a text message, got a binary message")
        return codec.from_json(_load(payload, "message"))

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        return json.dumps(codec.to_json(message, positional=False), separators=(",", ":"))

    def _seal(self, payload: bytes | str, _compression: str) -> bytes | str:
        return payload

    def _in_rows(self, table: str, rows: v1.Rows) -> RowList:
        if table not in self._schema.tables:
            return RowList.of([])  # unreadable; the table's name goes on, so that its loss is told
        codec = self._schema.row_codec(table)
        return RowList.of([codec.encode(codec.from_json(_load(row, f"a row of {table}"))) for row in rows])

    def _out_rows(self, table: str, rows: RowList) -> v1.Rows:
        codec = self._schema.row_codec(table)
        return [json.dumps(codec.to_json(codec.decode_exact(row)), separators=(",", ":")) for row in rows]


def _load(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{what}: expected JSON, got {text[:40]!r}: {error}") from error


def _read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    (size,) = _U32.unpack_from(data, pos)
    end = pos + 4 + size
    if end > len(data):
        raise DecodeError(f"expected {size} bytes, got {len(data) - pos - 4}")
    return data[pos + 4 : end], end


def _write_query_update(update: v1.QueryUpdate) -> bytes:
    if update.packed is not None:
        return update.packed
    assert isinstance(update.deletes, RowList)
    assert isinstance(update.inserts, RowList)
    return b"\0" + write_row_list(update.deletes) + write_row_list(update.inserts)


def _expect_text(value: Any) -> str:
    if not isinstance(value, str):
        raise DecodeError(f"expected JSON in a string, got {repr(value)[:80]}")
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _read_query_id(value: Any) -> int:
    """`{"id": 1}`; a bare number, which some clients send, is read too."""
    number = value.get("id") if isinstance(value, Mapping) and len(value) == 1 else value
    if type(number) is not int or not 0 <= number < 2**32:
        raise DecodeError(f"query_id: expected {{'id': number}}, got {repr(value)[:80]}")
    return number


def _decode_query_id(data: bytes, pos: int) -> tuple[int, int]:
    return _U32.unpack_from(data, pos)[0], pos + 4


def _encode_query_id(value: int, append: Callable[[bytes], None]) -> None:
    append(_U32.pack(value))


_QUERY_ID: Final[dict[str, Any]] = {
    "decode": _decode_query_id,
    "encode": _encode_query_id,
    "min_size": 4,
    "from_json": _read_query_id,
    "to_json": lambda value: {"id": value},
}
