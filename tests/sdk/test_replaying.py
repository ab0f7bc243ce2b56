"""Replay: an application hears from a recording what it would have heard from the server."""

from __future__ import annotations

import base64
import json
import math

import pytest

from spacetimedb_proto.events import Connected, Disconnected, StateChanged
from spacetimedb_sdk import (
    AuthenticationError,
    ConnectionLost,
    LocalProtocolError,
    RecordingError,
    ReducerEvent,
    RemoteProtocolError,
    Resumed,
    SubscribeApplied,
    Transaction,
    load_schema,
    replay,
)
from spacetimedb_sdk.blocking import connect
from spacetimedb_sdk.testing import serve
from tests.behaviour.hosts_generated import package
from tests.behaviour_module import Pair, behaviour
from tests.proto.test_recorded_connections import play, told
from tests.schemas import schema
from tests.transcripts import ROOT, load, names, websockets


def recorded(name):
    return ROOT / f"{name}.jsonl"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A session of our own: rows that are there, calls, and what another did."""
    path = tmp_path_factory.mktemp("recordings") / "session.jsonl"
    with serve(behaviour) as server:
        server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 0)))
        with connect(server.uri, server.database, record=path) as conn:
            conn.subscribe("SELECT * FROM pair")
            conn.reducers.add_pair(2, "b", 0, 0)
            conn.reducers.add_pairs(10, 2)
            conn.reducers.set_pair(2, "b", 0, 5)
            conn.reducers.remove_pair(1)
    return path


# --- the official clients' sessions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transcript", [*websockets("protocol-*"), *websockets("*-client")[::3]], ids=lambda each: each.name
)
def test_recorded_clients_are_replayed(transcript):
    """The events are those of a connection that gets the same bytes."""
    with replay(recorded(transcript.name), schema=schema(transcript.module)) as session:
        assert session.protocol == transcript.protocol
        played = [event for event in session if not isinstance(event, StateChanged | Disconnected)]
        assert session.is_over
    greeting, *expected = play(transcript, None)
    assert session.identity == greeting.identity
    assert told(played) == told(expected[:-1])


# --- what an application sees -----------------------------------------------------------------------------------------


def test_callbacks_streams_and_rows(recording):
    seen = []
    with replay(recording) as session:
        assert len(session.db.pair) == 0, "it has only been greeted"
        session.db.pair.on_insert(lambda ctx, row: seen.append(("insert", row.id, type(ctx.event))))
        session.db.pair.on_update(lambda _ctx, old, row: seen.append(("update", old.value, row.value)))
        session.db.pair.on_delete(lambda _ctx, row: seen.append(("delete", row.id)))
        session.reducers.add_pairs.on_outcome(lambda ctx: seen.append(ctx.event.args[1]))
        changes, transactions, states = session.db.pair.changes(), session.transactions(), session.states()
        session.run()
        assert [len(item.changes["pair"]) for item in transactions] == [1, 1, 2, 1, 1]
        assert len(list(changes)) == 6
        assert [change.state.value for change in states] == ["connected", "closing", "closed"]
    assert seen == [
        ("insert", 1, SubscribeApplied),
        ("insert", 2, ReducerEvent),
        ("insert", 10, ReducerEvent),
        ("insert", 11, ReducerEvent),
        2,
        ("update", 0, 5),
        ("delete", 1),
    ]
    assert sorted(row.id for row in session.db.pair) == [2, 10, 11]


def test_one_transaction_after_the_other(recording):
    with replay(recording) as session:
        steps = []
        while (event := session.step()) is not None:
            if not isinstance(event, StateChanged | Disconnected):
                steps.append((type(event), sorted(row.id for row in session.db.pair)))
        assert session.step() is None
    assert steps == [
        (SubscribeApplied, [1]),
        (ReducerEvent, [1, 2]),
        (ReducerEvent, [1, 2, 10, 11]),
        (ReducerEvent, [1, 2, 10, 11]),
        (ReducerEvent, [2, 10, 11]),
    ]


def times(path):
    return [json.loads(line)["t"] / 1000 for line in path.read_text("ascii").splitlines()]


def test_up_to_a_moment_and_on(recording):
    with replay(recording) as session:
        while session.next_time is not None:
            at = session.next_time
            session.run(until=at)
            assert session.time <= at
        session.run()
        assert session.time == max(times(recording))
        assert session.is_over


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_at_any_speed(recording, speed):
    slept = []
    with replay(recording) as session:
        began = session.time
        session.play(speed, sleep=slept.append)
        assert sum(slept) == pytest.approx((max(times(recording)) - began) / speed)
        assert session.is_over


@pytest.mark.parametrize(
    ("speed", "error", "message"),
    [
        (0, ValueError, "speed: expected a number above 0, got 0"),
        (-1, ValueError, "speed: expected a number above 0, got -1"),
        (math.nan, ValueError, "speed: expected a number above 0, got nan"),
        ("2", TypeError, r"speed: expected a number above 0, got '2' \(str\)"),
        (True, TypeError, "speed: expected a number above 0, got True"),
    ],
)
def test_speeds_that_are_none(recording, speed, error, message):
    with replay(recording) as session:
        with pytest.raises(error, match=f"^{message}"):
            session.play(speed)
        assert not session.is_over


def test_as_fast_as_it_goes(recording):
    slept = []
    with replay(recording) as session:
        assert session.play(math.inf, sleep=slept.append).is_over
    assert set(slept) == {0.0}


def test_closing_ends_it_early(recording):
    ended = []
    with replay(recording) as session:
        session.on_disconnect(lambda ctx: ended.append(ctx.event.error))
        session.step()
    assert ended == [None]
    assert session.is_over
    assert session.run().step() is None


def test_a_replay_cannot_be_asked(recording):
    with replay(recording) as session:
        with pytest.raises(LocalProtocolError, match="add_pair: a recording cannot be asked"):
            session.reducers.add_pair(1, "a", 0, 0)
        with pytest.raises(LocalProtocolError, match="add: a recording cannot be asked"):
            session.procedures.add(1, 2)
        assert not hasattr(session, "subscribe")


# --- recordings that end otherwise ------------------------------------------------------------------------------------


def test_a_recording_that_just_ends(recording, tmp_path):
    """As after a crash: the last line is half a line, and there is no goodbye."""
    text = recording.read_text("ascii").splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(text[:-4]) + text[-4][:20], "ascii")
    with replay(cut) as session:
        events = list(session)
    end = [event for event in events if isinstance(event, Disconnected)][-1]
    assert end.retry is None
    assert any(isinstance(event, ReducerEvent) for event in events)


def test_a_lost_link_without_another_one(recording, tmp_path):
    """The session waits for a link that the recording does not have, and is over then."""
    kept = [line for line in recording.read_text("ascii").splitlines() if '"close"' not in line]
    path = tmp_path / "lost.jsonl"
    path.write_text("\n".join(kept) + "\n", "ascii")
    with replay(path) as session:
        ends = [event for event in session if isinstance(event, Disconnected)]
    assert isinstance(ends[0].error, ConnectionLost)
    assert [end.retry is None for end in ends] == [False, True]


def test_links_one_after_the_other(tmp_path):
    """Another link asks for the same rows again; what is different is told once."""
    path = tmp_path / "links.jsonl"
    with serve(behaviour) as server, connect(server.uri, server.database, record=path) as conn:
        conn.subscribe("SELECT * FROM pair")
        conn.reducers.add_pairs(1, 2)
        states = conn.states()
        server.stop()
        server.run(lambda ctx: ctx.db.pair.delete(ctx.db.pair.find(id=1)))
        server.start()
        while next(states).state.value != "connected":
            pass
    with replay(path) as session:
        events = [event for event in session if not isinstance(event, StateChanged)]
        assert [row.id for row in session.db.pair] == [2]
    kinds = [type(event) for event in events]
    assert kinds == [SubscribeApplied, ReducerEvent, Disconnected, Connected, SubscribeApplied, Resumed, Disconnected]
    assert [change.row.id for change in events[5].changes["pair"]] == [1]


def handshake(status, headers=(), body=""):
    return {
        "module": "behaviour",
        "request": {"method": "GET", "target": "/", "headers": []},
        "response": {"status": status, "headers": list(headers), "body": body},
    }


def written(tmp_path, *items):
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), "ascii")
    return path


def test_a_client_that_was_refused(tmp_path):
    path = written(tmp_path, handshake(401, [["content-length", "5"]], "no no"))
    with pytest.raises(AuthenticationError) as caught:
        replay(path, schema=behaviour.schema)
    assert (caught.value.status, caught.value.body) == (401, "no no")


def test_the_definition_may_come_from_elsewhere(tmp_path):
    text = json.loads((ROOT.parent / "schemas" / "sdk-test.v9.json").read_text("utf-8"))
    name = websockets("protocol-v3")[0].name
    for given in (text, load_schema(text)):
        with replay(recorded(name), schema=given) as session:
            assert "one_u_8" in session.db
    with pytest.raises(RecordingError, match="it has no module definition"):
        replay(recorded(name))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a recording, got an empty file"),
        ("hello\n", "line 1: expected a line of a recording, got 'hello"),
        ("[]\n", "line 1: expected a line of a recording"),
        ('{"t": 0, "from": "server", "op": "ping"}\n', "line 1: expected a handshake, got a frame"),
    ],
)
def test_what_is_no_recording(tmp_path, text, complaint):
    path = tmp_path / "nothing.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(RecordingError, match=complaint):
        replay(path)


@pytest.mark.parametrize(
    "broken",
    [
        {"t": 1, "from": "server", "op": "binary"},
        {"t": 1, "from": "server", "op": "binary", "data": "no base64"},
        {"t": 1, "from": "server", "op": "text", "text": 7},
        {"t": 1, "from": "nobody", "op": "ping"},
        {"t": "soon", "from": "server", "op": "ping"},
        {"op": "ping"},
    ],
)
def test_a_broken_line_is_named(recording, tmp_path, broken):
    first, *rest = [json.loads(line) for line in recording.read_text("ascii").splitlines()]
    path = written(tmp_path, first, *rest[:4], broken, *rest[4:])
    with replay(path) as session, pytest.raises(RecordingError, match=r"made.jsonl, line 6: expected a line"):
        session.run()


NONSENSE = {"t": 1, "from": "server", "op": "binary", "data": base64.b64encode(b"\0\xff").decode()}
BLAMED = {"t": 1, "from": "client", "op": "close", "code": 1002, "reason": "unknown tag"}


def lines_of(recording):
    return [json.loads(line) for line in recording.read_text("ascii").splitlines()]


def says(line, sender):
    return line.get("from") == sender and line["op"] == "binary"


@pytest.mark.parametrize("play", ["step", "run", "play"])
def test_lines_that_are_missing_in_the_middle_are_an_error(recording, tmp_path, play):
    """The server answers what nobody has asked, so the session dies, which the recorded one did not."""
    kept = [line for line in lines_of(recording) if not says(line, "client")]
    ways = {
        "step": list,
        "run": lambda session: session.run(),
        "play": lambda session: session.play(sleep=lambda _seconds: None),
    }
    ended = []
    with replay(written(tmp_path, *kept)) as session:
        session.on_disconnect(lambda ctx: ended.append(ctx.event.error))
        with pytest.raises(RecordingError, match=r"something is missing or was changed before 0\.\d+ s") as caught:
            ways[play](session)
        assert isinstance(caught.value.__cause__, RemoteProtocolError)
        assert ended == [caught.value.__cause__], "listeners have heard of it"
        assert session.is_over
        assert session.run().step() is None


@pytest.mark.parametrize("before", [1, 2], ids=["before the greeting", "after it"])
def test_a_client_that_says_what_none_could_say(recording, tmp_path, before):
    lines = lines_of(recording)
    path = written(tmp_path, *lines[:before], {**NONSENSE, "from": "client"}, *lines[before:])
    with pytest.raises(RecordingError, match="something is missing or was changed before") as caught:
        replay(path).run()
    assert isinstance(caught.value.__cause__, LocalProtocolError)


def test_a_missing_greeting(recording, tmp_path):
    handshake_line, _greeting, *rest = lines_of(recording)
    with pytest.raises(RecordingError, match="something is missing or was changed before"):
        replay(written(tmp_path, handshake_line, *rest))


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param([], id="nothing follows"),
        pytest.param([NONSENSE, BLAMED], id="it had come twice before it was read"),
        pytest.param([{"t": 1, "from": "client", "op": "pong"}, BLAMED], id="pong"),
    ],
)
def test_a_session_that_ended_with_an_error_is_played_to_its_end(recording, tmp_path, rest):
    path = written(tmp_path, *lines_of(recording)[:2], NONSENSE, *rest)
    with replay(path) as session:
        ends = [event for event in session if isinstance(event, Disconnected)]
    assert isinstance(ends[-1].error, RemoteProtocolError)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param([NONSENSE], id="no farewell"),
        pytest.param([{**BLAMED, "code": 1000}], id="another farewell"),
        pytest.param([{**BLAMED, "from": "server"}], id="the server's farewell"),
    ],
)
def test_a_session_that_did_not_end_with_the_error_has_a_broken_recording(recording, tmp_path, rest):
    path = written(tmp_path, *lines_of(recording)[:2], NONSENSE, *rest)
    with replay(path) as session, pytest.raises(RecordingError):
        session.run()


def test_another_link_after_the_end_does_not_belong_to_the_session(recording, tmp_path):
    first, greeting, *_ = lines_of(recording)
    with replay(written(tmp_path, first, greeting, NONSENSE, first, BLAMED)) as session, pytest.raises(RecordingError):
        session.run()


def test_transactions_of_others(tmp_path):
    name = next(each for each in names("test-client") if load(each).response["status"] == 101)
    with replay(recorded(name), schema=schema(load(name).module)) as session:
        kinds = {type(event) for event in session}
    assert kinds & {Transaction, ReducerEvent, SubscribeApplied}


def test_rows_are_of_a_generated_packages_classes(recording):
    with replay(recording, bindings=package()) as session:
        session.run()
        assert {type(row) for row in session.db.pair} == {package().Pair}
