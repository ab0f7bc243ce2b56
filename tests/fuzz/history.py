"""Histories of losses: durable clients and a server in virtual time, to whom everything happens that may.

    python tests/fuzz/history.py --seed 17             one history, as it happens
    python tests/fuzz/history.py --runs 100000         many, one seed after the other

A seed decides about everything: what the clients ask for and when, what else changes rows, where links are cut and who
sees it, when the server restarts or refuses, which release it is. In the end there is peace, and then must hold what is
written in `Witness` and `check`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

from spacetimedb_proto import schema_link
from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.client import ClientSession
from spacetimedb_proto.errors import (
    CallCancelled,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    LocalProtocolError,
    NotSent,
    OutcomeUnknown,
    QueryError,
)
from spacetimedb_proto.events import (
    CallFailed,
    Committed,
    Connected,
    Disconnected,
    LinkEnded,
    ProcedureReturned,
    QueryReturned,
    ReducerEvent,
    Refused,
    Resumed,
    StateChanged,
    SubscribeApplied,
    SubscriptionFailed,
    UnsubscribeApplied,
)
from spacetimedb_proto.reconnect import REFUSALS
from spacetimedb_proto.schema import Schema, dump_schema, load_schema
from spacetimedb_proto.states import SESSION, QuerySetState, SessionState
from spacetimedb_sdk.testing import api
from spacetimedb_sdk.testing.subscriptions import QuerySets, Subscriber
from tests.simulated import RUNS, Client, World, put_mark, put_pair, write_note

QUERIES = (
    "SELECT * FROM pair",
    "SELECT * FROM pair WHERE group = 1",
    "SELECT * FROM pair WHERE group = 2",
    "SELECT * FROM note",
    "SELECT * FROM note WHERE group = 1",
    "SELECT * FROM alarm",
)
STORED = ("pair", "note")
EDGES = {(state, after) for state, inputs in SESSION.items() for after in inputs.values()}
PEACE = 400.0
"""Seconds after which everybody must be back: whoever is not told of a cut notices after two times thirty."""


class Witness:
    """What one client was told, checked as it is told.

    Attributes:
        tables: Rows of each table, made of the changes of all events alone.
        calls: What became of each call that could be made, by its request id.
        numbers: The number that a call was made with, by its request id.
        asked: Ids of the query sets that were asked for.
        ended: Those that ended as they were asked to.
        sets: Those that have not been told to be over.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tables: dict[str, set[bytes]] = {name: set() for name in STORED}
        self.calls: dict[int, list[Any]] = {}
        self.numbers: dict[int, int] = {}
        self.sets: set[int] = set()
        self.asked: set[int] = set()
        self.ended: set[int] = set()
        self.state = SessionState.CONNECTING
        self.refusals = 0
        self._attempt = 0
        self._is_greeted = False
        self._due: float | None = None
        self._ending: Disconnected | None = None

    def see(self, event: Any) -> None:
        """Check one event against those before it."""
        for name, change in getattr(event, "changes", {}).items():
            if name in STORED:
                self._apply(self.tables[name], change)
            else:
                assert change.is_event is (name == "alarm")
        match event:
            case StateChanged(state, ending):
                assert (self.state, state) in EDGES, f"{self.state} -> {state}"
                self.state = state
                if state in (SessionState.WAITING, SessionState.CLOSED):
                    assert ending is self._ending, "the end itself is told first"
            case Connected():
                assert self.state in (SessionState.CONNECTING, SessionState.RECONNECTING, SessionState.CLOSING)
                self._is_greeted, self.refusals = True, 0
            case Resumed():
                self._attempt = 0
                self.check_tables()
            case Disconnected():
                self._see_end(event)
            case ReducerEvent() | ProcedureReturned() | QueryReturned() | CallFailed():
                self.calls[event.request_id].append(event)
            case SubscribeApplied(query_set_id):
                # One whose first rows were too late is taken back, and they may still come before that is confirmed.
                assert query_set_id in self.asked - self.ended
            case SubscriptionFailed(query_set_id):
                assert query_set_id in self.asked
                self.sets.discard(query_set_id)
            case UnsubscribeApplied(query_set_id):
                assert query_set_id in self.asked - self.ended
                self.sets.discard(query_set_id)
                self.ended.add(query_set_id)
            case _:
                pass

    def _see_end(self, event: Disconnected) -> None:
        assert event is self.client.core.ending
        self._ending = event
        is_refused = isinstance(event.error, ConnectionRefused) and event.code == 1006
        self.refusals += is_refused
        if event.retry is None:
            assert self.client.core.state is SessionState.CLOSED
            return
        assert self.client.core.state is SessionState.WAITING
        attempt = event.retry.attempt
        if event.code == 4000 or (event.code == 1011 and attempt == self._attempt):
            assert attempt == max(self._attempt, 1)
        else:
            assert attempt == self._attempt + 1
        self._attempt = attempt
        self._is_greeted = False
        self._due = self.client.world.now + event.retry.delay

    def asks_token(self) -> None:
        """The next attempt is made: exactly when it was said to be."""
        if self._due is not None:
            assert abs(self.client.world.now - self._due) < 1e-9
            self._due = None

    def _apply(self, rows: set[bytes], change: Any) -> None:
        gone = [*change.deletes, *(old for old, _ in change.updates)]
        came = [*change.inserts, *(new for _, new in change.updates)]
        assert len(set(gone)) == len(gone)
        assert len(set(came)) == len(came)
        assert rows.issuperset(gone), "a row left that was not there"
        rows.difference_update(gone)
        assert rows.isdisjoint(came), "a row came that was there"
        rows.update(came)
        if change.name == "pair":
            assert len({row[:4] for row in rows}) == len(rows), "two rows of one key"
            assert all(old[:4] == new[:4] for old, new in change.updates)
            assert not {row[:4] for row in change.inserts} & {row[:4] for row in change.deletes}
        else:
            assert not change.updates

    def check_tables(self) -> None:
        """What was told is what there is."""
        for name in STORED:
            assert self.tables[name] == set(self.client.session.cache[name].raw()), name


class History:
    """One history, from a seed.

    Args:
        seed: Decides about everything.
        say: Called with a line about each thing that happens.
    """

    def __init__(self, seed: int, say: Callable[[str], object] | None = None) -> None:
        chance = self.chance = Random(seed)
        self.world = World(
            seed,
            release=chance.choice(["2.14", "2.14", "2.8"]),
            latency=(0.0, chance.choice([0.001, 0.02, 0.05, 0.3])),
            largest_piece=1000,
            whole=chance.choice([0.0, 0.5, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0]),
        )
        self.is_peace = False
        self.numbers = 0
        self._say = say
        self.log(f"a server of {self.world.site.release}")
        self.witnesses = [self._new_client(number) for number in range(chance.choice([1, 1, 1, 2]))]
        for _ in range(chance.randrange(4)):
            self._write()

    def log(self, text: str) -> None:
        if self._say is not None:
            self._say(f"{self.world.now:9.4f}  {text}")

    # --- clients ------------------------------------------------------------------------------------------------------

    def _new_client(self, number: int) -> Witness:
        def token() -> None:
            witness.asks_token()

        client = Client(
            self.world,
            on_link=lambda link: self._maybe_cut(number, link),
            open_stream=self._maybe_no_stream,
            token=token,
            direct=self.chance.choice([0.0, 0.9, 0.9]),
            protocols=[self.chance.choice(["v2.bsatn", "v3.bsatn"])],
            backoff=Backoff(initial=self.chance.choice([0.1, 1.0]), maximum=self.chance.choice([2.0, 30.0])),
        )
        witness = Witness(client)

        def on_event(event: Any) -> None:
            if self._say is not None:
                self.log(f"client {number}: {'link ended' if type(event) is LinkEnded else event!r:.300}")
            witness.see(event)
            if not self.is_peace and isinstance(event, (Connected, CallFailed, Resumed)) and self.chance.random() < 0.2:
                self._command(witness)

        client.on_event = on_event
        client.go()
        return witness

    def _maybe_cut(self, number: int, link: Any) -> None:
        client = self.witnesses[number].client if len(self.witnesses) > number else None
        odds = 0.03 if client is None or len(client.links) < 3 else 0.35
        if self.is_peace or self.chance.random() > odds:
            return
        limit = self.chance.choice([300, 900, 900, 1500, 5000])
        where, told = self.chance.randrange(limit), self._told()
        direction = self.chance.choice(["client_to_server", "server_to_client", "server_to_client"])
        self.log(f"client {number}: its link will be cut after {where} bytes {direction}, told: {told}")
        link.cut_at(**{direction: where}, told=told)

    def _told(self) -> Any:
        return self.chance.choice(["both", "both", "both", "client", "server", "nobody"])

    def _maybe_no_stream(self) -> None:
        if not self.is_peace and self.world.now > 1.0 and self.chance.random() < 0.1:
            raise ConnectError("no route")

    # --- what happens -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let it happen, and check it."""
        chance, network = self.chance, self.world.network
        length = chance.choice([2.0, 4.0, 8.0])
        for _ in range(chance.randint(3, 14)):
            network.call_at(chance.uniform(0.3, length), self._something)
        network.run_until(length)
        self.is_peace = True
        self.log("peace")
        calm = 0
        while calm < 2:  # once more after all that was on its way has arrived
            assert self.world.now < PEACE, [witness.state for witness in self.witnesses]
            self.world.settle(2.0)
            calm = calm + 1 if all(map(self._is_calm, self.witnesses)) else 0
        for witness in self.witnesses:
            check(witness)
        open_sessions = sum(witness.state is SessionState.CONNECTED for witness in self.witnesses)
        assert len(self.world.site.links) == open_sessions

    def _is_calm(self, witness: Witness) -> bool:
        client = witness.client
        if client.core.state is SessionState.CLOSED:
            return all(link.is_over for link in client.links)
        return (
            client.core.state is SessionState.CONNECTED
            and all(link.is_over for link in client.links[:-1])
            and not client.links[-1].is_cut
            and client.session.calls_waiting == 0
            and all(each.state is QuerySetState.LIVE for each in client.session.query_sets)
        )

    def _something(self) -> None:
        match self.chance.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                self._write()
            case 5 | 6:
                self._cut_now()
            case 7 if self.chance.random() < 0.5:
                self._restart()
            case 8 if self.chance.random() < 0.5:
                count = self.chance.randint(1, 2)
                self.log(f"the server refuses {count} times")
                self.world.site.refuse_next(count)
            case _:
                witness = self.chance.choice(self.witnesses)
                self._command(witness)
                witness.client.go()

    def _write(self) -> None:
        chance = self.chance
        group, key = chance.randint(1, 2), chance.randrange(5)
        match chance.randrange(7):
            case 0 | 1 | 2:
                text = chance.choice(["", "a", "b", "cc"])
                self.log(f"the server puts pair {key}, {group}, {text!r}")
                self.world.run(lambda ctx: put_pair(ctx, key, group, text))
            case 3 | 4:
                text = chance.choice(["a", "b", "cc"])
                self.log(f"the server writes or wipes note {group}, {text!r}")
                self.world.run(lambda ctx: write_note(ctx, group, text))
            case 5:
                value = chance.randrange(3)
                self.log(f"the server puts mark {key}, {value}")
                self.world.run(lambda ctx: put_mark(ctx, key, value))
            case _:
                self.world.run(lambda ctx: ctx.db.alarm.insert(n=key, group=group))

    def _cut_now(self) -> None:
        links = [witness.client.links[-1] for witness in self.witnesses if witness.client.links]
        if links:
            told = self._told()
            self.log(f"a link is cut, told: {told}")
            self.chance.choice(links).cut(told=told)

    def _restart(self) -> None:
        keep, crash = self.chance.random() < 0.6, self.chance.random() < 0.5
        self.log(f"the server restarts, keep_rows={keep}, crash={crash}")
        self.world.site.restart(keep_rows=keep, crash=crash)
        if not keep:
            for _ in range(self.chance.randrange(4)):
                self._write()

    # --- commands -----------------------------------------------------------------------------------------------------

    def _command(self, witness: Witness) -> None:
        if witness.state is SessionState.CONNECTING or not witness.client.core.links:
            return
        match self.chance.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                self._subscribe(witness)
            case 5 | 6:
                self._unsubscribe(witness)
            case 7 | 8:
                self._cancel(witness)
            case 9 if self.chance.random() < 0.1:
                self.log("a client is closed")
                witness.client.core.close()
            case _:
                self._call(witness)

    def _subscribe(self, witness: Witness) -> None:
        chance, core = self.chance, witness.client.core
        queries = chance.sample(QUERIES, chance.randint(1, 2))
        cache: Any = "full"
        if chance.random() < 0.2:
            queries, cache = ["SELECT * FROM mark"], chance.choice(["keys", "none"])
        if chance.random() < 0.05:
            queries = ["SELECT * FROM nowhere"]
        options = {"deadline": self.world.now + chance.uniform(0.0, 5.0)} if chance.random() < 0.2 else {}
        try:
            query_set = core.subscribe(queries, cache=cache, **options)
        except ConnectionLost:
            assert core.state in (SessionState.CLOSING, SessionState.CLOSED)
            return
        self.log(f"query set {query_set}: {queries}, {cache}, {options}, {core.state}")
        witness.sets.add(query_set)
        witness.asked.add(query_set)

    def _unsubscribe(self, witness: Witness) -> None:
        core = witness.client.core
        if core.state in (SessionState.CLOSING, SessionState.CLOSED) or not witness.sets:
            return
        query_set = self.chance.choice(sorted(witness.sets))
        self.log(f"query set {query_set} is taken back, {core.state}")
        try:
            core.unsubscribe(query_set)
        except LocalProtocolError:
            found = core.session.query_sets.get(query_set)
            assert found is None or found.is_leaving

    def _cancel(self, witness: Witness) -> None:
        open_calls = [call for call, ends in witness.calls.items() if not ends]
        if open_calls:
            call = self.chance.choice(open_calls)
            self.log(f"call {call} is cancelled")
            witness.client.core.cancel_call(call)

    def _call(self, witness: Witness) -> None:
        chance, core = self.chance, witness.client.core
        self.numbers = number = self.numbers + 1
        group, key, text = chance.randint(1, 2), chance.randrange(5), chance.choice(["", "x", "y"])
        options: dict[str, Any] = {}
        if chance.random() < 0.2:
            options["deadline"] = self.world.now + chance.uniform(0.0, 5.0)
        retry = chance.random() < 0.5
        reducer, procedure = core.call_reducer, core.call_procedure
        call: Callable[..., int] = chance.choice(
            [
                partial(reducer, "put", [number, key, group, text], retry=retry),
                partial(reducer, "put", [number, key, group, text], retry=retry),
                partial(reducer, "write", [number, group, text], retry=retry),
                partial(reducer, "ring", [number, group], retry=retry),
                partial(reducer, "refuse", [number], retry=retry),
                partial(procedure, "double", [number], retry=retry),
                partial(core.query, "SELECT * FROM pair"),
            ]
        )
        try:
            request_id = call(**options)
        except (NotSent, ConnectionLost):
            assert not core._has_link
            return
        self.log(f"call {request_id}: {call.args}, number {number}, {options}, retry={retry}, {core.state}")
        witness.calls[request_id] = []
        witness.numbers[request_id] = number


@lru_cache
def _load_schema(source: bytes) -> Schema:
    return load_schema(source)


_DUMPS: dict[tuple[int, Any], Any] = {}


def _dump_schema(schema: Schema, version: Any) -> Any:
    key = id(schema), version
    if key not in _DUMPS:
        _DUMPS[key] = dump_schema(schema, version)
    return _DUMPS[key]


@contextmanager
def quickly() -> Iterator[None]:
    """Write and read the same definition only once, which would be most of the time otherwise."""
    with patch.object(schema_link, "load_schema", _load_schema), patch.object(api, "dump_schema", _dump_schema):
        yield


# --- in the end -------------------------------------------------------------------------------------------------------


def check(witness: Witness) -> None:
    """What must hold when there has been peace for a while."""
    core = witness.client.core
    assert witness.state is core.state
    for request_id, ends in witness.calls.items():
        check_call(ends, RUNS[witness.numbers[request_id]])
    if witness.client.session_began:
        check_rest(core.session)
        witness.check_tables()
    if core.state is SessionState.CONNECTED:
        assert witness.sets == {each.id for each in core.session.query_sets}
        check_rows(witness)
        assert core.failed_attempts == 0
    else:
        check_end(witness)


def check_end(witness: Witness) -> None:
    """Only what was wished for, or could not be helped, ends a session."""
    end = witness.client.endings()[-1]
    assert end.retry is None
    if end.error is not None and witness.client.core.links:
        is_refused = isinstance(end.error, ConnectionRefused) and witness.refusals >= REFUSALS
        assert is_refused or SessionState.CLOSING in witness.client.states(), end


def check_call(ends: list[Any], runs: int) -> None:
    """A call ends once, and what is said of it is so."""
    first, *later = ends
    assert runs <= 1
    match first:
        case ReducerEvent(outcome=Committed() | Refused()) | ProcedureReturned(error=None):
            assert runs == 1
        case QueryReturned():
            assert first.error is None
        case CallFailed(error=NotSent()):
            assert runs == 0
        case CallFailed(error=OutcomeUnknown() | QueryError()):
            pass
        case CallFailed(error=CallTimeout() | CallCancelled() as error):
            was_sent = "may still run" in str(error)
            assert was_sent or (runs == 0 and not later)
            assert len(later) <= 1
            assert not any(isinstance(event, CallFailed) for event in later)
            return
        case _:
            raise AssertionError(first)
    assert later == []


def check_rest(session: ClientSession) -> None:
    """Nothing is left of what is over."""
    received = session._received
    assert session.calls_waiting == 0
    assert not received.is_replaying
    assert not received.held
    assert not session._outbox
    assert session.backlog == 0
    assert received.calls._timed == {}
    sets = received.query_sets
    assert sets._requests == {}
    assert sets._timed == {}
    assert set(sets.lean) == {each.id for each in sets if each.cache != "full"}


def check_rows(witness: Witness) -> None:
    """The cache holds what the server does, each row as often as query sets match it."""
    session, database = witness.client.session, witness.client.world.site.database
    expected: dict[str, Counter[bytes]] = {name: Counter() for name in (*STORED, "mark", "alarm")}
    keys: set[bytes] = set()
    asked = QuerySets(Subscriber("oracle", session.identity, sees_all=False))
    for query_set in session.query_sets:
        for part in asked.start(query_set.id, query_set.queries, database.storage).tables:
            if query_set.cache == "full":
                expected[part.table].update(part.rows)
            elif query_set.cache == "keys":
                keys.update(row[:4] for row in part.rows)
    for name, rows in expected.items():
        assert session.cache[name].raw() == dict(rows), name
    assert {key.to_bytes(4, "little") for key in session.cache["mark"].lean_keys()} == keys


def run(seed: int, say: Callable[[str], object] | None = None) -> None:
    """Let one history happen, and check it; what is wrong is raised, with how to see it again."""
    RUNS.clear()
    try:
        with quickly():
            History(seed, say).run()
    except BaseException as error:
        error.add_note(f"seen again by: python tests/fuzz/history.py --seed {seed}")
        raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, help="the only history, or the first one")
    parser.add_argument("--runs", type=int)
    options = parser.parse_args()
    if options.runs is None:
        run(options.seed or 0, print)
    else:
        for each in range(options.seed or 0, (options.seed or 0) + options.runs):
            run(each)
