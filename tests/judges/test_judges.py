"""What the official SDKs make of the in-process server: another reading of the protocol than ours on both sides."""

from __future__ import annotations

import logging

import pytest

from tests.behaviour_module import Pair

pytestmark = pytest.mark.judges

ALL = ["SELECT * FROM pair", "SELECT * FROM user", "SELECT * FROM message"]
FATAL = "The instance encountered a fatal error."


def pair(saw, *row, **more):
    return {"saw": saw, "table": "pair", "row": list(row), **more}


def test_first_rows_and_changes_by_others(judge, server):
    server.run(lambda ctx: [ctx.db.pair.insert(Pair(n, f"k{n}", n % 2, 0)) for n in range(3)])
    me = judge.connect(server)["identity"]
    judge.do("subscribe", queries=ALL)
    user = {"saw": "insert", "table": "user", "row": [me, None, True]}
    judge.sees({"saw": "applied"}, user, *(pair("insert", n, f"k{n}", n % 2, 0) for n in range(3)))
    server.run(lambda ctx: ctx.db.pair.insert(Pair(7, "sieben", -1, -(2**31))))
    judge.sees(pair("insert", 7, "sieben", -1, -(2**31)))
    server.run(lambda ctx: ctx.db.pair.update(Pair(1, "k1", 1, 5)))
    judge.sees(pair("update", 1, "k1", 1, 5, old=[1, "k1", 1, 0]))
    server.run(lambda ctx: ctx.db.pair.delete(ctx.db.pair.find(id=0)))
    judge.sees(pair("delete", 0, "k0", 0, 0))
    judge.do("rows")
    left = [[1, "k1", 1, 5], [2, "k2", 0, 0], [7, "sieben", -1, -(2**31)]]
    judge.sees({"saw": "rows", "pair": left, "users": 1, "messages": 0})


def test_reducers_that_succeed(judge, server):
    me = judge.connect(server)["identity"]
    judge.do("subscribe", queries=ALL)
    judge.sees({"saw": "applied"}, {"saw": "insert", "table": "user", "row": [me, None, True]})
    judge.call("add_pair", 1, "é", 0, 5)
    judge.sees(pair("insert", 1, "é", 0, 5), {"saw": "done", "reducer": "add_pair"})
    judge.call("set_pair", 1, "é", 0, 6)
    judge.sees(pair("update", 1, "é", 0, 6, old=[1, "é", 0, 5]), {"saw": "done", "reducer": "set_pair"})
    judge.call("remove_pair", 1)
    judge.sees(pair("delete", 1, "é", 0, 6), {"saw": "done", "reducer": "remove_pair"})
    judge.call("set_name", "Ada")
    named = {"saw": "update", "table": "user", "old": [me, None, True], "row": [me, "Ada", True]}
    judge.sees(named, {"saw": "done", "reducer": "set_name"})
    judge.call("send_message", "hello")
    first, second = judge.next(), judge.next()
    sent = server.run(lambda ctx: ctx.db.message.find(id=1).sent.micros)
    assert first == {"saw": "insert", "table": "message", "row": [1, me, sent, "hello"]}
    assert second == {"saw": "done", "reducer": "send_message"}


def test_reducers_that_fail(judge, server, caplog):
    judge.connect(server)
    judge.do("subscribe", queries=["SELECT * FROM pair"])
    judge.sees({"saw": "applied"})
    judge.call("send_message", "")
    judge.sees({"saw": "refused", "reducer": "send_message", "text": "Messages must not be empty"})
    with caplog.at_level(logging.CRITICAL):  # that a reducer raised something is logged, and it shall here
        judge.call("panic_now")
        fault = judge.next()
    assert (fault["saw"], fault["reducer"]) == ("fault", "panic_now")
    assert FATAL in fault["text"]
    judge.call("add_pair", 1, "a", 0, 0)
    judge.sees(pair("insert", 1, "a", 0, 0), {"saw": "done", "reducer": "add_pair"})


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_many_rows_at_once(judge, server, compression):
    judge.connect(server, compression=compression)
    judge.do("subscribe", queries=["SELECT * FROM pair"])
    judge.sees({"saw": "applied"})
    judge.call("add_pairs", 1, 3000)
    judge.sees(
        *(pair("insert", n, f"k{n}", n % 10, 0) for n in range(1, 3001)), {"saw": "done", "reducer": "add_pairs"}
    )


def test_the_end_of_a_subscription_and_one_that_is_refused(judge, server):
    judge.connect(server)
    server.run(lambda ctx: ctx.db.pair.insert(Pair(1, "a", 0, 0)))
    judge.do("subscribe", queries=["SELECT * FROM pair WHERE group = 0"])
    judge.sees({"saw": "applied"}, pair("insert", 1, "a", 0, 0))
    judge.do("unsubscribe")
    judge.sees({"saw": "unsubscribed"}, pair("delete", 1, "a", 0, 0))
    judge.do("subscribe", queries=["SELECT * FROM nothing"])
    refused = judge.next()
    assert refused["saw"] == "no subscription"
    assert "no such table: `nothing`" in refused["text"]


@pytest.mark.parametrize("how", ["drop", "close", "restart", "crash"])
def test_back_after_the_link_was_lost(judge, server, how):
    known = judge.connect(server)
    judge.do("subscribe", queries=["SELECT * FROM pair"])
    judge.sees({"saw": "applied"})
    judge.call("add_pair", 1, "a", 0, 0)
    judge.sees(pair("insert", 1, "a", 0, 0), {"saw": "done", "reducer": "add_pair"})
    match how:
        case "drop":
            server.drop_clients()
        case "close":
            server.close_clients()
        case "restart":
            server.restart()
        case "crash":
            server.restart(crash=True)
    assert judge.next()["saw"] == "disconnected"
    back = judge.connect(server, token=known["token"])
    assert back["identity"] == known["identity"]
    judge.do("subscribe", queries=["SELECT * FROM pair"])
    judge.sees({"saw": "applied"}, pair("insert", 1, "a", 0, 0))


def test_tokens_that_are_no_good_any_more(judge, server):
    known = judge.connect(server)
    server.restart(keep_tokens=False)
    assert judge.next()["saw"] == "disconnected"
    judge.do("connect", uri=server.uri, database=server.database, token=known["token"])
    assert judge.next()["saw"] == "no connection"


def test_leaving_and_coming_again(judge, server):
    known = judge.connect(server)
    judge.do("disconnect")
    judge.sees({"saw": "disconnected", "is_error": False})
    assert judge.connect(server, token=known["token"])["identity"] == known["identity"]
