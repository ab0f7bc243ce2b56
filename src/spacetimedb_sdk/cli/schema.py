"""`spacetimedb-sdk schema`: what a module consists of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import AsJson, console, print_json
from .sources import file_schema
from .target import Target, with_target
from .values import text

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from spacetimedb_proto.bsatn.types import AlgebraicType
    from spacetimedb_proto.schema import Function, Schema, Table

__all__ = ["schema"]


@with_target
def schema(
    target: Target,
    *,
    file: Annotated[
        Path | None, typer.Option("--schema", exists=True, dir_okay=False, help="A definition in a file instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show tables, views, reducers, procedures and types. --json is a definition as servers give it."""
    from spacetimedb_proto.schema import dump_schema

    if file is not None:
        found, title = file_schema(file), str(file)
    else:
        with target.client() as client:
            found, title = client.schema(), f"{target.name} at {target.uri}"
    if as_json:
        print_json(dump_schema(found, 9 if found.version == 9 else 10))
    else:
        console().print(schema_tree(found, title))


def schema_tree(schema: Schema, title: str) -> Tree:
    """A module as a tree of rich.

    Args:
        schema: What it consists of.
        title: What stands at the top.
    """
    from rich.tree import Tree

    top = Tree(_line(title, style="bold"))
    tables = [table for table in schema.tables.values() if not table.is_view]
    views = [table for table in schema.tables.values() if table.is_view]
    for heading, members in (("tables", tables), ("views", views)):
        branch = _branch(top, heading, members)
        for table in members:
            _table(branch, schema, table)
    for heading, functions in (("reducers", schema.reducers), ("procedures", schema.procedures)):
        branch = _branch(top, heading, functions.values())
        for function in functions.values():
            branch.add(_function(schema, function))
    _types(_branch(top, "types", schema.type_names), schema)
    for note in schema.notes:
        top.add(_line(f"left out: {note}", style="yellow"))
    return top


def _branch(top: Tree, heading: str, members: Iterable[object]) -> Tree:
    """The branch of one kind, which is only there if there is something on it."""
    from rich.tree import Tree

    count = len(list(members))
    return top.add(_line(f"{heading} ({count})", style="cyan")) if count else Tree("")


def _line(words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text(words), style=style)


def _table(branch: Tree, schema: Schema, table: Table) -> None:
    marks = ["" if table.is_public else "private", "events" if table.is_event else ""]
    if table.schedule is not None:
        marks.append(f"schedules {table.schedule.function}")
    if table.view is not None and table.view.params:
        marks.append(f"with parameters ({_listed(schema, [(each.name, each.type) for each in table.view.params])})")
    own = branch.add(_line(f"{table.name}{_marked(marks)}", style="" if table.is_public else "dim"))
    indexed = {column for index in table.indexes for column in index.columns}
    auto = {sequence.column for sequence in table.sequences}
    for column in table.columns:
        notes = [
            "primary key" if column.index == table.primary_key else "",
            "unique" if column.index in table.unique and column.index != table.primary_key else "",
            "auto increment" if column.index in auto else "",
            "index" if column.index in indexed and column.index not in table.unique else "",
        ]
        own.add(_line(f"{column.name}: {_words(schema, column.type)}{_marked(notes)}"))


def _function(schema: Schema, function: Function) -> Text:
    params = _listed(schema, [(param.name, param.type) for param in function.params])
    returns = "" if function.return_type is None else f" -> {_words(schema, function.return_type)}"
    marks = [function.lifecycle or "", "scheduled" if function.is_scheduled else ""]
    if not function.is_callable and not any(marks):
        marks.append("private")
    style = "" if function.is_callable else "dim"
    return _line(f"{function.name}({params}){returns}{_marked(marks)}", style=style)


def _types(branch: Tree, schema: Schema) -> None:
    from spacetimedb_proto.bsatn.types import Product, Sum

    for slot, name in sorted(schema.type_names.items(), key=lambda each: each[1]):
        match schema.typespace[slot]:
            case Product(parts) | Sum(parts):
                own = branch.add(_line(name))
                for part in parts:
                    words = _words(schema, part.type)
                    own.add(_line(f"{part.name}" if words == "()" else f"{part.name}: {words}"))
            case other:
                branch.add(_line(f"{name} = {_words(schema, other)}"))


def _listed(schema: Schema, members: Iterable[tuple[str, AlgebraicType]]) -> str:
    return ", ".join(f"{name}: {_words(schema, type_)}" for name, type_ in members)


def _words(schema: Schema, type_: AlgebraicType) -> str:
    from spacetimedb_proto.schema.type_drift import in_words

    return in_words(schema, type_)


def _marked(marks: Iterable[str]) -> str:
    told = ", ".join(mark for mark in marks if mark)
    return f" [{told}]" if told else ""
