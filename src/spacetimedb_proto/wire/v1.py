"""v1.bsatn and v1.json: payloads of v1, as messages of v2 and back.

The messages of v1 are declared in `v1_messages.py` and translated in `v1_translation.py`; this is how they get in and
out of payloads. In JSON a row is a text of its own, in one of three shapes (protocol reference, 2.5): it is read with
its table's codec and kept as BSATN, so that equal rows are equal bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from ..bsatn.codec import Codec
from ..bsatn.json_checks import json_kind
from ..bsatn.types import AlgebraicType, Product, Sum
from ..errors import DecodeError, EncodeError, LocalProtocolError, RemoteProtocolError, SchemaError
from ..limits import Limits
from ..schema.model import Schema
from . import messages as m
from . import v1_messages as v1
from .compression import NAMES, inflate, seal, unseal
from .declare import Append, Custom
from .inbox import Inbox
from .payloads import Waiting, expect_binary, expect_text
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
        self._inflate_left = 0
        types = v1.LAYOUT.types(limits, **self._customs())
        self._client: Codec = types.codec(v1.CLIENT_MESSAGE)
        self._server: Codec = types.codec(v1.SERVER_MESSAGE)
        self._translation = Translation(schema, self._in_rows, self._out_rows)

    def read_server(self, payload: Waiting) -> Iterator[m.ServerMessage]:
        """The server's message."""
        try:
            yield self._translation.up_server(self.decode_server(payload))
        except DecodeError as error:
            raise RemoteProtocolError(f"{self.name}: {error}") from error

    def read_waiting(self, inbox: Inbox) -> Iterator[m.ServerMessage]:
        """The server's message in the next payload."""
        payload = inbox.first
        inbox.drop(1)
        return self.read_server(payload)

    def read_client(self, payload: bytes | str) -> Iterator[m.ClientMessage]:
        """A client's message."""
        try:
            yield self._translation.up_client(self.decode_client(payload))
        except DecodeError as error:
            raise RemoteProtocolError(f"{self.name}: {error}") from error

    def write_client(self, sent: Sequence[m.ClientMessage]) -> list[bytes | str]:
        """Payloads for the server."""
        with self._writing():
            return [self.encode_client(self._translation.down_client(message)) for message in sent]

    def write_server(self, sent: Sequence[m.ServerMessage], compression: str = "none") -> list[bytes | str]:
        """Payloads for a client."""
        with self._writing():
            return [self.encode_server(self._translation.down_server(message), compression) for message in sent]

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except (EncodeError, DecodeError, SchemaError, OverflowError, struct.error) as error:
            raise LocalProtocolError(f"{self.name}: a message cannot be written: {error}") from error

    # --- v1's own messages --------------------------------------------------------------------------------------------

    def decode_server(self, payload: Waiting) -> v1.ServerMessage:
        """A server's payload as v1 has it; raises `DecodeError` or `RemoteProtocolError`."""
        self._rows.start()
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

    # --- what the formats do differently ------------------------------------------------------------------------------

    def _parse(self, payload: Waiting, codec: Codec, *, is_server: bool) -> Any:
        raise NotImplementedError

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        raise NotImplementedError

    def _seal(self, payload: bytes | str, compression: str) -> bytes | str:
        raise NotImplementedError

    def _in_rows(self, table: str, rows: v1.Rows) -> RowList:
        raise NotImplementedError

    def _out_rows(self, table: str, rows: RowList, is_snapshot: bool) -> v1.Rows:
        raise NotImplementedError

    # --- customs ------------------------------------------------------------------------------------------------------

    def _customs(self) -> dict[str, Custom]:
        return {
            "args": Custom(_read_bytes, _write_bytes, 4, _args_from_json, _as_it_is),
            "rows": Custom(self._read_rows, _write_rows, 7, self._json_rows, _as_it_is),
            "query_update": Custom(
                self._read_query_update, _write_query_update, 5, self._json_query_update, _query_update_to_json
            ),
            "table_id": Custom(self._read_table_id, _write_u32, 4, self._table_id_from_json, _as_it_is),
            "query_id": Custom(_read_u32, _write_u32, 4, _query_id_from_json, _query_id_to_json),
        }

    def _read_table_id(self, data: bytes, pos: int) -> tuple[int, int]:
        self._rows.admit("tables", 1)
        return _read_u32(data, pos)

    def _table_id_from_json(self, value: Any) -> int:
        self._rows.admit("tables", 1)
        if type(value) is not int or not 0 <= value < 2**32:
            raise DecodeError(f"expected a u32, got {json_kind(value)}")
        return value

    def _read_rows(self, data: bytes, pos: int) -> tuple[RowList, int]:
        return self._rows.named_rows("rows", data, pos)

    def _read_query_update(self, data: bytes, pos: int) -> tuple[v1.QueryUpdate, int]:
        """Plain, or compressed on its own; this server never compresses here, but a decoder must understand it."""
        self._rows.admit("updates", 1)
        tag = data[pos]
        if tag == 0:
            deletes, end = self._rows.named_rows("deletes", data, pos + 1)
            inserts, end = self._rows.named_rows("inserts", data, end)
            return v1.QueryUpdate(deletes, inserts), end
        if tag >= len(NAMES):
            raise DecodeError(f"tag of CompressableQueryUpdate: expected 0, 1 or 2, got {tag}")
        packed, end = _read_bytes(data, pos + 1)
        body = inflate(tag, packed, self._inflate_left, f"{self.name}: CompressableQueryUpdate")
        self._inflate_left -= len(body)
        deletes, middle = self._rows.named_rows("deletes", body, 0)
        inserts, last = self._rows.named_rows("inserts", body, middle)
        if last != len(body):
            raise DecodeError(f"CompressableQueryUpdate: {len(body) - last} bytes after its end")
        return v1.QueryUpdate(deletes, inserts, data[pos:end]), end

    def _json_rows(self, value: Any) -> list[str]:
        rows = cast("list[str]", value)
        if not _is(list, value) or not all(type(row) is str for row in rows):
            raise DecodeError(f"rows: expected an array of JSON texts, got {json_kind(value)}")
        self._rows.rows_left -= len(rows)
        if self._rows.rows_left < 0:
            raise DecodeError(f"rows: expected at most {self._rows.limit} in one message, got more")
        return rows

    def _json_query_update(self, value: Any) -> v1.QueryUpdate:
        parts = cast("dict[str, Any]", value)
        if not _is(dict, value) or parts.keys() != {"deletes", "inserts"}:
            raise DecodeError(f"expected an object of deletes and inserts, got {json_kind(value)}")
        self._rows.admit("updates", 1)
        return v1.QueryUpdate(self._json_rows(parts["deletes"]), self._json_rows(parts["inserts"]))


class V1Bsatn(_V1):
    """v1.bsatn."""

    name = "v1.bsatn.spacetimedb"
    text = False

    def _parse(self, payload: Waiting, codec: Codec, *, is_server: bool) -> Any:
        data = expect_binary(payload, self._limits, self.name)
        limit = self._limits.decompressed_size
        body, start = unseal(data, limit, self.name) if is_server else (data, 0)
        self._inflate_left = limit - len(body)  # compressed parts count together with what they are in
        message, end = codec.decode(body, start)
        if end != len(body):
            raise DecodeError(f"expected one message per payload, got {len(body) - end} bytes more")
        return message

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        return codec.encode(message)

    def _seal(self, payload: bytes | str, compression: str) -> bytes | str:
        assert isinstance(payload, bytes)
        return seal(payload, compression)

    def _in_rows(self, table: str, rows: v1.Rows) -> RowList:  # noqa: ARG002 - BSATN rows need no table
        assert isinstance(rows, RowList)
        return rows

    def _out_rows(self, table: str, rows: RowList, is_snapshot: bool) -> v1.Rows:  # noqa: ARG002 - as above
        return rows


class V1Json(_V1):
    """v1.json."""

    name = "v1.json.spacetimedb"
    text = True

    def _parse(self, payload: Waiting, codec: Codec, *, is_server: bool) -> Any:  # noqa: ARG002 - no envelope here
        return codec.from_json(_load(expect_text(payload, self._limits, self.name), "message"))

    def _format(self, message: Any, codec: Codec) -> bytes | str:
        return json.dumps(codec.to_json(message, positional=False), separators=(",", ":"))

    def _seal(self, payload: bytes | str, compression: str) -> bytes | str:  # noqa: ARG002 - no envelope here
        return payload

    def _in_rows(self, table: str, rows: v1.Rows) -> RowList:
        if table not in self._schema.tables:
            return RowList.of([])  # unreadable; the table's name goes on, so that its loss is told
        assert isinstance(rows, list)
        assert not isinstance(rows, RowList)
        codec = self._schema.row_codec(table)
        return RowList.of([codec.encode(codec.from_json(_load(row, f"a row of {table}"))) for row in rows])

    def _out_rows(self, table: str, rows: RowList, is_snapshot: bool) -> v1.Rows:
        codec, type_ = self._schema.row_codec(table), self._schema.table(table).row
        found = (codec.tell_json(codec.decode_exact(row)) for row in rows)
        return [_dump(_named(self._schema, type_, row) if is_snapshot else row) for row in found]


def _named(schema: Schema, type_: AlgebraicType, value: Any) -> Any:
    """JSON by position as snapshots have it: fields by name, but variants and all that is in arrays by position."""
    match schema.resolve(type_):
        case Product(elements):
            parts = zip(elements, value, strict=True)
            return {element.name: _named(schema, element.type, part) for element, part in parts}
        case Sum(variants):
            tag: int = value[0]
            return [tag, _named(schema, variants[tag].type, value[1])]
        case _:
            return value


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _load(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # The text itself, which the error holds, may be somebody's row.
        raise DecodeError(f"{what}: expected JSON, got something else: {error}") from None


def _read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    (size,) = _U32.unpack_from(data, pos)
    end = pos + 4 + size
    if end > len(data):
        raise DecodeError(f"expected {size} bytes, got {len(data) - pos - 4}")
    return data[pos + 4 : end], end


def _write_bytes(value: bytes, append: Append) -> None:
    append(_U32.pack(len(value)))
    append(value)


def _write_rows(rows: RowList, append: Append) -> None:
    append(write_row_list(rows))


def _write_query_update(update: v1.QueryUpdate, append: Append) -> None:
    if update.packed is not None:
        append(update.packed)
        return
    assert isinstance(update.deletes, RowList)
    assert isinstance(update.inserts, RowList)
    append(b"\0" + write_row_list(update.deletes) + write_row_list(update.inserts))


def _query_update_to_json(update: v1.QueryUpdate) -> dict[str, Any]:
    return {"deletes": update.deletes, "inserts": update.inserts}


def _is(kind: type, value: object) -> bool:
    """`isinstance`, but telling the type checkers nothing: they would call the elements unknown from there on."""
    return isinstance(value, kind)


def _args_from_json(value: Any) -> str:
    if not isinstance(value, str):
        raise DecodeError(f"expected JSON in a string, got {json_kind(value)}")
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _read_u32(data: bytes, pos: int) -> tuple[int, int]:
    return _U32.unpack_from(data, pos)[0], pos + 4


def _write_u32(value: int, append: Append) -> None:
    append(_U32.pack(value))


def _query_id_from_json(value: Any) -> int:
    """`{"id": 1}`; a bare number, which some clients send, is read too."""
    number: Any = cast("dict[str, Any]", value).get("id") if _is(dict, value) else value
    if type(number) is not int or not 0 <= number < 2**32:
        raise DecodeError(f"expected {{'id': number}}, got {json_kind(value)}")
    return number


def _query_id_to_json(value: int) -> dict[str, int]:
    return {"id": value}
