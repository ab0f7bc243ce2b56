"""Packages in the layout that programs written for `spacetimedb-sdk` 0.7 import, for modules of today.

One file for each table (`user.py` with `User`), each struct and enum beside them, and each reducer
(`send_message_reducer.py` with `send_message` and `register_on_send_message`). What they run on is `compat.bindings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import attrs

from spacetimedb_proto.bsatn.layout import (
    ArrayNode,
    BytesNode,
    EnumNode,
    NewtypeNode,
    Node,
    OptionNode,
    ProductNode,
    ScalarNode,
    Slot,
    TextNode,
    plain,
)
from spacetimedb_proto.bsatn.names import class_names, field_names, parameter_names, snake
from spacetimedb_proto.bsatn.types import Ref
from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.schema import Schema

from .annotations import NUMBERS
from .plan import FunctionPlan, Plan, TablePlan
from .scope import Scope
from .text import call, doc, left_out_notes, literal, module_text

__all__ = ["generate", "left_out_of"]

RUNTIME: Final = "from spacetimedb_sdk.compat import bindings as __legacy__"

RESERVED: Final = frozenset({
    *("all_by", "columns", "data", "encode", "find_by", "is_table_class", "iter", "primary_key", "register_row_update"),
    *("table_name",),
})  # fmt: skip
"""What classes of tables have of their own."""


def generate(schema: Schema, *, package_name: str = "module_bindings", include_private: bool = False) -> dict[str, str]:
    """The files of a package in the layout of 0.7.

    Args:
        schema: The module's definition.
        package_name: What the package is called, for its docstring; it may stand anywhere.
        include_private: Whether private tables are in it, which only the database's owner can read.

    Returns:
        The text of each file by its path in the package.

    Raises:
        SchemaError: A type refers to nothing but itself, or is nested too deeply.
    """
    package = _Package(Plan(schema, include_private))
    return {"__init__.py": _init(package, package_name), **dict(package.modules())}


def left_out_of(schema: Schema, *, include_private: bool = False) -> list[str]:
    """What such a package does not show of its schema, or otherwise than its types say, and why, one sentence each."""
    return _left_out(_Package(Plan(schema, include_private)))


def _left_out(package: _Package) -> list[str]:
    kept = [line for line in package.plan.left_out() if not line.startswith(("class ", "type "))]
    return [*kept, *package.missing()]


def _init(package: _Package, package_name: str) -> str:
    return module_text(
        [*left_out_notes(_left_out(package)), doc(f"{package_name}: bindings in the layout of spacetimedb-sdk 0.7.")]
    )


@attrs.frozen
class _Home:
    """Where a class is: the module and its name there."""

    module: str
    name: str


@attrs.frozen
class _Place:
    """Where annotations stand: a class, whose columns hide what has their names, or a reducer, which hides its own.

    Attributes:
        home: The class.
        scope: The module.
        hidden: Names that mean something else there.
    """

    home: _Home
    scope: Scope
    hidden: Sequence[str] = ()

    @classmethod
    def of_class(cls, home: _Home, columns: Sequence[tuple[str, Node]]) -> _Place:
        names = [name for name, _ in columns]
        return cls(home, Scope(f".{home.module}", [home.name], [*names, *RESERVED]), names)

    def builtin(self, name: str) -> str:
        """How to write a type of Python's."""
        return self.scope.name("builtins", name, self.hidden)

    def cls(self, home: _Home) -> str:
        """How to write a class of the package."""
        if home == self.home:
            return self.scope.own(home.name, self.hidden)
        return self.scope.name(f".{home.module}", home.name, self.hidden)


@attrs.frozen(slots=False)
class _Package:
    """All of one package, and what everything is called."""

    plan: Plan

    # --- names --------------------------------------------------------------------------------------------------------

    @cached_property
    def tables(self) -> Sequence[TablePlan]:
        """The tables and views that a subscription can ask for."""
        return [table for table in self.plan.tables if not table.table.takes_arguments]

    @cached_property
    def reducers(self) -> Sequence[FunctionPlan]:
        """The reducers that clients may call."""
        return self.plan.functions("reducer")

    @cached_property
    def _homes(self) -> tuple[Mapping[str, _Home], Mapping[int, _Home], Mapping[str, str]]:
        """Where tables (by name), types (by slot) and reducers (by name) are."""
        names = [table.table.name for table in self.tables]
        classes = dict(zip(names, class_names(names), strict=True))
        rows = {
            table.table.row.index: table.table.name
            for table in self.tables
            if isinstance(table.table.row, Ref)
            and _type_name(self.plan.schema, table.table.row.index) == classes[table.table.name]
        }
        slots = [slot for slot, type_ in self.plan.classes.items() if slot not in rows and _is_said(type_.node)]
        type_names = [self.plan.schema.type_names[slot] for slot in slots]
        every = class_names([*classes.values(), *type_names])
        reducers = [function.function.name for function in self.reducers]
        ends = [*((name, "") for name in (*names, *type_names)), *((name, "_reducer") for name in reducers)]
        stems = _stems((_snake(name), end) for name, end in ends)
        homes = [_Home(stem, cls) for stem, cls in zip(stems, every, strict=False)]
        of_tables = dict(zip(names, homes, strict=False))
        of_types = dict(zip(slots, homes[len(names) :], strict=True))
        of_types |= {slot: of_tables[name] for slot, name in rows.items()}
        return of_tables, of_types, dict(zip(reducers, stems[len(homes) :], strict=True))

    # --- modules ------------------------------------------------------------------------------------------------------

    def modules(self) -> Iterator[tuple[str, str]]:
        """Each module's path and text."""
        of_tables, of_types, of_reducers = self._homes
        tables = {home.module for home in of_tables.values()}
        for table in self.tables:
            home = of_tables[table.table.name]
            yield f"{home.module}.py", self._table(table, home)
        for slot, home in of_types.items():
            if home.module not in tables:
                yield f"{home.module}.py", self._type(slot, home)
        for function in self.reducers:
            stem = of_reducers[function.function.name]
            yield f"{stem}.py", self._reducer(function, stem)

    def missing(self) -> Iterator[str]:
        """What is not as its type says."""
        for table in self.plan.tables:
            if table.table.takes_arguments:
                yield f"view {table.table.name}: it takes parameters"
        for function in self.plan.functions("procedure"):
            yield f"procedure {function.function.name}: 0.7 had none"
        for owner, columns in self._owners():
            for name, node in columns:
                if name in RESERVED:
                    yield f"column {name} of {owner}: the class has something of that name, so read `row.data` for it"
                if not _is_said(node):
                    yield f"{name} of {owner}: 0.7 had no form for its type, so its values are those of today's SDK"

    def _owners(self) -> Iterator[tuple[str, Sequence[tuple[str, Node]]]]:
        for table in self.tables:
            yield table.table.name, table.columns
        for function in self.reducers:
            yield function.function.name, function.params

    def _table(self, table: TablePlan, home: _Home) -> str:
        unique = {key[0] for key in table.table.unique_keys if len(key) == 1}
        key = table.table.primary_key
        place = _Place.of_class(home, table.columns)
        body = [
            f"class {home.name}(__legacy__.Table):",
            f"    {doc(f'A row of `{table.table.name}`.')}",
            "",
            f"    table_name = {literal(table.table.name)}",
            *([] if key is None else [f"    primary_key = {literal(table.columns[key][0])}"]),
            *self._columns(place, table.columns),
        ]
        for index, (name, node) in enumerate(table.columns):
            if _can_be_filtered(node):
                body += self._filter(place, name, node, is_unique=index in unique)
        return _module(place, f"The table `{table.table.name}`.", [*body, "", "", f"__table__ = {home.name}"])

    def _type(self, slot: int, home: _Home) -> str:
        type_ = self.plan.classes[slot]
        about = f"The type `{type_.schema_name}`."
        if isinstance(type_.node, EnumNode):
            members = [f"    {member.name} = {number}" for number, member in enumerate(type_.node.members, 1)]
            lines = [doc(about), "", "import enum", "", "", f"class {home.name}(enum.Enum):"]
            return module_text([*lines, f"    {doc('Its members count from 1, as in 0.7.')}", "", *members])
        assert isinstance(type_.node, ProductNode)
        fields = [(field.name, field.node) for field in type_.node.fields]
        place = _Place.of_class(home, fields)
        body = [f"class {home.name}(__legacy__.Row):", f"    {doc(about)}", "", *self._columns(place, fields)]
        return _module(place, about, body)

    def _reducer(self, function: FunctionPlan, stem: str) -> str:
        name = function.function.name
        (spelled,) = field_names([_snake(name)], reserved=["reducer_name"])
        place = _Place(_Home(stem, ""), Scope(f".{stem}", ["reducer_name", spelled, f"register_on_{spelled}"]))
        array = place.builtin("list")
        params = parameter_names([param for param, _ in function.params], reserved=())
        nodes = [node for _, node in function.params]
        typed = [f"{param}: {self._annotation(place, node)}" for param, node in zip(params, nodes, strict=True)]
        given = ", ".join(params) + ("," if len(params) == 1 else "")
        forms = [self._form(node) for node in nodes]
        decode = f"def _decode_args(data: __legacy__.Any) -> {array}[__legacy__.Any]:"
        body = [
            f"reducer_name = {literal(name)}",
            *call("", f"__params__: {array}[__legacy__.Form] = [", forms, "]"),
            "",
            "",
            *call("", f"def {spelled}(", typed, ") -> None:"),
            f"    {doc(f'Call the reducer; `register_on_{spelled}` tells what comes of it.')}",
            f"    __legacy__.call({literal(name)}, __params__, ({given}))",
            "",
            "",
            f"def register_on_{spelled}(callback: __legacy__.Callback) -> None:",
            f"    {doc('Call `callback(sender, address, status, message, *args)` for each outcome.')}",
            f"    __legacy__.register({literal(name)}, callback)",
            "",
            "",
            f"{decode}  # pyright: ignore[reportUnusedFunction]",
            "    return __legacy__.decode(__params__, data)",
        ]
        return _module(place, f"The reducer `{name}`.", body)

    def _columns(self, place: _Place, columns: Sequence[tuple[str, Node]]) -> list[str]:
        if not columns:
            return []
        return [
            "    columns = {",
            *(f"        {literal(name)}: {self._form(node)}," for name, node in columns),
            "    }",
            "",
            *(f"    {name}: {self._annotation(place, node)}" for name, node in columns if name not in RESERVED),
        ]

    def _filter(self, place: _Place, name: str, node: Node, *, is_unique: bool) -> list[str]:
        value = "value" if name == "cls" else name
        returns = "__legacy__.Self | None" if is_unique else f"{place.builtin('list')}[__legacy__.Self]"
        method = "find_by" if is_unique else "all_by"
        params = ["cls", f"{value}: {self._annotation(place, node)}"]
        return [
            "",
            "    @classmethod",
            *call("    ", f"def filter_by_{name}(", params, f") -> {returns}:"),
            f"        return cls.{method}({literal(name)}, {value})",
        ]

    # --- types --------------------------------------------------------------------------------------------------------

    def _home_of(self, node: Node) -> _Home | None:
        return self._homes[1].get(node.index) if isinstance(node, Slot) else None

    def _form(self, node: Node) -> str:
        home = self._home_of(node)
        if home is not None:
            return f"__legacy__.Named(__package__, {literal(home.module)}, {literal(home.name)})"
        match _inside(node):
            case BytesNode():
                return "__legacy__.BYTES"
            case NewtypeNode(cls=cls) if cls in (Identity, ConnectionId):
                return "__legacy__.IDENTITY" if cls is Identity else "__legacy__.ADDRESS"
            case ArrayNode(element=element):
                return f"__legacy__.Array({self._form(element)})"
            case OptionNode(payload=payload):
                return f"__legacy__.Option({self._form(payload)})"
            case _:
                return "__legacy__.PLAIN"

    def _annotation(self, place: _Place, node: Node) -> str:
        home = self._home_of(node)
        if home is not None:
            return place.cls(home)
        match _inside(node):
            case ScalarNode(kind=kind):
                return place.builtin(NUMBERS[kind])
            case TextNode():
                return place.builtin("str")
            case BytesNode():
                return place.builtin("bytes")
            case NewtypeNode(cls=cls) if cls in (Timestamp, TimeDuration):
                return place.builtin("int")
            case NewtypeNode(cls=cls) if cls in (Identity, ConnectionId):
                return "__legacy__.Identity" if cls is Identity else "__legacy__.Address | None"
            case ArrayNode(element=element):
                return f"{place.builtin('list')}[{self._annotation(place, element)}]"
            case OptionNode(payload=payload):
                return f"{self._annotation(place, payload).removesuffix(' | None')} | None"
            case _:
                return "__legacy__.Any"


# --- text -------------------------------------------------------------------------------------------------------------


def _module(place: _Place, about: str, body: Sequence[str]) -> str:
    # What only annotations need is not imported by programs: modules may refer to each other.
    imports = place.scope.imports("    ")[:-1]
    typing = ["from typing import TYPE_CHECKING", ""] if imports else []
    future = "annotations as _annotations" if place.scope.defines("annotations") else "annotations"
    guarded = ["", "if TYPE_CHECKING:", *imports] if imports else []
    return module_text(
        [
            doc(about),
            "",
            f"from __future__ import {future}",
            "",
            *typing,
            RUNTIME,
            *guarded,
            *([] if body[0].startswith("reducer") else [""]),
            "",
            *body,
        ]
    )


# --- what 0.7 could say -----------------------------------------------------------------------------------------------


def _inside(node: Node) -> Node | None:
    """What a type is made of; None where that would go on for ever, or 0.7 had no form for the whole."""
    if isinstance(node, Slot) and node.cyclic:
        return None
    node = plain(node)
    return None if isinstance(node, OptionNode) and node.wraps else node


def _is_said(node: Node) -> bool:
    """Whether 0.7 had a form for a type. Of a struct each field is asked for by itself."""
    if isinstance(plain(node), ProductNode):
        return True
    match _inside(node):
        case ScalarNode() | TextNode() | BytesNode() | EnumNode():
            return True
        case NewtypeNode(cls=cls):
            return cls in (Identity, ConnectionId, Timestamp, TimeDuration)
        case ArrayNode(element=element):
            return _is_said(element)
        case OptionNode(payload=payload):
            return _is_said(payload)
        case _:
            return False


def _can_be_filtered(node: Node) -> bool:
    node = plain(node)
    return _is_said(node) and not isinstance(node, ProductNode | ArrayNode)


def _type_name(schema: Schema, slot: int) -> str:
    (name,) = class_names([schema.type_names.get(slot, "")])
    return name


def _snake(name: str) -> str:
    return snake(name.replace(".", "_"))


def _stems(wishes: Iterable[tuple[str, str]]) -> list[str]:
    """Names of files, distinct on file systems that do not tell cases apart, in order.

    Args:
        wishes: The name, and what stays at its end.
    """
    taken: set[str] = set()
    stems: list[str] = []
    for wish, end in wishes:
        (base,) = field_names([wish])
        stem, number = f"{base}{end}", 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{base}_{number}{end}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems
