from __future__ import annotations

from typing import Any

import pytest

from spacetimedb_proto.bsatn.types import Ref
from spacetimedb_proto.errors import SchemaError
from spacetimedb_proto.schema import load_schema

from .support import (
    U8,
    product,
    table10,
    v10,
)


@pytest.mark.parametrize("typespace", [[{"Ref": 0}], [U8, {"Ref": 2}, {"Ref": 1}]])
def test_references_in_a_circle(typespace: list[Any]) -> None:
    with pytest.raises(SchemaError, match=r"Typespace.types\[\d\]: expected references that lead to a type"):
        load_schema(v10(*typespace))


def test_recursive_types_are_legal() -> None:
    """Also the one that has no value (schema reference, 2.2)."""
    schema = load_schema(v10(product(next={"Ref": 0}), {"Array": {"Ref": 1}}, Tables=[table10("t")]))
    assert schema.tables["t"].columns[0].type == Ref(0)


def test_notes_end_somewhere() -> None:
    schema = load_schema({"sections": [{"New": []}] * 1000})
    assert len(schema.notes) == 100
