"""A fuzz target: any bytes at all, as payloads of a session, give events or one `RemoteProtocolError`.

    python tests/fuzz/session.py --runs 100000 --seed 1     mutated recorded traffic, with the standard library alone
    python tests/fuzz/session.py --atheris CORPUS           coverage-guided, where atheris is installed

The first byte of an input chooses the protocol, the second the module; then come payloads, each behind two bytes of
length. What breaks the invariant is raised, with the input that did it in hexadecimal.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from spacetimedb_proto import NEED_DATA, ClientSession, Limits, RemoteProtocolError
from tests.schemas import schema
from tests.transcripts import websockets

PROTOCOLS = ("v1.bsatn.spacetimedb", "v1.json.spacetimedb", "v2.bsatn.spacetimedb", "v3.bsatn.spacetimedb")
MODULES = ("sdk-test", "sdk-test-event-table", "sdk-test-procedure")
LIMITS = Limits(message_size=100_000, decompressed_size=200_000, rows_per_message=10_000, queued_bytes=200_000)


def target(data: bytes) -> None:
    """Feed one input. Raises whatever should not have come out."""
    if len(data) < 2:
        return
    session = ClientSession(schema(MODULES[data[1] % 3]), protocol=PROTOCOLS[data[0] % 4], limits=LIMITS)
    text = session.protocol_name.startswith("v1.json")
    at = 2
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        payload = data[at + 2 : at + 2 + size]
        at += 2 + size
        session.receive(payload.decode("utf-8", "replace") if text else payload)
    try:
        while (event := session.next_event()) is not NEED_DATA:
            for change in getattr(event, "changes", {}).values():
                assert len(change.inserts) >= 0
    except RemoteProtocolError:
        pass


def recorded() -> list[bytes]:
    """Recorded sessions as inputs, to start from."""
    inputs: list[bytes] = []
    for transcript in websockets():
        payloads = [p.encode() if isinstance(p, str) else p for p in transcript.payloads("server")]
        body = b"".join(len(p).to_bytes(2, "little") + p for p in payloads if len(p) < 0x10000)
        module = MODULES.index(transcript.module) if transcript.module in MODULES else 0
        inputs.append(bytes([PROTOCOLS.index(transcript.protocol), module]) + body)
    return inputs


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Damage an input a little: change, drop, repeat or insert bytes."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0 if at < len(damaged):
                damaged[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del damaged[at : at + chance.randint(1, 16)]
            case 2:
                damaged[at:at] = damaged[at : at + chance.randint(1, 32)]
            case _:
                damaged[at:at] = chance.randbytes(chance.randint(1, 8))
    return bytes(damaged)


def run(runs: int, seed: int) -> None:
    """Feed `runs` damaged recordings. The same seed feeds the same ones."""
    chance = random.Random(seed)
    seeds = recorded()
    for _ in range(runs):
        data = mutate(chance.choice(seeds), chance)
        try:
            target(data)
        except BaseException:
            print("input:", data.hex(), file=sys.stderr)
            raise


def _run_atheris(arguments: list[str]) -> None:
    import atheris

    instrumented: Any = atheris
    instrumented.instrument_all()
    instrumented.Setup([sys.argv[0], *arguments], target)
    instrumented.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", nargs=argparse.REMAINDER, help="hand the rest to atheris")
    options = parser.parse_args()
    if options.atheris is None:
        run(options.runs, options.seed)
    else:
        _run_atheris(options.atheris)
