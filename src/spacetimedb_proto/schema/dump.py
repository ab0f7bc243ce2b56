"""The way out: the JSON that a server answers for a `Schema`.

Only a test server needs this. Lists that have no order of their own come sorted by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import attrs

from ..bsatn.types import UNIT, AlgebraicType, Primitive, Ref
from .assemble import query_keys
from .definitions import Function, HttpRoute, Index, Param, Schedule, Sequence, Table, TypeDef, params_product
from .model import Schema
from .names import index_name, local
from .types_json import elements_to_json, option_to_json, type_to_json

__all__ = ["dump_schema"]

Json = dict[str, Any]
Own = TypeVar("Own", Table, Function, TypeDef)

METHODS = {
    name.upper(): name for name in ("Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch")
}


def dump_schema(schema: Schema, version: Literal[9, 10] = 10) -> Json:
    """The bare definition, as `GET /v1/database/NAME/schema?version=N` answers it.

    A v9 answer has no place for submodules and for what `schema.v9` lists. Configuration and outboxes, which 2.14 also
    puts into a v10 answer, are no part of a `Schema`.

    Args:
        schema: What to write.
        version: 9 or 10.
    """
    root = _Part.root(schema)
    return _V9(root).definition() if version == 9 else _V10(root).definition()


@attrs.frozen(kw_only=True)
class _Part:
    """What one module, the root or a submodule, defines itself."""

    schema: Schema
    namespace: str
    source_namespace: str
    first_slot: int
    slots: int

    @classmethod
    def root(cls, schema: Schema) -> _Part:
        slots = min((submodule.first_slot for submodule in schema.submodules), default=len(schema.typespace))
        return cls(schema=schema, namespace="", source_namespace="", first_slot=0, slots=slots)

    def inner(self) -> list[_Part]:
        """The submodules mounted directly in this module."""
        return [
            _Part(
                schema=self.schema,
                namespace=submodule.namespace,
                source_namespace=submodule.source_name,
                first_slot=submodule.first_slot,
                slots=submodule.slots,
            )
            for submodule in self.schema.submodules
            if submodule.namespace.rpartition(".")[0] == self.namespace
        ]

    def own(self, items: Iterable[Own]) -> list[Own]:
        """Those items that this module defines."""
        return [item for item in items if item.namespace == self.namespace]


class _Writer(ABC):
    """What both forms write alike, except for what they call a name."""

    name_field: str

    def __init__(self, part: _Part) -> None:
        self.part = part
        schema = part.schema
        tables = part.own(schema.tables.values())
        self.tables = [table for table in tables if table.view is None]
        self.views = [table for table in tables if table.view is not None]
        self.reducers = part.own(schema.reducers.values())
        self.procedures = part.own(schema.procedures.values())

    def name(self, item: Table | Function) -> str:
        """The canonical name within the module."""
        return local(self.part.namespace, item.name)

    def listed_name(self, item: Table | Function) -> str:
        """The name under which this form lists a thing."""
        return self.name(item)

    def type(self, type_: AlgebraicType) -> Json:
        return type_to_json(type_, self.part.first_slot)

    def params(self, params: Iterable[Param]) -> Json:
        return {"elements": elements_to_json(params_product(params).elements, self.part.first_slot)}

    def typespace(self) -> Json:
        first = self.part.first_slot
        types = self.part.schema.typespace[first : first + self.part.slots]
        return {"types": [self.type(type_) for type_ in types]}

    def type_defs(self) -> list[Json]:
        return [
            {
                self.name_field: {"scope": list(item.scope), self.name_field: item.name},
                "ty": item.slot - self.part.first_slot,
                "custom_ordering": item.custom_ordering,
            }
            for item in self.part.own(self.part.schema.type_defs)
        ]

    def table(self, table: Table) -> Json:
        return {
            self.name_field: self.listed_name(table),
            "product_type_ref": self.type(table.row)["Ref"],
            "primary_key": [] if table.primary_key is None else [table.primary_key],
            "indexes": [self.index(table, index) for index in table.indexes],
            "constraints": [
                {self.name_field: option_to_json(item.name), "data": {"Unique": {"columns": list(item.columns)}}}
                for item in table.constraints
            ],
            "sequences": [self.sequence(item) for item in table.sequences],
            "table_type": {"System" if table.is_system else "User": []},
            "table_access": {"Public" if table.is_public else "Private": []},
        }

    def index(self, table: Table, index: Index) -> Json:
        columns: Any = index.columns[0] if index.kind == "Direct" else list(index.columns)
        return {
            self.name_field: option_to_json(self.index_name(table, index)),
            "accessor_name": option_to_json(index.accessor),
            "algorithm": {index.kind: columns},
        }

    @abstractmethod
    def index_name(self, table: Table, index: Index) -> str | None:
        """The name that this form gives for an index."""

    def sequence(self, sequence: Sequence) -> Json:
        return {
            self.name_field: option_to_json(sequence.name),
            "column": sequence.column,
            "start": option_to_json(sequence.start),
            "min_value": option_to_json(sequence.min_value),
            "max_value": option_to_json(sequence.max_value),
            "increment": sequence.increment,
        }

    def view(self, table: Table) -> Json:
        assert table.view is not None
        return {
            self.name_field: self.listed_name(table),
            "index": table.view.index,
            "is_public": table.is_public,
            "is_anonymous": table.view.is_anonymous,
            "params": self.params(table.view.params),
            "return_type": self.type(table.view.return_type(table.row)),
        }

    def row_level_security(self) -> list[Json]:
        # Rules belong to the root.
        return [] if self.part.namespace else [{"sql": sql} for sql in self.part.schema.row_level_security]


class _V9(_Writer):
    """A struct of lists; every name is canonical."""

    name_field = "name"

    def definition(self) -> Json:
        return {
            "typespace": self.typespace(),
            "tables": [self.table(table) for table in self.tables],
            "reducers": [self.reducer(reducer) for reducer in self.reducers],
            "types": self.type_defs(),
            "misc_exports": [
                *self.defaults(),
                *self.procedure_exports(),
                *({"View": self.view(v)} for v in self.views),
            ],
            "row_level_security": self.row_level_security(),
        }

    def table(self, table: Table) -> Json:
        return {**super().table(table), "schedule": option_to_json(self.schedule(table.schedule))}

    def schedule(self, schedule: Schedule | None) -> Json | None:
        if schedule is None:
            return None
        return {
            "name": option_to_json(schedule.name),
            "reducer_name": schedule.function,
            "scheduled_at_column": schedule.column,
        }

    def index_name(self, table: Table, index: Index) -> str | None:
        names = [table.columns[column].name for column in index.columns]
        return index.name if index.name is not None else index_name(table.name, names, index.kind)

    def reducer(self, reducer: Function) -> Json:
        lifecycle: Json | None = None if reducer.lifecycle is None else {reducer.lifecycle: []}
        return {"name": reducer.name, "params": self.params(reducer.params), "lifecycle": option_to_json(lifecycle)}

    def defaults(self) -> list[Json]:
        return [
            {"ColumnDefaultValue": {"table": table.name, "col_id": column.index, "value": column.default.hex()}}
            for table in self.tables
            for column in table.columns
            if column.default is not None
        ]

    def procedure_exports(self) -> list[Json]:
        return [
            {
                "Procedure": {
                    "name": procedure.name,
                    "params": self.params(procedure.params),
                    "return_type": self.type(procedure.return_type or UNIT),
                }
            }
            for procedure in self.procedures
        ]


class _V10(_Writer):
    """A list of sections, without the empty ones; things are listed by source name."""

    name_field = "source_name"

    def definition(self) -> Json:
        sections: Json = {
            "Typespace": self.typespace() if self.part.slots else None,
            "Types": self.type_defs(),
            "Tables": [self.table(table) for table in self.tables],
            "Reducers": [self.reducer(reducer) for reducer in self.reducers],
            "Procedures": [self.procedure(procedure) for procedure in self.procedures],
            **self.http(),
            "Views": [self.view(view) for view in self.views],
            "ViewPrimaryKeys": self.view_keys(),
            "Schedules": self.schedules(),
            "LifeCycleReducers": [
                {"lifecycle_spec": {reducer.lifecycle: []}, "function_name": self.name(reducer)}
                for reducer in self.reducers
                if reducer.lifecycle is not None
            ],
            "RowLevelSecurity": self.row_level_security(),
            "ExplicitNames": self.explicit_names(),
            "Submodules": [
                {
                    "namespace": local(self.part.source_namespace, part.source_namespace),
                    "module": _V10(part).definition(),
                }
                for part in self.part.inner()
            ],
        }
        return {"sections": [{name: payload} for name, payload in sections.items() if payload]}

    def listed_name(self, item: Table | Function) -> str:
        return local(self.part.source_namespace, item.source_name)

    def table(self, table: Table) -> Json:
        defaults = [
            {"col_id": column.index, "value": column.default.hex()}
            for column in table.columns
            if column.default is not None
        ]
        return {**super().table(table), "default_values": defaults, "is_event": table.is_event}

    def index_name(self, table: Table, index: Index) -> str | None:  # noqa: ARG002 - the other form needs the table
        # A schema that came as v9 has only the canonical name.
        return index.source_name if index.source_name is not None else index.name

    def reducer(self, reducer: Function) -> Json:
        returns = {"ok_return_type": self.type(UNIT), "err_return_type": self.type(Primitive.STRING)}
        return {**self.function(reducer), **returns}

    def procedure(self, procedure: Function) -> Json:
        return {**self.function(procedure), "return_type": self.type(procedure.return_type or UNIT)}

    def function(self, function: Function) -> Json:
        return {
            "source_name": self.listed_name(function),
            "params": self.params(function.params),
            "visibility": {"ClientCallable" if function.is_callable else "Private": []},
        }

    def view_keys(self) -> list[Json]:
        # Keys that can be inferred are not listed: whoever reads this infers them again (schema reference, 3.1).
        inferred = query_keys(self.part.schema.tables.values())
        return [
            {"view_source_name": self.listed_name(table), "columns": [table.columns[table.primary_key].name]}
            for table in self.views
            if table.primary_key is not None and not _is_inferred(table, inferred)
        ]

    def schedules(self) -> list[Json]:
        return [
            {
                "source_name": option_to_json(table.schedule.name),
                "table_name": self.name(table),
                "schedule_at_col": table.schedule.column,
                "function_name": local(self.part.namespace, table.schedule.function),
            }
            for table in self.tables
            if table.schedule is not None
        ]

    def http(self) -> Json:
        if self.part.namespace:
            return {}
        schema = self.part.schema
        return {
            "HttpHandlers": [{"source_name": name} for name in schema.http_handlers],
            "HttpRoutes": [
                {"handler_function": route.handler, "method": _method(route), "path": route.path}
                for route in schema.http_routes
            ],
        }

    def explicit_names(self) -> Json | None:
        functions: list[Table | Function] = [*self.reducers, *self.procedures, *self.views]
        entries = [_entry("Table", self.listed_name(table), self.name(table)) for table in self.tables]
        entries += [_entry("Function", self.listed_name(item), self.name(item)) for item in functions]
        for part in self.part.inner():
            source = local(self.part.source_namespace, part.source_namespace)
            name = local(self.part.namespace, part.namespace)
            # 2.8.3 has no such entries, because it leaves namespaces as they are (protocol reference, 8).
            if source != name:
                entries.append(_entry("Namespace", source, name))
        return {"entries": entries} if entries else None


def _is_inferred(view: Table, keys: Mapping[int, int | None]) -> bool:
    is_query = view.view is not None and view.view.shape == "query"
    return is_query and isinstance(view.row, Ref) and keys.get(view.row.index) == view.primary_key


def _entry(kind: str, source: str, canonical: str) -> Json:
    return {kind: {"source_name": source, "canonical_name": canonical}}


def _method(route: HttpRoute) -> Json:
    if route.method is None:
        return {"Any": []}
    known = METHODS.get(route.method)
    return {"Method": {"Extension": route.method} if known is None else {known: []}}
