"""A module whose tables are exported and followed, and what a feed's transactions add up to."""

from __future__ import annotations

import json

from spacetimedb_sdk import Identity, Timestamp
from spacetimedb_sdk.testing import Module, PrimaryKey, f64, i32, u64, u128

THINGS = Module("things")


@THINGS.table(public=True)
class Thing:
    id: PrimaryKey[u64]
    name: str
    wide: u128
    score: f64
    tags: list[str]
    note: str | None
    owner: Identity
    at: Timestamp
    is_open: bool
    data: bytes


@THINGS.table(public=True)
class Note:
    text: str
    number: i32


@THINGS.reducer
def put(ctx, number: u64, name: str):
    old = ctx.db.thing.find(id=number)
    if old is None:
        ctx.db.thing.insert(thing(number, name))
    else:
        ctx.db.thing.update(thing(number, name))


@THINGS.reducer
def drop(ctx, number: u64):
    ctx.db.thing.delete(ctx.db.thing.find(id=number))


@THINGS.reducer
def jot(ctx, text: str):
    ctx.db.note.insert(Note(text=text, number=len(text)))


def thing(id_, name, **columns):
    given = {
        "wide": 2**128 - 1,
        "score": 1.5,
        "tags": ["a", 'b"'],
        "note": None,
        "owner": Identity.from_int(id_),
        "at": Timestamp(1_700_000_000_000_001),
        "is_open": True,
        "data": b"\x00\xff",
    }
    return Thing(id=id_, name=name, **{**given, **columns})


def replayed(entries):
    """The rows that transactions add up to; none may delete what is not there or insert what is."""
    held = set()
    for number, entry in enumerate(entries, 1):
        assert entry["position"] == number
        for change in entry["changes"]:
            old, new = (
                (change["table"], json.dumps(change[n])) if change.get(n) is not None else None for n in ("old", "new")
            )
            if old is not None:
                held.remove(old)
            if new is not None:
                assert new not in held
                held.add(new)
    return held
