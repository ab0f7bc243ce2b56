from __future__ import annotations

import copy
import functools
import json
from collections import UserDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import dump_schema, load_schema

from .support import MODULES, RECORDED, U8, one_table, pantry, recorded, v10


def test_text_bytes_and_parsed_json() -> None:
    text = json.dumps(one_table())
    expected = load_schema(one_table())
    for source in (text, text.encode(), bytearray(text.encode()), text.encode("utf-16"), UserDict(one_table())):
        assert load_schema(source) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [9, 10])
def test_tagged_or_bare(version: int) -> None:
    """The route's answer is bare, that of `extract-schema` is tagged (schema reference, 1.3)."""
    bare = recorded("sdk-test-view", version)
    schema = load_schema(bare)
    for tagged in ({f"V{version}": bare}, {str(version - 8): bare}):
        assert load_schema(tagged) == schema
    assert schema.version == load_schema({f"V{version}": bare}).version == version


def test_older_definitions_are_refused() -> None:
    with pytest.raises(SchemaError, match="v8 definition is not supported; servers since"):
        load_schema({"V8BackCompat": {}})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "definition: not JSON"),
        ("{", "definition: not JSON"),
        (b"\xff\xff\xff", "definition: not JSON"),
        ("9" * 5000, "definition: not JSON"),
        ("[" * 100_000, "definition: nested too deeply"),
        ('{"sections":' * 100_000, "definition: nested too deeply"),
        ("missing field `version`", "definition: not JSON: Expecting value: line 1"),
        ("5", "definition: expected an object"),
        ("null", "definition: expected an object"),
        ("{}", r"expected a definition: `sections` \(v10\), `typespace` \(v9\)"),
        ('{"a": 1, "b": 2}', "expected a definition"),
        ('{"V11": {}}', "expected a definition of version 9 or 10, got the unknown version 'V11'"),
        ('{"sections": {}}', "sections: expected an array, got an object without keys"),
        ('{"V10": {"sections": 5}}', "V10.sections: expected an array, got the number 5"),
        ('{"V10": {"section": []}}', "V10: expected a field 'sections', got an object with the keys 'section'"),
        ('{"sections": [{"Typespace": {"types": [{"Ref": NaN}]}}]}', "got a float"),
        ('{"sections": [{"Tables": [{"source_name": "\\ud800"}]}]}', "unpaired surrogate"),
    ],
)
def test_malformed_sources(source: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        load_schema(source)


@pytest.mark.parametrize("source", [None, 5, [], [1, 2, 3], object()])
def test_sources_that_are_none(source: Any) -> None:
    with pytest.raises(SchemaError):
        load_schema(source)


def test_nesting_is_a_limit() -> None:
    answer = v10({"Array": {"Array": {"Array": U8}}})
    assert load_schema(answer, limits=Limits(nesting=3)).limits == Limits(nesting=3)
    with pytest.raises(SchemaError, match="nested at most 2 deep"):
        load_schema(answer, limits=Limits(nesting=2))
    deep = U8
    for _ in range(5000):
        deep = {"Array": deep}
    with pytest.raises(SchemaError, match="nested"):
        load_schema(v10(deep), limits=Limits(nesting=10**9))


# --- nothing but SchemaError ------------------------------------------------------------------------------------------

ANSWERS = [
    f"{module}.v{version}" for module in MODULES for version in (9, 10) if module not in ("sdk-test", "benchmarks")
]

WORDS = ["Ref", "U8", "Product", "elements", "some", "V9", "V10", "sections", "Tables", "Typespace"]
TYPE_KEYS = st.sampled_from(["Ref", "Sum", "Array", "0", "2", "types", "some", "none", "V9", "V10"])
MODULE_KEYS = st.sampled_from(["sections", "Typespace", "Tables", "Submodules", "typespace", "tables"])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None), max_size=3),
    st.sampled_from(WORDS),
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TYPE_KEYS, inner, max_size=2)
        | st.dictionaries(MODULE_KEYS, inner, max_size=2)
    ),
    max_leaves=10,
)
numbered_sections = st.tuples(st.sampled_from([str(number) for number in range(17)]), junk)


def load_or_refuse(source: Any) -> None:
    error = None
    try:
        schema = load_schema(source)
    except SchemaError as refused:
        error = refused
    if error is None:
        assert len(schema.hash) == 64
        assert len(schema.type_names) <= len(schema.typespace)
        assert load_schema(dump_schema(schema)).hash == schema.hash
    else:
        assert 0 < len(str(error)) < 2000


@given(junk)
def test_any_json(source: Any) -> None:
    load_or_refuse(source)


@given(
    st.lists(st.tuples(st.sampled_from([str(n) for n in range(17)]), junk).map(lambda pair: dict([pair])), max_size=4)
)
def test_any_sections(sections: list[Any]) -> None:
    load_or_refuse({"sections": sections})


@given(st.binary(max_size=30) | st.text(st.characters(codec=None), max_size=30))
def test_any_bytes_and_text(source: Any) -> None:
    load_or_refuse(source)


@functools.cache
def answer(name: str) -> Any:
    return pantry() if name == "pantry" else json.loads((RECORDED / f"{name}.json").read_bytes())


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with a key into it."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        item = todo.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            found.append((item, key))
            todo.append(item[key])
    return found


@settings(max_examples=400)
@given(st.data())
def test_mutated_answers(data: st.DataObject) -> None:
    mutant = copy.deepcopy(answer(data.draw(st.sampled_from([*ANSWERS, "pantry"]))))
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(mutant)
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        match data.draw(st.sampled_from(["replace", "remove", "move", "number"])):
            case "replace":
                container[key] = data.draw(junk)
            case "remove":
                del container[key]
            case "move":
                other, at = found[data.draw(st.integers(0, len(found) - 1))]
                container[key] = copy.deepcopy(other[at])
            case _:
                container[key] = data.draw(st.integers(-1, 8))
        if not isinstance(mutant, dict) or not places(mutant):
            break
    load_or_refuse(mutant)


@given(st.data())
def test_truncated_answers(data: st.DataObject) -> None:
    text = (RECORDED / "sdk-test-view.v10.json").read_bytes()
    with pytest.raises(SchemaError):
        load_schema(text[: data.draw(st.integers(0, len(text.rstrip()) - 1))])
