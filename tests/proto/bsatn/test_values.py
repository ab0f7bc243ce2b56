"""Values that Python has no builtin for."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

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

HEX = "c200483152d642c7d402de06cacc36dcb0c2a1f2bbeb8e7d5a673f2435cca975"  # protocol reference, 6
MICROS = st.integers(-(2**63), 2**63 - 1)


def test_an_identity_reads_as_big_endian_hex_and_travels_little_endian() -> None:
    identity = Identity.from_hex(HEX)
    assert identity.wire == bytes.fromhex(HEX)[::-1]
    assert identity.hex() == str(identity) == HEX
    assert repr(identity) == f"Identity('{HEX}')"
    assert int(identity) == int(HEX, 16)
    assert Identity.from_hex(f"0x{HEX.upper()}") == Identity.from_int(int(HEX, 16)) == Identity.from_wire(identity.wire)
    assert {identity: 1}[Identity.from_hex(HEX)] == 1


def test_identities_sort_like_their_hex() -> None:
    low, high = Identity.from_int(255), Identity.from_int(256)
    assert low < high
    assert low.wire > high.wire


def test_a_connection_id_may_stand_for_no_connection() -> None:
    assert ConnectionId.from_int(0).is_zero
    assert not ConnectionId.from_int(1).is_zero
    assert ConnectionId.from_int(0) != Identity.from_int(0)


@pytest.mark.parametrize("text", ["", "c2", HEX + "00", "g" * 64, HEX[:-1] + " ", f"0x0x{HEX[4:]}", "\u0663" * 64])
def test_bad_hex_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="Identity: expected 64 hex digits, got "):
        Identity.from_hex(text)


def test_what_does_not_fit_an_id_is_refused() -> None:
    with pytest.raises(EncodeError, match="expected 16 bytes for ConnectionId, got b'abc'"):
        ConnectionId(b"abc")
    for number in (-1, 1 << 128):
        with pytest.raises(EncodeError, match="expected an unsigned number of 128 bits for ConnectionId"):
            ConnectionId.from_int(number)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59.999999+00:00"),
        (1_500_000, "1970-01-01T00:00:01.500+00:00"),
        (2**63 - 1, "+294247-01-10T04:00:54.775807+00:00"),
        (-(2**63), "-290308-12-21T19:59:05.224192+00:00"),
        (-62_135_596_800_000_001, "0000-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_timestamp_has_a_text_for_every_moment(micros: int, text: str) -> None:
    assert Timestamp(micros).to_text() == str(Timestamp(micros)) == text
    assert Timestamp.from_text(text) == Timestamp(micros)


@given(MICROS)
def test_timestamps_survive_text(micros: int) -> None:
    assert Timestamp.from_text(Timestamp(micros).to_text()) == Timestamp(micros)


def test_a_timestamp_reads_other_zones() -> None:
    assert Timestamp.from_text("1970-01-01T02:00:00+02:00") == Timestamp(0)
    assert Timestamp.from_text("1969-12-31 23:30:00.0000019z") == Timestamp.from_text(
        "1969-12-31T20:00:00.000001-03:30"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1970-01-01", "Timestamp: expected RFC 3339 with a zone, got '1970-01-01'"),
        ("1970-02-30T00:00:00Z", "Timestamp: expected a day and a time that exist, got '1970-02-30T00:00:00Z'"),
        (
            "+999999-01-01T00:00:00Z",
            "Timestamp: '+999999-01-01T00:00:00Z' does not fit 64 bits of microseconds",
        ),
    ],
)
def test_bad_timestamps_are_refused(text: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Timestamp.from_text(text)
    assert str(caught.value) == message


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_and_datetimes_are_the_same_moments(moment: datetime) -> None:
    assert Timestamp.from_datetime(moment).to_datetime() == moment


def test_a_datetime_needs_a_zone_and_datetime_needs_a_year_it_knows() -> None:
    there = datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert Timestamp.from_datetime(there) == Timestamp(0)
    with pytest.raises(EncodeError, match="expected a datetime with a time zone, got datetime.datetime"):
        Timestamp.from_datetime(datetime(1970, 1, 1))
    with pytest.raises(EncodeError, match="expected a time in the years 1 to 9999, got Timestamp"):
        Timestamp(2**63 - 1).to_datetime()


@pytest.mark.parametrize(
    ("micros", "text"), [(1_500_000, "+1.500000"), (-1, "-0.000001"), (0, "+0.000000"), (-(2**63), None)]
)
def test_a_duration_has_a_text(micros: int, text: str | None) -> None:
    duration = TimeDuration(micros)
    assert text in (None, str(duration))
    assert TimeDuration.from_text(duration.to_text()) == duration


def test_durations_read_what_people_write() -> None:
    assert TimeDuration.from_text("2") == TimeDuration(2_000_000)
    assert TimeDuration.from_text("-0.5") == TimeDuration(-500_000)
    for text in ("", "1e3", "1.0000001", ".5", "+", "99999999999999999999"):
        with pytest.raises(DecodeError, match="TimeDuration: "):
            TimeDuration.from_text(text)


@given(st.timedeltas(timedelta(microseconds=-(2**63)), timedelta(microseconds=2**63 - 1)))
def test_durations_and_timedeltas_are_the_same(delta: timedelta) -> None:
    assert TimeDuration.from_timedelta(delta).to_timedelta() == delta


def test_times_add_up() -> None:
    assert Timestamp(5) + TimeDuration(3) == Timestamp(8)
    assert Timestamp(5) - TimeDuration(3) == Timestamp(2)
    assert Timestamp(5) - Timestamp(3) == TimeDuration(2)
    assert TimeDuration(5) + TimeDuration(3) - TimeDuration(1) == -TimeDuration(-7)
    assert Timestamp(1) < Timestamp(2)
    for wrong in (1, None):
        for operation in ("__add__", "__sub__"):
            assert getattr(Timestamp(1), operation)(wrong) is NotImplemented
            assert getattr(TimeDuration(1), operation)(wrong) is NotImplemented


@pytest.mark.parametrize("micros", [True, 1.5, "1", None, 2**63, -(2**63) - 1])
def test_times_are_whole_microseconds_of_64_bits(micros: object) -> None:
    for cls in (Timestamp, TimeDuration):
        with pytest.raises(EncodeError, match="expected microseconds "):
            cls(micros)  # type: ignore[arg-type]


def test_a_schedule_can_be_matched() -> None:
    def describe(schedule: ScheduleAt) -> object:
        match schedule:
            case ScheduleAt.Interval(duration):
                return duration
            case ScheduleAt.Time(value=moment):
                return moment
            case _:
                return None

    assert describe(ScheduleAt.Interval(TimeDuration(1))) == TimeDuration(1)
    assert describe(ScheduleAt.Time(Timestamp(2))) == Timestamp(2)
    assert repr(ScheduleAt.Time(Timestamp(2))) == "ScheduleAt.Time(Timestamp(micros=2))"
    assert repr(ScheduleAt.Interval(TimeDuration(2))) == "ScheduleAt.Interval(TimeDuration(micros=2))"
    assert ScheduleAt.Interval(TimeDuration(1)) != ScheduleAt.Time(Timestamp(1))


@pytest.mark.parametrize(
    "value",
    [
        Identity.from_int(5),
        ConnectionId.from_int(5),
        Timestamp(5),
        TimeDuration(5),
        ScheduleAt.Time(Timestamp(5)),
        Some(None),
        Ok(5),
        Err("x"),
    ],
)
def test_values_are_frozen_hashable_and_can_be_copied(value: object) -> None:
    assert hash(value) == hash(copy.deepcopy(value))
    assert copy.copy(value) == pickle.loads(pickle.dumps(value)) == value
    for name in ("wire", "micros", "value", "error"):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, name, None)
