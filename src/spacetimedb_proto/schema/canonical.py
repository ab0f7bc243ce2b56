"""The names that a server gives to what a module's source calls otherwise (schema reference, 3.3).

This is for definitions that come straight from a compiled module. What a server says is converted already, and
converting it again would corrupt the names of modules that chose other ones. Where servers differ, this does as one of
2.14: it converts the names of submodules, too (protocol reference, 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from ..bsatn.layout import NEWTYPES
from ..bsatn.names import camel, pascal, snake
from ..bsatn.types import SCHEDULE_AT
from .types_json import type_to_json

__all__ = ["canonicalised"]

Json: TypeAlias = dict[str, Any]

_UNTOUCHED = type_to_json(SCHEDULE_AT)
_SPECIAL = frozenset({"__query__", *(name for name, _ in NEWTYPES)})
"""Elements that make a type a special one."""


def _same(name: str) -> str:
    return name


@attrs.frozen
class _Policy:
    """How names are made.

    Attributes:
        thing: Of tables, functions, columns and namespaces.
        variant: Of variants.
        type: Of types.
    """

    thing: Callable[[str], str] = snake
    variant: Callable[[str], str] = camel
    type: Callable[[str], str] = pascal


def canonicalised(definition: Mapping[str, Any]) -> Json:
    """A v10 definition of a module's source as a server would say it.

    Args:
        definition: `{"sections": [...]}`, in the form in which servers write it.
    """
    sections: Json = {}
    for section in definition["sections"]:
        for name, payload in section.items():
            sections.setdefault(name, payload)
    policy = _Policy(_same, _same, _same) if "None" in sections.pop("CaseConversionPolicy", {}) else _Policy()
    return {"sections": [{name: payload} for name, payload in _Module(sections, policy).sections().items()]}


class _Module:
    def __init__(self, sections: Json, policy: _Policy) -> None:
        self._all = sections
        self._policy = policy
        self._given: dict[tuple[str, str], str] = {}
        for entry in sections.get("ExplicitNames", {"entries": []})["entries"]:
            for kind, names in entry.items():
                self._given.setdefault((kind, names["source_name"]), names["canonical_name"])

    def sections(self) -> Json:
        """All sections, with every thing in `ExplicitNames`."""
        changed: Json = {
            "Typespace": self._typespace,
            "Types": self._types,
            "Views": self._views,
            "Schedules": self._schedules,
            "LifeCycleReducers": self._lifecycles,
            "ViewPrimaryKeys": self._keys,
            "Submodules": self._submodules,
        }
        found = {name: changed[name](payload) if name in changed else payload for name, payload in self._all.items()}
        return {**found, "ExplicitNames": {"entries": self._entries()}}

    def _name(self, kind: str, source: str) -> str:
        return self._given.get((kind, source)) or self._policy.thing(source)

    def _entries(self) -> list[Json]:
        kinds = {"Tables": "Table", "Reducers": "Function", "Procedures": "Function", "Views": "Function"}
        sources = [(kind, item["source_name"]) for name, kind in kinds.items() for item in self._all.get(name, ())]
        sources += [("Namespace", item["namespace"]) for item in self._all.get("Submodules", ())]
        return [{kind: {"source_name": source, "canonical_name": self._name(kind, source)}} for kind, source in sources]

    # --- sections -----------------------------------------------------------------------------------------------------

    def _typespace(self, payload: Json) -> Json:
        return {"types": [self._type(type_) for type_ in payload["types"]]}

    def _type(self, type_: Json) -> Json:
        if type_ == _UNTOUCHED:
            return type_
        ((kind, payload),) = type_.items()
        match kind:
            case "Array":
                return {kind: self._type(payload)}
            case "Product":
                return {kind: {"elements": [self._element(item, self._policy.thing) for item in payload["elements"]]}}
            case "Sum":
                return {kind: {"variants": [self._element(item, self._policy.variant) for item in payload["variants"]]}}
            case _:
                return type_

    def _element(self, element: Json, convert: Callable[[str], str]) -> Json:
        name = element["name"].get("some")
        called = element["name"] if name is None or name in _SPECIAL else {"some": convert(name)}
        return {"name": called, "algebraic_type": self._type(element["algebraic_type"])}

    def _types(self, payload: list[Json]) -> list[Json]:
        return [{**item, "source_name": self._scoped(item["source_name"])} for item in payload]

    def _scoped(self, name: Json) -> Json:
        scope = [self._policy.type(part) for part in name["scope"]]
        return {"scope": scope, "source_name": self._policy.type(name["source_name"])}

    def _views(self, payload: list[Json]) -> list[Json]:
        return [{**item, "return_type": self._type(item["return_type"])} for item in payload]

    def _schedules(self, payload: list[Json]) -> list[Json]:
        return [
            {
                **item,
                "table_name": self._name("Table", item["table_name"]),
                "function_name": self._name("Function", item["function_name"]),
            }
            for item in payload
        ]

    def _lifecycles(self, payload: list[Json]) -> list[Json]:
        return [{**item, "function_name": self._name("Function", item["function_name"])} for item in payload]

    def _keys(self, payload: list[Json]) -> list[Json]:
        return [{**item, "columns": list(map(self._policy.thing, item["columns"]))} for item in payload]

    def _submodules(self, payload: list[Json]) -> list[Json]:
        return [{**item, "module": canonicalised(item["module"])} for item in payload]
