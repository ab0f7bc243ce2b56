"""What the author of a view works with: what it is called with, and what it may return beside rows.

How views are kept up to date is `perspective.py`'s.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from spacetimedb_proto.bsatn.values import Identity

from .context import Tables

__all__ = ["AnonymousViewContext", "Query", "ViewContext"]

R = TypeVar("R")


@attrs.frozen
class AnonymousViewContext:
    """What a view is called with whose rows are the same for everybody.

    Attributes:
        db: The tables, to be read only.
    """

    db: Tables


@attrs.frozen
class ViewContext(AnonymousViewContext):
    """What any other view is called with.

    Attributes:
        sender: Whose view it is.
    """

    sender: Identity


@attrs.frozen
class Query(Generic[R]):
    """What a view returns that is a query: it is annotated with `-> Query[Player]` and returns `Query("SELECT ...")`.

    The rows have the primary key of the tables of that row class, unless these disagree.

    Attributes:
        sql: A query of rows of the annotated class. It may read private tables, and `:sender` is whose view it is.
    """

    sql: str
