"""Python classes for products, sums and enums, made while the program runs or adopted from elsewhere.

All are true `attrs` classes, frozen and with slots, which makes their constructors slow: each attribute goes through
`object.__setattr__`. `builder` is the way around for code that has already checked what it sets. Nothing here knows
types, only names; the names must come out of `names.py`.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from typing import Any

import attrs

from ..errors import SchemaError

__all__ = ["argument_names", "attribute_names", "builder", "make_enum", "make_product", "make_sum"]

# `__init__` as attrs writes it uses these names itself, so an argument cannot be called like that.
_INIT_NAMES = frozenset({"self", "_setattr", "_cached_setattr_get"})


def make_product(name: str, fields: Sequence[str], *, base: type = object) -> type[Any]:
    """Make the class of a product.

    Args:
        name: The class's name; any text.
        fields: Attribute names in order. Arguments of the constructor are called the same, also those that begin with
            an underscore; only `self` is passed as `self_`.
        base: What to derive from, for variants of sums.
    """
    return attrs.make_class(
        _printable(name),
        {field: attrs.field(alias=name) for field, name in zip(fields, argument_names(fields), strict=True)},
        bases=(base,),
        class_body={"__module__": __name__},
        frozen=True,
        slots=True,
    )


def argument_names(fields: Sequence[str]) -> tuple[str, ...]:
    """What the arguments of a product's constructor are called."""
    return tuple(_argument(field, fields) for field in fields)


def _argument(field: str, fields: Sequence[str]) -> str:
    argument = field
    while argument in _INIT_NAMES or (argument != field and argument in fields):
        argument += "_"
    return argument


def _printable(name: str) -> str:
    """A class's name cannot hold everything that a string can: no NUL, no half of a surrogate pair."""
    return "".join(char if char.isprintable() else "?" for char in name)


def make_sum(name: str, variants: Sequence[tuple[str, bool]]) -> type[Any]:
    """Make the class of a sum, which has one subclass per variant as attribute: `Shape.Circle(value)`, `Shape.Empty()`.

    Args:
        name: The class's name; any text.
        variants: Name of each variant and whether it has a payload, which is then its field `value`.
    """
    name = _printable(name)
    base = type(name, (), {"__slots__": (), "__module__": __name__, "__doc__": f"One of the variants of {name}."})
    for variant, has_payload in variants:
        cls = make_product(variant, ("value",) if has_payload else (), base=base)
        cls.__qualname__ = f"{name}.{variant}"
        setattr(base, variant, cls)
    return base


def make_enum(name: str, members: Sequence[str]) -> type[enum.Enum]:
    """Make the class of a sum without payloads: an `enum.Enum` whose values are the tags."""
    make: Any = enum.Enum  # mypy wants the name of an enum to be a literal
    made: type[enum.Enum] = make(
        _printable(name), [(member, tag) for tag, member in enumerate(members)], module=__name__
    )
    return made


def attribute_names(cls: type[Any]) -> tuple[str, ...]:
    """The attributes of an attrs class in order.

    Raises:
        SchemaError: It is no attrs class.
    """
    if not attrs.has(cls):
        raise SchemaError(f"{cls.__name__} is no attrs class")
    return tuple(field.name for field in attrs.fields(cls))


def builder(cls: type[Any]) -> type[Any] | None:
    """A subclass whose instances can be filled attribute by attribute and then become instances of `cls`.

    The layout is the same, so `made.__class__ = cls` is all that remains to do; one such assignment and plain stores
    into slots cost a fraction of a frozen constructor. Validators and converters do not run: what is filled in must
    already be what the attribute should hold.

    Returns:
        The subclass, or None if the constructor does more than to set one attribute per argument.
    """
    if cls is not uuid.UUID:
        hooks = any(hasattr(cls, hook) for hook in ("__attrs_post_init__", "__attrs_pre_init__"))
        if hooks or not all(field.init for field in attrs.fields(cls)):
            return None
    # Both setters must be replaced: if one is left, stores go through a slow slot that serves both.
    body = {
        "__slots__": (),
        "__init__": object.__init__,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    metaclass: Any = type(cls)
    made: type[Any] = metaclass(cls.__name__, (cls,), body)
    return made
