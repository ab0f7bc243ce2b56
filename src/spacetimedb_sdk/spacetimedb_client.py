"""The client of 0.7 that a program drives with `update()`, and what generated packages of 0.7 import."""

from __future__ import annotations

from .compat.driven import SpacetimeDBClient
from .compat.notices import deprecated
from .compat.values import Address, DbEvent, Identity, ReducerEvent, TransactionUpdateMessage

__all__ = ["Address", "DbEvent", "Identity", "ReducerEvent", "SpacetimeDBClient", "TransactionUpdateMessage"]

deprecated("spacetimedb_client", "`spacetimedb_sdk.frame.connect`, `spacetimedb_sdk.blocking.connect` or `connect`")
