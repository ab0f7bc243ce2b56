"""A naive reading of v2 and v3 traffic: bags of row bytes per query set, nothing else.

Written from the protocol reference alone, without any of the project's code, so that it can disagree with it. It knows
just enough to walk a payload, and it trusts what it reads.
"""

from __future__ import annotations

import gzip
import struct
from collections import Counter, defaultdict
from itertools import pairwise

import brotli


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        self.at += n
        assert self.at <= len(self.data)
        return self.data[self.at - n : self.at]

    def u(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def bytes(self) -> bytes:
        return self.take(self.u(4))

    def rows(self) -> list[bytes]:
        if self.u(1) == 0:
            size = self.u(2)
            data = self.bytes()
            return [data[i : i + size] for i in range(0, len(data), size or 1)]
        offsets = [self.u(8) for _ in range(self.u(4))]
        data = self.bytes()
        return [data[a:b] for a, b in pairwise([*offsets, len(data)])]

    def query_rows(self) -> list[tuple[str, list[bytes]]]:
        return [(self.bytes().decode(), self.rows()) for _ in range(self.u(4))]


def inflate(payload: bytes) -> bytes:
    return {0: bytes, 1: brotli.decompress, 2: gzip.decompress}[payload[0]](payload[1:])


class Oracle:
    """What the server's payloads add up to."""

    def __init__(self) -> None:
        self.sets: dict[int, dict[str, Counter[bytes]]] = defaultdict(lambda: defaultdict(Counter))
        self.events: dict[str, list[bytes]] = defaultdict(list)

    def tables(self) -> dict[str, dict[bytes, int]]:
        totals: dict[str, Counter[bytes]] = defaultdict(Counter)
        for tables in self.sets.values():
            for table, bag in tables.items():
                totals[table].update(bag)
        return {table: dict(+bag) for table, bag in totals.items() if +bag}

    def receive(self, payload: bytes) -> None:
        reader = Reader(inflate(payload))
        while reader.at < len(reader.data):
            self.message(reader)

    def message(self, r: Reader) -> None:
        match r.u(1):
            case 0:
                r.take(48), r.bytes()
            case 1:
                r.u(4)
                bags = self.sets[r.u(4)]
                for table, rows in r.query_rows():
                    bags[table].update(rows)
            case 2:
                r.u(4)
                query_set = r.u(4)
                if r.u(1) == 0:
                    r.query_rows()
                self.sets.pop(query_set, None)
            case 3:
                answered = r.u(1) == 0 and (r.u(4), True)
                query_set = r.u(4)
                r.bytes()
                if not answered:
                    self.sets.pop(query_set, None)
            case 4:
                self.update(r)
            case 5:
                r.u(4)
                r.query_rows() if r.u(1) == 0 else r.bytes()
            case 6:
                r.take(12)
                outcome = r.u(1)
                if outcome == 0:
                    r.bytes()
                    self.update(r)
                elif outcome != 1:
                    r.bytes()
            case 7:
                r.u(1), r.bytes(), r.take(20)
            case tag:
                raise AssertionError(f"unknown tag {tag}")

    def update(self, r: Reader) -> None:
        for _ in range(r.u(4)):
            bags = self.sets[r.u(4)]
            for _ in range(r.u(4)):
                table = r.bytes().decode()
                for _ in range(r.u(4)):
                    if r.u(1) == 0:
                        bags[table].update(r.rows())
                        bags[table].subtract(r.rows())
                    else:
                        self.events[table] += r.rows()


def identity_of(payload: bytes) -> str:
    """The identity in the first message, as text."""
    return struct.unpack_from("32s", inflate(payload), 1)[0][::-1].hex()
