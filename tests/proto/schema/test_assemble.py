from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_schema

from .support import (
    U8,
    names,
    product,
    reducer10,
    table10,
    v10,
    view10,
)

SAME_NAME = names(("Function", "a", "t"), ("Function", "b", "t"))


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (v10(product(), Tables=[table10("t"), table10("t")]), "tables"),
        (v10(product(), Tables=[table10("t")], Views=[view10("t", {"Array": {"Ref": 0}})]), "tables"),
        (v10(Reducers=[reducer10("t"), reducer10("t")]), "reducers"),
        (v10(Reducers=[reducer10("a"), reducer10("b")], ExplicitNames=SAME_NAME), "reducers"),
    ],
)
def test_names_are_unique(answer: Any, what: str) -> None:
    with pytest.raises(SchemaError, match=f"two {what} have the name 't'"):
        load_schema(answer)


def test_a_view_of_a_query_has_the_key_of_its_table() -> None:
    """Trap 11: the answer does not say so, and without the key there are no updates."""
    views = [{**table, "return_type": product(__query__={"Ref": 0})} for table in [_view("v")]]
    for keys, expected in [((0,), 0), ((1, 1), 1), ((0, 1), None), ((0, None), None), ((), None)]:
        tables = [table10(f"t{n}", primary_key=[] if key is None else [key]) for n, key in enumerate(keys)]
        schema = load_schema(v10(product(a=U8, b=U8), product(c=U8), Tables=[*tables, table10("u", 1)], Views=views))
        assert schema.tables["v"].primary_key == expected


def test_a_view_of_rows_has_no_inferred_key() -> None:
    view = _view("v") | {"return_type": {"Array": {"Ref": 0}}}
    inline = _view("w") | {"return_type": product(__query__=product(a=U8))}
    schema = load_schema(v10(product(a=U8), Tables=[table10("t", primary_key=[0])], Views=[view, inline]))
    assert {name: table.primary_key for name, table in schema.tables.items()} == {"t": 0, "v": None, "w": None}


def _view(name: str) -> dict[str, Any]:
    return {"source_name": name, "index": 0, "is_public": True, "is_anonymous": False, "params": {"elements": []}}
