"""The rows of tables at one moment, and everything that happens to them after it, with nothing between the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from spacetimedb_proto.schema.model import Schema

from ..tabular import Held
from .streams import Stream

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Followed", "follow"]


@attrs.frozen
class Followed:
    """What `conn.follow()` gives.

    Attributes:
        schema: The module's definition.
        tables: The rows of each table that is followed, by its name; event tables have none.
        stream: The host's stream of the transactions since then.
    """

    schema: Schema
    tables: Mapping[str, Held]
    stream: Any


def follow(engine: Engine, tables: Iterable[str] | None, options: Mapping[str, Any]) -> Followed:
    """Take both at once; raises as `conn.follow()`."""
    schema = engine.schema
    live = {table for query_set in engine.session.query_sets for table in query_set.tables}
    names = sorted({schema.table(name).name for name in (live if tables is None else tables)})

    def take() -> tuple[Stream[Any], dict[str, Held]]:
        held = {name: engine.db[name].held(": follow()") for name in names}
        return engine.record(**options), held

    stream, held = engine.atomically(take)
    return Followed(schema, held, stream)
