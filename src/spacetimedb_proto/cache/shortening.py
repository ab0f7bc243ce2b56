"""Rows with more columns than are known: what is behind the known ones is cut off before anything else sees it.

They come when a module has been published anew while a session goes on: its codecs, its code and the rows that it keeps
are of the definition that it began with. Two rows that differ in unknown columns alone are the same row then: a message
may bring what it takes away, which changes nothing, and a table may hold a row twice, as otherwise only views do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from ..bsatn.codec import Codec
from ..errors import DecodeError, RemoteProtocolError
from ..steps import STEP, Steps
from ..wire.rowlist import RowList
from .planning import Delta

__all__ = ["Shortener"]

Holder = TypeVar("Holder", int, int | None)


class Shortener:
    """Cuts the rows of one table.

    Args:
        name: The table's name, for messages.
        codec: Of its rows as they are known.
    """

    def __init__(self, name: str, codec: Codec) -> None:
        self._name = name
        self._codec = codec

    def delta(self, delta: Delta) -> Steps[None]:
        """Cut all rows of a message. Raises as `rows`."""
        delta.is_distinct = False
        delta.inserts = yield from self._held(delta.inserts)
        delta.deletes = yield from self._held(delta.deletes)
        for number, rows in enumerate(delta.events):
            delta.events[number] = yield from self.rows(rows)
        if delta.lean is not None:
            delta.lean.inserts = yield from self._held(delta.lean.inserts)
            delta.lean.deletes = yield from self._held(delta.lean.deletes)

    def _held(self, lists: Sequence[tuple[Holder, RowList]]) -> Steps[list[tuple[Holder, RowList]]]:
        found: list[tuple[Holder, RowList]] = []
        for holder, rows in lists:
            found.append((holder, (yield from self.rows(rows))))
        return found

    def rows(self, rows: RowList) -> Steps[RowList]:
        """The same rows without what is behind their known columns.

        Raises:
            RemoteProtocolError: One ends before those do, or the list cannot be cut into rows.
        """
        blocks: list[bytes] = []
        offsets: list[int] = []
        end = 0
        try:
            yield from rows.checking()
            for part in rows.parts(STEP):
                cut = list(self._cut(part))
                blocks.append(b"".join(cut))
                if self._codec.fixed_size is None:
                    *starts, end = accumulate(map(len, cut), initial=end)
                    offsets += starts
                if len(part) == STEP:
                    yield
        except DecodeError as error:
            raise RemoteProtocolError(f"table {self._name}: {error}") from error
        data = b"".join(blocks)
        return RowList.within(data, 0, len(data), row_size=self._codec.fixed_size or 0, offsets=offsets)

    def _cut(self, rows: RowList) -> Iterable[bytes]:
        size = self._codec.fixed_size
        if size is None or size > rows.row_size:  # they differ in length, or are too short
            return map(self._codec.cut, rows.rows())
        return rows.column(f"{size}s{rows.row_size - size}x")
