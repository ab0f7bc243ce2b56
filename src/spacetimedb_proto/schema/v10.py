"""Reading a v10 definition (schema reference, 1.6): a list of sections in any order.

Things are listed under their source names, and `ExplicitNames` tells the canonical ones; schedules and lifecycles refer
to canonical names already. What 2.14 changed stands in the protocol reference, 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..bsatn.types import AlgebraicType
from .assemble import Parts
from .definitions import Function, HttpRoute, Submodule
from .reader import Node, Struct, shorten
from .scope import Scope
from .tables import ScheduleEntry, read_table, read_view

__all__ = ["read_v10"]

SECTIONS = (
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
    # Of no use to clients: configuration of the module, and calls to other databases.
    "Environment",
    "Outboxes",
)
TABLE_FIELDS = (
    "source_name",
    "product_type_ref",
    "primary_key",
    "indexes",
    "constraints",
    "sequences",
    "table_type",
    "table_access",
    "default_values",
    "is_event",
)
REDUCER_FIELDS = ("source_name", "params", "visibility", "ok_return_type", "err_return_type")
PROCEDURE_FIELDS = ("source_name", "params", "return_type", "visibility")
VIEW_FIELDS = ("source_name", "index", "is_public", "is_anonymous", "params", "return_type")
SCHEDULE_FIELDS = ("source_name", "table_name", "schedule_at_col", "function_name")
LIFECYCLES = ("Init", "OnConnect", "OnDisconnect")
EXPLICIT = ("Table", "Function", "Index", "Namespace")
METHODS = ("Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch", "Extension")
MAX_NAMESPACE = 255
"""Characters of a namespace (the host allows 63 bytes): it becomes part of every name in the submodule."""

MAX_DEPTH = 16
"""How deep submodules may be nested, for the same reason."""


def read_v10(node: Node, scope: Scope, parts: Parts) -> None:
    """Read a definition, submodules included, into `parts`.

    Raises:
        SchemaError: It is malformed.
    """
    _Module(node, scope, parts).read()


class _Module:
    """One module whose sections refer to each other."""

    def __init__(self, node: Node, scope: Scope, parts: Parts) -> None:
        self.scope = scope
        self.parts = parts
        self.sections = _sections(node, scope)
        self.names = self._names()
        self.schedules = self._schedules()
        self.lifecycles = self._lifecycles()
        self.scheduled: set[str] = set()

    def read(self) -> None:
        """Read all sections, what others refer to first."""
        typespace = self.sections.get("Typespace")
        if typespace is not None:
            self.scope.read_typespace(typespace)
        self.parts.type_defs.extend(self.scope.type_def(item) for item in self._items("Types"))
        self._tables()
        self._views()
        self._functions()
        self.parts.row_level_security.extend(item["sql"].text() for item in self._structs("RowLevelSecurity", ("sql",)))
        self._http()
        self._submodules()

    def _items(self, section: str) -> list[Node]:
        node = self.sections.get(section)
        return [] if node is None else node.items()

    def _structs(self, section: str, fields: tuple[str, ...]) -> Iterator[Struct]:
        return (item.struct(fields) for item in self._items(section))

    def _names(self) -> dict[str, dict[str, str]]:
        """Canonical names by kind and source name; without an entry a name is its own."""
        names: dict[str, dict[str, str]] = {kind: {} for kind in EXPLICIT}
        section = self.sections.get("ExplicitNames")
        for item in section.struct(("entries",)).list("entries") if section is not None else ():
            kind, payload = item.variant(EXPLICIT)
            target = names.get(kind)
            if target is not None:
                entry = payload.struct(("source_name", "canonical_name"))
                target.setdefault(entry["source_name"].text(), entry["canonical_name"].text())
            else:
                self.scope.skip(item, f"unknown kind of name {shorten(kind)}")
        return names

    def _schedules(self) -> dict[str, ScheduleEntry]:
        """Schedules by canonical table name."""
        schedules: dict[str, ScheduleEntry] = {}
        for entry in self._structs("Schedules", SCHEDULE_FIELDS):
            name = entry["source_name"].option()
            schedules.setdefault(
                entry["table_name"].text(),
                ScheduleEntry(
                    name=None if name is None else name.text(),
                    column=entry["schedule_at_col"],
                    function=entry["function_name"].text(),
                ),
            )
        return schedules

    def _lifecycles(self) -> dict[str, str]:
        """What a reducer is run at, by its canonical name."""
        return {
            entry["function_name"].text(): entry["lifecycle_spec"].variant(LIFECYCLES)[0]
            for entry in self._structs("LifeCycleReducers", ("lifecycle_spec", "function_name"))
        }

    def _tables(self) -> None:
        for table in self._structs("Tables", TABLE_FIELDS):
            source = table["source_name"].text()
            name = self.names["Table"].get(source, source)
            is_event = table.get("is_event")
            schedule = self.schedules.pop(name, None)
            if schedule is not None:
                self.scheduled.add(schedule.function)
            self.parts.tables.append(
                read_table(
                    table,
                    self.scope,
                    name=name,
                    source_name=source,
                    defaults=[item.struct(("col_id", "value")) for item in table.list("default_values")],
                    schedule=schedule,
                    is_event=is_event is not None and is_event.boolean(),
                )
            )
        self._note_rest("Schedules", self.schedules)

    def _views(self) -> None:
        keys = {
            entry["view_source_name"].text(): [column.text() for column in entry.list("columns")]
            for entry in self._structs("ViewPrimaryKeys", ("view_source_name", "columns"))
        }
        for node in self._structs("Views", VIEW_FIELDS):
            source = node["source_name"].text()
            name = self.names["Function"].get(source, source)
            view = read_view(node, self.scope, name=name, source_name=source, key=keys.get(source, ()))
            if view is not None:
                self.parts.tables.append(view)

    def _functions(self) -> None:
        for reducer in self._structs("Reducers", REDUCER_FIELDS):
            self.parts.reducers.append(self._function(reducer, None))
        for procedure in self._structs("Procedures", PROCEDURE_FIELDS):
            returned = self.scope.types.read(procedure["return_type"])
            self.parts.procedures.append(self._function(procedure, returned))
        self._note_rest("LifeCycleReducers", self.lifecycles)

    def _function(self, node: Struct, return_type: AlgebraicType | None) -> Function:
        source = node["source_name"].text()
        name = self.names["Function"].get(source, source)
        visibility = self.scope.variant(node["visibility"], ("Private", "ClientCallable"))
        lifecycle = self.lifecycles.pop(name, None) if return_type is None else None
        is_scheduled = name in self.scheduled
        return Function(
            name=self.scope.canonical(name),
            source_name=self.scope.source(source),
            namespace=self.scope.namespace,
            params=self.scope.params(node["params"]),
            return_type=return_type,
            is_callable=visibility == "ClientCallable" and lifecycle is None and not is_scheduled,
            lifecycle=lifecycle,
            is_scheduled=is_scheduled,
        )

    def _note_rest(self, section: str, names: Iterable[str]) -> None:
        """Note what refers to something that is not in this module."""
        for name in names:
            self.scope.skip(self.sections[section], f"there is no {shorten(name)}")

    def _http(self) -> None:
        # Routes are for HTTP alone, and a submodule has none.
        if self.scope.namespace:
            return
        self.parts.http_handlers.extend(
            item["source_name"].text() for item in self._structs("HttpHandlers", ("source_name",))
        )
        for item in self._structs("HttpRoutes", ("handler_function", "method", "path")):
            kind, payload = item["method"].variant(("Any", "Method"))
            method = _method(payload) if kind == "Method" else None
            if kind in ("Any", "Method"):
                route = HttpRoute(handler=item["handler_function"].text(), method=method, path=item["path"].text())
                self.parts.http_routes.append(route)
            else:
                self.scope.skip(item.node, f"unknown kind of method {shorten(kind)}")

    def _submodules(self) -> None:
        # In the order of their names, because the order in the answer may be any and decides about slots.
        found: dict[str, tuple[Node, Scope]] = {}
        for item in self._structs("Submodules", ("namespace", "module")):
            inner = self._submodule_scope(item["namespace"])
            if inner.namespace in found:
                raise item["namespace"].fail("another namespace", "one that is taken")
            found[inner.namespace] = (item["module"], inner)
        for _, (node, inner) in sorted(found.items()):
            first = len(inner.typespace)
            _Module(node, inner, self.parts).read()
            self.parts.submodules.append(
                Submodule(
                    namespace=inner.namespace,
                    source_name=inner.source_namespace,
                    first_slot=first,
                    slots=inner.types.slots,
                )
            )

    def _submodule_scope(self, node: Node) -> Scope:
        source = node.text()
        name = self.names["Namespace"].get(source, source)
        for text in (source, name):
            if not text or "." in text or len(text) > MAX_NAMESPACE:
                raise node.fail("a namespace", shorten(text))
        if self.scope.namespace.count(".") + 2 > MAX_DEPTH:
            raise node.fail(f"submodules nested at most {MAX_DEPTH} deep", "more")
        return Scope(
            name_field=self.scope.name_field,
            budget=self.scope.budget,
            typespace=self.scope.typespace,
            namespace=self.scope.canonical(name),
            source_namespace=self.scope.source(source),
        )


def _sections(node: Node, scope: Scope) -> dict[str, Node]:
    """The payloads of sections by name. Of two of a kind the first counts, as upstream (schema reference, trap 19)."""
    sections: dict[str, Node] = {}
    for item in node.struct(("sections",))["sections"].items():
        name, payload = item.variant(SECTIONS)
        if name not in SECTIONS:
            scope.skip(item, f"unknown section {shorten(name)}")
        elif name in sections:
            scope.skip(item, f"a second section {name}; the first counts")
        else:
            sections[name] = payload
    return sections


def _method(node: Node) -> str:
    """The upper-case name of an HTTP method."""
    name, payload = node.variant(METHODS)
    return payload.text() if name == "Extension" else name.upper()
