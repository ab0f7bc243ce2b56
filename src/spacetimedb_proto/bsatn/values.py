"""Values that Python has no builtin for: who, from where, when, how long.

All are immutable, hashable, ordered where an order means something, and lose no precision: identities are their wire
bytes, times are whole microseconds (protocol reference, 2.3). Nothing here knows how values are laid out in a row.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, overload

import attrs

from ..errors import DecodeError, EncodeError

__all__ = ["ConnectionId", "Err", "Identity", "Ok", "Result", "ScheduleAt", "Some", "TimeDuration", "Timestamp", "Uuid"]

Uuid: TypeAlias = uuid.UUID
"""What columns of UUIDs hold."""

T = TypeVar("T")
E = TypeVar("E")
_Micros = TypeVar("_Micros", bound="TimeDuration | Timestamp")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_CYCLE = 146_097 * _DAY  # the Gregorian calendar repeats every 400 years, which is what `datetime` cannot reach
_RFC3339 = re.compile(
    r"(?P<year>\d{4}|[+-]\d{4,6})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:\.(?P<fraction>\d{1,9}))?(?:[Zz]|(?P<sign>[+-])(?P<hours>[01]\d|2[0-3]):(?P<minutes>[0-5]\d))",
    re.ASCII,
)
_SECONDS = re.compile(r"([+-]?)(\d{1,20})(?:\.(\d{1,6}))?", re.ASCII)


def _check_wire(value: Any, _attribute: attrs.Attribute[Any], wire: Any) -> None:
    if not isinstance(wire, bytes) or len(wire) != value.SIZE:
        raise EncodeError(f"{value.SIZE} bytes for {type(value).__name__}", repr(wire))


def _check_micros(_value: Any, _attribute: attrs.Attribute[Any], micros: Any) -> None:
    if not isinstance(micros, int) or isinstance(micros, bool):
        raise EncodeError("microseconds as an int", f"{micros!r} ({type(micros).__name__})")
    if not -(2**63) <= micros < 2**63:
        raise EncodeError("microseconds that fit 64 bits", repr(micros))


def _number(wire: bytes) -> int:
    return int.from_bytes(wire, "little")


@attrs.frozen(order=True, repr=False)
class _Id:
    """Bytes in wire order that people read as the hex of one big-endian number, and that sort like that number."""

    SIZE: ClassVar[int]

    wire: bytes = attrs.field(validator=_check_wire, eq=True, order=_number)

    @classmethod
    def from_wire(cls, wire: bytes) -> Self:
        """Make one from the little-endian bytes of the wire; a wrong length is an `EncodeError`."""
        return cls(wire)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the hex that servers and tools print, of either case, with or without `0x`.

        Raises:
            DecodeError: The text is no hex of exactly the right length.
        """
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        if len(digits) != 2 * cls.SIZE or re.fullmatch("[0-9a-fA-F]*", digits) is None:
            raise DecodeError(f"{cls.__name__}: expected {2 * cls.SIZE} hex digits, got {text[:80]!r}")
        return cls(bytes.fromhex(digits)[::-1])

    @classmethod
    def from_int(cls, number: int) -> Self:
        """Make one from its number; one that does not fit is an `EncodeError`."""
        try:
            return cls(number.to_bytes(cls.SIZE, "little"))
        except OverflowError:
            raise EncodeError(f"an unsigned number of {8 * cls.SIZE} bits for {cls.__name__}", repr(number)) from None

    def hex(self) -> str:
        """The big-endian hex in lower case, without `0x`: how the server prints it."""
        return self.wire[::-1].hex()

    def __int__(self) -> int:
        return _number(self.wire)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()!r})"


class Identity(_Id):
    """Who somebody is: the same for all connections made with the same token.

    Attributes:
        wire: 32 bytes, little-endian, as in rows and messages.
    """

    __slots__ = ()
    SIZE = 32


class ConnectionId(_Id):
    """Which connection of somebody.

    Attributes:
        wire: 16 bytes, little-endian, as in rows and messages.
    """

    __slots__ = ()
    SIZE = 16

    @property
    def is_zero(self) -> bool:
        """Whether it stands for "no connection", as in calls over HTTP and by schedules."""
        return not any(self.wire)


@attrs.frozen(order=True)
class TimeDuration:
    """A length of time, negative ones too.

    Attributes:
        micros: Microseconds, 64 bits signed.
    """

    micros: int = attrs.field(validator=_check_micros)

    @classmethod
    def from_timedelta(cls, delta: timedelta) -> Self:
        """Convert without loss; a `timedelta` beyond 292 000 years is an `EncodeError`."""
        return cls(delta // _MICROSECOND)

    def to_timedelta(self) -> timedelta:
        """Convert without loss."""
        return timedelta(microseconds=self.micros)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read seconds with an optional sign and up to six decimals, as `to_text` writes them.

        Raises:
            DecodeError: The text is nothing like that, or too long a time for 64 bits of microseconds.
        """
        match = _SECONDS.fullmatch(text)
        if match is None:
            raise DecodeError(f"TimeDuration: expected seconds like '+1.500000', got {text[:80]!r}")
        sign, seconds, fraction = match.groups(default="")
        micros = int(seconds) * _SECOND + int(fraction.ljust(6, "0"))
        return _fitting(cls, -micros if sign == "-" else micros, text)

    def to_text(self) -> str:
        """Sign, seconds and six decimals, as the server prints it: `+1.500000`."""
        seconds, micros = divmod(abs(self.micros), _SECOND)
        return f"{'-' if self.micros < 0 else '+'}{seconds}.{micros:06}"

    def __str__(self) -> str:
        return self.to_text()

    def __add__(self, other: TimeDuration) -> TimeDuration:
        if not isinstance(other, TimeDuration):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return TimeDuration(self.micros + other.micros)

    def __sub__(self, other: TimeDuration) -> TimeDuration:
        if not isinstance(other, TimeDuration):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return TimeDuration(self.micros - other.micros)

    def __neg__(self) -> TimeDuration:
        return TimeDuration(-self.micros)


@attrs.frozen(order=True)
class Timestamp:
    """A moment in UTC.

    Attributes:
        micros: Microseconds since 1970-01-01, 64 bits signed.
    """

    micros: int = attrs.field(validator=_check_micros)

    @classmethod
    def from_datetime(cls, moment: datetime) -> Self:
        """Convert without loss.

        Raises:
            EncodeError: The `datetime` has no time zone, so it names no moment.
        """
        if moment.utcoffset() is None:
            raise EncodeError("a datetime with a time zone", repr(moment))
        return cls((moment - _EPOCH) // _MICROSECOND)

    def to_datetime(self) -> datetime:
        """Convert to an aware `datetime` in UTC, without loss.

        Raises:
            EncodeError: `datetime` ends at the years 1 and 9999; `micros` and `to_text` do not.
        """
        try:
            return _EPOCH + timedelta(microseconds=self.micros)
        except OverflowError:
            raise EncodeError("a time in the years 1 to 9999", repr(self)) from None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read RFC 3339 with a zone: `2026-08-01T12:00:00.5Z`; digits below the microsecond are cut.

        Raises:
            DecodeError: The text is no RFC 3339, or a time that 64 bits of microseconds do not reach.
        """
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise DecodeError(f"Timestamp: expected RFC 3339 with a zone, got {text[:80]!r}")
        parts = {name: int(part) for name, part in match.groupdict(default="0").items() if name != "sign"}
        cycles, year = divmod(parts["year"] - 2000, 400)
        try:
            day = datetime(year + 2000, parts["month"], parts["day"], tzinfo=UTC)
            clock = datetime(2000, 1, 1, parts["hour"], parts["minute"], parts["second"], tzinfo=UTC)
        except ValueError:
            raise DecodeError(f"Timestamp: expected a day and a time that exist, got {text!r}") from None
        micros = cycles * _CYCLE + (day - _EPOCH + (clock - datetime(2000, 1, 1, tzinfo=UTC))) // _MICROSECOND
        offset = (parts["hours"] * 60 + parts["minutes"]) * 60 * _SECOND
        micros += int((match["fraction"] or "").ljust(6, "0")[:6])
        return _fitting(cls, micros + offset if match["sign"] == "-" else micros - offset, text)

    def to_text(self) -> str:
        """RFC 3339 in UTC as the server prints it: no, three or six decimals, and the zone as `+00:00`.

        Years beyond four digits carry a sign, as `chrono` writes them.
        """
        cycles, rest = divmod(self.micros - 946_684_800 * _SECOND, _CYCLE)  # since the year 2000, in 400 years
        moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=rest)
        year = moment.year + 400 * cycles
        precision = 0 if moment.microsecond == 0 else 3 if moment.microsecond % 1000 == 0 else 6
        fraction = f".{moment.microsecond:06}"[: precision + 1] if precision else ""
        return (
            f"{year:04}" * (0 <= year <= 9999)
            + f"{year:+05}" * (not 0 <= year <= 9999)
            + (f"-{moment:%m-%dT%H:%M:%S}{fraction}+00:00")
        )

    def __str__(self) -> str:
        return self.to_text()

    def __add__(self, other: TimeDuration) -> Timestamp:
        if not isinstance(other, TimeDuration):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return Timestamp(self.micros + other.micros)

    @overload
    def __sub__(self, other: Timestamp) -> TimeDuration: ...
    @overload
    def __sub__(self, other: TimeDuration) -> Timestamp: ...
    def __sub__(self, other: Any) -> Timestamp | TimeDuration:
        if isinstance(other, Timestamp):
            return TimeDuration(self.micros - other.micros)
        return Timestamp(self.micros - other.micros) if isinstance(other, TimeDuration) else NotImplemented


def _fitting(cls: type[_Micros], micros: int, text: str) -> _Micros:
    try:
        return cls(micros)
    except EncodeError:
        raise DecodeError(f"{cls.__name__}: {text[:80]!r} does not fit 64 bits of microseconds") from None


class ScheduleAt:
    """When a scheduled reducer runs: every `ScheduleAt.Interval(duration)`, or once at `ScheduleAt.Time(timestamp)`."""

    __slots__ = ()
    Interval: TypeAlias = "ScheduleInterval"
    Time: TypeAlias = "ScheduleTime"


@attrs.frozen
class ScheduleInterval(ScheduleAt):
    """Again and again, this long apart. Spelled `ScheduleAt.Interval`."""

    value: TimeDuration

    def __repr__(self) -> str:
        return f"ScheduleAt.Interval({self.value!r})"


@attrs.frozen
class ScheduleTime(ScheduleAt):
    """Once, at this moment. Spelled `ScheduleAt.Time`."""

    value: Timestamp

    def __repr__(self) -> str:
        return f"ScheduleAt.Time({self.value!r})"


for _name, _variant in {"Interval": ScheduleInterval, "Time": ScheduleTime}.items():
    setattr(ScheduleAt, _name, _variant)  # they are subclasses of what they are attributes of
    _variant.__name__ = _name
    _variant.__qualname__ = f"ScheduleAt.{_name}"


@attrs.frozen
class Some(Generic[T]):
    """A present value of an option whose payload can itself be None, which a bare None could not tell apart."""

    value: T


@attrs.frozen
class Ok(Generic[T]):
    """The good outcome of a result type."""

    value: T


@attrs.frozen
class Err(Generic[E]):
    """The bad outcome of a result type."""

    error: E


Result: TypeAlias = Ok[T] | Err[E]
