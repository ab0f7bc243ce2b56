"""The quick start's chat as programs of 0.7 have it: both clients, both kinds of reducer callbacks."""

from __future__ import annotations

import asyncio
import importlib
import re
import threading
import time

import pytest

from spacetimedb_sdk import SchemaError, SubscriptionError, codegen
from spacetimedb_sdk.codegen import legacy
from tests.loopback import PATIENCE
from tests.pages import blocks
from tests.sdk.compat.support import chat, importable, old_module

ASYNC, DRIVEN = old_module("spacetimedb_async_client"), old_module("spacetimedb_client")
QUERIES = ["SELECT * FROM User", "SELECT * FROM Message"]


@pytest.fixture
def parts(bindings):
    names = ("user", "message", "send_message_reducer", "set_name_reducer")
    user, message, send, rename = (importlib.import_module(f"{bindings.__name__}.{name}") for name in names)
    return user.User, message.Message, send, rename


def host_of(server):
    return server.uri.partition("://")[2]


def run(client, server, on_connect=None, queries=QUERIES, host=None):
    asyncio.run(
        asyncio.wait_for(
            client.run(None, host or host_of(server), server.database, False, on_connect, queries), PATIENCE
        )
    )


def until(condition):
    """Call `update()` as programs do, until something holds."""
    client, end = DRIVEN.SpacetimeDBClient.instance, time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it came to no end"
        client.update()


# --- the client for asyncio -------------------------------------------------------------------------------------------


def test_the_quick_start(server, bindings, parts, protocol):
    User, Message, send, rename = parts
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    told = []

    def on_connect(token, identity):
        told.append(("connected", bool(token), identity == client.identity, User.filter_by_identity(identity)))

    def on_subscription_applied():
        (me,) = User.iter()
        told.append(("applied", me.identity == client.identity, me.name, me.online, me.nothing))
        rename.set_name("Ada")

    def on_user(row_op, old, new, event):
        told.append((row_op, old and old.name, new.name, event and event.reducer_name))

    def on_message(row_op, old, new, event):
        assert (row_op, old, new.sender) == ("insert", None, client.identity)
        told.append((new.text, event.reducer_name, event.args, event.caller_identity == client.identity))

    def on_set_name(sender, address, status, message, name):
        told.append((sender == client.identity, address == client.address, status, message, name))
        send.send_message("hello")
        send.send_message("")

    def on_send_message(sender, status, message, msg):
        told.append((sender == client.identity, status, message, msg))
        if status == "failed":
            client.force_close()

    client.register_on_subscription_applied(on_subscription_applied)
    User.register_row_update(on_user)
    Message.register_row_update(on_message)
    rename.register_on_set_name(on_set_name)
    send.register_on_send_message(on_send_message)
    run(client, server, on_connect)

    assert told == [
        ("connected", True, True, None),
        ("insert", None, None, None),
        ("applied", True, None, True, None),
        ("update", None, "Ada", "set_name"),
        (True, True, "committed", "", "Ada"),
        ("hello", "send_message", ["hello"], True),
        (True, "committed", "", "hello"),
        (True, "failed", "Messages must not be empty", ""),
    ]
    (row,) = Message.filter_by_sender(client.identity)
    assert row is next(iter(Message.iter())), "a row is one object"
    assert row.sent > 0
    assert [row.name for row in User.filter_by_online(True)] == ["Ada"]
    assert User.filter_by_online(False) == []
    assert client.is_closing


def test_scheduled_events_run_before_and_during_the_run(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    told = []

    def again(left):
        told.append(left)
        if left:
            client.schedule_event(0, again, left - 1)
        else:
            client.force_close()

    client.schedule_event(1e6, told.append, "never")
    client.schedule_event(0, again, 2)
    run(client, server)
    assert told == [2, 1, 0]


def test_any_thread_may_call_reducers_and_close(server, bindings, parts, protocol):
    _, Message, send, _ = parts
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    client.on_subscription_applied(lambda: threading.Thread(target=send.send_message, args=("from afar",)).start())
    texts = []

    def on_message(row_op, old, new, event):
        texts.append(new.text)
        threading.Thread(target=client.force_close).start()

    Message.register_row_update(on_message)
    run(client, server, host=server.uri)
    assert texts == ["from afar"]


def test_what_a_callback_raises_ends_the_run(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    client.register_on_subscription_applied(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(client, server)


def test_a_lost_connection_ends_the_run(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    client.register_on_subscription_applied(server.drop_clients)
    with pytest.raises(ASYNC.SpacetimeDBException):
        run(client, server)


def test_a_database_that_is_not_there(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    with pytest.raises(ASYNC.SpacetimeDBException, match="nowhere"):
        asyncio.run(client.run(None, host_of(server), "nowhere", False, None))
    asyncio.run(client.close())


def test_closing_before_the_run(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    client.force_close()
    run(client, server, queries=[])
    assert client.is_connected


def test_refused_queries_end_the_run(server, bindings, protocol):
    client = ASYNC.SpacetimeDBAsyncClient(bindings)
    with pytest.raises(SubscriptionError):
        run(client, server, queries=["SELECT * FROM nothing"])


def test_without_run(server, bindings, protocol):
    async def main():
        client = ASYNC.SpacetimeDBAsyncClient(bindings)
        token, identity = await client.connect(None, host=host_of(server), address_or_name="chat", ssl_enabled=False)
        assert token
        assert identity == client.identity
        done = await client.call_reducer("set_name", "Ada")
        assert (done.status, done.message, done.reducer, done.args) == ("committed", "", "set_name", ("Ada",))
        failed = await client.call_reducer("set_name", "")
        assert (failed.status, failed.message) == ("failed", "Names must not be empty")
        assert failed.caller_identity == identity
        with pytest.raises(SchemaError, match="no reducer 'dance'"):
            await client.call_reducer("dance")
        await client.close()
        await client.close()

    asyncio.run(main())


# --- the client that is driven ----------------------------------------------------------------------------------------


def test_the_chat_in_a_loop(server, bindings, parts, protocol):
    User, Message, send, rename = parts
    Client = DRIVEN.SpacetimeDBClient
    told = []
    Client.init(
        None,
        host_of(server),
        server.database,
        False,
        bindings,
        on_connect=lambda: told.append("open"),
        on_identity=lambda token, identity, address: told.append((bool(token), identity, address)),
        on_disconnect=lambda reason: told.append("closed"),
    )
    client = Client.instance
    client.subscribe(QUERIES)  # before it is open
    applied, events = [], []
    client.register_on_subscription_applied(lambda: applied.append(sorted(row.text for row in Message.iter())))
    client.register_on_event(events.append)
    rename.register_on_set_name(lambda sender, address, status, message, name: told.append((status, name)))
    until(lambda: applied)
    assert told == ["open", (True, client.identity, client.address)]
    assert client.is_connected
    send.send_message("one")
    rename.set_name("Ada")
    until(lambda: len(events) == 2)
    assert told[2:] == [("committed", "Ada")]
    message, rename_event = events
    ((inserted,),) = message.events.values()
    assert (inserted.row_op, inserted.decoded_value.text, inserted.old_value) == ("insert", "one", None)
    ((updated,),) = rename_event.events.values()
    assert (updated.row_op, updated.old_value.name, updated.decoded_value.name) == ("update", None, "Ada")
    assert client.client_cache.get_entry("User", updated.row_pk).name == "Ada"
    assert client.client_cache.get_entry("User", "00") is None

    client.subscribe(["SELECT User.* FROM User WHERE User.online = true"])  # instead of the others
    until(lambda: len(applied) == 2)
    assert applied == [[], []]
    assert [row.name for row in User.iter()] == ["Ada"]
    client.subscribe([])
    until(lambda: len(applied) == 3)
    client.close()
    assert told[3:] == ["closed"]
    assert not client.is_connected
    client.update()


def test_what_is_unregistered_is_called_no_more(server, bindings, parts, protocol):
    _, _, send, _ = parts
    client = DRIVEN.SpacetimeDBClient(bindings)
    never, texts = [], []
    client._register_row_update("Message", never.append)
    client._unregister_row_update("Message", never.append)
    client._register_reducer("send_message", never.append)
    client._unregister_reducer("send_message", never.append)
    for kind in ("on_event", "on_subscription_applied"):
        getattr(client, f"register_{kind}")(never.append)
        getattr(client, f"unregister_{kind}")(never.append)
    client.register_on_event(lambda message: texts.append(message.args[0]))
    client.update()
    client.connect(None, host_of(server), server.database, False, None, None, None, None)
    client.subscribe(QUERIES)
    until(lambda: client.is_connected)
    thread = threading.Thread(target=send.send_message, args=("hello",))
    thread.start()
    thread.join()
    until(lambda: texts == ["hello"])
    assert never == []
    client.close()


def test_other_clients_are_told_of(server, bindings, parts, protocol):
    """That there was a reducer, but not which: servers hide it if the module was built for 2.0, also on v1."""
    _, Message, send, _ = parts
    client = DRIVEN.SpacetimeDBClient(bindings)
    rows, outcomes, applied = [], [], []
    Message.register_row_update(lambda op, old, new, event: rows.append((new.text, new.sender, event.reducer_name)))
    send.register_on_send_message(lambda sender, address, status, message, text: outcomes.append((sender, text)))
    client.register_on_subscription_applied(lambda: applied.append(True))
    client.connect(None, host_of(server), server.database, False, None, None, None, None)
    client.subscribe(QUERIES)
    until(lambda: applied)

    async def another():
        other = ASYNC.SpacetimeDBAsyncClient(bindings)
        await other.connect(None, host_of(server), "chat", False)
        await other.call_reducer("send_message", "hi")
        await other.close()
        return other.identity

    identity = asyncio.run(another())
    DRIVEN.SpacetimeDBClient.instance = client
    until(lambda: rows)
    assert rows == [("hi", identity, None)]
    assert outcomes == []
    client.close()


def test_update_raises_what_a_callback_raises(server, bindings, protocol):
    client = DRIVEN.SpacetimeDBClient(bindings)
    client.connect(None, host_of(server), server.database, False, lambda: 1 / 0, None, None, None)
    with pytest.raises(ZeroDivisionError):
        until(lambda: False)
    client.close()


def test_errors_of_the_connection(server, bindings, protocol):
    told = []
    client = DRIVEN.SpacetimeDBClient(bindings)
    client.connect(
        None, host_of(server), "nowhere", False, None, lambda reason: told.append("closed"), None, told.append
    )
    until(lambda: len(told) == 2)
    assert "nowhere" in str(told[0])
    assert told[1] == "closed"
    client.update()

    silent = DRIVEN.SpacetimeDBClient(bindings)
    silent.connect(None, host_of(server), "nowhere", False, None, None, None, None)
    with pytest.raises(Exception, match="nowhere"):
        until(lambda: False)


# --- the guide --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["before", "after"])
def test_the_guide_does_what_it_says(server, tmp_path, monkeypatch, capsys, which):
    """Both programs of `docs/from-0.7.md` say the same, the old one with the package that today's generator writes."""
    (code,) = (code for code in blocks("docs/from-0.7.md") if code.startswith(f"# {which}\n"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["main.py"])
    monkeypatch.setattr(DRIVEN.SpacetimeDBClient, "instance", None)
    codegen.write(tmp_path / "module_bindings", legacy.generate(chat.schema))
    old_module("local_config")
    with importable(tmp_path):
        exec(
            compile(code, "docs/from-0.7.md", "exec", dont_inherit=True),
            {"HOST": host_of(server), "TOKEN_PATH": tmp_path / "token"},
        )
    said = capsys.readouterr().out
    assert re.fullmatch("[0-9a-f]{8}: hello\n", said)
