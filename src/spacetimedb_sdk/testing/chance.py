"""Random numbers and ids for the functions of modules: the same in every run, and never the same again in one."""

from __future__ import annotations

import uuid
from random import Random
from typing import Final

from spacetimedb_proto.bsatn.values import Timestamp

__all__ = ["Chance"]

_COUNTER: Final = 41
"""Bits of a UUID of version 7 that count, so that later ones are greater also within a millisecond.

They are where the real server has them.
"""


class Chance:
    """Where the functions of one database have their random numbers from.

    Args:
        seed: Decides on all of them.

    Attributes:
        random: A source of random numbers.
    """

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)  # noqa: S311 - nobody is kept out by them
        self._count = 0

    def uuid_v4(self) -> uuid.UUID:
        """A random UUID."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def uuid_v7(self, now: Timestamp) -> uuid.UUID:
        """A UUID of this time, greater than those before."""
        count = self._count % (1 << _COUNTER)
        self._count += 1
        milliseconds = now.micros // 1000 % (1 << 48)
        value = milliseconds << 80 | (count >> 29) << 64 | (count % (1 << 29)) << 33 | self.random.getrandbits(31)
        return uuid.UUID(int=value | 7 << 76 | 2 << 62)
