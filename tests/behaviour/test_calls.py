"""Reducers, procedures and one-off queries."""

from __future__ import annotations

import copy
import pickle

import anyio
import pytest

from spacetimedb_sdk import (
    Committed,
    EncodeError,
    ProcedureError,
    QueryError,
    ReducerError,
    ReducerEvent,
)

pytestmark = pytest.mark.anyio


async def test_a_reducer_returns_what_happened(client):
    conn = await client()
    done = await conn.reducers.add_pair(1, "one", 0, 10)
    assert isinstance(done, ReducerEvent)
    assert (done.reducer, done.outcome) == ("add_pair", Committed())
    assert done.args == (1, "one", 0, 10)
    assert done.args.key == done.args["key"] == "one"
    for copied in (copy.copy(done.args), copy.deepcopy(done.args), pickle.loads(pickle.dumps(done.args))):
        assert (copied, copied.key) == (done.args, "one")
    assert done.caller_identity == conn.identity
    assert done.timestamp.to_datetime().year >= 2024


async def test_arguments_by_name_and_mixed(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(id=1, key="one", group=0, value=10)
    await conn.reducers.add_pair(2, "two", value=20, group=0)
    await conn.reducers["add_pair"](3, "three", 0, 30)
    assert [conn.db.pair.find(id=i).key for i in (1, 2, 3)] == ["one", "two", "three"]


async def test_its_rows_are_in_the_cache_when_it_returns(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    for i in range(20):
        await conn.reducers.add_pair(i, f"k{i}", 0, i)
        assert conn.db.pair.find(id=i).value == i


async def test_a_refusal_is_an_error_with_the_modules_words(client):
    conn = await client()
    with pytest.raises(ReducerError) as caught:
        await conn.reducers.send_message("")
    assert str(caught.value) == "Messages must not be empty"
    assert caught.value.function == "send_message"
    with pytest.raises(ReducerError, match="no pair 7"):
        await conn.reducers.set_pair(7, "seven", 0, 0)


async def test_a_refused_transaction_changes_nothing(client):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    await conn.reducers.add_pair(1, "one", 0, 10)
    stream = conn.db.pair.changes()
    with pytest.raises(ReducerError):
        await conn.reducers.add_pair(2, "one", 0, 20)  # the key is unique
    await conn.reducers.add_pair(3, "three", 0, 30)
    assert (await anext(stream)).row.id == 3


async def test_a_panic_is_an_error_and_the_connection_lives_on(client):
    conn = await client()
    with pytest.raises(ReducerError):
        await conn.reducers.panic_now()
    await conn.reducers.add_pair(1, "one", 0, 10)


async def test_an_unknown_reducer_is_named(client):
    conn = await client()
    with pytest.raises(AttributeError, match=r"no reducer 'launch' in the schema; there are: .*send_message"):
        await conn.reducers.launch()
    with pytest.raises(KeyError, match="launch"):
        conn.reducers["launch"]


async def test_lifecycle_reducers_cannot_be_called(client):
    conn = await client()
    assert "client_connected" not in conn.reducers


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((-1, "k", 0, 0), "id: expected u32, got -1 (int)"),
        ((1, 2, 0, 0), "key: expected str, got 2 (int)"),
        ((1, "k", 2**31, 0), "group: expected i32, got 2147483648 (int)"),
        ((True, "k", 0, 0), "id: expected u32, got True (bool)"),
    ],
)
async def test_a_wrong_argument_is_named_and_nothing_is_sent(client, args, message):
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    with pytest.raises(EncodeError) as caught:
        await conn.reducers.add_pair(*args)
    assert message in str(caught.value)
    await conn.reducers.add_pair(5, "five", 0, 0)
    assert [pair.id for pair in conn.db.pair] == [5]


async def test_a_wrong_number_of_arguments_is_a_type_error(client):
    conn = await client()
    with pytest.raises(TypeError, match="value"):
        await conn.reducers.add_pair(1, "k", 0)
    with pytest.raises(TypeError):
        await conn.reducers.add_pair(1, "k", 0, 0, 0)
    with pytest.raises(TypeError, match="colour"):
        await conn.reducers.add_pair(1, "k", 0, 0, colour="red")
    with pytest.raises(TypeError, match="id"):
        await conn.reducers.add_pair(1, "k", 0, 0, id=1)


async def test_many_calls_at_once_each_get_their_own_answer(client):
    conn = await client()
    await conn.reducers.add_pair(7, "seven", 0, 0)
    outcomes = {}

    async def remove(i):
        try:
            await conn.reducers.remove_pair(i)
            outcomes[i] = "ok"
        except ReducerError as error:
            outcomes[i] = str(error)

    async with anyio.create_task_group() as tasks:
        for i in range(20):
            tasks.start_soon(remove, i)
    assert outcomes == {i: "ok" if i == 7 else f"no pair {i}" for i in range(20)}


async def test_an_unclaimed_failure_goes_to_on_error(host, client):
    host.need("later")
    conn = await client()
    errors = []
    conn.on_error(lambda error, where: errors.append((str(error), where)))
    conn.reducers.send_message("")
    await conn.reducers.clear()
    assert errors == [("Messages must not be empty", "reducer send_message")]


async def test_cancelling_a_waiting_call_leaves_it_running(host, client):
    host.need("cancel")
    conn = await client()
    await conn.subscribe("SELECT * FROM pair")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await conn.reducers.add_pair(1, "one", 0, 10)
    await conn.reducers.add_pair(2, "two", 0, 20)
    assert sorted(pair.id for pair in conn.db.pair) == [1, 2]


async def test_outcomes_reach_listeners(client):
    conn = await client()
    log = []
    conn.reducers.send_message.on_outcome(
        lambda ctx: log.append((ctx.event.args.text, type(ctx.event.outcome).__name__))
    )
    await conn.reducers.send_message("hello")
    with pytest.raises(ReducerError):
        await conn.reducers.send_message("")
    assert log[0] == ("hello", "Committed")
    assert log[1][0] == ""
    assert log[1][1] in ("Refused", "Failed")


async def test_one_off_queries_return_rows_and_touch_nothing(client):
    conn = await client()
    await conn.reducers.add_pairs(1, 3)
    rows = await conn.query("SELECT * FROM pair WHERE id > 1")
    assert sorted(row.id for row in rows) == [2, 3]
    assert len(conn.db.pair) == 0
    assert await conn.query("SELECT * FROM pair WHERE id = 99") == []


async def test_a_bad_one_off_query_is_an_error(client):
    conn = await client()
    with pytest.raises(QueryError, match="nope"):
        await conn.query("SELECT * FROM nope")
    assert await conn.query("SELECT * FROM pair") == []


async def test_procedures_return_values(target, client):
    target.need_own("the real server is older than procedures")
    conn = await client()
    assert await conn.procedures.add(1, 2) == 3
    assert await conn.procedures.add(b=5, a=4) == 9
    await conn.subscribe("SELECT * FROM pair")
    assert await conn.procedures.add_pair_procedure(1, "one", 0, 10) is True
    assert conn.db.pair.find(id=1).key == "one"
    assert await conn.procedures.count_pairs() == 1


async def test_a_failing_procedure_is_an_error(target, client):
    target.need_own("the real server is older than procedures")
    conn = await client()
    with pytest.raises(ProcedureError) as caught:
        await conn.procedures.fail_procedure()
    assert caught.value.function == "fail_procedure"
    assert await conn.procedures.add(1, 2) == 3
