"""Names that Python can spell: schema reference, 6.3 and 6.4."""

from __future__ import annotations

import keyword
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.classes import make_enum, make_product, make_sum
from spacetimedb_proto.bsatn.names import field_names, parameter_names, pascal, variant_names
from tests.strategies import names


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        (["id", "fooBar", "foo_bar", "match", "名前"], ["id", "fooBar", "foo_bar", "match", "名前"]),
        (["class", "None", "import"], ["class_", "None_", "import_"]),
        (["class", "class_"], ["class__", "class_"]),
        (["x", "x"], ["x", "x_"]),
        ([None, "", "field_0"], ["field_0_", "field_1", "field_0"]),
        (["_id", "__x__", "__x", "__init__", "a__b"], ["_id", "__x___", "__x____", "__init___", "a__b"]),
        (["ﬁeld", "field"], ["field_", "field"]),
        (["1st", "a b", "--"], ["n_1st", "a_b", "___"]),
        (["self"], ["self"]),
    ],
)
def test_fields(given_names: list[str | None], expected: list[str]) -> None:
    assert field_names(given_names) == tuple(expected)


def test_parameters() -> None:
    assert parameter_names(["def", "self", "text", None]) == ("def_", "self_", "text", "arg_3")


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        (["u8", "bannedUntil", "usd", "active1", "i128"], ["U8", "BannedUntil", "Usd", "Active1", "I128"]),
        (["none", "true", "class", "mro"], ["None_", "True_", "Class", "Mro"]),
        (["some", "Some"], ["Some_", "Some"]),
        (["", None, "_", ".a."], ["Variant_0", "Variant_1", "Variant_2", "n_a_"]),
    ],
)
def test_variants(given_names: list[str | None], expected: list[str]) -> None:
    assert variant_names(given_names) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("AddPerson2", "AddPerson2"), ("person2name", "Person2Name"), ("HTTPServer", "HttpServer"), ("a-b c_d", "ABCD")],
)
def test_pascal_case_is_the_servers(text: str, expected: str) -> None:
    assert pascal(text) == expected


@given(st.lists(st.none() | names, max_size=6))
def test_any_names_give_distinct_identifiers_that_a_class_can_have(wire_names: list[str | None]) -> None:
    for convert in (field_names, parameter_names, variant_names):
        found = convert(wire_names)
        assert len(set(found)) == len(found) == len(wire_names)
        assert convert(wire_names) == found
        for name in found:
            assert name.isidentifier()
            assert not keyword.iskeyword(name)
            assert unicodedata.normalize("NFKC", name) == name
            assert not name.startswith("__") or name.endswith("___") or not name.strip("_")
    fields = field_names(wire_names)
    made = make_product("Any", fields)(*range(len(fields)))
    assert [getattr(made, name) for name in fields] == list(range(len(fields)))
    variants = variant_names(wire_names)
    assert [member.name for member in make_enum("Any", variants)] == list(variants)
    base = make_sum("Any", [(name, True) for name in variants])
    assert all(issubclass(getattr(base, name), base) for name in variants)
