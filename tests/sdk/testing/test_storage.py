"""Rows, constraints, counters and transactions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import Identity, Timestamp
from spacetimedb_proto.errors import EncodeError, LocalProtocolError
from spacetimedb_sdk.testing import AutoInc, ConstraintError, Module, PrimaryKey, Tables, Unique, f32, f64, i8, u8, u16
from spacetimedb_sdk.testing.storage import Storage
from tests.behaviour_module import Message, NoKey, Pair, behaviour

ME = Identity.from_int(1)
NOW = Timestamp(0)


class UndoError(Exception):
    """Raised to undo a transaction."""


class Store:
    """A storage, its tables, and the last committed changes."""

    def __init__(self, module=behaviour):
        self.storage = Storage(module.schema)
        self.db = Tables(self.storage)

    def transact(self, function):
        with self.storage.transaction() as changes:
            function(self.db)
        return {name: (list(c.inserts.values()), list(c.deletes.values())) for name, c in changes.items()}

    def undo(self, function):
        def run(db):
            function(db)
            raise UndoError

        with pytest.raises(UndoError):
            self.transact(run)

    def state(self):
        return {
            name: (set(table.rows), {column: dict(index) for column, index in table._unique.items()})
            for name, table in self.storage.tables.items()
        }


@pytest.fixture
def store():
    return Store()


def test_insert_find_update_delete(store):
    def work(db):
        assert db.pair.insert(Pair(1, "one", 0, 10)) == Pair(1, "one", 0, 10)
        assert db.pair.insert(id=2, key="two", group=0, value=20).id == 2
        assert db.pair.find(id=1) == db.pair.find(key="one") == Pair(1, "one", 0, 10)
        assert db.pair.find(id=3) is None
        assert db.pair.update(Pair(1, "uno", 1, 11)).key == "uno"
        assert db.pair.find(key="one") is None
        assert [pair.id for pair in db.pair.filter(group=0)] == [2]
        assert [pair.id for pair in db.pair.filter(group=1, value=11)] == [1]
        assert db.pair.delete(Pair(2, "two", 0, 20)) is True
        assert db.pair.delete(Pair(2, "two", 0, 20)) is False
        assert db.pair.count() == len(db.pair) == 1
        assert Pair(1, "uno", 1, 11) in db.pair
        assert Pair(1, "one", 1, 11) not in db.pair
        assert NoKey(1, "x") not in db.pair
        assert db[Pair] is db["pair"] is db.pair

    changes = store.transact(work)
    assert changes == {"pair": ([Pair(1, "uno", 1, 11)], [])}


def test_changes_are_net(store):
    store.transact(lambda db: db.pair.insert(Pair(1, "one", 0, 10)))

    def nothing_in_the_end(db):
        db.pair.delete(Pair(1, "one", 0, 10))
        db.pair.insert(Pair(1, "one", 0, 10))
        db.pair.insert(Pair(2, "two", 0, 10))
        db.pair.delete(Pair(2, "two", 0, 10))
        db.pair.update(Pair(1, "one", 0, 10))

    assert store.transact(nothing_in_the_end) == {}
    assert store.transact(lambda db: db.pair.update(Pair(1, "one", 0, 11))) == {
        "pair": ([Pair(1, "one", 0, 11)], [Pair(1, "one", 0, 10)])
    }


def test_tables_are_sets(store):
    changes = store.transact(lambda db: [db.no_key.insert(n=1, text="x") for _ in range(3)])
    assert changes == {"no_key": ([NoKey(1, "x")], [])}
    assert store.transact(lambda db: db.pair.insert(Pair(1, "one", 0, 10)))
    assert store.transact(lambda db: db.pair.insert(Pair(1, "one", 0, 10))) == {}, "not even a key is violated"


@pytest.mark.parametrize(("row", "column"), [(Pair(1, "uno", 0, 0), "id"), (Pair(2, "one", 0, 0), "key")])
def test_constraints(store, row, column):
    store.transact(lambda db: db.pair.insert(Pair(1, "one", 0, 10)))
    before = store.state()
    with pytest.raises(ConstraintError) as caught:
        store.transact(lambda db: db.pair.insert(row))
    assert str(caught.value) == f"insertion error on table `pair`: duplicate unique column `{column}`"
    assert store.state() == before


def test_a_constraint_may_be_survived(store):
    def work(db):
        db.pair.insert(Pair(1, "one", 0, 10))
        db.pair.insert(Pair(2, "two", 0, 10))
        with pytest.raises(ConstraintError):
            db.pair.insert(Pair(1, "uno", 0, 10))
        with pytest.raises(ConstraintError):
            db.pair.update(Pair(2, "one", 0, 10))
        with pytest.raises(ConstraintError, match="update error on table `pair`: no row with id 3"):
            db.pair.update(Pair(3, "three", 0, 10))

    assert store.transact(work) == {"pair": ([Pair(1, "one", 0, 10), Pair(2, "two", 0, 10)], [])}


def test_numbers_are_counted_up_and_never_used_twice(store):
    def add(db):
        return db.message.insert(sender=ME, sent=NOW, text="x").id

    ids = []
    store.transact(lambda db: ids.extend([add(db), add(db)]))
    store.undo(lambda db: ids.append(add(db)))
    store.transact(lambda db: ids.append(add(db)))
    store.transact(lambda db: ids.append(db.message.insert(Message(50, ME, NOW, "y")).id))
    store.transact(lambda db: ids.append(db.message.insert(Message(0, ME, NOW, "y")).id))
    assert ids == [1, 2, 3, 4, 50, 5]


def test_numbers_end():
    module = Module("m")

    @module.table
    class Small:
        id: AutoInc[i8]
        text: str

    store = Store(module)
    store.transact(lambda db: [db.small.insert(text="") for _ in range(127)])
    with pytest.raises(ConstraintError, match="insertion error on table `small`: no more numbers"):
        store.transact(lambda db: db.small.insert(text=""))


def test_undoing_restores_everything(store):
    store.transact(lambda db: [db.pair.insert(Pair(i, f"k{i}", 0, 0)) for i in range(3)])
    before = store.state()

    def work(db):
        db.pair.delete(Pair(0, "k0", 0, 0))
        db.pair.update(Pair(1, "k0", 5, 5))
        db.pair.insert(Pair(7, "k1", 0, 0))
        db.no_key.insert(n=1, text="x")
        db.notice.insert(text="x")

    store.undo(work)
    assert store.state() == before


def test_rows_of_event_tables_last_as_long_as_their_transaction(store):
    def work(db):
        db.notice.insert(text="x")
        assert len(db.notice) == 1

    assert [len(inserts) for inserts, _ in [store.transact(work)["notice"]]] == [1]
    assert len(store.db.notice) == 0
    assert store.transact(work), "an event is none the less for having happened before"


def test_unique_columns_of_event_tables_start_afresh():
    module = Module("m")

    @module.table(event=True)
    class Ping:
        id: Unique[u8]
        text: str

    store = Store(module)
    for text in ("a", "b"):
        assert store.transact(lambda db, text=text: db.ping.insert(id=1, text=text))


def test_rows_are_values():
    module = Module("m")

    @module.table
    class Path:
        id: PrimaryKey[u8]
        steps: list[u16]

    def work(db):
        steps = [1, 2]
        row = db.path.insert(id=1, steps=steps)
        steps.append(3)
        row.steps.clear()
        db.path.find(id=1).steps.clear()
        next(iter(db.path)).steps.clear()
        assert db.path.find(id=1).steps == [1, 2]

    Store(module).transact(work)


def test_rows_with_floats_compare_by_their_bits():
    module = Module("m")

    @module.table
    class Number:
        x: f32

    store = Store(module)
    changes = store.transact(lambda db: [db.number.insert(x=x) for x in (0.0, -0.0, float("nan"), float("nan"))])
    assert len(changes["number"][0]) == 3


def test_outside_of_a_transaction_nothing_changes(store):
    with pytest.raises(LocalProtocolError, match="no_key: rows change only in a reducer or procedure"):
        store.db.no_key.insert(n=1, text="x")
    with pytest.raises(LocalProtocolError):
        store.db.no_key.delete(NoKey(1, "x"))
    assert list(store.db.no_key) == []


def test_what_a_module_gets_wrong_is_named(store):
    def work(db):
        with pytest.raises(TypeError, match=r"no_key has no column 'colour'; there are n, text"):
            db.no_key.insert(n=1, text="x", colour="red")
        with pytest.raises(TypeError, match="text"):
            db.no_key.insert(n=1)
        with pytest.raises(TypeError, match=r"no_key.insert\(\): expected a row or columns, got both"):
            db.no_key.insert(NoKey(1, "x"), n=2)
        with pytest.raises(EncodeError, match="expected i32, got 'one'"):
            db.no_key.insert(n="one", text="x")
        with pytest.raises(TypeError, match=r"pair.find\(\): expected one unique column of \(id, key\), got group"):
            db.pair.find(group=1)
        with pytest.raises(TypeError, match="got id, key"):
            db.pair.find(id=1, key="one")
        with pytest.raises(TypeError, match="no_key has no column 'colour'"):
            db.no_key.filter(colour="red")
        with pytest.raises(TypeError, match="the table has no primary key"):
            db.no_key.update(NoKey(1, "x"))
        with pytest.raises(AttributeError, match="no table 'pears'; there are: banned, "):
            db.pears  # noqa: B018
        with pytest.raises(KeyError):
            db["pears"]
        with pytest.raises(KeyError, match="int: rows of no table"):
            db[int]

    assert store.transact(work) == {}


def test_a_class_of_two_tables_is_no_name_for_one():
    module = Module("m")
    module.table(name="one")(module.table(name="two")(NoKey))
    with pytest.raises(KeyError, match="NoKey: rows of one, two; use a table's name"):
        Store(module).db[NoKey]


def test_iterating_while_changing(store):
    store.transact(lambda db: [db.pair.insert(Pair(i, f"k{i}", 0, 0)) for i in range(10)])

    def work(db):
        for pair in db.pair:
            db.pair.delete(pair)
            db.no_key.insert(n=pair.id, text="was here")

    store.transact(work)
    assert (len(store.db.pair), len(store.db.no_key)) == (0, 10)


def test_handles_say_what_they_are(store):
    assert repr(store.db.pair) == "<pair with 0 rows>"


# --- against a model --------------------------------------------------------------------------------------------------

rows = st.builds(Pair, id=st.integers(0, 4), key=st.sampled_from("abcde"), group=st.just(0), value=st.integers(0, 2))
steps = st.lists(st.tuples(st.sampled_from(["insert", "delete", "update"]), rows), max_size=8)


def in_model(model, step, row):
    """The same step on a set of rows; whether it is allowed."""
    others = model - {row}
    if step == "delete":
        model.discard(row)
        return True
    if step == "insert" and row in model:
        return True
    if step == "update":
        old = {other for other in model if other.id == row.id}
        if not old:
            return False
        others = model - old
    if any(other.id == row.id or other.key == row.key for other in others):
        return False
    model.clear()
    model.update(others | {row})
    return True


@given(st.lists(st.tuples(steps, st.booleans()), max_size=6))
def test_transactions_do_what_sets_do(transactions):
    store, committed = Store(), set()
    for work, is_undone in transactions:
        model = set(committed)

        def run(db, work=work, model=model):
            for step, row in work:
                try:
                    getattr(db.pair, step)(row)
                except ConstraintError:
                    assert not in_model(set(model), step, row)
                else:
                    assert in_model(model, step, row)
                assert set(db.pair) == model

        if is_undone:
            store.undo(run)
        else:
            inserts, deletes = store.transact(run).get("pair", ([], []))
            assert set(inserts) == model - committed
            assert set(deletes) == committed - model
            committed = model
        assert set(store.db.pair) == committed
        for pair in committed:
            assert store.db.pair.find(id=pair.id) == store.db.pair.find(key=pair.key) == pair


def test_float_columns_compare_as_floats():
    module = Module("floats")

    @module.table
    class Level:
        x: PrimaryKey[f32]
        y: Unique[f64]
        n: u8

    store = Store(module)
    store.transact(lambda db: db.level.insert(x=0.0, y=-0.0, n=1))
    for x, y, column in [(-0.0, 1.0, "x"), (1.0, 0.0, "y")]:
        with pytest.raises(ConstraintError, match=f"duplicate unique column `{column}`"):
            store.transact(lambda db, x=x, y=y: db.level.insert(x=x, y=y, n=2))
    assert [store.db.level.find(x=-0.0).n, store.db.level.find(y=0.0).n] == [1, 1]
    assert [row.n for row in store.db.level.filter(x=-0.0)] == [1]
    store.transact(lambda db: db.level.update(Level(-0.0, 5.0, 3)))
    assert [(repr(row.x), row.n) for row in store.db.level] == [("-0.0", 3)]
    store.transact(lambda db: [db.level.insert(x=math.nan, y=math.nan, n=n) for n in (4, 5)])
    assert store.db.level.find(x=math.nan) is None
    assert list(store.db.level.filter(y=math.nan)) == []
    store.transact(lambda db: [db.level.delete(row) for row in list(db.level)])
    assert list(store.db.level) == []
