"""SQL text from values, quoted as the server parses it (protocol reference, 2.6).

`sql()` fills a template, `where()` of a table builds a whole query. Neither ever joins unquoted text, and values that
SQL has no literal for are refused rather than guessed.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from spacetimedb_proto.errors import EncodeError

__all__ = ["Condition", "Field", "Fields", "Identifier", "Query", "literal", "select", "sql"]

MAX_QUERY: Final = 50_000
"""Bytes of a query string that the server accepts (protocol reference, 2.6)."""


class Query(str):
    """A query whose values were quoted by this module."""

    __slots__ = ()


class Identifier(str):
    """The name of a table or column, to be quoted as a name instead of as a string."""

    __slots__ = ()


def literal(value: Any) -> str:
    """A value as an SQL literal.

    Args:
        value: bool, int, finite float, str, bytes, Identity, ConnectionId, Timestamp, UUID, or an `Identifier`.

    Raises:
        EncodeError: SQL has no literal for it.
    """
    match value:
        case Identifier():
            return '"' + value.replace('"', '""') + '"'
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return int.__repr__(value)
        case float() if math.isfinite(value):
            return float.__repr__(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case bytes() | bytearray():
            return "0x" + value.hex()
        case _:
            return _special(value)


def _special(value: Any) -> str:
    # Whoever has such a value has imported its class; whoever imports the SDK need not.
    from uuid import UUID  # noqa: PLC0415

    from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp  # noqa: PLC0415

    match value:
        case Identity() | ConnectionId():
            return "0x" + value.hex()
        case Timestamp():
            return f"'{value.to_text()}'"
        case UUID():
            return f"'{value}'"
        case _:
            raise EncodeError("a value that SQL has a literal for", f"{value!r} ({type(value).__name__})")


def sql(template: str, /, *args: Any, **kwargs: Any) -> Query:
    """Fill the `{}` and `{name}` places of a template with literals: `sql("SELECT * FROM user WHERE name = {}", name)`.

    Literal braces are doubled, as in `str.format`; conversions and format specifications are refused, since they would
    change what is quoted.

    Raises:
        EncodeError: SQL has no literal for a value, or the text exceeds what the server accepts.
        TypeError: Places and values do not match up.
    """
    text: list[str] = []
    used: set[int | str] = set()
    for before, place, spec, conversion in string.Formatter().parse(template):
        text.append(before)
        if place is None:
            continue
        if spec or conversion:
            raise TypeError(f"sql(): a place takes no format, got {{{place}!{conversion or ''}:{spec}}}")
        key: int | str = len([k for k in used if isinstance(k, int)]) if place == "" else place
        if isinstance(key, str) and key.isdecimal():
            raise TypeError(f"sql(): use {{}} or {{name}}, got {{{place}}}")
        text.append(literal(_value(key, args, kwargs)))
        used.add(key)
    if unused := {*range(len(args)), *kwargs} - used:
        raise TypeError(f"sql(): no place for {', '.join(map(str, sorted(unused, key=str)))}")
    return _query("".join(text))


def _value(key: int | str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return args[key] if isinstance(key, int) else kwargs[key]
    except (IndexError, KeyError):
        raise TypeError(f"sql(): no value for place {key if isinstance(key, str) else key + 1}") from None


def _query(text: str) -> Query:
    size = len(text.encode("utf-8", errors="replace"))
    if size > MAX_QUERY:
        raise EncodeError(f"a query of at most {MAX_QUERY} bytes", f"{size} bytes")
    return Query(text)


class Condition:
    """Something that is true or false of a row; combine with `&` and `|`. There is no negation in the server's SQL."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"({self.text} AND {_condition(other, '& and |').text})")

    def __or__(self, other: Condition) -> Condition:
        return Condition(f"({self.text} OR {_condition(other, '& and |').text})")

    def __bool__(self) -> bool:
        raise TypeError("conditions combine with & and |, not with `and`, `or` or chained comparisons")

    def __repr__(self) -> str:
        return f"<condition {self.text}>"


class Field:
    """A column in a condition: compare it with a value or with another column."""

    __slots__ = ("_check", "_column", "_name", "_table")

    def __init__(self, table: str, column: str, check: Callable[[Any], object] | None = None) -> None:
        self._table = table
        self._column = column
        self._check = check
        self._name = f"{literal(Identifier(table))}.{literal(Identifier(column))}"

    def __str__(self) -> str:
        return self._name

    def _compare(self, operator: str, other: Any) -> Condition:
        return Condition(f"{self} {operator} {str(other) if isinstance(other, Field) else self._literal(other)}")

    def _literal(self, value: Any) -> str:
        try:
            if self._check is not None:
                self._check(value)
            return literal(value)
        except EncodeError as error:
            raise error.within(self._column).within(self._table) from None

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("<>", other)

    def __lt__(self, other: Any) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Condition:
        return self._compare(">=", other)

    __hash__ = None  # type: ignore[assignment]


class Fields:
    """The columns of a table, for conditions: as attributes, or by name as items.

    Args:
        table: The table's name.
        columns: Names of columns in SQL, by the names that they go by here.
        checks: For columns by the same names, what raises `EncodeError` for a value that they cannot be compared with.
    """

    def __init__(
        self, table: str, columns: Mapping[str, str], checks: Mapping[str, Callable[[Any], object]] | None = None
    ) -> None:
        self.__table = table
        self.__columns = columns
        self.__checks = checks or {}

    def __getattr__(self, name: str) -> Field:
        column = self.__columns.get(name)
        if column is None:
            known = ", ".join(dict.fromkeys(self.__columns.values())) or "none"
            raise AttributeError(f"{self.__table} has no column {name!r}; there are: {known}")
        return Field(self.__table, column, self.__checks.get(name))

    __getitem__ = __getattr__


def select(table: str, fields: Any = None, condition: Callable[[Any], Condition] | None = None) -> Query:
    """The query for a table's rows, all of them or those for which `condition(fields)` holds.

    Raises:
        EncodeError: SQL has no literal for a value, or the text exceeds what the server accepts.
        TypeError: The condition is no function, or what it gives is no condition.
    """
    text = f"SELECT * FROM {literal(Identifier(table))}"
    if condition is None:
        return _query(text)
    what = f"{table}.where()"
    if not callable(condition):
        raise TypeError(f"{what}: expected a function such as lambda p: p.level > 3, got {_shown(condition)}")
    return _query(f"{text} WHERE {_condition(condition(fields), what).text}")


def _condition(value: object, what: str) -> Condition:
    """What should be a condition, and is none where a column stands alone or something else was compared."""
    if isinstance(value, Condition):
        return value
    got = f"the column {value} alone" if isinstance(value, Field) else _shown(value)
    raise TypeError(f"{what}: expected a condition such as `p.level > 3`, got {got}")


def _shown(value: object) -> str:
    # Only who makes a mistake needs what shows it.
    from spacetimedb_proto.bsatn.checks import shown  # noqa: PLC0415

    return shown(value)
