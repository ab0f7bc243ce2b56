"""`types`: the classes of a module's named types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spacetimedb_proto.bsatn.classes import argument_names
from spacetimedb_proto.bsatn.layout import EnumNode, ProductNode, SumNode

from .annotations import Annotations
from .plan import Plan, TypePlan
from .scope import Scope
from .text import annotated, call, doc, literal, module_text, union
from .things import GENERATED

__all__ = ["types_code", "types_stub"]


def types_code(plan: Plan) -> str:
    """The module as it runs: names, of which classes are made when they are asked for."""
    types = list(plan.classes.values())
    lines = [
        doc("The types of the module. Their classes are made when they are first asked for; `types.pyi` shows them."),
        "",
        GENERATED,
        "",
        "__classes__ = __generated__.Classes(",
        "    __name__,",
        *_table("products", ((type_.name, _strings(_parts(type_))) for type_ in types if _is(type_, ProductNode))),
        *_table("enums", ((type_.name, _strings(_parts(type_))) for type_ in types if _is(type_, EnumNode))),
        *_table("sums", ((type_.name, _variants(type_)) for type_ in types if isinstance(type_.node, SumNode))),
        *_table("unions", ((type_.union, [literal(type_.name)]) for type_ in types if type_.union), bare=True),
        *_table(
            "names",
            ((type_.name, [literal(type_.schema_name)]) for type_ in types if type_.name != type_.schema_name),
            bare=True,
        ),
        ")",
        "__getattr__, __dir__ = __classes__.door",
    ]
    return module_text(lines)


def _is(type_: TypePlan, kind: type) -> bool:
    return isinstance(type_.node, kind)


def _parts(type_: TypePlan) -> list[str]:
    match type_.node:
        case ProductNode(fields=fields):
            return [field.name for field in fields]
        case EnumNode(members=members):
            return [member.name for member in members]
        case SumNode(variants=variants):
            return [variant.name for variant in variants]


def _strings(names: list[str]) -> list[str]:
    return [literal(name) for name in names]


def _variants(type_: TypePlan) -> list[str]:
    assert isinstance(type_.node, SumNode)
    return [f"{literal(variant.name)}: {variant.mode != 'unit'}" for variant in type_.node.variants]


def _table(name: str, rows: Iterable[tuple[str, list[str]]], *, bare: bool = False) -> Iterator[str]:
    """An argument that is a dictionary, one entry a line."""
    entries = list(rows)
    if not entries:
        yield f"    {name}={{}},"
        return
    yield f"    {name}={{"
    for key, items in entries:
        start = f"{literal(key)}: "
        if bare:
            yield f"        {start}{items[0]},"
        elif name == "sums":
            yield from call("        ", f"{start}{{", items, "},")
        elif len(items) == 1:
            yield f"        {start}({items[0]},),"
        else:
            yield from call("        ", f"{start}(", items, "),")
    yield "    },"


# --- what type checkers see -------------------------------------------------------------------------------------------


def types_stub(plan: Plan) -> str:
    """The module as type checkers see it."""
    types = list(plan.classes.values())
    own = [name for type_ in types for name in (type_.name, type_.union) if name]
    scope = Scope(".types", own, [part for type_ in types for part in (*_parts(type_), "value")])
    annotations = Annotations(plan, scope, is_types=True)
    body = [line for type_ in types for line in _class(type_, annotations)]
    return module_text([doc("The types of the module."), "", *scope.imports(), *body])


def _class(type_: TypePlan, annotations: Annotations) -> list[str]:
    match type_.node:
        case ProductNode():
            return [*_product(type_, annotations), ""]
        case EnumNode():
            return [*_enum(type_, annotations), ""]
        case SumNode():
            return [*_sum(type_, annotations), ""]


def _about(type_: TypePlan) -> str:
    named = "" if type_.name == type_.schema_name else f" In the schema it is `{type_.schema_name}`."
    if type_.rows_of:
        return f"A row of {' or '.join(f'`{table}`' for table in type_.rows_of)}.{named}"
    return f"The type `{type_.schema_name}`."


def _product(type_: TypePlan, annotations: Annotations) -> list[str]:
    assert isinstance(type_.node, ProductNode)
    fields = type_.node.fields
    names = [field.name for field in fields]
    scope = annotations.scope
    lines = [f"@{scope.module('attrs')}.frozen", f"class {type_.name}:", f"    {doc(_about(type_))}", ""]
    for field, argument in zip(fields, argument_names(names), strict=True):
        # attrs would strip an underscore at the front.
        alias = argument if argument != field.name or field.name.startswith("_") else None
        value = f" = {scope.module('attrs')}.field(alias={literal(alias)})" if alias else ""
        lines += annotated(f"    {field.name}: ", annotations.of(field.node, names), value)
    return lines if fields else lines[:-1]


def _enum(type_: TypePlan, annotations: Annotations) -> list[str]:
    assert isinstance(type_.node, EnumNode)
    members = [f"    {member.name} = {tag}" for tag, member in enumerate(type_.node.members)]
    if not members:  # mypy takes an enum without members for a mistake
        return [f"class {type_.name}:", f"    {doc(f'{_about(type_)} It has no values.')}"]
    base = annotations.scope.module("enum")
    return [f"class {type_.name}({base}.Enum):", f"    {doc(_about(type_))}", "", *members]


def _sum(type_: TypePlan, annotations: Annotations) -> list[str]:
    """A class with its variants inside, and the union of those, which type checkers can see to the end of."""
    assert isinstance(type_.node, SumNode)
    scope, node = annotations.scope, type_.node
    variants = [variant.name for variant in node.variants]
    base = scope.own(type_.name, variants)
    lines = [f"class {type_.name}:", f"    {doc(_about(type_))}", ""]
    for variant in node.variants:
        lines += [f"    @{scope.module('attrs')}.frozen"]
        if variant.mode == "unit":
            lines += [f"    class {variant.name}({base}): ...", ""]
            continue
        payload = annotations.of(variant.node, [*variants, "value"])
        lines += [f"    class {variant.name}({base}):", *annotated("        value: ", payload), ""]
    alias = scope.name("typing", "TypeAlias")
    members = [f"{type_.name}.{variant}" for variant in variants]
    return [*lines, *union(f"{type_.union}: {alias}", members)]
