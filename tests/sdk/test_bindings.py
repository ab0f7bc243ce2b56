"""The parts that bindings are made of, without a connection."""

from __future__ import annotations

import gc
from typing import ClassVar

import pytest

from spacetimedb_sdk import LocalProtocolError, ReducerError, StreamOverflow
from spacetimedb_sdk.bindings.finding import find_by
from spacetimedb_sdk.bindings.listeners import Listeners, name_of
from spacetimedb_sdk.bindings.names import Namespace
from spacetimedb_sdk.bindings.pending import Pending
from spacetimedb_sdk.bindings.streams import Stream
from spacetimedb_sdk.bindings.unread import Refusing


class TestNamespace:
    @pytest.fixture
    def names(self):
        wire = ["from", "class", "message", "any name", "_hidden", "__odd__", "mod.table", "Player1Canonical"]
        return Namespace("table", wire, lambda name: [name], {"player1": "Player1Canonical"})

    def test_by_attribute_and_by_name(self, names):
        assert names.message == ["message"]
        assert names["any name"] == ["any name"]
        assert names.from_ == names["from"]
        assert names.class_ == names["class"]
        assert names._hidden == ["_hidden"]
        assert names.Player1Canonical is names["player1"], "source names are aliases"
        assert names.message is names["message"], "made once"
        assert names.message is names.message, "by attribute, too"

    def test_like_a_collection(self, names):
        assert list(names) == sorted(names)
        assert len(names) == 8
        assert "message" in names
        assert "massage" not in names
        assert "from_" in dir(names)
        assert "8 tables" in repr(names)

    def test_what_is_not_there_is_said(self, names):
        with pytest.raises(AttributeError, match="no table 'massage' in the schema; there are: .*message"):
            names.massage  # noqa: B018
        with pytest.raises(KeyError, match="massage"):
            names["massage"]

    def test_empty(self):
        with pytest.raises(AttributeError, match="there are: none"):
            Namespace("table", [], str, {}).x  # noqa: B018


class TestFind:
    """`find` with a parameter for one column does what the general one does, whatever the column is called."""

    ROWS: ClassVar = {1: "one", 2: "two"}

    @pytest.fixture(params=["id", "args", "others", "column_", "found", "self", "naïve"])
    def column(self, request):
        return request.param

    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def find(self, column, asked):
        def general(*args, **columns):
            """Finds."""
            asked.append((args, columns))
            return "generally"

        return find_by(column, self.ROWS.get, lambda: asked.append("missing"), general)

    def test_the_column_alone_is_looked_up(self, find, column, asked):
        assert find(**{column: 2}) == "two"
        assert asked == []

    def test_nothing_found_is_checked(self, find, column, asked):
        assert find(**{column: 3}) is None
        assert asked == ["missing"]

    def test_all_else_goes_to_the_general_one_as_it_came(self, find, column, asked):
        for args, columns in [((), {}), ((1,), {}), ((1,), {column: 1}), ((), {column: 1, "b": 2}), ((), {"b": None})]:
            assert find(*args, **columns) == "generally"
            assert asked.pop() == (args, columns)

    def test_none_is_a_value(self, find, column, asked):
        assert find(**{column: None}) is None
        assert asked == ["missing"]

    def test_it_reads_as_the_general_one(self, find):
        assert find.__doc__ == "Finds."
        assert find.__name__ == "find"
        assert find.__qualname__.endswith("general")


class TestListeners:
    def test_in_the_order_added_and_removed_once(self):
        listeners = Listeners()
        log = []
        first = listeners.add(lambda: log.append(1))
        second = listeners.add(lambda: log.append(2))
        now = listeners.callbacks
        first.remove()
        first.remove()
        for callback in now:
            callback()
        assert log == [1, 2], "what was noted before a change is not touched by it"
        assert listeners.callbacks == (second.callback,)
        second.remove()
        assert not listeners

    def test_a_decorated_name_stays_usable(self):
        listeners = Listeners()

        @listeners.add
        def double(x):
            return 2 * x

        assert double(4) == 8
        assert "double" in repr(double)

    def test_names_for_the_log(self):
        assert name_of(TestListeners.test_names_for_the_log).endswith("TestListeners.test_names_for_the_log")
        assert name_of(Listeners()).endswith("Listeners")

    def test_what_cannot_be_called(self):
        with pytest.raises(TypeError, match="expected a function, got 3"):
            Listeners().add(3)


class TestPending:
    @pytest.fixture
    def reports(self):
        return []

    @pytest.fixture
    def pending(self, reports):
        return Pending("the call", lambda error, what: reports.append((str(error), what)))

    def test_a_value(self, pending, reports):
        seen = []
        assert not pending.done()
        with pytest.raises(LocalProtocolError, match="the call is not done yet"):
            pending.result()
        pending.add_done_callback(lambda p: seen.append(p.result()))
        assert pending.resolve(5)
        pending.add_done_callback(lambda p: seen.append(p.result() + 1))
        assert (pending.done(), pending.result(), pending.exception(), seen) == (True, 5, None, [5, 6])
        assert repr(pending) == "<the call: done>"

    def test_an_error_that_is_claimed(self, pending, reports):
        assert not pending.fail(ReducerError("no"))
        with pytest.raises(ReducerError):
            pending.result()
        assert isinstance(pending.exception(), ReducerError)

    def test_an_error_that_nobody_claims(self, reports):
        pending = Pending("the call", lambda error, what: reports.append((str(error), what)))
        pending.fail(ReducerError("no"))
        del pending
        gc.collect()
        assert reports == [("no", "the call")]

    def test_a_callback_that_raises_disturbs_no_other(self, pending, reports):
        def failing(_pending):
            raise ValueError("as asked")

        seen = []
        pending.add_done_callback(failing)
        pending.add_done_callback(seen.append)
        assert pending.resolve(5)
        pending.add_done_callback(failing)
        assert seen == [pending]
        assert [(error, where.rpartition(".")[2]) for error, where in reports] == [("as asked", "failing")] * 2

    def test_who_gives_up_waiting_claims_nothing(self, reports):
        pending = Pending("the call", lambda error, what: reports.append((str(error), what)))
        waiting = [].append
        pending.add_done_callback(waiting)
        pending.abandon(waiting)
        assert not pending.fail(ReducerError("no"))
        del pending
        gc.collect()
        assert reports == [("no", "the call")]


class TestStream:
    @pytest.fixture
    def ended(self):
        return []

    @pytest.fixture
    def stream(self, ended):
        return Stream("changes()", ended.append, Refusing(3))

    def test_items_come_in_order(self, stream):
        for item in "abc":
            stream.push(item)
        assert [stream.next_nowait() for _ in range(4)] == ["a", "b", "c", None]

    def test_it_stops_after_its_last_item(self, stream, ended):
        stream.push("a")
        stream.end(None)
        stream.end(None)
        stream.push("b")
        assert stream.next_nowait() == "a"
        with pytest.raises(StopIteration):
            stream.next_nowait()
        assert ended == [stream]

    def test_an_error_comes_once_after_the_last_item(self, stream):
        stream.push("a")
        stream.end(ReducerError("over"))
        assert stream.next_nowait() == "a"
        with pytest.raises(ReducerError):
            stream.next_nowait()
        with pytest.raises(StopIteration):
            stream.next_nowait()

    def test_a_consumer_that_is_too_slow(self, stream, ended):
        for item in range(5):
            stream.push(item)
        assert [stream.next_nowait() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(StreamOverflow, match="more than 3 items behind"):
            stream.next_nowait()
        assert ended == [stream]

    def test_closing_forgets(self, stream, ended):
        stream.push("a")
        stream.close()
        with pytest.raises(StopIteration):
            stream.next_nowait()
        assert ended == [stream]
