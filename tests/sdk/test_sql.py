"""SQL text from values: quoted as the server parses it, or refused."""

from __future__ import annotations

import operator
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_sdk import ConnectionId, EncodeError, Identity, Query, Timestamp, literal, sql
from spacetimedb_sdk.sql import Condition, Field, Fields, Identifier, select

IDENTITY = Identity.from_hex("c2" + "01" * 31)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "TRUE"),
        (False, "FALSE"),
        (0, "0"),
        (-(2**127), "-170141183460469231731687303715884105728"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        ("", "''"),
        ("it's", "'it''s'"),
        ("'; DROP TABLE user; --", "'''; DROP TABLE user; --'"),
        ("h\u00e9llo", "'h\u00e9llo'"),
        (b"\x00\xff", "0x00ff"),
        (bytearray(b"\x01"), "0x01"),
        (IDENTITY, "0x" + "c2" + "01" * 31),
        (ConnectionId.from_hex("0f" * 16), "0x" + "0f" * 16),
        (Timestamp(0), "'1970-01-01T00:00:00+00:00'"),
        (uuid.UUID(int=1), "'00000000-0000-0000-0000-000000000001'"),
        (Identifier('odd"name'), '"odd""name"'),
    ],
)
def test_literals(value, text):
    assert literal(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), [1], {}, object()])
def test_what_has_no_literal_is_refused(value):
    with pytest.raises(EncodeError, match="expected a value that SQL has a literal for, got"):
        literal(value)


@given(st.text())
def test_a_string_is_one_literal_whatever_it_holds(text):
    quoted = literal(text)
    assert quoted[0] == quoted[-1] == "'"
    inside = quoted[1:-1]
    assert inside.replace("''", "").count("'") == 0
    assert inside.replace("''", "'") == text


def test_templates():
    assert sql("SELECT * FROM user") == "SELECT * FROM user"
    assert sql("SELECT * FROM t WHERE a = {} AND b = {}", 1, "x") == "SELECT * FROM t WHERE a = 1 AND b = 'x'"
    assert sql("SELECT * FROM {t} WHERE a = {a}", t=Identifier("my t"), a=2) == 'SELECT * FROM "my t" WHERE a = 2'
    assert sql("a = {} AND b = {b} AND c = {}", 1, 2, b=3) == "a = 1 AND b = 3 AND c = 2"
    assert sql("a = '{{}}' AND b = {}", 1) == "a = '{}' AND b = 1"
    assert isinstance(sql("x"), Query)


@pytest.mark.parametrize(
    ("template", "args", "kwargs", "message"),
    [
        ("{}", (), {}, "no value for place 1"),
        ("{a}", (), {}, "no value for place a"),
        ("x", (1,), {}, "no place for 0"),
        ("{}", (1,), {"b": 2}, "no place for b"),
        ("{!r}", ("x",), {}, "a place takes no format"),
        ("{:>10}", ("x",), {}, "a place takes no format"),
        ("{0}", ("x",), {}, "use {} or {name}"),
    ],
)
def test_places_and_values_must_match(template, args, kwargs, message):
    with pytest.raises(TypeError) as caught:
        sql(template, *args, **kwargs)
    assert message in str(caught.value)


def test_too_long_for_the_server():
    with pytest.raises(EncodeError, match="a query of at most 50000 bytes, got 50003 bytes"):
        sql("{}", "x" * 50_001)


def test_conditions():
    a, b = Field("t", "a"), Field("t", "b")
    condition = ((a == 1) & (b != "x")) | (a < b)
    assert repr(condition) == """<condition (("t"."a" = 1 AND "t"."b" <> 'x') OR "t"."a" < "t"."b")>"""
    assert (a <= 1).text == '"t"."a" <= 1'
    assert (a > 1).text == '"t"."a" > 1'
    assert (a >= 1).text == '"t"."a" >= 1'
    assert select("t") == 'SELECT * FROM "t"'
    assert select("t", None, lambda _: Condition("x")) == 'SELECT * FROM "t" WHERE x'


@pytest.mark.parametrize(
    ("condition", "got"),
    [
        (lambda p: True, "got True (bool)"),
        (lambda p: None, "got None (NoneType)"),
        (lambda p: "level > 3", "got 'level > 3' (str)"),
        (lambda p: p.level, 'got the column "player"."level" alone'),
        (lambda p: p.level or p.name, 'got the column "player"."level" alone'),
    ],
)
def test_what_is_no_condition(condition, got):
    fields = Fields("player", {"level": "level", "name": "name"})
    with pytest.raises(TypeError) as caught:
        select("player", fields, condition)
    assert str(caught.value) == f"player.where(): expected a condition such as `p.level > 3`, {got}"


@pytest.mark.parametrize("condition", [True, "level > 3", Condition("x")])
def test_a_condition_is_a_function_of_the_columns(condition):
    with pytest.raises(TypeError, match=r"^player.where\(\): expected a function such as lambda p: p.level > 3, got "):
        select("player", Fields("player", {"level": "level"}), condition)


@pytest.mark.parametrize("other", [True, Field("t", "b")])
def test_conditions_combine_with_conditions(other):
    for combine in (operator.and_, operator.or_):
        with pytest.raises(TypeError, match=r"^& and \|: expected a condition such as `p.level > 3`, got "):
            combine(Field("t", "a") == 1, other)


def test_a_column_that_there_is_not():
    fields = Fields("t", {"a": "a", "class": "class", "class_": "class"})
    with pytest.raises(AttributeError, match="^t has no column 'b'; there are: a, class$"):
        _ = fields.b
    with pytest.raises(AttributeError, match="^t has no column 'b'; there are: none$"):
        _ = Fields("t", {})["b"]


def test_conditions_do_not_combine_with_python_keywords():
    a = Field("t", "a")
    with pytest.raises(TypeError, match="combine with & and |"):
        (a == 1) and (a == 2)  # noqa: B018
    with pytest.raises(TypeError, match="combine with & and |"):
        1 < a < 2  # noqa: B015
