"""v2.bsatn and v3.bsatn: `messages.py` as BSATN, one message per payload or several (protocol reference, 3.3 to 3.6).

Both directions of each message stand side by side in two tables, by tag. What holds rows is in `rows.py`; what is
around it is small and fixed, and is read here by hand, since a session reads one of these for every transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from ..errors import DecodeError, LocalProtocolError, RemoteProtocolError
from ..limits import Limits
from . import messages as m
from .compression import seal, unseal
from .inbox import Inbox
from .payloads import Waiting, expect_binary
from .rows import RowReader, write_query_rows, write_query_sets
from .runs import Run, Templates

__all__ = ["V2", "V3"]

CLIENT_BATCH: Final = 256 * 1024
"""Bytes after which a client starts another v3 payload; the TypeScript SDK's choice (protocol reference, 3.6)."""

SERVER_BATCH: Final = 512 * 1024
"""Bytes after which the server starts another v3 payload (protocol reference, 3.6)."""

_U8: Final = struct.Struct("<B")
_U32: Final = struct.Struct("<I")
_U32_U32: Final = struct.Struct("<II")
_I64: Final = struct.Struct("<q")
_PROCEDURE_END: Final = struct.Struct("<qqI")

_Read: TypeAlias = Callable[["_Reader"], Any]


class _Reader:
    """A payload and how far it has been read."""

    __slots__ = ("at", "data", "rows")

    def __init__(self, data: bytes, start: int, rows: RowReader) -> None:
        self.data = data
        self.at = start
        self.rows = rows

    def u8(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def u32(self) -> int:
        (value,) = _U32.unpack_from(self.data, self.at)
        self.at += 4
        return int(value)

    def timestamp(self) -> Timestamp:
        (micros,) = _I64.unpack_from(self.data, self.at)
        self.at += 8
        return Timestamp(micros)

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise DecodeError(f"expected {size} bytes, got {len(self.data) - self.at}")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def bytes(self) -> bytes:
        return self.take(self.u32())

    def text(self) -> str:
        data = self.bytes()
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise DecodeError(f"expected UTF-8, got {len(data)} other bytes") from None

    def texts(self) -> list[str]:
        return self.many(4, _Reader.text)

    def many(self, least: int, read: Callable[[_Reader], Any]) -> list[Any]:
        """An array whose elements take at least `least` bytes each: a larger claim is refused before it is believed."""
        count = self.u32()
        if count * least > len(self.data) - self.at:
            raise DecodeError(f"expected {count} elements, got {len(self.data) - self.at} bytes")
        self.rows.admit("elements", count)
        return [read(self) for _ in range(count)]

    def tag(self, what: str, count: int) -> int:
        tag = self.u8()
        if tag >= count:
            raise DecodeError(f"tag of {what}: expected at most {count - 1}, got {tag}")
        return tag

    def query_rows(self) -> m.QueryRows:
        rows, self.at = self.rows.query_rows(self.data, self.at)
        return rows

    def update(self) -> m.TransactionUpdate:
        query_sets, self.at = self.rows.query_sets(self.data, self.at)
        return m.TransactionUpdate(query_sets)


# --- server to client -------------------------------------------------------------------------------------------------


def _read_initial(r: _Reader) -> m.InitialConnection:
    return m.InitialConnection(Identity.from_wire(r.take(32)), ConnectionId.from_wire(r.take(16)), r.text())


def _read_unsubscribed(r: _Reader) -> m.UnsubscribeApplied:
    request_id, query_set_id = r.u32(), r.u32()
    return m.UnsubscribeApplied(request_id, query_set_id, r.query_rows() if r.tag("rows", 2) == 0 else None)


def _read_subscription_error(r: _Reader) -> m.SubscriptionError:
    request_id = r.u32() if r.tag("request_id", 2) == 0 else None
    return m.SubscriptionError(request_id, r.u32(), r.text())


def _read_rows_or_text(r: _Reader) -> m.QueryRows | str:
    return r.query_rows() if r.tag("result", 2) == 0 else r.text()


def _read_reducer_result(r: _Reader) -> m.ReducerResult:
    return m.ReducerResult(r.u32(), r.timestamp(), _read_outcome(r))


def _read_outcome(r: _Reader) -> m.ReducerOutcome:
    match r.tag("ReducerOutcome", 4):
        case 0:
            return m.ReducerOk(r.bytes(), r.update())
        case 1:
            return m.ReducerOkEmpty()
        case 2:
            return m.ReducerErr(r.bytes())
        case _:
            return m.ReducerInternalError(r.text())


def _read_procedure_result(r: _Reader) -> m.ProcedureResult:
    status = m.ProcedureReturned(r.bytes()) if r.tag("ProcedureStatus", 2) == 0 else m.ProcedureInternalError(r.text())
    timestamp, duration, request_id = _PROCEDURE_END.unpack(r.take(20))
    return m.ProcedureResult(status, Timestamp(timestamp), TimeDuration(duration), request_id)


def _read_batch_applied(r: _Reader) -> m.SubscribeBatchApplied:
    return m.SubscribeBatchApplied(r.u32(), r.many(9, lambda r: m.SubscribeSetResult(r.u32(), _read_rows_or_text(r))))


SERVER_READERS: Final[Sequence[tuple[str, _Read]]] = (
    ("InitialConnection", _read_initial),
    ("SubscribeApplied", lambda r: m.SubscribeApplied(r.u32(), r.u32(), r.query_rows())),
    ("UnsubscribeApplied", _read_unsubscribed),
    ("SubscriptionError", _read_subscription_error),
    ("TransactionUpdate", _Reader.update),
    ("OneOffQueryResult", lambda r: m.OneOffQueryResult(r.u32(), _read_rows_or_text(r))),
    ("ReducerResult", _read_reducer_result),
    ("ProcedureResult", _read_procedure_result),
    ("SubscribeBatchApplied", _read_batch_applied),
)


def _bytes(data: bytes | str) -> bytes:
    if isinstance(data, str):
        raise LocalProtocolError("expected arguments and values as BSATN, got JSON, which only v1.json carries")
    return _U32.pack(len(data)) + data


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _rows_or_text(result: m.QueryRows | str) -> bytes:
    return b"\1" + _text(result) if isinstance(result, str) else b"\0" + write_query_rows(result)


def _write_outcome(outcome: m.ReducerOutcome) -> bytes:
    match outcome:
        case m.ReducerOk(value, update):
            return b"\0" + _bytes(value) + write_query_sets(update.query_sets)
        case m.ReducerOkEmpty():
            return b"\1"
        case m.ReducerErr(error):
            return b"\2" + _bytes(error)
        case m.ReducerInternalError(text):
            return b"\3" + _text(text)


def _write_procedure_result(x: m.ProcedureResult) -> bytes:
    status = (
        b"\0" + _bytes(x.status.value) if isinstance(x.status, m.ProcedureReturned) else b"\1" + _text(x.status.error)
    )
    return status + _PROCEDURE_END.pack(x.timestamp.micros, x.total_host_execution_duration.micros, x.request_id)


def _write_batch_applied(x: m.SubscribeBatchApplied) -> bytes:
    results = [_U32.pack(result.query_set_id) + _rows_or_text(result.outcome) for result in x.results]
    return _U32_U32.pack(x.request_id, len(results)) + b"".join(results)


def _write_unsubscribed(x: m.UnsubscribeApplied) -> bytes:
    rows = b"\1" if x.rows is None else b"\0" + write_query_rows(x.rows)
    return _U32_U32.pack(x.request_id, x.query_set_id) + rows


def _write_subscription_error(x: m.SubscriptionError) -> bytes:
    if x.query_set_id is None:
        raise LocalProtocolError("only v1 can end all query sets at once")
    request = b"\1" if x.request_id is None else b"\0" + _U32.pack(x.request_id)
    return request + _U32.pack(x.query_set_id) + _text(x.error)


_Writers: TypeAlias = Mapping[type, tuple[int, Callable[[Any], bytes]]]

SERVER_WRITERS: Final[_Writers] = {
    m.InitialConnection: (0, lambda x: x.identity.wire + x.connection_id.wire + _text(x.token)),
    m.SubscribeApplied: (1, lambda x: _U32_U32.pack(x.request_id, x.query_set_id) + write_query_rows(x.rows)),
    m.UnsubscribeApplied: (2, _write_unsubscribed),
    m.SubscriptionError: (3, _write_subscription_error),
    m.TransactionUpdate: (4, lambda x: write_query_sets(x.query_sets)),
    m.OneOffQueryResult: (5, lambda x: _U32.pack(x.request_id) + _rows_or_text(x.result)),
    m.ReducerResult: (
        6,
        lambda x: _U32.pack(x.request_id) + _I64.pack(x.timestamp.micros) + _write_outcome(x.result),
    ),
    m.ProcedureResult: (7, _write_procedure_result),
    m.SubscribeBatchApplied: (8, _write_batch_applied),
}

# --- client to server -------------------------------------------------------------------------------------------------


def _read_unsubscribe(r: _Reader) -> m.Unsubscribe:
    return m.Unsubscribe(r.u32(), r.u32(), r.tag("UnsubscribeFlags", 2) == 1)


def _read_set(r: _Reader) -> m.SubscribeSet:
    return m.SubscribeSet(r.u32(), r.texts())


def _read_call(r: _Reader) -> tuple[int, int, str, bytes]:
    request_id, flags, name, args = r.u32(), r.u8(), r.text(), r.bytes()
    if flags:
        raise DecodeError(f"flags: expected 0, got {flags}")
    return request_id, flags, name, args


CLIENT_READERS: Final[Sequence[tuple[str, _Read]]] = (
    ("Subscribe", lambda r: m.Subscribe(r.u32(), r.u32(), r.texts())),
    ("Unsubscribe", _read_unsubscribe),
    ("OneOffQuery", lambda r: m.OneOffQuery(r.u32(), r.text())),
    ("CallReducer", lambda r: m.CallReducer(*_read_call(r))),
    ("CallProcedure", lambda r: m.CallProcedure(*_read_call(r))),
    ("SubscribeBatch", lambda r: m.SubscribeBatch(r.u32(), r.many(8, _read_set))),
)


def _write_texts(texts: Sequence[str]) -> bytes:
    return _U32.pack(len(texts)) + b"".join(map(_text, texts))


def _write_call(request_id: int, flags: int, name: str, args: bytes | str) -> bytes:
    return _U32.pack(request_id) + _U8.pack(flags) + _text(name) + _bytes(args)


def _write_batch(x: m.SubscribeBatch) -> bytes:
    sets = [_U32.pack(part.query_set_id) + _write_texts(part.query_strings) for part in x.sets]
    return _U32_U32.pack(x.request_id, len(sets)) + b"".join(sets)


CLIENT_WRITERS: Final[_Writers] = {
    m.Subscribe: (0, lambda x: _U32_U32.pack(x.request_id, x.query_set_id) + _write_texts(x.query_strings)),
    m.Unsubscribe: (1, lambda x: _U32_U32.pack(x.request_id, x.query_set_id) + _U8.pack(x.send_dropped_rows)),
    m.OneOffQuery: (2, lambda x: _U32.pack(x.request_id) + _text(x.query_string)),
    m.CallReducer: (3, lambda x: _write_call(x.request_id, x.flags, x.reducer, x.args)),
    m.CallProcedure: (4, lambda x: _write_call(x.request_id, x.flags, x.procedure, x.args)),
    m.SubscribeBatch: (5, _write_batch),
}

# --- payloads ---------------------------------------------------------------------------------------------------------


UNCOMPRESSED: Final = b"\0"
"""The tag before a payload that is not compressed."""


class V2:
    """v2.bsatn: one message per payload."""

    name = "v2.bsatn.spacetimedb"
    text = False
    batches = False
    shared_bag = False

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rows = RowReader(limits.rows_per_message)
        self._templates = Templates(b"" if self.batches else UNCOMPRESSED)

    def read_server(self, payload: Waiting) -> Iterator[m.ServerMessage]:
        """The server's messages, one at a time."""
        body, start = unseal(expect_binary(payload, self._limits, self.name), self._limits.decompressed_size, self.name)
        return self._read(body, start, SERVER_READERS)

    def read_waiting(self, inbox: Inbox) -> Iterator[m.ServerMessage | Run]:
        """The server's messages in the next payload, and in those after it that are like it."""
        payload = expect_binary(inbox.first, self._limits, self.name)
        run = self._templates.alone(payload, inbox) if isinstance(payload, bytes) else None
        if run is not None:
            return iter((run,))
        inbox.drop(1)
        body, start = unseal(payload, self._limits.decompressed_size, self.name)
        return self._learn(body, start)

    def _learn(self, body: bytes, start: int) -> Iterator[m.ServerMessage | Run]:
        for message in self._read(body, start, SERVER_READERS):
            if type(message) is m.TransactionUpdate:
                self._templates.learn(message)
            yield message

    def read_client(self, payload: bytes | str) -> Iterator[m.ClientMessage]:
        """A client's messages, one at a time."""
        return self._read(expect_binary(payload, self._limits, self.name), 0, CLIENT_READERS)

    def write_client(self, sent: Sequence[m.ClientMessage]) -> list[bytes | str]:
        """Payloads for the server."""
        return list(self._batched(sent, CLIENT_WRITERS, CLIENT_BATCH))

    def write_server(self, sent: Sequence[m.ServerMessage], compression: str = "none") -> list[bytes | str]:
        """Payloads for a client."""
        return [seal(body, compression) for body in self._batched(sent, SERVER_WRITERS, SERVER_BATCH)]

    def _read(self, body: bytes, start: int, readers: Sequence[tuple[str, _Read]]) -> Iterator[Any]:
        reader = _Reader(body, start, self._rows)
        is_more = True
        while is_more:
            message = self._message(reader, readers)
            is_more = reader.at < len(body)
            if is_more and not self.batches:
                left = len(body) - reader.at
                raise RemoteProtocolError(f"{self.name}: expected one message per payload, got {left} bytes more")
            yield message

    def _message(self, reader: _Reader, readers: Sequence[tuple[str, _Read]]) -> Any:
        start = reader.at
        if start == len(reader.data):
            raise RemoteProtocolError(f"{self.name}: expected a message, got an empty payload")
        tag = reader.u8()
        if tag >= len(readers):
            raise RemoteProtocolError(f"{self.name}: expected a message tag below {len(readers)}, got {tag}")
        name, read = readers[tag]
        self._rows.start()
        try:
            return read(reader)
        except DecodeError as error:
            raise RemoteProtocolError(f"{self.name}: {name} at byte {reader.at}: {error}") from error
        except (struct.error, IndexError):
            raise RemoteProtocolError(
                f"{self.name}: {name} at byte {reader.at}: expected more bytes, got the end of the payload"
            ) from None

    def _batched(self, messages: Sequence[Any], writers: _Writers, size: int) -> Iterator[bytes]:
        batch: list[bytes] = []
        length = 0
        for message in messages:
            data = self._written(message, writers)
            if batch and (not self.batches or length + len(data) > size):
                yield b"".join(batch)
                batch, length = [], 0
            batch.append(data)
            length += len(data)
        if batch:
            yield b"".join(batch)

    def _written(self, message: Any, writers: _Writers) -> bytes:
        name = type(message).__name__
        if type(message) not in writers:
            raise LocalProtocolError(f"{self.name} has no {name}")
        tag, write = writers[type(message)]
        try:
            return _U8.pack(tag) + write(message)
        except (struct.error, UnicodeEncodeError) as error:
            raise LocalProtocolError(f"{self.name}: {name} cannot be written: {error}") from error


class V3(V2):
    """v3.bsatn: the same messages, any number of them per payload."""

    name = "v3.bsatn.spacetimedb"
    batches = True

    def read_waiting(self, inbox: Inbox) -> Iterator[m.ServerMessage | Run]:
        """The server's messages in the next payload, those that are alike together, with payloads of nothing else."""
        payload = expect_binary(inbox.first, self._limits, self.name)
        body, start = unseal(payload, self._limits.decompressed_size, self.name)
        run = self._templates.together(body, start)
        more = self._templates.over(run, body, start, inbox) if run is not None and body is payload else 0
        inbox.drop(1 + more)
        return self._runs(body, start, run) if run is None or not more else iter((run,))

    def _runs(self, body: bytes, start: int, run: Run | None) -> Iterator[m.ServerMessage | Run]:
        """The messages in a payload, those that are alike together; the first such run is known."""
        reader = _Reader(body, start, self._rows)
        while True:
            if run is not None:
                reader.at += run.size
                yield run
            else:
                message = self._message(reader, SERVER_READERS)
                if type(message) is m.TransactionUpdate:
                    self._templates.learn(message)
                yield message
            if reader.at == len(body):
                return
            run = self._templates.together(body, reader.at)
