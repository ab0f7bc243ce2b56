"""Queries: what a real server said to each, what they mean, and that nothing else than refusals comes out."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.errors import EncodeError
from spacetimedb_sdk.sql import Field, Identifier, literal, select, sql
from spacetimedb_sdk.testing import Index, Module, f32, f64, i256, u8, u16
from spacetimedb_sdk.testing.queries import compile_query, compile_subscription
from spacetimedb_sdk.testing.sql import Compare, Logic, Name, SqlError, Text, parse
from tests.behaviour_module import Pair, behaviour

ME = Identity.from_hex("c2" + "07" * 31)
RECORDED = json.loads((Path(__file__).parent / "recorded_sql.json").read_text("utf-8"))
"""Queries to the behaviour module, and what a server of release 1.2.0 answered: an error, or None for rows."""

values = Module("values")


@values.table(public=True)
class Value:
    flag: bool
    small: u8
    big: i256
    single: f32
    double: f64
    text: str
    data: bytes
    who: Identity
    link: ConnectionId
    when: Timestamp
    key: uuid.UUID
    twin: Index[str]
    many: list[u16]


ROW = Value(
    True, 7, -(2**200), 0.1, 2.5, "it's", b"\x01\xff", ME, ConnectionId.from_int(3),
    Timestamp(1_500_000), uuid.UUID(int=5), "it's", [1],
)  # fmt: skip
ROW = values.schema.row_codec("value").decode_exact(values.schema.row_codec("value").encode(ROW))


def refusal(compile_, text, schema=behaviour.schema):
    try:
        compile_(text, schema, ME)
    except SqlError as error:
        return str(error)
    return None


def holds(condition, row=ROW):
    return compile_query(f"SELECT * FROM value WHERE {condition}", values.schema, ME).matches(row)


# --- refusals ---------------------------------------------------------------------------------------------------------


def in_todays_words(text):
    """What 1.2.0 called no valid table, 2.8.3 says in other words, as transcripts show."""
    if text is not None and text.endswith(" is not a valid table"):
        return f"no such table: {text.split(' ')[0]}. If the table exists, it may be marked private."
    return text


@pytest.mark.parametrize(("query", "error"), RECORDED.items())
def test_a_real_server_says_the_same(query, error):
    assert refusal(compile_query, query) == in_todays_words(error)


@pytest.mark.parametrize("query", [query for query, error in RECORDED.items() if error and query])
def test_a_refused_subscription_names_the_query(query):
    expected = None if query == "SELECT * FROM *" else f"{in_todays_words(RECORDED[query])}, executing: `{query}`"
    assert refusal(compile_subscription, query) == expected


def test_empty_subscriptions():
    assert refusal(compile_subscription, " \n") == "SubscriptionError: Empty string, executing: ` \n`"


def test_long_queries():
    long = f"SELECT * FROM pair WHERE key = '{'x' * 50_000}'"
    assert refusal(compile_query, long) == f'SQL query exceeds maximum allowed length: "{long[:120]}..."'


NO_TABLE = "no such table: `{}`. If the table exists, it may be marked private."
NOT_ROWS = "Column projections are not supported in subscriptions; Subscriptions must return a table type"
NO_LOOKUP = "Event tables cannot be used as the lookup table in subscription joins"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT * FROM pair p JOIN pair q ON p.id = q.id", "SELECT * is not supported for joins"),
        ("SELECT x.* FROM pair p JOIN pair q ON p.id = q.id", "`x` is not in scope"),
        ("SELECT p.* FROM pair p JOIN pair p ON p.id = p.id", "Duplicate name `p`"),
        ("SELECT p.* FROM pair p JOIN pair q ON id = q.id", "Names must be qualified when using joins"),
        ("SELECT p.* FROM pair p JOIN pair q ON p.id = q.id WHERE id = 1", "Names must be qualified when using joins"),
        ("SELECT p.* FROM pair p LEFT JOIN pair q ON p.id = q.id", "Non-inner joins are not supported"),
        ("SELECT p.* FROM pair p NATURAL JOIN pair q", "Non-inner joins are not supported"),
        ("SELECT p.* FROM pair p JOIN pair q ON p.id < q.id", "Non-inner joins are not supported"),
        ("SELECT p.* FROM pair p JOIN pair q ON p.id = 5", "Non-inner joins are not supported"),
        ("SELECT p.* FROM pair p JOIN pair q USING (id)", "Non-inner joins are not supported"),
        ("SELECT p.* FROM pair p JOIN nope n ON p.id = n.id", NO_TABLE.format("nope")),
        ("SELECT p.* FROM pair p JOIN pair q ON p.id = q.value", "Unexpected type: (expected) I32 != U32 (inferred)"),
        ("SELECT p.* FROM pair p JOIN pair q ON p.id = q.nope", "`nope` is not in scope"),
        ("SELECT p.* FROM pair p JOIN message m ON p.id = m.id", "Unexpected type: (expected) U64 != U32 (inferred)"),
        ("SELECT p.id FROM pair p JOIN pair q ON p.id = q.id", NOT_ROWS),
        ("SELECT p.*, q.id FROM pair p", "sql parser error: Expected end of statement, found: , at Line: 1, Column 11"),
        ("SELECT id, * FROM pair", "Mixed wildcard projections are not supported"),
        ("SELECT SUM(id) AS n FROM pair", "Unsupported aggregate function: SUM(id)"),
        ("SELECT 1 FROM pair", "Unsupported projection expression: 1"),
    ],
)  # fmt: skip
def test_refused_joins_and_projections(query, error):
    assert refusal(compile_query, query) == error


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT p.* FROM pair p JOIN pair q ON p.value = q.value", "Subscriptions require indexes on join columns"),
        ("SELECT p.* FROM pair p JOIN pair q", "Subscriptions require indexes on join columns"),
        ("SELECT p.* FROM pair p CROSS JOIN pair q", "Subscriptions require indexes on join columns"),
        ("SELECT p.* FROM pair p JOIN notice n ON p.key = n.text", NO_LOOKUP),
        ("SELECT n.* FROM notice n JOIN no_key k ON k.text = n.text", "Subscriptions require indexes on join columns"),
    ],
)  # fmt: skip
def test_subscriptions_look_rows_up(query, error):
    assert refusal(compile_query, query) is None
    assert refusal(compile_subscription, query) == f"{error}, executing: `{query}`"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT p.* FROM pair p JOIN pair q ON p.value = q.group",
        "SELECT n.* FROM notice n JOIN pair p ON p.key = n.text",
        "SELECT n.* FROM pair p INNER JOIN notice AS n ON p.key = n.text WHERE p.id > 5 AND n.text <> 'x'",
    ],
)
def test_one_index_is_enough(query):
    assert refusal(compile_subscription, query) is None


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "SELECT * FROM pair\nWHERE id = ?",
            "sql parser error: Expected an expression:, found: ? at Line: 2, Column 12",
        ),
        ("SELECT * FROM pair /* no end", "sql parser error: Unexpected EOF while in a multi-line comment"),
        ("SELECT * FROM pair p WHERE pair.id = 1", "`pair` is not in scope"),
        ("SELECT * FROM pair WHERE id = f(1)", "Unsupported expression: f(1)"),
        ("SELECT * FROM v(1)", "Unsupported FROM expression: v(1)"),
        ("SELECT (id) FROM pair", "sql parser error: Expected an expression:, found: ( at Line: 1, Column 8"),
        ("SELECT *", "A FROM clause is required"),
        ("SELECT * FROM pair WHERE id = 0x", "The literal expression `` cannot be parsed as type `U32`"),
        ("SELECT * FROM pair WHERE id = 1e99999", "The literal expression `1e99999` cannot be parsed as type `U32`"),
    ],
)
def test_more_refusals(query, error):
    assert refusal(compile_query, query) == error


def test_a_type_that_contains_itself_is_shown_in_part():
    module = Module("m")

    @module.type
    class Tree:
        branches: list[Tree]

    @module.table(public=True)
    class Plant:
        tree: Tree

    assert "..." in refusal(compile_query, "SELECT * FROM plant WHERE tree = 1", module.schema)


# --- meaning ----------------------------------------------------------------------------------------------------------


def test_all_tables():
    queries = compile_subscription(" select *  from * ", behaviour.schema, ME)
    assert [query.table.name for query in queries] == ["every_type", "message", "no_key", "pair", "user"]


def test_precedence_and_chains():
    where = parse("SELECT * FROM t WHERE a = 1 OR b <> 2 AND (c >= 3 OR d = 4) AND e = 5").where
    assert where == Logic(
        "OR",
        (
            Compare("=", Name(None, "a"), Text("1")),
            Logic(
                "AND",
                (
                    Compare("<>", Name(None, "b"), Text("2")),
                    Logic("OR", (Compare(">=", Name(None, "c"), Text("3")), Compare("=", Name(None, "d"), Text("4")))),
                    Compare("=", Name(None, "e"), Text("5")),
                ),
            ),
        ),
    )


def test_very_many_conditions():
    condition = " OR ".join(f"id = {i}" for i in range(2000))
    query = compile_query(f"SELECT * FROM pair WHERE {condition}", behaviour.schema, ME)
    assert [query.matches(Pair(i, "", 0, 0)) for i in (0, 1999, 2000)] == [True, True, False]


def test_aliases_and_quotes():
    query = compile_query('SELECT "p".* FROM "pair" AS "p" WHERE "p"."key" = \'a\';', behaviour.schema, ME)
    assert (query.table.name, query.matches(Pair(1, "a", 0, 0)), query.matches(Pair(1, "b", 0, 0))) == (
        "pair", True, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("flag", True), ("flag = TRUE", True), ("TRUE = flag", True), ("flag <> true", False), ("FALSE", False),
        ("small = 7", True), ("7 = small", True), ("small = 7.0", True), ("small = 0.7e1", True), ("small = '7'", True),
        ("small > 6 AND small < 8", True), ("small >= 8 OR small <= 6", False),
        ("6 < small", True), ("8 < small", False),
        (f"big = -{2**200}", True), ("big < -5", True), ("big = +1", False),
        ("single = 0.1", True), ("single > 0.1", False), ("double = 25e-1", True), ("double < 1e999", True),
        ("text = 'it''s'", True), ("text = twin", True), ("text < 'j'", True), ("text = 5", False),
        ("data = 0x01ff", True), ("data = '0x1ff'", True), ("data = X'01FF'", True), ("data = 0x", False),
        ("who = :sender", True), (f"who = 0x{ME.hex()}", True), (f"who = '{ME.hex()}'", True),
        (f"link = 0x{'0' * 31}3", True), ("when = '1970-01-01T00:00:01.5Z'", True),
        ("when > '1970-01-01T00:00:02Z'", False),
        ("key = '00000000-0000-0000-0000-000000000005'", True), ("key <> '00000000-0000-0000-0000-000000000006'", True),
        ("(small = 7) = flag", True), ("((small = 7 AND flag))", True),
    ],
)  # fmt: skip
def test_conditions(condition, expected):
    assert holds(condition) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "small = 256", "small = -1", "small = 1.5", "small = 'NaN'", "small = '1_0'", "small = TRUE", "flag = 'TRUE'",
        "single = 'x'", "double = 'inf'", "data = 'xyz'", "who = 0x01", "link = :sender", "when = 5", "key = 'x'",
        "many = 1", "many = many", "small = text", "small", "'x'", ":sender", "small = :sender",
    ],
)  # fmt: skip
def test_ill_typed_conditions(condition):
    assert refusal(compile_query, f"SELECT * FROM value WHERE {condition}", values.schema) is not None


def test_not_a_number_is_never_equal():
    codec = values.schema.row_codec("value")
    row = codec.decode_exact(codec.encode({**{n: getattr(ROW, n) for n in codec.field_names}, "double": float("nan")}))
    assert not holds("double = double", row)
    assert not holds("double < 1 OR double >= 1", row)


# --- what clients write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flag", "small", "big", "double", "text", "data", "who", "link", "when", "key"])
def test_literals_of_the_sdk_are_read_back(name):
    value = getattr(ROW, name)
    assert holds(sql("{} = {}", Identifier(name), value))


@given(st.text())
def test_any_text_is_quoted_and_read_back(text):
    query = compile_query(sql("SELECT * FROM no_key WHERE text = {}", text), behaviour.schema, ME)
    no_key = behaviour.tables["no_key"].row
    assert query.matches(no_key(1, text))
    assert not query.matches(no_key(1, text + "x"))


def test_the_query_builder_is_understood():
    def condition(_):
        return (Field("pair", "id") > 3) & (
            (Field("pair", "key") == "x") | (Field("pair", "group") == Field("pair", "value"))
        )

    query = compile_query(select("pair", None, condition), behaviour.schema, ME)
    assert query.matches(Pair(4, "x", 1, 2))
    assert query.matches(Pair(4, "y", 2, 2))
    assert not query.matches(Pair(3, "x", 2, 2))


# --- anything at all --------------------------------------------------------------------------------------------------

WORDS = [
    "SELECT", "select", "*", "FROM", "pair", "value", '"pair"', "WHERE", "id", "key", "small", "flag", "who", "pair.id",
    ".", "=", "<>", "<", "<=", ">", ">=", "!=", "AND", "OR", "NOT", "(", ")", "1", "-", "+", "1e9", "0x", "0xab", "'a'",
    "''", "'", '"', ":sender", ":", ":x", "TRUE", "NULL", ";", ",", "--", "/*", "*/",
    "LIMIT", "JOIN", "AS", "COUNT(", "E'x'",
    "\n", "$1", "é", "\x00", "1.5.2", "1e999999999999",
]  # fmt: skip


@given(st.text() | st.lists(st.sampled_from(WORDS)).map(" ".join) | st.lists(st.sampled_from(WORDS)).map("".join))
@example("SELECT * FROM value WHERE " + "(" * 10_000)
@example("SELECT * FROM value WHERE small" + " = small" * 10_000)
@example("SELECT * FROM value WHERE double = 1e999999999")
@example("SELECT * FROM value WHERE double = 1e-999999999")
@example("SELECT * FROM value WHERE small = 1e999999999")
@example("SELECT * FROM value WHERE small = 1e-999999999")
@example("SELECT * FROM value WHERE small = 0e999999999")
@example("SELECT * FROM value WHERE single = 1e39")
@example("SELECT * FROM value WHERE text = '\ud800'")
@example("SELECT * FROM value WHERE key = '{00000000000000000000000000000005}'")
def test_nothing_but_refusals_comes_out(text):
    for compile_ in (compile_query, compile_subscription):
        try:
            compiled = compile_(text, values.schema, ME)
        except SqlError:
            continue
        for query in compiled if isinstance(compiled, list) else [compiled]:
            assert query.matches(ROW) in (True, False)


conditions = st.deferred(
    lambda: (
        st.sampled_from(["small = 7", "flag", "text = twin", "small < 3", "big > 0", "TRUE", "FALSE", "who = :sender"])
        | st.tuples(conditions, st.sampled_from(["AND", "OR"]), conditions).map(lambda parts: f"({' '.join(parts)})")
    )
)


@given(conditions)
def test_logic_is_pythons(condition):
    python = condition
    for name, value in [
        ("small = 7", "True"), ("text = twin", "True"), ("small < 3", "False"), ("big > 0", "False"), ("TRUE", "True"),
        ("FALSE", "False"), ("who = :sender", "True"), ("flag", "True"), ("AND", "and"), ("OR", "or"),
    ]:  # fmt: skip
        python = python.replace(name, value)
    if python.count("(") <= 50:
        assert holds(condition) == eval(python)


def test_what_has_no_literal_is_refused_by_the_client():
    with pytest.raises(EncodeError):
        literal([1])
