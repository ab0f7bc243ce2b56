"""Attribute access to things that the schema names: tables, reducers, procedures, types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from spacetimedb_proto.bsatn.names import field_names

__all__ = ["Namespace"]

T = TypeVar("T")


class Namespace(Generic[T]):
    """Things by name: `ns.name` where the name can be an attribute, `ns["any name"]` always.

    A keyword or a clash gets a trailing underscore as an attribute; indexing takes the schema's own name. Things are
    made when first asked for.
    """

    def __init__(self, kind: str, names: Iterable[str], make: Callable[[str], T], aliases: Mapping[str, str]) -> None:
        known = sorted(names)
        self.__kind = kind
        self.__make = make
        self.__aliases = aliases
        self.__things: dict[str, T | None] = dict.fromkeys(known)
        self.__attributes = dict(zip(field_names(known), known, strict=True))

    def __getitem__(self, name: str) -> T:
        things = self.__things
        name = name if name in things else self.__aliases.get(name, name)
        if name not in things:
            raise KeyError(f"no {self.__kind} {name!r} in the schema; there are: {', '.join(things) or 'none'}")
        thing = things[name]
        if thing is None:
            thing = things[name] = self.__make(name)
        return thing

    def __getattr__(self, attribute: str) -> T:
        name = self.__attributes.get(attribute)
        if name is None:
            known = ", ".join(self.__attributes) or "none"
            raise AttributeError(f"no {self.__kind} {attribute!r} in the schema; there are: {known}")
        thing = self[name]
        vars(self)[attribute] = thing  # so that Python finds it without asking here again
        return thing

    def __iter__(self) -> Iterator[str]:
        """The schema's names, sorted."""
        return iter(self.__things)

    def __contains__(self, name: object) -> bool:
        return name in self.__things

    def __len__(self) -> int:
        return len(self.__things)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.__attributes]

    def __repr__(self) -> str:
        return f"<{len(self)} {self.__kind}s: {', '.join(self)}>"
