"""Changes of rows as lines of JSON, and as live tables: what `subscribe` and `replay` show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .output import print_json, row_object

if TYPE_CHECKING:
    from spacetimedb_proto.cache import Change
    from spacetimedb_proto.schema import Schema

    from .live import LiveView

__all__ = ["ChangeLines", "live_view"]


class ChangeLines:
    """Writes each change as a JSON object on a line of its own."""

    def __init__(self, schema: Schema) -> None:
        self._columns = {name: [column.name for column in table.columns] for name, table in schema.tables.items()}

    def write(self, changes: Mapping[str, Sequence[Change]]) -> None:
        """Write the changes of one transaction, by table."""
        for name, found in changes.items():
            for told in _told(found, self._columns[name]):
                print_json({"table": name, **told})


def _told(changes: Iterable[Change], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    from spacetimedb_proto.cache import Deleted, Inserted

    for change in changes:
        match change:
            case Inserted(row):
                yield {"change": "inserted", "row": row_object(row, columns)}
            case Deleted(row):
                yield {"change": "deleted", "row": row_object(row, columns)}
            case _:
                old, new = row_object(change.old, columns), row_object(change.new, columns)
                yield {"change": "updated", "row": new, "old": old}


def live_view(title: str, schema: Schema, queries: Iterable[str] | None = None) -> LiveView:
    """The tables that some queries read from, to be drawn; None for all."""
    from .live import LiveTable, LiveView

    asked = None if queries is None else tuple(queries)
    return LiveView(
        title,
        (
            LiveTable(name, [column.name for column in table.columns], table.primary_key)
            for name, table in schema.tables.items()
            if asked is None or any(_asks_for(query, name, table.source_name) for query in asked)
        ),
    )


def _asks_for(query: str, *names: str) -> bool:
    """Whether a query's rows are those of a table."""
    from spacetimedb_proto.http_api import table_of

    return table_of(query) in names
