"""A definition as a compiled module carries it: BSATN, in the order of `RawModuleDef` (schema reference, 1.5 and 1.6).

What each part holds is said by tables of data; one small reader walks them and gives the JSON that a server would
write. The names in it are those of the module's source: `canonical` makes of them what a server does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from ..errors import SchemaError
from ..limits import Limits
from .canonical import canonicalised
from .load import load_schema
from .model import Schema

__all__ = ["load_raw_schema", "raw_to_json"]

Form: TypeAlias = "Callable[[_Reader], Any]"


@attrs.define
class _Reader:
    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise SchemaError(f"definition: expected {size} bytes at {self.at}, got {len(self.data) - self.at}")
        taken, self.at = self.data[self.at : end], end
        return taken


# --- forms ------------------------------------------------------------------------------------------------------------


def _number(code: str) -> Form:
    size = struct.calcsize(f"<{code}")
    return lambda reader: struct.unpack(f"<{code}", reader.take(size))[0]


def _i128(reader: _Reader) -> int:
    return int.from_bytes(reader.take(16), "little", signed=True)


def _count(reader: _Reader) -> int:
    """How many follow. What there is takes a byte each at least, so that a lie cannot cost memory."""
    count: int = U32(reader)
    if count > len(reader.data) - reader.at:
        raise SchemaError(f"definition: expected what is in {len(reader.data)} bytes, got a list of {count} items")
    return count


def _bytes(reader: _Reader) -> bytes:
    return reader.take(_count(reader))


def _text(reader: _Reader) -> str:
    try:
        return _bytes(reader).decode()
    except UnicodeDecodeError as error:
        raise SchemaError(f"definition: text before {reader.at}: {error}") from None


def _bool(reader: _Reader) -> bool:
    return reader.take(1) != b"\0"


def _unit(_reader: _Reader) -> list[Any]:
    return []


def _list(form: Form) -> Form:
    return lambda reader: [form(reader) for _ in range(_count(reader))]


def _option(form: Form) -> Form:
    return lambda reader: {"none": []} if _bool(reader) else {"some": form(reader)}


def _struct(**fields: Form) -> Form:
    return lambda reader: {name: form(reader) for name, form in fields.items()}


def _sum(**variants: Form) -> Form:
    known = list(variants.items())

    def read(reader: _Reader) -> dict[str, Any]:
        (tag,) = reader.take(1)
        if tag >= len(known):
            # Nothing says how long it is, so nothing after it can be read either.
            raise SchemaError(f"definition: expected one of {', '.join(variants)}, got the unknown variant {tag}")
        name, form = known[tag]
        return {name: form(reader)}

    return read


def _units(*names: str) -> Form:
    return _sum(**dict.fromkeys(names, _unit))


def _type(reader: _Reader) -> Any:
    return TYPE(reader)


def _module10(reader: _Reader) -> Any:
    return MODULE10(reader)


# --- what is in a definition ------------------------------------------------------------------------------------------

U16, U32 = _number("H"), _number("I")
COLUMNS = _list(U16)
NAME = _option(_text)

PRIMITIVES: Final = (
    *("String", "Bool", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"),
    *("I128", "U128", "I256", "U256", "F32", "F64"),
)  # fmt: skip
ELEMENTS = _list(_struct(name=NAME, algebraic_type=_type))
PARAMS = _struct(elements=ELEMENTS)
TYPE = _sum(
    Ref=U32,
    Sum=_struct(variants=ELEMENTS),
    Product=PARAMS,
    Array=_type,
    **dict.fromkeys(PRIMITIVES, _unit),
)
TYPESPACE = _struct(types=_list(_type))
LIFECYCLE = _units("Init", "OnConnect", "OnDisconnect")
RULES = _list(_struct(sql=_text))


def _types(name: str) -> Form:
    scoped = _struct(**{"scope": _list(_text), name: _text})
    return _list(_struct(**{name: scoped, "ty": U32, "custom_ordering": _bool}))


def _table(name: str, more: Mapping[str, Form], last: Mapping[str, Form]) -> Form:
    index = _struct(
        **{
            name: NAME,
            "accessor_name": NAME,
            "algorithm": _sum(BTree=COLUMNS, Hash=COLUMNS, Direct=U16),
        }
    )
    sequence = {"column": U16, "start": _option(_i128), "min_value": _option(_i128), "max_value": _option(_i128)}
    return _struct(
        **{
            name: _text,
            "product_type_ref": U32,
            "primary_key": COLUMNS,
            "indexes": _list(index),
            "constraints": _list(_struct(**{name: NAME, "data": _sum(Unique=_struct(columns=COLUMNS))})),
            "sequences": _list(_struct(**{name: NAME, **sequence, "increment": _i128})),
            **more,
            "table_type": _units("System", "User"),
            "table_access": _units("Public", "Private"),
            **last,
        }
    )


def _view(name: str) -> Form:
    flags: Mapping[str, Form] = {"index": U32, "is_public": _bool, "is_anonymous": _bool}
    return _struct(**{name: _text, **flags, "params": PARAMS, "return_type": _type})


def _hex(reader: _Reader) -> str:
    return _bytes(reader).hex()


MODULE9 = _struct(
    typespace=TYPESPACE,
    tables=_list(
        _table(
            "name",
            {"schedule": _option(_struct(name=NAME, reducer_name=_text, scheduled_at_column=U16))},
            {},
        )
    ),
    reducers=_list(_struct(name=_text, params=PARAMS, lifecycle=_option(LIFECYCLE))),
    types=_types("name"),
    misc_exports=_list(
        _sum(
            ColumnDefaultValue=_struct(table=_text, col_id=U16, value=_hex),
            Procedure=_struct(name=_text, params=PARAMS, return_type=_type),
            View=_view("name"),
        )
    ),
    row_level_security=RULES,
)

VISIBILITY = _units("Private", "ClientCallable")
RENAMED = _struct(source_name=_text, canonical_name=_text)
DEFAULTS = _list(_struct(col_id=U16, value=_hex))
METHOD = _sum(
    **dict.fromkeys(("Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch"), _unit),
    Extension=_text,
)
SECTION = _sum(
    Typespace=TYPESPACE,
    Types=_types("source_name"),
    Tables=_list(_table("source_name", {}, {"default_values": DEFAULTS, "is_event": _bool})),
    Reducers=_list(
        _struct(source_name=_text, params=PARAMS, visibility=VISIBILITY, ok_return_type=_type, err_return_type=_type)
    ),
    Procedures=_list(_struct(source_name=_text, params=PARAMS, return_type=_type, visibility=VISIBILITY)),
    Views=_list(_view("source_name")),
    Schedules=_list(_struct(source_name=NAME, table_name=_text, schedule_at_col=U16, function_name=_text)),
    LifeCycleReducers=_list(_struct(lifecycle_spec=LIFECYCLE, function_name=_text)),
    RowLevelSecurity=RULES,
    CaseConversionPolicy=_units("None", "SnakeCase"),
    ExplicitNames=_struct(entries=_list(_sum(Table=RENAMED, Function=RENAMED, Index=RENAMED, Namespace=RENAMED))),
    HttpHandlers=_list(_struct(source_name=_text)),
    HttpRoutes=_list(_struct(handler_function=_text, method=_sum(Any=_unit, Method=METHOD), path=_text)),
    ViewPrimaryKeys=_list(_struct(view_source_name=_text, columns=_list(_text))),
    Submodules=_list(_struct(namespace=_text, module=_module10)),
    Environment=_list(
        _struct(name=_text, ty=_sum(String=_unit, StringLiteral=_text, Union=_list(_text)), optional=_bool)
    ),
    Outboxes=_list(
        _struct(
            table_name=_text,
            remote_reducer=_text,
            target_column=U16,
            arg_columns=COLUMNS,
            on_result_reducer=NAME,
            signature_hash=lambda reader: reader.take(32).hex(),
        )
    ),
)
MODULE10 = _struct(sections=_list(SECTION))


# --- the way in -------------------------------------------------------------------------------------------------------


def raw_to_json(data: bytes) -> dict[str, Any]:
    """The definition in BSATN as tagged JSON, with the names of the module's source.

    Raises:
        SchemaError: It is malformed, of version 8, or has parts that are newer than this.
    """
    reader = _Reader(data)
    (tag,) = reader.take(1)
    if tag not in (1, 2):
        old = "; modules of servers before 1.0 have to be built anew" if tag == 0 else ""
        raise SchemaError(f"definition: expected version 9 or 10, got the tag {tag}{old}")
    try:
        definition = {"V9": MODULE9(reader)} if tag == 1 else {"V10": MODULE10(reader)}
    except RecursionError:
        raise SchemaError("definition: nested too deeply") from None
    if reader.at != len(data):
        raise SchemaError(f"definition: expected its end at byte {reader.at}, got {len(data) - reader.at} more bytes")
    return definition


def load_raw_schema(data: bytes, *, limits: Limits | None = None) -> Schema:
    """Read the definition that a compiled module carries, with the names that a server would give.

    Args:
        data: BSATN, as `__describe_module__` writes it.
        limits: As for `load_schema`.

    Raises:
        SchemaError: It is malformed, or has parts that are newer than this.
    """
    definition = raw_to_json(data)
    if "V10" in definition:  # names of v9 are what they are
        definition = {"V10": canonicalised(definition["V10"])}
    return load_schema(definition, limits=limits)
