"""Exact bytes and JSON: protocol reference, 2."""

from __future__ import annotations

import json
import math
import struct
import uuid
from typing import Any

import pytest

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
    TIMESTAMP,
    UNIT,
    UUID,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Sum,
    option,
    result,
)
from spacetimedb_proto.bsatn.values import (
    ConnectionId,
    Err,
    Identity,
    Ok,
    ScheduleAt,
    Some,
    TimeDuration,
    Timestamp,
)
from spacetimedb_proto.errors import DecodeError, EncodeError

P = Primitive
HEX = "c200483152d642c7d402de06cacc36dcb0c2a1f2bbeb8e7d5a673f2435cca975"
UUID_VALUE = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


def codec(type_: AlgebraicType) -> Any:
    return Types([]).codec(type_)


VECTORS: list[tuple[AlgebraicType, Any, str, Any, Any]] = [
    # type, value, bytes, positional JSON, named JSON
    (P.BOOL, True, "01", True, True),
    (P.I8, -1, "ff", -1, -1),
    (P.U16, 0x1234, "3412", 0x1234, 0x1234),
    (P.I64, -2, "feffffffffffffff", -2, -2),
    (P.U64, 2**64 - 1, "ff" * 8, 2**64 - 1, 2**64 - 1),
    (P.I128, -1, "ff" * 16, -1, -1),
    (P.U128, 1, "01" + "00" * 15, 1, 1),
    (P.U256, 42, "2a" + "00" * 31, "0x2a", "0x2a"),
    (P.I256, -42, "d6" + "ff" * 31, "-0x2a", "-0x2a"),
    (P.F32, 1.5, "0000c03f", 1.5, 1.5),
    (P.F64, -0.0, "0000000000000080", -0.0, -0.0),
    (P.STRING, "né", "030000006ec3a9", "né", "né"),
    (BYTES, b"\x01\xff", "0200000001ff", "01ff", "01ff"),
    (Array(P.U16), [1, 2], "0200000001000200", [1, 2], [1, 2]),
    (Array(P.BOOL), [], "00000000", [], []),
    (UNIT, (), "", [], []),
    (option(P.U8), 5, "0005", [0, 5], {"some": 5}),
    (option(P.U8), None, "01", [1, []], {"none": []}),
    (option(option(P.U8)), Some(None), "0001", [0, [1, []]], {"some": {"none": []}}),
    (option(option(P.U8)), None, "01", [1, []], {"none": []}),
    (option(option(P.U8)), Some(7), "000007", [0, [0, 7]], {"some": {"some": 7}}),
    (option(UNIT), (), "00", [0, []], {"some": []}),
    (result(P.U8, P.STRING), Ok(1), "0001", [0, 1], {"ok": 1}),
    (result(P.U8, P.STRING), Err("x"), "010100000078", [1, "x"], {"err": "x"}),
    (result(UNIT, P.STRING), Ok(()), "00", [0, []], {"ok": []}),
    (IDENTITY, Identity.from_hex(HEX), bytes.fromhex(HEX)[::-1].hex(), [f"0x{HEX}"], {"__identity__": f"0x{HEX}"}),
    (CONNECTION_ID, ConnectionId.from_int(258), "0201" + "00" * 14, [258], {"__connection_id__": 258}),
    (TIMESTAMP, Timestamp(-1), "ff" * 8, [-1], {"__timestamp_micros_since_unix_epoch__": -1}),
    (TIME_DURATION, TimeDuration(1), "01" + "00" * 7, [1], {"__time_duration_micros__": 1}),
    (UUID, UUID_VALUE, "ffeeddccbbaa99887766554433221100", [UUID_VALUE.int], {"__uuid__": UUID_VALUE.int}),
    (
        SCHEDULE_AT,
        ScheduleAt.Interval(TimeDuration(3)),
        "000300000000000000",
        [0, [3]],
        {"Interval": {"__time_duration_micros__": 3}},
    ),
    (
        SCHEDULE_AT,
        ScheduleAt.Time(Timestamp(3)),
        "010300000000000000",
        [1, [3]],
        {"Time": {"__timestamp_micros_since_unix_epoch__": 3}},
    ),
]


@pytest.mark.parametrize(("type_", "value", "data", "positional", "named"), VECTORS)
def test_values_have_these_bytes(type_: AlgebraicType, value: Any, data: str, positional: Any, named: Any) -> None:
    made = codec(type_)
    assert made.encode(value).hex() == data
    assert made.decode_exact(bytes.fromhex(data)) == value
    assert type(made.decode_exact(bytes.fromhex(data))) is type(value)
    for written, is_positional in ((positional, True), (named, False)):
        assert json.dumps(made.to_json(value, is_positional)) == json.dumps(written)
        assert made.from_json(json.loads(json.dumps(written))) == value


def test_rows_have_fields_in_order_without_anything_between() -> None:
    row = codec(Product((Element("id", P.U64), Element("on", P.BOOL), Element("name", P.STRING), Element(None, P.I16))))
    value = row.python_type(1, True, "ab", -1)
    assert row.encode(value).hex() == "0100000000000000" + "01" + "020000006162" + "ffff"
    assert row.decode_exact(row.encode(value)) == value
    assert repr(value) == "Row(id=1, on=True, name='ab', field_3=-1)"
    assert row.to_json(value, False) == [1, True, "ab", -1]  # a field has no name


def test_a_sum_of_units_is_one_byte_and_one_of_one_variant_still_has_a_tag() -> None:
    colors = codec(Sum((Element("red", UNIT), Element("darkGreen", UNIT))))
    assert colors.encode("DarkGreen") == colors.encode("darkGreen") == b"\x01"
    assert colors.decode_exact(b"\x00").name == "Red"
    single = codec(Sum((Element("only", P.U8),)))
    assert single.encode(single.python_type.Only(7)) == b"\x00\x07"


SUM = Sum((Element("a", P.U8), Element("b", UNIT), Element("2", P.BOOL)))


@pytest.mark.parametrize("form", [{"a": 5}, {"0": 5}, ["a", 5], [0, 5], ["0", 5]])
def test_every_form_of_a_sum_is_read(form: Any) -> None:
    made = codec(SUM)
    assert made.from_json(form) == made.python_type.A(5)


def test_a_variants_name_goes_before_a_tag() -> None:
    made = codec(Sum((Element("1", P.U8), Element("0", P.STRING))))
    assert made.from_json({"0": "x"}) == made.python_type.n_0("x")
    assert made.from_json([0, 5]) == made.python_type.n_1(5)


def test_other_forms_that_are_read() -> None:
    assert codec(option(P.U8)).from_json(None) is None
    assert codec(UNIT).from_json({}) == ()
    assert codec(BYTES).from_json([1, 255]) == codec(BYTES).from_json("01FF") == b"\x01\xff"
    assert math.isnan(codec(P.F64).from_json(None))
    assert math.isnan(codec(P.F32).from_json(None))
    assert codec(P.F32).from_json(0.1) == struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert codec(P.F64).from_json(3) == 3.0
    mixed = codec(Product((Element("x", SUM), Element("y", Array(Product((Element("z", P.U8),)))))))
    value = mixed.from_json({"x": [0, 1], "y": [[1], {"z": 2}]})
    assert repr(value) == "Row(x=Sum.A(value=1), y=[Row(z=1), Row(z=2)])"


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0xFFA00001, 0xFFFFFFFF, 0x7FBFFFFF])
def test_every_bit_of_a_nan_survives(bits: int) -> None:
    data = struct.pack("<I", bits)
    for made, wire in (
        (codec(P.F32), data),
        (codec(Array(P.F32)), b"\x02\0\0\0" + data + b"\0\0\x80\x7f"),
        (codec(Product((Element("a", P.U8), Element("b", P.F32), Element("c", P.F32)))), b"\x01" + data * 2),
        (codec(Product((Element("a", P.STRING), Element("b", P.F32)))), b"\x01\0\0\0x" + data),
        (codec(Product((Element("a", P.F32), Element("b", P.F32)))), bytes(4) + data),
        (codec(Array(Product((Element("b", P.F32),)))), b"\x02\0\0\0" + data * 2),
        (codec(P.F64), b"\x01\0\0\0" + data),
    ):
        assert made.encode(made.decode_exact(wire)) == wire
        assert made.encode(made.decode(b"\0" + wire, 1)[0]) == wire
        assert [made.encode(value) for value in made.decode_rows([wire, wire])] == [wire, wire]
        if made.decode_block is not None:
            assert [made.encode(value) for value in made.decode_block(wire * 2)] == [wire, wire]


def test_a_nan_that_an_f32_cannot_tell_stays_a_nan() -> None:
    (quieted,) = struct.unpack("<d", bytes.fromhex("010000000000f07f"))
    assert codec(P.F32).encode(quieted).hex() == "0000c07f"
    assert codec(Array(P.F32)).encode([math.inf, -math.inf, math.nan]).hex() == "03000000" + "0000807f000080ff0000c07f"


def test_json_carries_no_nan_and_no_infinity() -> None:
    for primitive in (P.F32, P.F64):
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(EncodeError, match="expected finite f.., as JSON needs it, got (nan|-?inf)"):
                codec(primitive).to_json(value)


@pytest.mark.parametrize("positional", [True, False])
def test_servers_write_null_for_what_json_cannot_carry(positional: bool) -> None:
    made = codec(Product((Element("a", P.F32), Element("b", Array(P.F64)), Element("c", option(P.F64)))))
    told = made.tell_json({"a": math.nan, "b": [1.5, math.inf], "c": -math.inf}, positional)
    some = [0, None] if positional else {"some": None}
    assert told == ([None, [1.5, None], some] if positional else {"a": None, "b": [1.5, None], "c": some})
    back = made.from_json(told)
    assert math.isnan(back.a)
    assert math.isnan(back.b[1])
    assert math.isnan(back.c)


@pytest.mark.parametrize(
    ("type_", "size", "least"),
    [
        (P.U256, 32, 32),
        (P.STRING, None, 4),
        (UNIT, 0, 0),
        (SCHEDULE_AT, 9, 9),
        (option(P.U64), None, 1),
        (option(UNIT), 1, 1),
        (result(P.U8, P.I8), 2, 2),
        (result(P.U8, P.STRING), None, 2),
        (Product((Element("a", P.U8), Element("b", IDENTITY))), 33, 33),
        (Product((Element("a", P.U8), Element("b", BYTES))), None, 5),
        (Sum(()), None, 1),
    ],
)
def test_sizes(type_: AlgebraicType, size: int | None, least: int) -> None:
    assert codec(type_).fixed_size == size
    assert codec(type_).min_size == least


def test_an_empty_sum_has_no_values() -> None:
    never = codec(Sum(()))
    with pytest.raises(DecodeError, match="never at byte 0: tag 0, but never has 0 variants"):
        never.decode_exact(b"\0")
    with pytest.raises(EncodeError, match="expected never, got None"):
        never.encode(None)
    with pytest.raises(DecodeError, match="never has no such variant"):
        never.from_json({"x": 1})
