"""The chat of 0.7's quick start: a server for it, its generated package, and clients in its style."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import attrs

from spacetimedb_sdk import Identity, ReducerError, Timestamp
from spacetimedb_sdk.testing import Module, PrimaryKey, ReducerContext

HERE = Path(__file__).parent
PROTOCOLS = ["v1.bsatn", "v2.bsatn", "v3.bsatn"]

chat = Module("chat")


@chat.table(public=True)
class User:
    identity: PrimaryKey[Identity]
    name: str | None
    online: bool


@chat.table(public=True)
class Message:
    sender: Identity
    sent: Timestamp
    text: str


@chat.client_connected
def connected(ctx: ReducerContext) -> None:
    user = ctx.db.user.find(identity=ctx.sender)
    if user is None:
        ctx.db.user.insert(identity=ctx.sender, name=None, online=True)
    else:
        ctx.db.user.update(attrs.evolve(user, online=True))


@chat.reducer
def set_name(ctx: ReducerContext, name: str) -> None:
    if not name:
        raise ReducerError("Names must not be empty")
    ctx.db.user.update(attrs.evolve(ctx.db.user.find(identity=ctx.sender), name=name))


@chat.reducer
def send_message(ctx: ReducerContext, text: str) -> None:
    if not text:
        raise ReducerError("Messages must not be empty")
    ctx.db.message.insert(sender=ctx.sender, sent=ctx.timestamp, text=text)


def old_module(name: str) -> ModuleType:
    """A module that 0.7 had; what its import warns of is told elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"spacetimedb_sdk.{name}")


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """What is in a folder can be imported, and what of it was, is forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        sys.path.remove(str(folder))
        for module in set(sys.modules) - before:
            if not module.startswith("spacetimedb_"):
                del sys.modules[module]
