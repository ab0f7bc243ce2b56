"""v9 and v10 of one module say the same, where both can say it."""

from __future__ import annotations

import attrs
import pytest

from spacetimedb_proto.schema.definitions import Function, Table
from spacetimedb_proto.schema.model import Schema, by_name
from spacetimedb_proto.schema.names import index_name

from .support import MODULES, recorded_schema


def as_v9_tells_it(schema: Schema) -> Schema:
    """A v10 schema after everything that v9 loses (schema reference, 1.2), each loss by name."""
    return attrs.evolve(
        schema,
        tables=by_name(_table(table) for table in schema.tables.values()),
        reducers=by_name(_function(function) for function in schema.reducers.values()),
        procedures=by_name(_function(function) for function in schema.procedures.values()),
        http_handlers=(),
        http_routes=(),
    )


def _table(table: Table) -> Table:
    indexes = [
        attrs.evolve(
            index,
            source_name=None,  # v9 has the canonical name instead, which v10 leaves to the host's rule
            name=index_name(table.name, [table.columns[column].name for column in index.columns], index.kind),
        )
        for index in table.indexes
    ]
    declared_key = table.view is not None and table.view.shape != "query"
    return attrs.evolve(
        table,
        source_name=table.name,
        is_event=False,
        primary_key=None if declared_key else table.primary_key,
        indexes=tuple(indexes),
    )


def _function(function: Function) -> Function:
    # That a function is private for no other reason than being declared so is lost as well; no recorded one is.
    return attrs.evolve(function, source_name=function.name)


@pytest.mark.parametrize("module", MODULES)
def test_both_forms_say_the_same(module: str) -> None:
    assert as_v9_tells_it(recorded_schema(module, 10)) == recorded_schema(module, 9)


def test_what_is_lost_in_the_recorded_modules() -> None:
    """So that the losses above are not just a way to make the test pass: where they show."""
    lost = {module: recorded_schema(module, 10).hash != recorded_schema(module, 9).hash for module in MODULES}
    assert [module for module, differs in lost.items() if differs] == [
        "sdk-test-event-table",
        "sdk-test-procedural-view-pk",
    ]
    assert recorded_schema("sdk-test-event-table", 10).tables["test_event"].is_event
    assert recorded_schema("sdk-test-procedural-view-pk", 10).tables["sender_left_view"].primary_key == 0
    assert recorded_schema("module-test", 10).http_handlers == ("get_simple",)
