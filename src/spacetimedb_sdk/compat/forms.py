"""How a column or parameter looks in 0.7's plain data, and what classes that today's generator writes make of it."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Protocol

import attrs

from .values import Address, Identity

__all__ = ["ADDRESS", "BYTES", "IDENTITY", "PLAIN", "Array", "Form", "Named", "Option"]


class Form(Protocol):
    """Reads and writes one type."""

    def read(self, data: Any) -> Any:
        """The value that plain data says."""
        ...

    def write(self, value: Any) -> Any:
        """The plain data of a value."""
        ...


class _Plain:
    """What is the same both ways: numbers, text, and what 0.7 had no form for."""

    def read(self, data: Any) -> Any:
        return data

    def write(self, value: Any) -> Any:
        return value


class _Bytes:
    def read(self, data: str) -> bytes:
        return bytes.fromhex(data)

    def write(self, value: bytes) -> str:
        return value.hex()


class _Identity:
    def read(self, data: Sequence[str]) -> Identity:
        return Identity.from_string(data[0])

    def write(self, value: Identity) -> list[str]:
        return [str(value)]


class _Address:
    def read(self, data: Sequence[str]) -> Address | None:
        return Address.from_string(data[0])

    def write(self, value: Address | None) -> list[str]:
        return ["00" * 16 if value is None else str(value)]


PLAIN: Final[Form] = _Plain()
BYTES: Final[Form] = _Bytes()
IDENTITY: Final[Form] = _Identity()
ADDRESS: Final[Form] = _Address()


@attrs.frozen
class Array:
    """A list of one type."""

    element: Form

    def read(self, data: Sequence[Any]) -> list[Any]:
        """Each element read."""
        return [self.element.read(item) for item in data]

    def write(self, value: Sequence[Any]) -> list[Any]:
        """Each element written."""
        return [self.element.write(item) for item in value]


@attrs.frozen
class Option:
    """A value or None."""

    payload: Form

    def read(self, data: dict[str, Any]) -> Any:
        """The value, or None."""
        return self.payload.read(data["0"]) if "0" in data else None

    def write(self, value: Any) -> dict[str, Any]:
        """The value with its tag, or the other tag."""
        return {"1": []} if value is None else {"0": self.payload.write(value)}


@attrs.frozen(slots=False)
class Named:
    """A class of the package: a struct, or an enum, whose members count from 1.

    Attributes:
        package: The package.
        module: The module in it.
        name: The class.
    """

    package: str | None
    module: str
    name: str

    @cached_property
    def _class(self) -> Any:
        # Not before it is needed: types may refer to each other.
        return getattr(importlib.import_module(f"{self.package}.{self.module}"), self.name)

    def read(self, data: Any) -> Any:
        """An object of the class."""
        cls = self._class
        return cls(int(next(iter(data))) + 1) if issubclass(cls, enum.Enum) else cls(data)

    def write(self, value: Any) -> Any:
        """The plain data of an object."""
        return {str(value.value - 1): []} if isinstance(value, enum.Enum) else value.encode()
