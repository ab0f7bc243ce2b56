"""The files of a package."""

from __future__ import annotations

import json
from typing import Final

from spacetimedb_proto.schema import Schema, dump_schema

from .functions_module import functions_code, functions_stub
from .plan import OWN_MODULES, Plan
from .scope import Scope
from .tables_module import tables_code, tables_stub
from .text import HEADER, code_list, doc, left_out_notes, literal, module_text
from .things import GENERATED, TYPED, stand_ins
from .types_module import types_code, types_stub

__all__ = ["generate"]

_HOSTS: Final = {
    "BlockingConnection": ("Blocking", "InCallback", "which blocks"),
    "Connection": ("Awaiting", "Awaiting", "for asyncio and trio"),
    "FrameConnection": ("Ticking", "Ticking", "for frame loops"),
}
"""The connection of each host, with what stands for the host in types: where it calls, and inside of its callbacks."""

_CONNECTION: Final = ["Context", *_HOSTS]


def generate(schema: Schema, *, package_name: str, include_private: bool = False) -> dict[str, str]:
    """The files of a package with static types for a module.

    The same schema gives the same text, in whatever order the server said it.

    Args:
        schema: The module's definition.
        package_name: What the package is called, for its docstring; it may stand anywhere.
        include_private: Whether private tables are shown, which only the database's owner can read.

    Returns:
        The text of each file by its path in the package.

    Raises:
        SchemaError: A type refers to nothing but itself, or is nested too deeply.
    """
    plan = Plan(schema, include_private)
    return {
        "__init__.py": _init_code(plan, package_name),
        "__init__.pyi": _init_stub(plan, package_name),
        "_schema.py": _schema_code(schema),
        "connection.py": _connection_code(),
        "connection.pyi": _connection_stub(),
        "procedures.py": functions_code("procedure"),
        "procedures.pyi": functions_stub(plan, "procedure"),
        "py.typed": HEADER + "\n",
        "reducers.py": functions_code("reducer"),
        "reducers.pyi": functions_stub(plan, "reducer"),
        "tables.py": tables_code(plan),
        "tables.pyi": tables_stub(plan),
        "types.py": types_code(plan),
        "types.pyi": types_stub(plan),
    }


# --- the package itself -----------------------------------------------------------------------------------------------


def _about(plan: Plan, package_name: str) -> list[str]:
    return [
        *left_out_notes(plan.left_out()),
        doc(f"{package_name}: bindings with static types, for `spacetimedb_sdk`."),
    ]


def _init_code(plan: Plan, package_name: str) -> str:
    targets = {
        **{name: f".connection:{name}" for name in _CONNECTION},
        "query": ".tables:query",
        **{name: f".{name}:" for name in OWN_MODULES},
        **{name: f".types:{name}" for name in plan.exported},
    }
    private = ", private=True" if plan.include_private else ""
    lines = [
        *_about(plan, package_name),
        "",
        GENERATED,
        "",
        f"SCHEMA_HASH = {literal(plan.schema.hash)}",
        f"BINDINGS = __generated__.bindings(__name__, SCHEMA_HASH{private})",
        "connect = BINDINGS.connect",
        "__getattr__, __dir__ = __generated__.aliases(",
        "    __name__,",
        "    {",
        *(f"        {literal(name)}: {literal(target)}," for name, target in sorted(targets.items())),
        "    },",
        ")",
    ]
    return module_text(lines)


def _init_stub(plan: Plan, package_name: str) -> str:
    exported = list(plan.exported)
    scope = Scope(".", ["SCHEMA_HASH", "BINDINGS", "connect", *_CONNECTION, "query", *exported])
    bindings = scope.name("spacetimedb_sdk.bindings.generated", "Bindings")
    connect, text = scope.name(TYPED, "Connect"), scope.name("builtins", "str")
    lines = [
        *_about(plan, package_name),
        "",
        *scope.imports(),
        *code_list("from . import ", [f"{name} as {name}" for name in OWN_MODULES]),
        *code_list("from .connection import ", [f"{name} as {name}" for name in sorted(_CONNECTION)]),
        "from .tables import query as query",
        *(code_list("from .types import ", [f"{name} as {name}" for name in exported]) if exported else []),
        "",
        f"SCHEMA_HASH: {text}",
        f"BINDINGS: {bindings}[Connection, BlockingConnection, FrameConnection]",
        f"connect: {connect}[Connection]",
    ]
    return module_text(lines)


def _schema_code(schema: Schema) -> str:
    text = json.dumps(dump_schema(schema, 9 if schema.version == 9 else 10), separators=(",", ":"))
    # JSON in ASCII never has three quotes in a row, nor a backslash at its end, so it can be a raw string as it is.
    lines = text.replace('},{"', '},\n{"')
    about = "The schema that the package was generated from, to be compared with what a server has."
    return module_text([doc(about), "", f'SCHEMA = r"""{lines}"""'])


# --- the connection ---------------------------------------------------------------------------------------------------


def _connection_code() -> str:
    names = {name: name for name in _CONNECTION}
    about = "What a connection is; to type checkers, `connection.pyi` shows it."
    return module_text([doc(about), "", GENERATED, "", *stand_ins(names)])


def _connection_stub() -> str:
    lines = [
        doc("The connection of each host, and what callbacks are told."),
        "",
        "from typing import Generic",
        "",
        "from spacetimedb_sdk import typed",
        "",
        "from .procedures import Procedures",
        "from .reducers import Reducers",
        "from .tables import Tables",
        "",
        "class Context(",
        "    typed.Context[",
        "        Tables[typed.Told_co],",
        "        Reducers[typed.Told_co, typed.Told_co],",
        "        Procedures[typed.Told_co],",
        "    ],",
        "    Generic[typed.Told_co],",
        "):",
        '    """The first argument of every callback."""',
    ]
    for name, (host, told, about) in _HOSTS.items():
        lines += [
            "",
            f"class {name}(",
            f"    typed.{name}[",
            f"        Context[typed.{told}],",
            f"        Tables[typed.{told}],",
            f"        Reducers[typed.{told}, typed.{host}],",
            f"        Procedures[typed.{host}],",
            "    ]",
            "):",
            f'    """A connection to a database that serves this module, {about}."""',
        ]
    return module_text(lines)
