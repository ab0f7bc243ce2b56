"""A module's log: one JSON object a line (protocol reference, 5)."""

from __future__ import annotations

import attrs

from ..bsatn.values import Timestamp
from ..errors import DecodeError, RemoteProtocolError, SchemaError
from ..limits import MIB
from ..schema.reader import Node, Struct
from .results import parsed

__all__ = ["LogLine", "LogReader", "TraceFrame"]

LINE_SIZE = 64 * MIB
"""Bytes of one line, at most."""


@attrs.frozen
class TraceFrame:
    """One frame of a panic's backtrace.

    Attributes:
        module: Name of the WebAssembly module, if it is known.
        function: Name of the function, if it is known.
    """

    module: str | None
    function: str | None


@attrs.frozen
class LogLine:
    """One line.

    Attributes:
        level: `Error`, `Warn`, `Info`, `Debug`, `Trace` or `Panic`.
        time: When it was written.
        message: The text.
        target: Part of the module that wrote it, if it says. Lines of the server itself have `__spacetimedb__`.
        filename: Source file, if it is known.
        line_number: Line there, if it is known.
        function: The reducer, procedure or view that ran, if it is known.
        trace: The backtrace of a panic, innermost frame first.
    """

    level: str
    time: Timestamp
    message: str
    target: str | None = None
    filename: str | None = None
    line_number: int | None = None
    function: str | None = None
    trace: tuple[TraceFrame, ...] = attrs.field(default=(), repr=False)

    @classmethod
    def parse(cls, line: bytes) -> LogLine:
        """Read a line. Fields that are not known are passed over.

        Raises:
            RemoteProtocolError: It is no line of a log.
        """
        try:
            fields = Node(parsed(line)).struct(())
            number = fields.get("line_number")
            return cls(
                level=fields["level"].text(),
                time=Timestamp(fields["ts"].below(1 << 63)),
                message=fields["message"].text(),
                target=_text(fields, "target"),
                filename=_text(fields, "filename"),
                line_number=None if number is None or number.value is None else number.below(1 << 32),
                function=_text(fields, "function"),
                trace=tuple(_frame(item.struct(())) for item in fields.list("trace")),
            )
        except (SchemaError, DecodeError) as error:
            raise RemoteProtocolError(f"logs: a line cannot be understood: {error}") from error


def _text(fields: Struct, name: str) -> str | None:
    node = fields.get(name)
    return None if node is None or node.value is None else node.text()


def _frame(fields: Struct) -> TraceFrame:
    return TraceFrame(_text(fields, "module_name"), _text(fields, "func_name"))


class LogReader:
    """Cuts what comes into lines. Bytes in, lines out."""

    def __init__(self) -> None:
        self._start = bytearray()

    def receive_data(self, data: bytes) -> list[LogLine]:
        """Take in bytes, and return the lines that are whole; an empty string says that no more will come.

        Raises:
            RemoteProtocolError: A line is malformed or too long.
        """
        *whole, rest = (bytes(self._start) + data).split(b"\n")
        self._start = bytearray(rest)
        if not data and rest:
            whole.append(rest)
        if len(rest) > LINE_SIZE:
            raise RemoteProtocolError(f"logs: expected lines of at most {LINE_SIZE} bytes, got a longer one")
        return [LogLine.parse(line) for line in whole if line.strip()]
