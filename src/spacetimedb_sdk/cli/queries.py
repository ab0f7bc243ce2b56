"""What a command subscribes to: tables by name, SQL, or everything that is public."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..bindings.subscription import Subscription
    from ..blocking import Connection

__all__ = ["Asked", "is_name", "subscribed"]

Asked = Annotated[
    list[str] | None, typer.Argument(help="Names of tables, or SQL; by default everything that is public.")
]


def is_name(words: str) -> bool:
    """Whether this is the name of a table, and not SQL."""
    return re.fullmatch(r"[\w.]+", words) is not None


def subscribed(conn: Connection, asked: Iterable[str] | None) -> Subscription:
    """Subscribe to what was asked for, or to everything that is public."""
    from ..sql import select

    wanted = [select(words) if is_name(words) else words for words in asked or ()]
    return conn.subscribe(*wanted) if wanted else conn.subscribe_to_all_tables()
