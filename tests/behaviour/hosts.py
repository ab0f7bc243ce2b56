"""The hosts that the behaviour suite runs on, each behind the face of the async one, so that one suite serves all."""

from __future__ import annotations

import pytest

import spacetimedb_sdk

LACKING = {
    "later": "what is asked for is waited for where it is asked for",
    "cancel": "a wait on a thread cannot be cancelled",
    "async token": "there is no event loop on which to ask for a token",
}


class Host:
    """How connections are made and waited for.

    Attributes:
        name: What it is called in the names of tests.
        loops: The event loops on which its tests run.
        lacks: What it cannot do, of `LACKING`.
    """

    name = "async"
    loops = ("asyncio", "trio")
    lacks: frozenset[str] = frozenset()

    def connect(self, *args, **options):
        """As `spacetimedb_sdk.connect`."""
        return spacetimedb_sdk.connect(*args, **options)

    def need(self, what):
        """Skip the test if this host cannot do that."""
        if what in self.lacks:
            pytest.skip(f"the {self.name} host cannot do that: {LACKING[what]}")
