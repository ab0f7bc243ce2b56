"""From rows as they are held to an Arrow table, some thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from spacetimedb_proto.bsatn.codec import Codec
from spacetimedb_proto.bsatn.layout import ProductNode
from spacetimedb_proto.wire.rowlist import RowList

from .blocks import BLOCK, Block, UnreadableError, array_from, can_be_read
from .exits import Held
from .objects import array_of
from .shapes import column_names, product_of
from .types import pa, type_of

__all__ = ["arrow_schema", "arrow_table", "batches_of"]

_BYTES: Final = 1 << 27
"""Bytes of rows in one batch, about: a column of Arrow's texts holds 2 GiB at most."""


def arrow_table(held: Held) -> Any:
    """All rows, as a `pyarrow.Table`."""
    product = product_of(held.row)
    schema = arrow_schema(held)
    if product.fields:
        return pa.Table.from_batches(batches_of(held), schema)
    return pa.Table.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), held.count, [None]))


def arrow_schema(held: Held) -> Any:
    """The names and types of the columns."""
    product = product_of(held.row)
    names = column_names(product.fields)
    return pa.schema([pa.field(n, type_of(field.node)) for n, field in zip(names, product.fields, strict=True)])


def batches_of(held: Held) -> Iterator[Any]:
    """The rows, as record batches.

    Raises:
        DecodeError: A row is none of this type.
    """
    product = product_of(held.row)
    if held.objects is not None:
        for start in range(0, len(held.objects), BLOCK):
            yield _of_objects(product, held.objects[start : start + BLOCK])
    for rows in held.lists:
        assert held.codec is not None
        yield from _of_bytes(product, held.codec, rows)


def _of_bytes(product: ProductNode, codec: Codec, rows: RowList) -> Iterator[Any]:
    if codec.fixed_size and can_be_read(product):
        for block in Block.all_of(rows.data, codec.fixed_size):
            try:
                yield pa.RecordBatch.from_struct_array(array_from(block, product, 0))
            except UnreadableError:
                yield _of_objects(product, codec.decode_rows(block.rows()))
        return
    average = rows.size // max(1, len(rows)) + 1
    for part in rows.parts(max(1, min(BLOCK, _BYTES // average))):
        yield _of_objects(product, codec.decode_rows(part.rows()))


def _of_objects(product: ProductNode, rows: Sequence[Any]) -> Any:
    return pa.RecordBatch.from_struct_array(array_of(product, rows))
