"""From annotations to the types of a schema, and from classes to their slots.

Each class that a module's columns or parameters mention gets one slot of the typespace and keeps its own name there.
Values in Python are those that the codecs know (`bsatn.codec`); annotations say exactly that, so an option of an option
is `Some[i32 | None] | None`. Nothing here knows tables or functions.
"""

from __future__ import annotations

import enum
import keyword
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import attrs

from spacetimedb_proto.bsatn.classes import make_product
from spacetimedb_proto.bsatn.names import variant_names
from spacetimedb_proto.bsatn.types import (
    BYTES,
    CONNECTION_ID,
    IDENTITY,
    SCHEDULE_AT,
    TIME_DURATION,
    TIMESTAMP,
    UNIT,
    UUID,
    AlgebraicType,
    Array,
    Element,
    Primitive,
    Product,
    Ref,
    Sum,
    option,
    option_payload,
    result,
)
from spacetimedb_proto.bsatn.values import ConnectionId, Err, Identity, Ok, ScheduleAt, Some, TimeDuration, Timestamp
from spacetimedb_proto.schema.definitions import TypeDef

from ..annotations import annotations_of
from .cases import AS_WRITTEN, Naming
from .columns import Marker

__all__ = ["TypeBuilder", "UnionSum", "function_hints", "markers", "row_class", "sum_class", "wire_name"]

_PLAIN: Final[Mapping[Any, AlgebraicType]] = {
    bool: Primitive.BOOL,
    str: Primitive.STRING,
    float: Primitive.F64,
    bytes: BYTES,
    Identity: IDENTITY,
    ConnectionId: CONNECTION_ID,
    Timestamp: TIMESTAMP,
    TimeDuration: TIME_DURATION,
    ScheduleAt: SCHEDULE_AT,
    uuid.UUID: UUID,
    None: UNIT,
    type(None): UNIT,
}


def wire_name(name: str) -> str:
    """The name that something has in the schema: `from_` is how Python spells `from`."""
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def row_class(cls: type[Any]) -> type[Any]:
    """An attrs class, frozen and with slots, unless it is one already: what rows and products are made of."""
    return cls if "__attrs_attrs__" in vars(cls) else attrs.frozen(cls)


def sum_class(cls: type[Any], naming: Naming = AS_WRITTEN) -> type[Any]:
    """Give a class one subclass for each of its annotations, as attributes: `Shape.Circle(value)`, `Shape.Empty()`."""
    hints = annotations_of(cls)
    for name, attribute in zip(hints, variant_names([naming.camel(wire_name(name)) for name in hints]), strict=True):
        has_payload = hints[name] not in (None, "None")
        variant = make_product(attribute, ("value",) if has_payload else (), base=cls)
        variant.__qualname__ = f"{cls.__qualname__}.{attribute}"
        setattr(cls, attribute, variant)
        setattr(cls, name, variant)
    return cls


def markers(annotation: Any) -> frozenset[Marker]:
    """The markers at the outside of a column's annotation."""
    if get_origin(annotation) is not Annotated:
        return frozenset()
    return frozenset(note for note in annotation.__metadata__ if isinstance(note, Marker))


def function_hints(function: Callable[..., Any], names: Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Some of a function's annotations, evaluated.

    Args:
        function: The function.
        names: Parameters, or `return`. Others are not looked at, so they may name what exists for type checkers only.
        known: What names mean that the function's own module does not have.

    Raises:
        TypeError: One cannot be evaluated.
    """
    wanted = {name: note for name, note in annotations_of(function).items() if name in names}
    namespace: Mapping[str, Any] = getattr(function, "__globals__", {})
    return _hints(types.SimpleNamespace(__annotations__=wanted), f"{function.__name__}()", namespace, known)


def _hints(thing: Any, title: str, namespace: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    # A name of the thing's own module means what it means there; names of local classes are only known to the module.
    extra = {name: value for name, value in known.items() if name not in namespace}
    try:
        return get_type_hints(thing, dict(namespace), extra, include_extras=True)
    except Exception as error:
        raise TypeError(f"{title}: its annotations cannot be evaluated: {error}") from error


@attrs.frozen
class UnionSum:
    """A sum whose variants are classes of their own: a union of them, by any name.

    Attributes:
        name: Of the sum.
        classes: Its variants, in order. One without fields has no payload, one with a single field that field's, and
            any other is its payload.
    """

    name: str
    classes: tuple[type[Any], ...]

    @property
    def union(self) -> Any:
        """The union of the classes."""
        return Union[self.classes]  # noqa: UP007 - how many they are is not known here


@attrs.define
class TypeBuilder:
    """Collects the types of one module.

    Attributes:
        classes: Products that were registered, tables' rows included.
        sums: Sums that were registered.
        unions: Sums that were registered and are unions of classes.
        naming: What becomes of their names.
        typespace: The slots so far.
        slots: Which class has which slot.
        union_slots: Which union has which slot.
    """

    classes: list[type[Any]]
    sums: list[type[Any]]
    unions: list[UnionSum]
    naming: Naming
    typespace: list[AlgebraicType] = attrs.field(factory=list[AlgebraicType], init=False)
    slots: dict[type[Any], int] = attrs.field(factory=dict[type[Any], int], init=False)
    union_slots: dict[UnionSum, int] = attrs.field(factory=dict[UnionSum, int], init=False)

    @property
    def known(self) -> dict[str, Any]:
        """What was registered by name, for annotations that are text."""
        classes = {cls.__name__: cls for cls in (*self.classes, *self.sums)}
        return classes | {sum_.name: sum_.union for sum_ in self.unions}

    def definitions(self) -> tuple[TypeDef, ...]:
        """Names of all slots.

        Raises:
            TypeError: Two classes have the same name.
        """
        names: dict[str, tuple[int, str]] = {}
        for name, slot, home in (
            *((cls.__name__, slot, cls.__module__) for cls, slot in self.slots.items()),
            *((sum_.name, slot, "a union") for sum_, slot in self.union_slots.items()),
        ):
            other, place = names.setdefault(self.naming.pascal(name), (slot, home))
            if other != slot:
                raise TypeError(f"two types have the name {name}: one of {home}, one of {place}")
        return tuple(TypeDef(slot=names[name][0], name=name) for name in sorted(names))

    def fields(self, cls: type[Any]) -> dict[str, Any]:
        """The annotations of a class, by attribute and in order."""
        home = sys.modules.get(cls.__module__)  # code run by `exec` may have none; annotations then are no strings
        hints = _hints(cls, cls.__name__, vars(home) if home else {}, self.known)
        if attrs.has(cls):
            return {field.name: hints[field.name] for field in attrs.fields(cls)}
        return {name: hints[name] for name in annotations_of(cls)}

    def reference(self, cls: type[Any]) -> Ref:
        """The slot of a class, which is filled at its first mention; so a type may contain itself."""
        if cls not in self.slots:
            self.slots[cls] = len(self.typespace)
            self.typespace.append(UNIT)
            self.typespace[self.slots[cls]] = self._structure(cls)
        return Ref(self.slots[cls])

    def _union_reference(self, sum_: UnionSum) -> Ref:
        """The slot of a union, as `reference` has it."""
        if sum_ not in self.union_slots:
            slot = self.union_slots[sum_] = len(self.typespace)
            self.typespace.append(UNIT)
            names = [self.naming.camel(wire_name(cls.__name__)) for cls in sum_.classes]
            self.typespace[slot] = Sum(tuple(map(Element, names, map(self._payload, sum_.classes))))
        return Ref(self.union_slots[sum_])

    def _payload(self, cls: type[Any]) -> AlgebraicType:
        fields = list(self.fields(cls).items())
        if len(fields) > 1:
            return self.reference(cls)
        return self.algebraic(fields[0][1], f"{cls.__name__}.{fields[0][0]}") if fields else UNIT

    def _structure(self, cls: type[Any]) -> AlgebraicType:
        if issubclass(cls, enum.Enum):
            tags = [member.value for member in cls]
            if tags != list(range(len(tags))):
                raise TypeError(f"{cls.__name__}: expected the values 0 to {len(tags) - 1} in order, got {tags}")
            return Sum(tuple(Element(self.naming.camel(wire_name(member.name)), UNIT) for member in cls))
        is_sum = cls in self.sums
        convert = self.naming.camel if is_sum else self.naming.snake
        elements = tuple(
            Element(convert(wire_name(name)), self.algebraic(annotation, f"{cls.__name__}.{name}"))
            for name, annotation in self.fields(cls).items()
        )
        return Sum(elements) if is_sum else Product(elements)

    def algebraic(self, annotation: Any, where: str) -> AlgebraicType:
        """The type of an annotation.

        Args:
            annotation: Evaluated, with its extras.
            where: What it belongs to, for errors.

        Raises:
            TypeError: A column cannot be of that type.
        """
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            sizes = [note for note in annotation.__metadata__ if isinstance(note, Primitive)]
            return sizes[0] if sizes else self.algebraic(args[0], where)
        if origin is list:
            return Array(self.algebraic(args[0], where))
        if origin in (Union, types.UnionType):
            return self._union(args, where)
        if annotation is None or (isinstance(annotation, type) and annotation in _PLAIN):
            return _PLAIN[annotation]
        return self.known_reference(annotation, where)

    def known_reference(self, cls: Any, where: str) -> Ref:
        """The slot of a class of the module.

        Args:
            cls: The class.
            where: What it is for, for errors.

        Raises:
            TypeError: It is not one.
        """
        if isinstance(cls, type) and self._is_known(cls):
            return self.reference(cls)
        raise TypeError(f"{where}: {_advice(cls)}")

    def _is_known(self, cls: type[Any]) -> bool:
        return issubclass(cls, enum.Enum) or cls in self.classes or cls in self.sums

    def _union(self, args: tuple[Any, ...], where: str) -> AlgebraicType:
        present = [arg for arg in args if arg is not type(None)]
        for sum_ in self.unions:
            if set(sum_.classes) == set(present):
                found = self._union_reference(sum_)
                return found if len(present) == len(args) else option(found)
        if len(args) == 2 and len(present) == 1:
            (payload,) = present
            if get_origin(payload) is not Some:
                return option(self.algebraic(payload, where))
            inner = self.algebraic(get_args(payload)[0], where)
            if option_payload(inner) is None:
                raise TypeError(f"{where}: Some[...] is only for options of options; write the payload itself")
            return option(inner)
        if [get_origin(arg) for arg in args] == [Ok, Err]:
            ok, err = (self.algebraic(get_args(arg)[0], where) for arg in args)
            return result(ok, err)
        raise TypeError(f"{where}: of unions only T | None and Ok[T] | Err[E] are types; others need module.union")


def _advice(annotation: Any) -> str:
    if annotation is int:
        return "int has no size; use one of u8 to u256 or i8 to i256"
    if isinstance(annotation, type):
        return f"{annotation.__name__} is no type of this module; register it with @module.type or @module.sum"
    return f"{annotation!r} is no type that a column can have"
