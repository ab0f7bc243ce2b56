from __future__ import annotations

import contextlib
import math
from collections import UserDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema.reader import Node, shorten


def test_paths_name_every_step() -> None:
    root = Node({"tables": [{"name": 1}]}).struct(())
    name = root.list("tables")[0].struct(())["name"]
    assert name.path == "tables[0].name"
    assert Node(1).path == ""


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("x" * 100, "text '" + "x" * 40 + "…'"),
        (5, "the number 5"),
        pytest.param(1 << 100_000, "a number of 100001 bits", id="huge"),
        (1.5, "a float"),
        (math.nan, "a float"),
        ([1, 2], "an array of 2"),
        ({}, "an object without keys"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "an object with the keys 'a', 'b', 'c', 'd'"),
        (object(), "a object"),
    ],
)
def test_errors_say_where_what_and_what_came(value: Any, described: str) -> None:
    error = Node({"at": value}).struct(())["at"].fail("a miracle")
    assert str(error) == f"at: expected a miracle, got {described}"
    assert str(Node(value).fail("a miracle")) == f"definition: expected a miracle, got {described}"


def test_shorten_keeps_short_text() -> None:
    assert shorten("a'b") == '''"a'b"'''


@pytest.mark.parametrize("value", [{"a": 1, "b": 2, "new": 3}, [1, 2], [1, 2, 3], (1, 2), UserDict(a=1, b=2)])
def test_struct_is_an_object_or_an_array_of_fields(value: Any) -> None:
    struct = Node(value).struct(("a", "b"))
    assert (struct["a"].value, struct["b"].value) == (1, 2)
    assert struct["b"].path == "b"


def test_missing_fields() -> None:
    struct = Node([1]).struct(("a", "b"))
    assert struct.get("b") is None
    assert struct.list("b") == []
    with pytest.raises(SchemaError, match="definition: expected a field 'b', got an array of 1"):
        struct["b"]
    with pytest.raises(SchemaError, match="a: expected an array, got the number 1"):
        struct.list("a")


@pytest.mark.parametrize("value", [None, "text", 5, True, 1.5])
def test_not_a_struct(value: Any) -> None:
    with pytest.raises(SchemaError, match="expected an object"):
        Node(value).struct(("a",))


NAMES = ("Zero", "One", "Two")


@pytest.mark.parametrize("value", [{"Two": 5}, {"2": 5}, [2, 5], ["Two", 5], ["2", 5], (2, 5)])
def test_variant_in_all_its_forms(value: Any) -> None:
    name, payload = Node(value).variant(NAMES)
    assert (name, payload.value) == ("Two", 5)


@pytest.mark.parametrize(
    ("value", "name"),
    [({"New": 5}, "New"), ({"3": 5}, "3"), ([17, 5], "17"), ({"9" * 5000: 5}, "9" * 5000), ({"²": 5}, "²")],
)
def test_unknown_variants_are_the_callers_business(value: Any, name: str) -> None:
    found, payload = Node(value).variant(NAMES)
    assert (found, payload.value) == (name, 5)


@pytest.mark.parametrize(
    "value",
    [None, "Two", 2, {}, {"One": 1, "Two": 2}, [], [1], [1, 2, 3], [True, 5], [-1, 5], [10**9, 5], [1.0, 5], [None, 5]],
)
def test_not_a_variant(value: Any) -> None:
    with pytest.raises(SchemaError, match="variant"):
        Node(value).variant(NAMES)


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        ({"some": 5}, 5),
        ({"0": 5}, 5),
        ([0, 5], 5),
        (None, None),
        ({"none": []}, None),
        ([1, []], None),
        ({"some": None}, None),
    ],
)
def test_option(value: Any, payload: Any) -> None:
    found = Node(value).option()
    assert (found.value if found else None) == payload


@pytest.mark.parametrize("value", ["bare", 5, {}, {"maybe": 1}, [2, 5]])
def test_not_an_option(value: Any) -> None:
    with pytest.raises(SchemaError):
        Node(value).option()


@pytest.mark.parametrize("value", ["", "plain", "名前", "a\nb", "\U0001f600"])
def test_text(value: str) -> None:
    assert Node(value).text() == value


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], "half \ud800 a pair"])
def test_not_text(value: Any) -> None:
    with pytest.raises(SchemaError, match="expected text"):
        Node(value).text()


def test_boolean() -> None:
    assert Node(True).boolean() is True
    for value in (0, 1, None, "true"):
        with pytest.raises(SchemaError, match="true or false"):
            Node(value).boolean()


def test_numbers_have_bounds() -> None:
    assert Node(4).below(5) == 4
    assert Node(-(2**127)).i128() == -(2**127)
    for value in (5, -1, True, 1.0, "1", None, math.inf):
        with pytest.raises(SchemaError, match="expected a slot below 5"):
            Node(value).below(5, "a slot")
    for value in (2**127, -(2**127) - 1, True, 1.0, 10**5000):
        with pytest.raises(SchemaError, match="128 bits"):
            Node(value).i128()


@pytest.mark.parametrize("value", ["0700", "07 00", [7, 0]])
def test_octets(value: Any) -> None:
    assert Node(value).octets() == b"\x07\x00"


@pytest.mark.parametrize("value", ["0", "zz", "0x00", [256], [-1], ["00"], None, 5])
def test_not_octets(value: Any) -> None:
    with pytest.raises(SchemaError):
        Node(value).octets()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, st.sampled_from(["items", "text", "boolean", "i128", "octets", "option"]))
def test_nothing_but_schema_errors(value: Any, method: str) -> None:
    with contextlib.suppress(SchemaError):
        getattr(Node(value), method)()
    with contextlib.suppress(SchemaError):
        Node(value).variant(NAMES)
    with contextlib.suppress(SchemaError):
        Node(value).struct(NAMES)["Zero"].below(7)
