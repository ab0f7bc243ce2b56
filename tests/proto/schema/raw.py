"""Definitions in BSATN, written here by hand, as compiled modules carry them.

What stands here is the schema reference, 1.5 and 1.6, once more: tests do not judge the reader by itself.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["raw_bytes"]

SECTIONS = [
    "Typespace",
    "Types",
    "Tables",
    "Reducers",
    "Procedures",
    "Views",
    "Schedules",
    "LifeCycleReducers",
    "RowLevelSecurity",
    "CaseConversionPolicy",
    "ExplicitNames",
    "HttpHandlers",
    "HttpRoutes",
    "ViewPrimaryKeys",
    "Submodules",
    "Environment",
    "Outboxes",
]
TYPES = ("Ref Sum Product Array String Bool I8 U8 I16 U16 I32 U32 I64 U64 I128 U128 I256 U256 F32 F64").split()  # noqa: SIM905 - a list of them would take a page
METHODS = ["Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch", "Extension"]


def raw_bytes(definition: dict[str, Any]) -> bytes:
    """A definition in the JSON of servers, as a module would carry it."""
    return b"\2" + v10(definition) if "sections" in definition else b"\1" + v9(definition)


def u16(number: int) -> bytes:
    return struct.pack("<H", number)


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def i128(number: int) -> bytes:
    return number.to_bytes(16, "little", signed=True)


def text(value: str) -> bytes:
    return u32(len(value.encode())) + value.encode()


def many(items: Any, one: Any) -> bytes:
    return u32(len(items)) + b"".join(map(one, items))


def maybe(value: Any, one: Any) -> bytes:
    return b"\0" + one(value["some"]) if "some" in value else b"\1"


def tagged(value: dict[str, Any], names: Any, *payloads: Any) -> bytes:
    ((name, payload),) = value.items()
    tag = list(names).index(name)
    return bytes([tag]) + (payloads[tag](payload) if tag < len(payloads) else b"")


def unit(value: dict[str, Any], *names: str) -> bytes:
    return tagged(value, names)


def hexed(value: str) -> bytes:
    return u32(len(value) // 2) + bytes.fromhex(value)


# --- types ------------------------------------------------------------------------------------------------------------


def type_(value: Any) -> bytes:
    elements = (lambda payload: many(payload["variants"], element)), params
    return tagged(value, TYPES, u32, *elements, type_)


def element(value: Any) -> bytes:
    return maybe(value["name"], text) + type_(value["algebraic_type"])


def params(value: Any) -> bytes:
    return many(value["elements"], element)


def typespace(value: Any) -> bytes:
    return many(value["types"], type_)


def columns(value: Any) -> bytes:
    return many(value, u16)


# --- parts that both versions have ------------------------------------------------------------------------------------


def named_type(value: Any, name: str) -> bytes:
    scoped = many(value[name]["scope"], text) + text(value[name][name])
    return scoped + u32(value["ty"]) + bytes([value["custom_ordering"]])


def table(value: Any, name: str) -> bytes:
    def index(item: Any) -> bytes:
        algorithm = tagged(item["algorithm"], ("BTree", "Hash", "Direct"), columns, columns, u16)
        return maybe(item[name], text) + maybe(item["accessor_name"], text) + algorithm

    def constraint(item: Any) -> bytes:
        return maybe(item[name], text) + tagged(item["data"], ["Unique"], lambda unique: columns(unique["columns"]))

    def sequence(item: Any) -> bytes:
        limits = b"".join(maybe(item[field], i128) for field in ("start", "min_value", "max_value"))
        return maybe(item[name], text) + u16(item["column"]) + limits + i128(item["increment"])

    return b"".join(
        (
            text(value[name]),
            u32(value["product_type_ref"]),
            columns(value["primary_key"]),
            many(value["indexes"], index),
            many(value["constraints"], constraint),
            many(value["sequences"], sequence),
            maybe(value["schedule"], schedule9) if name == "name" else b"",
            unit(value["table_type"], "System", "User"),
            unit(value["table_access"], "Public", "Private"),
        )
    )


def view(value: Any, name: str) -> bytes:
    flags = bytes([value["is_public"], value["is_anonymous"]])
    return text(value[name]) + u32(value["index"]) + flags + params(value["params"]) + type_(value["return_type"])


def rules(value: Any) -> bytes:
    return many(value, lambda item: text(item["sql"]))


def lifecycle(value: Any) -> bytes:
    return unit(value, "Init", "OnConnect", "OnDisconnect")


# --- version 9 --------------------------------------------------------------------------------------------------------


def schedule9(value: Any) -> bytes:
    return maybe(value["name"], text) + text(value["reducer_name"]) + u16(value["scheduled_at_column"])


def v9(value: Any) -> bytes:
    def reducer(item: Any) -> bytes:
        return text(item["name"]) + params(item["params"]) + maybe(item["lifecycle"], lifecycle)

    def export(item: Any) -> bytes:
        return tagged(
            item,
            ("ColumnDefaultValue", "Procedure", "View"),
            lambda it: text(it["table"]) + u16(it["col_id"]) + hexed(it["value"]),
            lambda it: text(it["name"]) + params(it["params"]) + type_(it["return_type"]),
            lambda it: view(it, "name"),
        )

    return b"".join(
        (
            typespace(value["typespace"]),
            many(value["tables"], lambda item: table(item, "name")),
            many(value["reducers"], reducer),
            many(value["types"], lambda item: named_type(item, "name")),
            many(value["misc_exports"], export),
            rules(value["row_level_security"]),
        )
    )


# --- version 10 -------------------------------------------------------------------------------------------------------


def v10(value: Any) -> bytes:
    return many(value["sections"], lambda section: tagged(section, SECTIONS, *PAYLOADS))


def table10(value: Any) -> bytes:
    defaults = many(value["default_values"], lambda item: u16(item["col_id"]) + hexed(item["value"]))
    return table(value, "source_name") + defaults + bytes([value["is_event"]])


def visibility(value: Any) -> bytes:
    return unit(value["visibility"], "Private", "ClientCallable")


def reducer10(value: Any) -> bytes:
    returns = type_(value["ok_return_type"]) + type_(value["err_return_type"])
    return text(value["source_name"]) + params(value["params"]) + visibility(value) + returns


def procedure10(value: Any) -> bytes:
    return text(value["source_name"]) + params(value["params"]) + type_(value["return_type"]) + visibility(value)


def schedule10(value: Any) -> bytes:
    names = text(value["table_name"]) + u16(value["schedule_at_col"]) + text(value["function_name"])
    return maybe(value["source_name"], text) + names


def entry(value: Any) -> bytes:
    def one(item: Any) -> bytes:
        return text(item["source_name"]) + text(item["canonical_name"])

    return tagged(value, ("Table", "Function", "Index", "Namespace"), one, one, one, one)


def route(value: Any) -> bytes:
    method = tagged(
        value["method"], ("Any", "Method"), lambda _: b"", lambda it: tagged(it, METHODS, *[lambda _: b""] * 9, text)
    )
    return text(value["handler_function"]) + method + text(value["path"])


def variable(value: Any) -> bytes:
    kind = tagged(value["ty"], ("String", "StringLiteral", "Union"), lambda _: b"", text, lambda it: many(it, text))
    return text(value["name"]) + kind + bytes([value["optional"]])


def outbox(value: Any) -> bytes:
    target = text(value["remote_reducer"]) + u16(value["target_column"]) + columns(value["arg_columns"])
    return (
        text(value["table_name"])
        + target
        + maybe(value["on_result_reducer"], text)
        + bytes.fromhex(value["signature_hash"])
    )


PAYLOADS = (
    typespace,
    lambda payload: many(payload, lambda item: named_type(item, "source_name")),
    lambda payload: many(payload, table10),
    lambda payload: many(payload, reducer10),
    lambda payload: many(payload, procedure10),
    lambda payload: many(payload, lambda item: view(item, "source_name")),
    lambda payload: many(payload, schedule10),
    lambda payload: many(payload, lambda item: lifecycle(item["lifecycle_spec"]) + text(item["function_name"])),
    rules,
    lambda payload: unit(payload, "None", "SnakeCase"),
    lambda payload: many(payload["entries"], entry),
    lambda payload: many(payload, lambda item: text(item["source_name"])),
    lambda payload: many(payload, route),
    lambda payload: many(payload, lambda item: text(item["view_source_name"]) + many(item["columns"], text)),
    lambda payload: many(payload, lambda item: text(item["namespace"]) + v10(item["module"])),
    lambda payload: many(payload, variable),
    lambda payload: many(payload, outbox),
)
