"""v1: what a real server answered to recorded clients, and how it differs from v2."""

from __future__ import annotations

import json
import re

import pytest

from spacetimedb_proto.bsatn.values import ConnectionId
from spacetimedb_proto.errors import LocalProtocolError
from spacetimedb_proto.events import Failed, ReducerEvent, Transaction
from spacetimedb_proto.server import ServerSession
from spacetimedb_proto.wire import messages as m
from spacetimedb_sdk.testing import Module, PrimaryKey, i32, u64
from spacetimedb_sdk.testing.tokens import derive_identity
from tests.behaviour_module import Pair, SimpleEnum, behaviour
from tests.sdk.testing.support import Guest, database
from tests.transcripts import load

PROTOCOLS = ["v1.bsatn.spacetimedb", "v1.json.spacetimedb"]

mini = Module("t-mini")


@mini.table(public=True)
class PkU64:
    n: PrimaryKey[u64]
    data: i32


@mini.table(public=True)
class OneString:
    s: str


@mini.reducer
def insert_pk_u_64(ctx, n: u64, data: i32):
    ctx.db.pk_u_64.insert(n=n, data=data)


@mini.reducer
def update_pk_u_64(ctx, n: u64, data: i32):
    ctx.db.pk_u_64.update(PkU64(n, data))


@mini.reducer
def delete_pk_u_64(ctx, n: u64):
    ctx.db.pk_u_64.delete(ctx.db.pk_u_64.find(n=n))


@mini.reducer
def insert_one_string(ctx, s: str):
    ctx.db.one_string.insert(s=s)


# --- what was recorded ------------------------------------------------------------------------------------------------


class Replayed:
    """A recorded client of v1.json, as it comes back to a server of ours."""

    def __init__(self, to, number):
        self.transcript = load(f"protocol-v1json/None.{number}")
        self.database = to
        self.server = ServerSession(to.schema, protocol=self.transcript.protocol)
        identity, connection_id = derive_identity(f"client {number}"), ConnectionId.from_int(number)
        self.client = to.connect(identity, connection_id, "a-token", self.server.send, protocol="v1.json.spacetimedb")
        self.asked = self.transcript.payloads("client")

    def say(self, *words):
        """Send what was sent next, as long as it is one of these."""
        while self.asked and any(word in self.asked[0] for word in words):
            self.server.receive(self.asked.pop(0))
            self.database.handle(self.client, self.server.next_event())

    def heard(self):
        return normal(self.server.payloads_to_send())

    def recorded(self):
        return normal(self.transcript.payloads("server"))


CHANGING = re.compile(
    r"0x[0-9a-f]{64}|c200[0-9a-f]{60}|eyJ[\w.-]+|a-token|ConnectionId\([0-9a-f]{32}\)|"
    r'(?<="__connection_id__":)[0-9]+|(?<=_micros":)[0-9]+|(?<=_micros__":)[0-9]+|(?<="quanta":)[0-9]+|'
    r'(?<="__timestamp_micros_since_unix_epoch__":)[0-9]+|(?<="table_id":)[0-9]+|(?<="reducer_id":)[0-9]{1,4}(?![0-9])'
)


def normal(payloads):
    """Without ids and times, and with rows and queries in one order: theirs come in that of gaps and of hashes."""

    def ordered(value):
        if isinstance(value, dict):
            return {key: ordered(each) for key, each in value.items()}
        if isinstance(value, list):
            return sorted(map(ordered, value), key=json.dumps)
        return value

    return [ordered(json.loads(CHANGING.sub("0", payload))) for payload in payloads]


def test_recorded_clients_are_answered_as_they_were():
    site = database(mini)
    first, second = Replayed(site, 3), Replayed(site, 4)
    second.say('{"Subscribe"')
    first.say("SubscribeMulti", "CallReducer")
    second.say("CallReducer")
    first.say("OneOffQuery", "Subscribe", "Unsubscribe")
    assert first.asked == second.asked == []
    assert first.heard() == first.recorded()
    ours, theirs = second.heard(), second.recorded()
    # Theirs answers calls that it cannot start before those that it runs.
    started = [[each for each in answers if not is_early(each)] for answers in (ours, theirs)]
    assert started[0] == started[1]
    early = [list(filter(is_early, answers)) for answers in (ours, theirs)]
    assert early[0] == early[1]
    assert len(early[0]) == 2


def is_early(message):
    update = message.get("TransactionUpdate")
    return update is not None and update["reducer_call"]["request_id"] == 0


def test_a_set_that_is_replaced_as_a_whole():
    site = database(mini)
    client = Replayed(site, 2)
    client.say('{"Subscribe"')
    assert client.heard() == client.recorded()


# --- subscriptions ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=PROTOCOLS)
def guest(request):
    return Guest(database(behaviour), "alice", request.param)


LOW = "SELECT * FROM pair WHERE value < 10"
ALL = "SELECT * FROM pair"


def pairs(rows):
    """How many rows of the table `pair` there are in each part."""
    return [len(part.rows) for part in rows.tables if part.table == "pair"]


def told(guest):
    """How many rows the last message brought, query by query."""
    update = guest.messages[-1]
    assert isinstance(update, m.LightUpdate)
    return [len(rows.inserts) for query_set in update.query_sets for table in query_set.tables for rows in table.rows]


def test_a_query_is_told_once_however_many_sets_have_it(guest):
    site = guest.database
    site.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 1)))
    assert pairs(guest.ask(m.Subscribe(1, 1, [ALL])).rows) == [1]
    assert pairs(guest.ask(m.Subscribe(2, 2, [ALL, LOW])).rows) == [1], "only what is new"
    site.run(lambda ctx: ctx.db.pair.insert(Pair(2, "b", 0, 2)))
    assert told(guest) == [1, 1], "once for each query"
    assert pairs(guest.ask(m.Unsubscribe(3, 1)).rows) == [], "the other set has it still"
    assert pairs(guest.ask(m.Unsubscribe(4, 2)).rows) == [2, 2]


def test_a_single_query_is_told_in_any_case(guest):
    assert guest.ask(m.SubscribeSingle(1, 1, [ALL])).rows.tables[0].table == "pair", "named without rows too"
    guest.database.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 1)))
    applied = guest.ask(m.SubscribeSingle(2, 2, [ALL]))
    assert isinstance(applied, m.SingleApplied)
    assert pairs(applied.rows) == [1]
    assert guest.ask(m.UnsubscribeSingle(3, 1)) == m.SubscriptionError(3, 1, "Internal error")
    ended = guest.ask(m.UnsubscribeSingle(4, 2))
    assert isinstance(ended, m.SingleEnded)
    assert pairs(ended.rows) == [1]


def test_the_legacy_set(guest):
    guest.database.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 1)))
    guest.database.run(lambda ctx: ctx.db.pair.insert(Pair(2, "b", 0, 99)))
    assert pairs(guest.ask(m.ReplaceSubscription(1, [LOW, "SELECT * FROM user"])).rows) == [1]
    assert pairs(guest.ask(m.ReplaceSubscription(2, [ALL])).rows) == [2]
    guest.database.run(lambda ctx: ctx.db.pair.insert(Pair(3, "c", 0, 3)))
    assert told(guest) == [1], "the earlier queries are gone"


def test_a_legacy_set_that_is_refused(guest):
    guest.ask(m.ReplaceSubscription(1, [ALL]))
    answer = guest.ask(m.ReplaceSubscription(2, ["SELEC"]))
    assert (answer.call.reducer, answer.call.request_id) == ("<none>", 0)
    assert answer.error == (
        "sql parser error: Expected an SQL statement, found: SELEC at Line: 1, Column 1, executing: `SELEC`"
    )
    guest.database.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 1)))
    assert told(guest) == [1], "the earlier queries stay"


@pytest.mark.parametrize("kind", [m.Subscribe, m.SubscribeSingle])
def test_refused_subscriptions(guest, kind):
    guest.ask(kind(1, 7, [ALL]))
    taken = guest.ask(kind(2, 7, [LOW]))
    assert taken.error.startswith("Subscription with id QuerySetId { id: 7 } already exists for client: (Identity(")
    assert (taken.request_id, taken.query_set_id) == (2, 7)
    assert guest.ask(kind(3, 8, ["SELECT * FROM notice"])).error == "Subscribing to event tables requires WebSocket v2"
    end = {m.Subscribe: m.Unsubscribe, m.SubscribeSingle: m.UnsubscribeSingle}[kind]
    assert guest.ask(end(4, 8)).error.startswith("Subscription not found: (")
    assert pairs(guest.ask(end(5, 7)).rows) in ([], [0])


def test_messages_of_the_other_line():
    guest = Guest(database(behaviour), "alice", PROTOCOLS[0])
    with pytest.raises(LocalProtocolError, match="SubscribeBatch is not in v1"):
        guest.ask(m.SubscribeBatch(1, []))
    guest = Guest(database(behaviour), "alice")
    with pytest.raises(LocalProtocolError, match="ReplaceSubscription belongs to v1"):
        guest.ask(m.ReplaceSubscription(1, []))


# --- calls ------------------------------------------------------------------------------------------------------------


def test_callers_are_told_of_their_call_and_others_of_its_effect(guest):
    bob = Guest(guest.database, "bob", guest.session.protocol_name)
    for each in (guest, bob):
        each.subscribe(ALL)
    guest.session.call_reducer("add_pair", [1, "a", 0, 1])
    (done,) = guest.events()
    assert isinstance(done, ReducerEvent)
    (update,) = bob.events()
    assert type(update) is Transaction
    assert bob.messages[-1].request_id == done.request_id != 0, "the caller's"
    assert bob.rows("pair") == guest.rows("pair") == [Pair(1, "a", 0, 1)]


def test_a_caller_who_wants_no_notice(guest):
    args = '[1,"a",0,1]' if guest.server.protocol_name.startswith("v1.json") else b"\1\0\0\0\1\0\0\0a" + bytes(8)
    guest.ask(m.Subscribe(1, 1, [ALL]))
    count = len(guest.messages)
    guest.ask(m.CallReducer(5, 1, "add_pair", args))
    assert (told(guest), guest.messages[-1].request_id, len(guest.messages)) == ([1], 5, count + 1)
    guest.ask(m.CallReducer(6, 1, "add_pair", args))
    assert len(guest.messages) == count + 1, "of a failure nobody hears"
    assert guest.ask(m.CallReducer(7, 1, "nope", args)).error == "no such reducer"
    guest.ask(m.CallReducer(8, 1, "notify", '["x"]' if isinstance(args, str) else b"\1\0\0\0x"))
    assert len(guest.messages) == count + 2, "of what concerns nobody neither"


def test_failed_calls(guest):
    assert guest.call("add_pair", 1, "a", 0, 1).outcome
    failed = guest.call("add_pair", 1, "b", 0, 1)
    assert failed.outcome == Failed("insertion error on table `pair`: duplicate unique column `id`")
    assert guest.call("panic_now").outcome == Failed("The instance encountered a fatal error.")


def test_procedures(guest):
    (done,) = guest.procedure("add", 1, 2)
    assert done.value == 3
    (done,) = guest.procedure("fail_procedure")
    assert str(done.error).startswith("The module instance encountered a fatal error: ")


# --- shapes of rows in JSON -------------------------------------------------------------------------------------------


shapes = Module("shapes")


@shapes.type
class Inner:
    a: i32
    b: str | None


@shapes.table(public=True)
class Shape:
    inner: Inner
    many: list[Inner]
    kind: SimpleEnum


def test_rows_have_other_shapes_in_snapshots():
    site = database(shapes)
    client = Guest(site, "alice", "v1.json.spacetimedb")
    client.subscribe("SELECT * FROM shape")
    row = Shape(Inner(1, "x"), [Inner(2, None)], SimpleEnum.One)
    client.server.payloads_to_send()
    site.run(lambda ctx: ctx.db.shape.insert(row))
    (update,) = client.server.payloads_to_send()
    assert '"inserts":["[[1,[0,\\"x\\"]],[[2,[1,[]]]],[1,[]]]"]' in update
    site.handle(client.client, m.OneOffQuery(1, "SELECT * FROM shape"))
    (answer,) = client.server.payloads_to_send()
    (found,) = json.loads(answer)["OneOffQueryResponse"]["tables"]
    assert found["rows"] == ['{"inner":{"a":1,"b":[0,"x"]},"many":[[2,[1,[]]]],"kind":[1,{}]}']
