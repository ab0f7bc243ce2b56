"""A digest of what clients depend on, to notice that a module changed.

It covers types, rows, keys, indexes, visibility and signatures under their canonical names. It leaves out what no
client can notice (names of constraints, bounds of sequences, defaults for migrations, SQL of row-level security) and
what one version of the server tells differently from another (source names).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from .types_json import elements_to_json, type_to_json

if TYPE_CHECKING:
    from .definitions import Function, Table
    from .model import Schema

__all__ = ["digest"]


def digest(schema: Schema) -> str:
    """SHA-256 of the schema's canonical content, as hexadecimal text."""
    content = {
        "typespace": [type_to_json(type_) for type_ in schema.typespace],
        "names": sorted(schema.type_names.items()),
        "tables": [_table(table) for table in schema.tables.values()],
        "reducers": [_function(function) for function in schema.reducers.values()],
        "procedures": [_function(function) for function in schema.procedures.values()],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _table(table: Table) -> dict[str, Any]:
    view = table.view
    return {
        "name": table.name,
        "row": type_to_json(table.row),
        "primary_key": table.primary_key,
        "unique": sorted(table.unique_sets),
        "indexes": sorted((index.columns, index.accessor or "", index.kind) for index in table.indexes),
        "auto": sorted(sequence.column for sequence in table.sequences),
        "flags": [table.is_public, table.is_event, table.is_view, table.schedule is not None],
        "params": [] if view is None else elements_to_json(view.params_product.elements, 0),
    }


def _function(function: Function) -> dict[str, Any]:
    returned = function.return_type
    return {
        "name": function.name,
        "params": elements_to_json(function.params_product.elements, 0),
        "returns": None if returned is None else type_to_json(returned),
        "callable": function.is_callable,
    }
