"""Reads Arrow columns back into the values that they were made of: the other way round, written on its own."""

from __future__ import annotations

import json
import math
import uuid

import pyarrow as pa

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    OptionNode,
    ProductNode,
    ScalarNode,
    Slot,
    SumNode,
    TextNode,
    UnitNode,
    plain,
)
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Some, TimeDuration, Timestamp


def rows_of(table, node):
    """The rows of a table; columns belong to fields by position."""
    product = plain(node)
    columns = [
        values_of(column.combine_chunks(), field.node)
        for column, field in zip(table.columns, product.fields, strict=True)
    ]
    return [product.cls(*values) for values in zip(*columns, strict=True)] if columns else [product.cls()] * len(table)


def values_of(array, node):
    """The values of a column; None where there is none."""
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    match node:
        case Slot(cyclic=True):
            return [None if text is None else of_json(json.loads(text), node) for text in array.to_pylist()]
        case Slot():
            return values_of(array, node.node)
        case ScalarNode(kind="wide"):
            return [None if text is None else int(text) for text in array.to_pylist()]
        case NewtypeNode(cls=cls) if cls in (Timestamp, TimeDuration):
            return [None if micros is None else cls(micros) for micros in array.cast(pa.int64()).to_pylist()]
        case NewtypeNode():
            return [None if text is None else of_text(text, node) for text in array.to_pylist()]
        case ScalarNode() | TextNode() | BytesNode():
            return array.to_pylist()
        case UnitNode():
            return [None if there is None else () for there in array.to_pylist()]
        case EnumNode(members=members):
            assert array.dictionary is not None
            return [None if tag is None else members[tag] for tag in array.indices.to_pylist()]
        case ArrayNode(element=element):
            return [values_of(array[n].values, element) if array[n].is_valid else None for n in range(len(array))]
        case OptionNode(payload=payload) if isinstance(plain(payload), OptionNode):
            inner = values_of(array.field(0), payload)
            return [Some(value) if array[n].is_valid else None for n, value in enumerate(inner)]
        case OptionNode(payload=payload):
            return values_of(array, payload)
        case ProductNode(fields=()):
            return [None if there is None else node.cls() for there in array.to_pylist()]
        case ProductNode(fields=fields):
            columns = [values_of(array.field(n), field.node) for n, field in enumerate(fields)]
            rows = zip(*columns, strict=True)
            return [node.cls(*row) if array[n].is_valid else None for n, row in enumerate(rows)]
        case SumNode():
            return sums_of(array, node)


def sums_of(array, node):
    tags = array.field(0).indices.to_pylist()
    payloads = iter(range(1, array.type.num_fields))
    columns = [values_of(array.field(next(payloads)), v.node) if holds(v.node) else None for v in node.variants]
    found = []
    for n, tag in enumerate(tags):
        if not array[n].is_valid:
            found.append(None)
            continue
        for other, column in enumerate(columns):
            assert other == tag or column is None or column[n] is None
        variant, column = node.variants[tag], columns[tag]
        found.append(of_variant(variant, empty(variant.node) if column is None else column[n]))
    return found


def holds(node):
    inner = plain(node)
    return not (isinstance(inner, UnitNode) or (isinstance(inner, ProductNode) and not inner.fields))


def empty(node):
    inner = plain(node)
    return () if isinstance(inner, UnitNode) else inner.cls()


def of_variant(variant, payload):
    return variant.cls() if variant.mode == "unit" else variant.cls(payload)


def of_text(text, node):
    return uuid.UUID(text) if node.cls is uuid.UUID else node.cls.from_hex(text)


def of_json(value, node):
    """A value out of its JSON form."""
    match node:
        case Slot():
            return of_json(value, node.node)
        case ScalarNode(kind="wide"):
            assert isinstance(value, str)
            return int(value)
        case ScalarNode():
            return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
        case NewtypeNode(cls=cls) if cls in (Identity, ConnectionId, uuid.UUID):
            return of_text(value, node)
        case NewtypeNode(cls=cls):
            return cls.from_text(value)
        case TextNode():
            return value
        case BytesNode():
            return bytes.fromhex(value)
        case UnitNode():
            assert value is True
            return ()
        case EnumNode(members=members):
            return members[names(node.wire_names, [m.name for m in members]).index(value)]
        case ArrayNode(element=element):
            return [of_json(item, element) for item in value]
        case OptionNode(payload=payload):
            if value is None:
                return None
            wraps = isinstance(plain(payload), OptionNode)
            return Some(of_json(value["some"], payload)) if wraps else of_json(value, payload)
        case ProductNode(fields=()):
            return node.cls()
        case ProductNode(fields=fields):
            assert len(value) == len(fields)
            return node.cls(*(of_json(item, field.node) for item, field in zip(value.values(), fields, strict=True)))
        case SumNode(variants=variants):
            name, payload = (value, None) if isinstance(value, str) else next(iter(value.items()))
            tag = names([v.wire_name for v in variants], [v.name for v in variants]).index(name)
            node = variants[tag].node
            return of_variant(variants[tag], of_json(payload, node) if holds(node) else empty(node))


def names(wire, ours):
    found = []
    for name, other in zip(wire, ours, strict=False):
        free = other if name is None else name
        while free in found:
            free += "_"
        found.append(free)
    return found
