"""The HTTP API beyond what was recorded: statements of SQL, calls, the log, and refusals."""

from __future__ import annotations

import http.client
import json
import random

import pytest

from spacetimedb_proto.events import Disconnected
from spacetimedb_sdk.testing import AutoInc, Module, PrimaryKey, ReducerError, Unique, i32, serve, u8, u64
from spacetimedb_sdk.testing.site import Site
from tests.sdk.testing.support import ask, connected, database, exchanged

JSON = ("content-type", "application/json")
DIGITS = "9" * 5000
NOBODY = "c2" + "00" * 31

shop = Module("shop")
seen: list[tuple[str, object]] = []


@shop.type
class Place:
    x: i32
    tags: list[str]


@shop.table(public=True)
class Item:
    id: PrimaryKey[AutoInc[u64]]
    name: Unique[str]
    stock: i32


@shop.table(public=True)
class Spot:
    item: u64
    place: Place
    note: str | None


@shop.table
class Secret:
    text: str


@shop.table
class Barred:
    name: str


@shop.client_connected
def client_connected(ctx):
    seen.append(("came", ctx.connection_id))
    if ctx.db.barred.count():
        raise ReducerError("closed today")


@shop.client_disconnected
def client_disconnected(ctx):
    seen.append(("left", ctx.connection_id))


@shop.reducer
def stock(ctx, name: str, count: i32):
    if count < 0:
        raise ReducerError(f"{count} is no stock")
    ctx.log(f"{count} of {name}")
    ctx.log("careful", level="Warn")
    ctx.db.item.insert(name=name, stock=count)


@shop.reducer
def close(ctx):
    ctx.db.barred.insert(name="all")


@shop.procedure
def found(ctx, place: Place, small: u8) -> Place | None:
    return Place(place.x + small, [*place.tags, "found"]) if small else None


@shop.procedure
def lost(ctx) -> u8:
    raise RuntimeError("lost")


@pytest.fixture
def site():
    seen.clear()
    return Site(database(shop), random_bytes=random.Random(1).randbytes)


def as_owner(site, *headers):
    return [("authorization", f"Bearer {site.owner.token}"), *headers]


def sql(site, text, headers=None):
    return ask(site, "POST", "/v1/database/shop/sql", as_owner(site) if headers is None else headers, text.encode())


def result(site, text):
    answer = sql(site, text)
    assert answer.status == 200, answer.body
    (only,) = json.loads(answer.body)
    return only


def rows(site, text):
    return result(site, text)["rows"]


def stats(site, text):
    return tuple(result(site, text)["stats"].values())


def call(site, name, args=b"[]", headers=(JSON,)):
    answer = ask(site, "POST", f"/v1/database/shop/call/{name}", headers, args)
    return answer.status, answer.body.decode()


# --- SQL --------------------------------------------------------------------------------------------------------------


def test_rows_come_and_change_and_go(site):
    assert stats(site, "INSERT INTO item (id, name, stock) VALUES (0, 'tea', 5), (0, 'rice', -2);") == (2, 0, 0)
    assert rows(site, "SELECT * FROM item") == [[1, "tea", 5], [2, "rice", -2]]
    assert stats(site, "UPDATE item SET stock = 7, name = 'tea''s' WHERE id = 1 AND stock < 6") == (0, 0, 1)
    assert stats(site, "UPDATE item SET stock = 7 WHERE id = 9") == (0, 0, 0)
    assert rows(site, "SELECT name, stock FROM item WHERE stock = 7") == [["tea's", 7]]
    assert stats(site, "DELETE FROM item WHERE item.name = 'rice'") == (0, 1, 0)
    assert stats(site, "delete from item") == (0, 1, 0)
    assert rows(site, "SELECT COUNT(*) AS n FROM item") == [[0]]


def test_columns_go_by_their_names(site):
    assert stats(site, "INSERT INTO item (stock, id, name) VALUES (5, 1, 'tea')") == (1, 0, 0)
    found = result(site, 'SELECT i."name" AS title, stock s, id FROM item i LIMIT 1')
    assert found["rows"] == [["tea", 5, 1]]
    assert found["schema"]["elements"] == [
        {"name": {"some": "title"}, "algebraic_type": {"String": []}},
        {"name": {"some": "s"}, "algebraic_type": {"I32": []}},
        {"name": {"some": "id"}, "algebraic_type": {"U64": []}},
    ]


def test_values_are_positional_and_types_spelled_out(site):
    site.database.run(lambda ctx: ctx.db.spot.insert(item=1, place=Place(3, ["a"]), note="x"))
    found = result(site, "SELECT place, note FROM spot")
    assert found["rows"] == [[[3, ["a"]], [0, "x"]]]
    place, _ = found["schema"]["elements"]
    assert place["algebraic_type"] == {
        "Product": {
            "elements": [
                {"name": {"some": "x"}, "algebraic_type": {"I32": []}},
                {"name": {"some": "tags"}, "algebraic_type": {"Array": {"String": []}}},
            ]
        }
    }
    assert [row[1] for row in rows(site, "SELECT * FROM spot")] == [[3, ["a"]]]


def test_joins_and_limits(site):
    sql(site, "INSERT INTO item (id, name, stock) VALUES (1, 'tea', 5), (2, 'rice', 6), (3, 'salt', 7)")
    for item in (1, 1, 3):
        note = None if item == 3 else str(len(rows(site, "SELECT item FROM spot")))
        site.database.run(
            lambda ctx, item=item, note=note: ctx.db.spot.insert(item=item, place=Place(0, []), note=note)
        )
    join = "FROM item i JOIN spot s ON i.id = s.item"
    assert rows(site, f"SELECT i.* {join}") == [[1, "tea", 5], [1, "tea", 5], [3, "salt", 7]]
    assert rows(site, f"SELECT i.name, s.note {join} WHERE i.stock > 5") == [["salt", [1, []]]]
    assert rows(site, f"SELECT COUNT(*) AS n {join}") == [[3]]
    assert rows(site, "SELECT id FROM item LIMIT 2") == [[1], [2]]
    assert rows(site, "SELECT * FROM item LIMIT 0") == []
    assert rows(site, f"SELECT id FROM item LIMIT 00{2**64 - 1}") == rows(site, "SELECT id FROM item")


LONG = f"SELECT * FROM item WHERE name = '{'x' * 50_000}'"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Empty SQL query"),
        ("SELECT * FROM item; DELETE FROM item", "Multiple SQL statements are not supported"),
        ("DELETE FROM item; DELETE FROM item", "Multiple SQL statements are not supported"),
        ("DELETE item", "sql parser error: Expected FROM, found: item at Line: 1, Column 8"),
        ("DELETE FROM nope", "no such table: `nope`. If the table exists, it may be marked private."),
        ("DELETE FROM item WHERE nope = 1", "`nope` is not in scope"),
        ("INSERT INTO item (id) VALUES (1)", "The number of fields (1) in the INSERT does not match the number of columns (3) of the table `item`"),  # noqa: E501
        ("INSERT INTO item (id, name, stock) VALUES (1)", "Inserting a row with 1 values into `item` which has 3 fields"),  # noqa: E501
        ("INSERT INTO item (id, name, nope) VALUES (1, 'a', 2)", "`item` does not have a field `nope`"),
        ("INSERT INTO item (id, name, stock) VALUES (1, 'a', 'b')", "The literal expression `b` cannot be parsed as type `I32`"),  # noqa: E501
        ("INSERT INTO item (id, name, stock) VALUES (1, 'a', TRUE)", "Unexpected type: (expected) Bool != I32 (inferred)"),  # noqa: E501
        ("INSERT INTO item (id, name, stock) VALUES (1, 'a', id)", "Unsupported INSERT value: id"),
        ("INSERT INTO item (id, name, stock) VALUES (1, 'a', :sender)", "Unsupported literal expression: :sender"),
        ("INSERT INTO item (id, name, stock) SELECT * FROM item", "Unsupported INSERT expression: SELECT * FROM item"),
        ("INSERT INTO item (id, name, stock) VALUES (0, 'a', 1), (0, 'a', 1)", "insertion error on table `item`: duplicate unique column `name`"),  # noqa: E501
        ("UPDATE item SET nope = 1", "`item` does not have a field `nope`"),
        ("UPDATE item SET stock = id", "Unsupported column/variable assignment expression: id"),
        ("SET row_limit = 5", "Unsupported: SET row_limit = 5"),
        ("SELECT * FROM item LIMIT 1.5", "The literal expression `1.5` cannot be parsed as type `U64`"),
        (f"SELECT * FROM item LIMIT {2**64}", f"The literal expression `{2**64}` cannot be parsed as type `U64`"),
        (f"SELECT * FROM item LIMIT {DIGITS}", f"The literal expression `{DIGITS}` cannot be parsed as type `U64`"),
        ("SELECT * FROM item LIMIT x", "Unsupported LIMIT expression: x"),
        ("SELECT COUNT(id) AS n FROM item", "Unsupported aggregate function: COUNT(id)"),
        (LONG, f'SQL query exceeds maximum allowed length: "{LONG[:120]}..."'),
    ],
)  # fmt: skip
def test_refused_statements(site, text, error):
    answer = sql(site, text)
    assert (answer.status, answer.body.decode()) == (400, error)
    assert rows(site, "SELECT * FROM item") == [], "and undone"


def test_only_the_owner_changes_rows_and_sees_all_tables(site):
    assert stats(site, "INSERT INTO secret (text) VALUES ('psst')") == (1, 0, 0)
    assert rows(site, "SELECT * FROM secret") == [["psst"]]
    answer = sql(site, "DELETE FROM item", headers=())
    assert (answer.status, answer.body) == (400, b"Only owners are authorized to run SQL DML statements")
    answer = sql(site, "SELECT * FROM secret", headers=())
    assert (answer.status, answer.body) == (
        400,
        b"no such table: `secret`. If the table exists, it may be marked private.",
    )
    assert json.loads(sql(site, "SELECT * FROM item", headers=()).body)[0]["rows"] == []


def test_the_owner_subscribes_to_private_tables(site):
    sql(site, "INSERT INTO secret (text) VALUES ('psst')")
    owner = connected(site, name="shop", token=site.owner.token)
    assert [row.text for row in owner.rows("SELECT * FROM secret")["secret"]] == ["psst"]
    assert connected(site, name="shop").rows("SELECT * FROM secret") == {}


def test_subscribers_learn_of_what_comes_over_http(site):
    visitor = connected(site, name="shop")
    visitor.rows("SELECT * FROM item")
    sql(site, "INSERT INTO item (id, name, stock) VALUES (4, 'tea', 5)")
    (update,) = visitor.events()
    assert [change.row.name for change in update.changes["item"]] == ["tea"]
    assert call(site, "stock", b'["rice", 1]') == (200, "")
    (update,) = visitor.events()
    assert [change.row.name for change in update.changes["item"]] == ["rice"]


# --- calls ------------------------------------------------------------------------------------------------------------


def test_arguments_in_order_or_by_name(site):
    assert call(site, "stock", b'["tea", 5]') == (200, "")
    assert call(site, "stock", b' { "count": 6, "name": "rice" } ') == (200, "")
    assert rows(site, "SELECT name, stock FROM item") == [["tea", 5], ["rice", 6]]


@pytest.mark.parametrize(
    ("name", "args", "status", "text"),
    [
        ("stock", b'["tea", -5]', 530, "-5 is no stock"),
        ("client_connected", b"[]", 400, "can't directly call special OnConnect lifecycle reducer"),
        ("nope", b"[]", 404, "No such procedure"),
        ("found", b"[[3, []], 0]", 200, "[1,[]]"),
        ("found", b'[{"x": 3, "tags": ["a"]}, 4]', 200, '[0,[7,["a","found"]]]'),
        ("lost", b"[]", 500, "The module instance encountered a fatal error: see the log of the database"),
    ],
)
def test_what_calls_are_answered(site, name, args, status, text):
    assert call(site, name, args) == (status, text)


@pytest.mark.parametrize(
    ("args", "index", "text"),
    [
        (b"[5, 6]", 0, "invalid type: integer `5`, expected a string at line 1 column 2"),
        (b'["tea",\n "x"]', 1, 'invalid type: string "x", expected i32 at line 2 column 4'),
        (b'["tea", 1.5]', 1, "invalid type: floating point `1.5`, expected i32 at line 1 column 11"),
        (b'["tea", null]', 1, "invalid type: null, expected i32 at line 1 column 12"),
        (b'["tea", true]', 1, "invalid type: boolean `true`, expected i32 at line 1 column 12"),
        (b'["tea", [1]]', 1, "invalid type: sequence, expected i32 at line 1 column 11"),
        (b'["tea", {"a": 1}]', 1, "invalid type: map, expected i32 at line 1 column 16"),
        (b'["tea", 3000000000]', 1, "invalid value: integer `3000000000`, expected i32 at line 1 column 18"),
    ],
)
def test_an_argument_of_another_kind(site, args, index, text):
    chain = (
        f"invalid arguments for reducer stock: [{index}]: invalid arguments for function stock: [{index}]: [{index}]"
    )
    assert call(site, "stock", args) == (400, f"{chain}: {text}")


@pytest.mark.parametrize(
    "args", [b"", b"[", b"5", b'["tea"]', b'["tea", 1, 2]', b'{"name": "tea"}', b"[" * 100_000, b'"']
)
def test_other_wrong_arguments(site, args):
    status, text = call(site, "stock", args)
    assert (status, text[:37]) == (400, "invalid arguments for reducer stock: ")


def test_arguments_that_are_no_plain_type(site):
    assert call(site, "found", b"[[3], 1]")[0] == 400


@pytest.mark.parametrize(
    ("headers", "args", "status", "text"),
    [
        ([], b"[]", 400, "Header of type `content-type` was missing"),
        ([("content-type", "application/json; charset=utf-8")], b"[]", 415, "Expected request with `Content-Type: application/json`"),  # noqa: E501
        ([JSON], b"\xff", 400, "Request body didn't contain valid UTF-8: invalid start byte"),
        ([JSON], b" " * (2 * 1024 * 1024 + 1), 413, "Failed to buffer the request body: length limit exceeded"),
    ],
)  # fmt: skip
def test_requests_that_are_no_calls(site, headers, args, status, text):
    assert call(site, "stock", args, headers) == (status, text)
    assert seen == [], "nobody has come"


def test_each_request_is_a_visit(site):
    call(site, "stock", b'["tea", 1]')
    sql(site, "SELECT * FROM item")
    assert [what for what, _ in seen] == ["came", "left", "came", "left"]
    assert seen[0][1] == seen[1][1] != seen[2][1]


def test_a_visitor_who_is_refused(site):
    call(site, "close")
    assert call(site, "stock", b'["tea", 1]') == (403, "closed today")
    assert sql(site, "SELECT * FROM item").status == 403


# --- the log ----------------------------------------------------------------------------------------------------------


def log(site, options=""):
    answer = ask(site, "GET", f"/v1/database/shop/logs{options}", as_owner(site))
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def test_what_a_module_writes(site):
    call(site, "stock", b'["tea", 1]')
    assert [{**line, "ts": 0} for line in log(site)] == [
        {"level": "Info", "ts": 0, "target": "shop", "function": "stock", "message": "1 of tea"},
        {"level": "Warn", "ts": 0, "target": "shop", "function": "stock", "message": "careful"},
    ]
    assert len({line["ts"] for line in log(site)}) == 2


def test_what_goes_wrong_is_in_the_log(site):
    call(site, "stock", b'["tea", -1]')
    call(site, "lost")
    refused, missing, panic = log(site, "?num_lines=3")
    assert missing["message"].startswith('External attempt to call nonexistent reducer "lost" failed.'), (
        "looked up first"
    )
    assert (refused["level"], refused["function"], refused["message"]) == ("Error", "stock", "-1 is no stock")
    assert (panic["level"], panic["function"], panic["message"]) == ("Panic", "lost", "lost")
    assert panic["trace"][0] == {"func_name": "lost"}
    assert [line["message"] for line in log(site, "?num_lines=1")] == ["lost"]
    assert log(site, "?num_lines=0") == []


def test_the_log_outlives_another_version_of_the_module(site):
    site.database.run(lambda ctx: ctx.log("before"))
    site.republish(shop)
    assert [line["message"] for line in log(site)] == ["before"]
    site.restart(keep_rows=False)
    assert log(site) == []


def test_whoever_follows_is_told_line_by_line(site):
    site.database.run(lambda ctx: ctx.log("before"))
    service, exchange = exchanged(site, "GET", "/v1/database/shop/logs?follow=true&num_lines=1", as_owner(site))
    woken = []
    service.on_output(lambda: woken.append(True))
    site.database.run(lambda ctx: ctx.log("later"))
    assert woken == [True]
    exchange.receive_data(service.data_to_send())
    told = [json.loads(line)["message"] for line in exchange.partial.body.splitlines()]
    assert told == ["before", "later"]
    service.receive_eof()
    assert isinstance(service.next_event(), Disconnected)
    site.database.run(lambda ctx: ctx.log("nobody listens"))
    assert woken == [True]


def test_a_restart_ends_what_is_followed(site):
    service, exchange = exchanged(site, "GET", "/v1/database/shop/logs?follow=true", as_owner(site))
    site.restart()
    exchange.receive_data(service.data_to_send())
    assert exchange.next_event().status == 200
    assert isinstance(service.next_event(), Disconnected)
    assert site.links == {}


def test_following_over_a_socket():
    with serve(shop) as server:
        server.run(lambda ctx: ctx.log("before"))
        host, port = server.uri.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        headers = {"Authorization": f"Bearer {server.owner_token}"}
        connection.request("GET", "/v1/database/shop/logs?follow=true", headers=headers)
        response = connection.getresponse()
        assert json.loads(response.readline())["message"] == "before"
        server.run(lambda ctx: ctx.log("later"))
        assert json.loads(response.readline())["message"] == "later"
        server.stop()
        assert response.read() == b""
        connection.close()


# --- other routes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/v1/database/shop/unstable/timestamp", 200, None),
        ("GET", "/v1/database/shop/call/stock", 405, ""),
        ("GET", "/v1/database/shop/sql", 405, ""),
        ("PATCH", "/v1/database/shop", 405, ""),
        ("GET", "/v1/database", 405, ""),
        ("POST", "/v1/database/nope/sql", 404, "`nope` not found"),
        ("GET", "/v1/database/nope/logs", 404, "`nope` not found"),
        ("GET", f"/v1/database/{NOBODY}", 404, "No such database."),
        ("GET", "/v1/database/shop/logs?num_lines=x", 400, "Failed to deserialize query string: num_lines: invalid digit found in string"),  # noqa: E501
        ("GET", "/v1/database/shop/logs?follow=x", 400, "Failed to deserialize query string: follow: provided string was not `true` or `false`"),  # noqa: E501
        ("GET", "/v1/database/shop/call/stock/more", 404, ""),
        ("GET", f"/v1/identity/{NOBODY}/verify", 401, "Authorization required"),
        ("GET", f"/v1/identity/{NOBODY}/databases", 200, '{"identities":[]}'),
        ("GET", "/v1/identity/xyz/databases", 400, "Invalid URL: expected an identity, 64 hexadecimal digits"),
        ("GET", "/v1/identity/public-key", 501, "the testing server signs its tokens with a secret, so there is no public key"),  # noqa: E501
        ("GET", "/v1/identity/xyz/more", 404, ""),
    ],
)  # fmt: skip
def test_other_routes(site, method, target, status, body):
    answer = ask(site, method, target)
    assert answer.status == status
    assert body in (None, answer.body.decode())


PUBLISH = (
    "publishing over HTTP is not supported by the testing server: `server.republish(module)` serves another version"
)
NAMES = "giving names is not supported by the testing server: a database has that of its module"


@pytest.mark.parametrize(
    ("method", "target", "text"),
    [
        ("POST", "/v1/database", PUBLISH),
        ("PUT", "/v1/database/shop?clear=true", PUBLISH),
        ("PUT", "/v1/database/new", PUBLISH),
        ("POST", "/v1/database/shop/pre_publish?style=NoColor", PUBLISH),
        ("DELETE", "/v1/database/shop", "deleting a database is not supported by the testing server: `server.restart(keep_rows=False)` empties it, `server.stop()` ends it"),  # noqa: E501
        ("POST", "/v1/database/shop/names", NAMES),
        ("PUT", "/v1/database/shop/names", NAMES),
    ],
)  # fmt: skip
def test_administration_is_refused_by_name(site, method, target, text):
    answer = ask(site, method, target, as_owner(site), b"program")
    assert (answer.status, answer.body.decode()) == (501, text)
    assert ask(site, "GET", "/v1/database/shop/names").body == b'{"names":["shop"]}'


def test_a_token_of_somebody_else_is_not_verified(site):
    answer = ask(site, "GET", f"/v1/identity/{NOBODY}/verify", as_owner(site))
    assert (answer.status, answer.body) == (400, b"")


def test_the_owner_keeps_his_identity_when_tokens_are_forgotten(site):
    before = site.owner
    site.restart(keep_tokens=False)
    assert site.owner.identity == before.identity
    old = ask(site, "GET", "/v1/database/shop/logs", [("authorization", f"Bearer {before.token}")])
    assert old.status == 401
    assert log(site) == []


@pytest.mark.parametrize("path", ["identity/websocket-token", "database/shop/sql", "database/shop/call/stock"])
def test_pages_of_other_origins_may_ask_first(site, path):
    asked = [("origin", "http://page"), ("access-control-request-method", "POST"), ("authorization", "Bearer no")]
    answer = ask(site, "OPTIONS", f"/v1/{path}", asked)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-methods") == "*"
    assert answer.header("access-control-allow-headers") == "authorization,accept,content-type"
    assert answer.header("spacetime-identity") is None, "nobody is made for it"


def test_what_is_not_there_may_not_be_asked_first(site):
    assert ask(site, "OPTIONS", "/elsewhere").status == 404


@pytest.mark.parametrize(("value", "status"), [("true", 200), ("false", 200), ("maybe", 400)])
def test_whether_sql_waits_is_a_bool(site, value, status):
    answer = ask(site, "POST", f"/v1/database/shop/sql?confirmed={value}", body=b"SELECT * FROM item")
    assert answer.status == status


def test_what_nobody_thought_of_is_an_answer_and_logged(site, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("not thought of")

    monkeypatch.setattr(type(site.database), "execute", broken)
    answer = ask(site, "POST", "/v1/database/shop/sql?confirmed=true&secret=secret", body=b"SELECT 1")
    assert (answer.status, answer.body) == (500, b"")
    assert "POST /v1/database/shop/sql: no answer" in caplog.text
    assert "not thought of" in caplog.text
    assert "secret" not in caplog.text
