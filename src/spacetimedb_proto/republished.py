"""What becomes of a session whose module has been published anew: it goes on as it is, or it cannot.

A session keeps the definition that it began with, because codecs, rows and the code around it are made for that. What
is new is not seen, and what rows have more than before is cut off; whatever else would be misread ends the session.
"""

from __future__ import annotations

from .client import ClientSession
from .schema import Drift, Effect, Schema, compare

__all__ = ["go_on_with"]

_HINT = "The module has been published anew: connect again to use it."


def go_on_with(served: Schema, session: ClientSession) -> tuple[Schema, Drift]:
    """Have a session, whose link is lost, go on with the module as it is now.

    Args:
        served: What the server answers now.
        session: The session. It may have been through this before, with another answer.

    Returns:
        What the next link is to be read by, for in JSON rows are only found by all of their columns; and how that
        differs from what the session knows.

    Raises:
        SchemaMismatch: It cannot go on; the error lists why.
    """
    known = session.schema
    if known.hash == served.hash:
        session.cache.shorten(())
        return known, Drift()  # the one whose codecs are there already
    read = {table for query_set in session.query_sets for table in query_set.tables}
    private = any(name in known.tables and not known.tables[name].is_public for name in read)
    drift = compare(known, served, private=private).in_use(read).with_rows_cut()
    drift.raise_if_breaking(Effect.WIRE, hint=_HINT)
    session.cache.shorten(_grown(known, served))
    return served, drift


def _grown(known: Schema, served: Schema) -> list[str]:
    """The tables that have more columns than are known."""
    return [
        name
        for name, table in known.tables.items()
        if name in served.tables and len(served.tables[name].columns) > len(table.columns)
    ]
