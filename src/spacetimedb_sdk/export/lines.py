"""A feed of changes as JSON lines: one line for each transaction."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from spacetimedb_proto.errors import DecodeError

from ..tabular.plain import dumped
from .feed import ChangeFeed, Entry, FeedChange

__all__ = ["JsonLinesFeed"]

_PIECE: Final = 1 << 20


class JsonLinesFeed(ChangeFeed):
    """A feed in a file of JSON lines, each of them a transaction.

    ``{"position":1,"event":"transaction","details":{},"changes":[{"table":"user","change":"insert","new":{...}}]}``

    A line counts when its end is there: what a crash has left without one is cut off when the file is opened again. The
    rows that the changes add up to are read from the file then, and kept in memory.

    Args:
        path: The file. It is made if there is none.
        sync: Whether to wait until each line is on the disk, so that it outlives the machine and not only the process.

    Raises:
        DecodeError: A whole line is none of a feed's, or the last one cannot be the beginning of one. Then the file
            stays as it is.
        OSError: The file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], *, sync: bool = True) -> None:
        super().__init__()
        self._sync = sync
        self._rows: dict[str, set[str]] = {}
        self._file = Path(path).open("a+b", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            self._end = self._replay(Path(path).name)
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _replay(self, name: str) -> int:
        """Read what is there, and return where its last whole line ends."""
        self._file.seek(0)
        end, rest = 0, b""
        while piece := self._file.read(_PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._take(line, name)
                end += len(line) + 1
        begin = f'{{"position":{self._position + 1},'.encode()
        if rest[: len(begin)] != begin[: len(rest)]:
            raise DecodeError(f"{name}: expected to end with a line or the beginning of one, got {rest[:40]!r}")
        return end

    def _take(self, line: bytes, name: str) -> None:
        try:
            entry = json.loads(line)
            position, changes = entry["position"], [_change_of(change) for change in entry["changes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DecodeError(f"{name}: no transaction behind position {self._position}: {error!r}") from error
        if position != self._position + 1:
            raise DecodeError(f"{name}: expected position {self._position + 1}, got {position!r}")
        self._hold(changes)
        self._position = position

    def _hold(self, changes: Sequence[FeedChange]) -> None:
        held = [change for change in changes if not change.is_event]
        for change in held:
            if change.old is not None:
                self._rows.setdefault(change.table, set()).discard(change.old)
        for change in held:
            if change.new is not None:
                self._rows.setdefault(change.table, set()).add(change.new)

    def _held_rows(self, table: str) -> set[str]:
        return self._rows.get(table, set())

    def _holds(self, table: str, row: str) -> bool:
        return row in self._held_rows(table)

    def _append(self, entry: Entry) -> None:
        line = f"{_line(entry)}\n".encode()
        try:
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) or 0 :]
            if self._sync:
                os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(self._end)  # so that another try does not stand behind half a line
            raise
        self._end += len(line)
        self._hold(entry.changes)


def _line(entry: Entry) -> str:
    head = {"position": entry.position, "event": entry.event, "details": entry.details}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
    return f'{text[:-1]},"changes":[{",".join(map(_change_text, entry.changes))}]}}'


def _change_text(change: FeedChange) -> str:
    """A change as JSON. Rows are JSON already, and stand in it as they are."""
    table = json.dumps(change.table, ensure_ascii=False)
    event = ',"is_event":true' if change.is_event else ""
    old = "" if change.old is None else f',"old":{change.old}'
    new = "" if change.new is None else f',"new":{change.new}'
    return f'{{"table":{table},"change":"{change.kind}"{event}{old}{new}}}'


def _change_of(found: dict[str, Any]) -> FeedChange:
    old, new = (dumped(found[name]) if name in found else None for name in ("old", "new"))
    return FeedChange(found["table"], old, new, is_event=found.get("is_event", False))
