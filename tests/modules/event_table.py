"""The recorded module of event tables."""

from spacetimedb_sdk.testing import Module, ReducerContext, Row, u64

event_table = Module("sdk-test-event-table", convert_names=True)


@event_table.table(public=True, event=True)
class TestEvent(Row):
    __test__ = False

    name: str
    value: u64


@event_table.reducer
def emit_test_event(ctx: ReducerContext, name: str, value: u64) -> None:
    ctx.db[TestEvent].insert(name=name, value=value)


@event_table.reducer
def emit_multiple_test_events(ctx: ReducerContext) -> None:
    for value, name in enumerate("abc"):
        ctx.db[TestEvent].insert(name=name, value=value)


@event_table.reducer
def noop(ctx: ReducerContext) -> None:
    pass
