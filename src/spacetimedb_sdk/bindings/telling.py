"""Telling callbacks and streams of rows.

A callback that raises disturbs nobody: its error is reported, and the next one is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from spacetimedb_proto.cache import Change, RowUpdated, TableChange
from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.steps import Steps

from .context import Context
from .listeners import caught
from .streams import Stream
from .tables import ListenersNow, TableListeners, UpdateCallback

__all__ = ["Teller", "recording"]

SLICE: Final = 256
"""Rows that streams record in one step; callbacks get as many."""


class Teller:
    """Runs the callbacks of tables.

    Args:
        report: What to call with an error and the name of the callback that raised it.
    """

    def __init__(self, report: Callable[[Exception, str], object]) -> None:
        self._report = report

    def table(self, context: Context, change: TableChange, listeners: ListenersNow) -> Steps[bool]:
        """Tell of what one event did to a table: inserts, deletes, updates, and all of them. Nobody waited for it."""
        if listeners.insert:
            for rows in change.inserted_parts(listeners.skip):
                self._each(listeners.insert, context, rows)
                yield
        if listeners.delete:
            for rows in change.deleted_parts(listeners.skip):
                self._each(listeners.delete, context, rows)
                yield
        if listeners.update:
            for pairs in change.updated_parts(listeners.skip):
                self._each_pair(listeners.update, context, pairs)
                yield
        if listeners.changes and change:
            self._each(listeners.changes, context, (change,))
        return False

    def one_row(self, context: Context, change: RowUpdated, listeners: TableListeners) -> None:
        """Tell of an event that did no more than to replace one row."""
        update, changes = listeners.update.callbacks, listeners.changes.callbacks
        if update:
            try:
                pair = change.pair()
            except DecodeError as error:
                listeners.skip(error)
            else:
                self._each_pair(update, context, (pair,))
        if changes:
            self._each(changes, context, (change,))

    def _each(
        self, callbacks: Sequence[Callable[[Context, Any], object]], context: Context, rows: Iterable[Any]
    ) -> None:
        for row in rows:
            for callback in callbacks:
                try:
                    callback(context, row)
                except BaseException as error:
                    caught(error, callback, self._report)

    def _each_pair(
        self, callbacks: Sequence[UpdateCallback], context: Context, pairs: Iterable[tuple[Any, Any]]
    ) -> None:
        if len(callbacks) == 1:  # nearly always, and then a loop inside the loop would be a third of the cost
            (callback,) = callbacks
            for old, new in pairs:
                try:
                    callback(context, old, new)
                except BaseException as error:
                    caught(error, callback, self._report)
            return
        for old, new in pairs:
            for callback in callbacks:
                try:
                    callback(context, old, new)
                except BaseException as error:
                    caught(error, callback, self._report)


def recording(change: TableChange, streams: Sequence[Stream[Change]]) -> Steps[None]:
    """Record what one event did to a table."""
    try:
        for number, item in enumerate(change, 1):
            for stream in streams:
                stream.push(item)
            if number % SLICE == 0:
                yield
    except DecodeError as error:
        for stream in streams:
            stream.end(error)
