"""What packages in the layout of 0.7 run on, if today's `codegen.legacy` has written them.

They reach the client as those of 0.7 did: through the methods with an underscore of `SpacetimeDBClient.instance`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from .driven import SpacetimeDBClient
from .forms import ADDRESS, BYTES, IDENTITY, PLAIN, Array, Form, Named, Option
from .values import Address, Identity, ReducerEvent

__all__ = [
    "ADDRESS",
    "BYTES",
    "IDENTITY",
    "PLAIN",
    "Address",
    "Any",
    "Array",
    "Callback",
    "Form",
    "Identity",
    "Named",
    "Option",
    "ReducerEvent",
    "Row",
    "Self",
    "Table",
    "call",
    "decode",
    "register",
]

Callback: TypeAlias = Callable[..., object]


class Row:
    """A row or struct, made of plain data by position.

    Attributes:
        data: The values, by the names of their columns.
    """

    is_table_class: ClassVar[bool] = False
    columns: ClassVar[Mapping[str, Form]] = {}

    def __init__(self, data: Sequence[Any]) -> None:
        pairs = zip(self.columns.items(), data, strict=True)
        self.data: dict[str, Any] = {name: form.read(item) for (name, form), item in pairs}

    def encode(self) -> list[Any]:
        """The plain data again."""
        return [form.write(self.data[name]) for name, form in self.columns.items()]

    def __getattr__(self, name: str) -> Any:
        """A column; None if there is no such one, as it was in 0.7."""
        if name.startswith("__") or name == "data":
            raise AttributeError(name)
        return self.data.get(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.data.items())})"


class Table(Row):
    """A row of a table, whose class stands for the table, too.

    Attributes:
        table_name: What the module calls the table.
        primary_key: The column that is its primary key; None if it has none.
    """

    is_table_class = True
    table_name: ClassVar[str]
    primary_key: ClassVar[str | None] = None

    @classmethod
    def register_row_update(cls, callback: Callable[[str, Any, Any, Any], object]) -> None:
        """Call `callback(row_op, old, new, reducer_event)` for each row that changes.

        `row_op` is `"insert"`, `"update"` or `"delete"`; `old` is None of an insert, `new` of a delete, and
        `reducer_event` where a subscription was the cause.
        """
        _client()._register_row_update(cls.table_name, callback)  # noqa: SLF001

    @classmethod
    def iter(cls) -> Sequence[Self]:
        """All rows."""
        rows: list[Self] = _client()._get_table_cache(cls.table_name).values()  # noqa: SLF001
        return rows

    @classmethod
    def find_by(cls, column: str, value: Any) -> Self | None:
        """The row with this value in a unique column, or None."""
        return next(iter(cls.all_by(column, value)), None)

    @classmethod
    def all_by(cls, column: str, value: Any) -> list[Self]:
        """The rows with this value in a column."""
        rows: list[Self] = _client()._get_table_cache(cls.table_name).select(column, value)  # noqa: SLF001
        return rows


def call(reducer: str, params: Sequence[Form], args: Sequence[Any]) -> None:
    """Call a reducer."""
    _client()._reducer_call(reducer, *(form.write(arg) for form, arg in zip(params, args, strict=True)))  # noqa: SLF001


def register(reducer: str, callback: Callback) -> None:
    """Call a callback for each outcome of a reducer that the server tells of."""
    _client()._register_reducer(reducer, callback)  # noqa: SLF001


def decode(params: Sequence[Form], data: Sequence[Any]) -> list[Any]:
    """A reducer's arguments of plain data."""
    return [form.read(item) for form, item in zip(params, data, strict=True)]


def _client() -> Any:
    client = SpacetimeDBClient.instance
    if client is None:
        raise RuntimeError("expected a SpacetimeDBClient or SpacetimeDBAsyncClient to be made first, there is none")
    return client
