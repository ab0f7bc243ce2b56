"""Rows written to files: Parquet, CSV, JSON lines, SQLite; and a feed of changes that goes on after a restart.

::

    from spacetimedb_sdk.export import SqliteFeed, write_parquet

    write_parquet(conn.db.sale, "sale.parquet")
    with SqliteFeed("changes.db") as feed:
        for transaction in feed.follow(conn):
            feed.write(transaction)

Files that are written as a whole appear as a whole: they are made beside their place and renamed at the end.
"""

from .database import SqliteFeed, write_sqlite
from .feed import ChangeFeed
from .files import Exported, OnExported
from .lines import JsonLinesFeed
from .whole import FORMATS, export, write_csv, write_json_lines, write_parquet

__all__ = [
    "FORMATS",
    "ChangeFeed",
    "Exported",
    "JsonLinesFeed",
    "OnExported",
    "SqliteFeed",
    "export",
    "write_csv",
    "write_json_lines",
    "write_parquet",
    "write_sqlite",
]
