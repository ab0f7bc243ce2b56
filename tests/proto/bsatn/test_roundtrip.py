"""Properties over all types and values: what goes in comes out, and no bytes whatever do any harm."""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.errors import DecodeError, EncodeError
from tests.strategies import Drawn, rows, types, types_and_values, typespaces

quiet = settings(report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@quiet
@given(types_and_values())
def test_decoding_returns_what_was_encoded(drawn: Drawn) -> None:
    data = drawn.codec.encode(drawn.value)
    assert drawn.codec.decode_exact(data) == drawn.value
    assert drawn.codec.decode(b"\xff\xff" + data + b"\xff", 2) == (drawn.value, 2 + len(data))
    assert drawn.codec.encode(drawn.codec.decode_exact(data)) == data
    assert len(data) >= drawn.codec.min_size
    assert drawn.codec.fixed_size in (None, len(data))


@quiet
@given(typespaces(), st.data())
def test_many_at_once_are_what_they_are_one_by_one(typespace: Any, data: st.DataObject) -> None:
    """Any bytes of the right size, so NaN in all forms among them."""
    made = Types(*typespace)
    codec = made.codec(data.draw(types(len(typespace[0]))))
    size = codec.fixed_size
    chunk = st.binary(max_size=60) if size is None else st.binary(min_size=size, max_size=size)
    rows = data.draw(st.lists(chunk | st.just(b"\xff" * (size or 4)), max_size=4))
    try:
        encoded = [codec.encode(codec.decode_exact(row)) for row in rows]
    except DecodeError as error:
        with pytest.raises(DecodeError, match=re.escape(str(error))):
            codec.decode_rows(rows)
        if codec.decode_block is not None:
            with pytest.raises(DecodeError, match=re.escape(str(error))):
                codec.decode_block(b"".join(rows))
    else:
        assert list(map(codec.encode, codec.decode_rows(rows))) == encoded
        if codec.decode_block is not None:
            assert list(map(codec.encode, codec.decode_block(b"".join(rows)))) == encoded


@quiet
@given(types_and_values(), st.booleans())
def test_json_returns_what_was_written(drawn: Drawn, positional: bool) -> None:
    try:
        written = drawn.codec.to_json(drawn.value, positional)
    except EncodeError as error:
        if "finite" not in error.expected:
            raise
        return
    assert drawn.codec.from_json(json.loads(json.dumps(written))) == drawn.value


@quiet
@given(typespaces(), st.data())
def test_any_bytes_are_a_value_or_refused(typespace: Any, data: st.DataObject) -> None:
    made = Types(*typespace)
    codec = made.codec(data.draw(types(len(typespace[0]))))
    garbage = data.draw(st.binary(max_size=60) | st.lists(st.sampled_from(b"\0\1\2\3\xff"), max_size=40).map(bytes))
    try:
        value = codec.decode_exact(garbage)
    except DecodeError:
        pass
    else:
        assert codec.encode(value) == garbage


@quiet
@given(types_and_values(), st.data())
def test_changed_bytes_are_a_value_or_refused(drawn: Drawn, data: st.DataObject) -> None:
    encoded = bytearray(drawn.codec.encode(drawn.value))
    for _ in range(data.draw(st.integers(1, 3))):
        if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = drawn.codec.decode_exact(bytes(encoded))
    except DecodeError:
        pass
    else:
        assert drawn.codec.encode(value) == encoded


@quiet
@given(types_and_values())
def test_every_truncation_is_refused(drawn: Drawn) -> None:
    data = drawn.codec.encode(drawn.value)
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            drawn.codec.decode_exact(data[:end])
        with pytest.raises(DecodeError):
            drawn.codec.decode(data[:end])
    with pytest.raises(DecodeError, match="1 byte left over"):
        drawn.codec.decode_exact(data + b"\0")


@quiet
@given(types_and_values(), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_object_is_encoded_or_refused(drawn: Drawn, other: Any) -> None:
    for write in (drawn.codec.encode, drawn.codec.to_json):
        with suppress(EncodeError):
            write(other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("0x1f"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["some", "none", "0", "x"]), inner),
    max_leaves=8,
)


@quiet
@given(types_and_values(), json_values)
def test_any_json_is_read_or_refused(drawn: Drawn, other: Any) -> None:
    try:
        value = drawn.codec.from_json(other)
    except DecodeError:
        pass
    else:
        drawn.codec.encode(value)


@quiet
@given(rows())
def test_columns_are_found_without_the_rest(row: Drawn) -> None:
    data = row.codec.encode(row.value)
    parts = [row.codec.column_slicer(column)(data) for column in range(len(row.codec.field_names))]
    assert b"".join(parts) == data
    for column, name in enumerate(row.codec.field_names):
        assert row.codec.column_reader(column)(data) == getattr(row.value, name)
        assert row.codec.column(column).decode_exact(parts[column]) == getattr(row.value, name)


@quiet
@given(types_and_values(), st.binary(max_size=9))
def test_a_value_is_cut_from_what_follows_it(drawn: Drawn, tail: bytes) -> None:
    data = drawn.codec.encode(drawn.value)
    assert drawn.codec.cut(data + tail) == data
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            drawn.codec.cut(data[:end])


@quiet
@given(rows(), st.binary(max_size=40))
def test_columns_of_any_bytes_are_found_or_refused(row: Drawn, garbage: bytes) -> None:
    for column in range(len(row.codec.field_names)):
        for find in (row.codec.column_reader(column), row.codec.column_slicer(column)):
            with suppress(DecodeError):
                find(garbage)


@quiet
@given(rows())
def test_rows_are_true_attrs_classes(row: Drawn) -> None:
    cls = row.codec.python_type
    decoded = row.codec.decode_exact(row.codec.encode(row.value))
    assert type(decoded) is cls
    assert attrs.evolve(decoded) == decoded
    assert copy.copy(decoded) == copy.deepcopy(decoded) == decoded
    assert repr(decoded).startswith("Row(")
    assert cls.__match_args__ == row.codec.field_names
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(decoded, (*row.codec.field_names, "other")[0], None)
