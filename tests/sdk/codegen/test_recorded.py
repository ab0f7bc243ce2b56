"""Recorded traffic read through generated bindings is what it is through dynamic ones."""

from __future__ import annotations

import sys

import pytest

from spacetimedb_proto import ClientSession
from spacetimedb_proto.events import NEED_DATA
from spacetimedb_proto.schema import load_schema
from spacetimedb_sdk import SchemaError
from tests.proto.schema.support import recorded
from tests.sdk.codegen.support import imported
from tests.transcripts import websockets

MODULE = "sdk-test"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    yield imported(tmp_path_factory.mktemp("recorded"), "recorded_sdk_test", load_schema(recorded(MODULE, 10)))
    for name in [name for name in sys.modules if name.partition(".")[0] == "recorded_sdk_test"]:
        del sys.modules[name]


def replayed(transcript, schema):
    """The events of a recorded connection, and the rows in the end, as text: classes differ, values must not."""
    session = ClientSession(schema, protocol=transcript.protocol)
    events = []
    for frame in transcript.frames:
        if frame.payload is None:
            continue
        if frame.sender == "client":
            session.observe(frame.payload)
            continue
        session.receive(frame.payload)
        while (event := session.next_event()) is not NEED_DATA:
            changes = getattr(event, "changes", None) or {}
            told = {name: [repr(change) for change in changes[name]] for name in sorted(changes)}
            events.append((type(event).__name__, told, repr(getattr(event, "value", None))))
    rows = {name: sorted(map(repr, session.cache.table(name))) for name in schema.tables}
    return events, rows


@pytest.fixture(scope="module")
def schemas(package):
    """The schema as generated bindings have it read, and as dynamic ones do."""
    generated, dynamic = (load_schema(recorded(MODULE, 10)) for _ in range(2))
    package.BINDINGS.prepare(generated, uri="", database="")
    return generated, dynamic


RECORDED = [each for each in websockets() if each.module == MODULE]


@pytest.mark.parametrize("transcript", RECORDED, ids=lambda each: each.name)
def test_the_same_events_and_rows(schemas, transcript):
    generated, dynamic = schemas
    assert replayed(transcript, generated) == replayed(transcript, dynamic)


def test_rows_are_of_the_package_s_classes(package, schemas):
    generated, _ = schemas
    for table in generated.tables.values():
        name = generated.type_names[table.row.index]
        assert generated.row_codec(table.name).python_type is getattr(package.types, name)


def test_a_schema_in_use_is_bound_too_late(package):
    schema = load_schema(recorded(MODULE, 10))
    schema.row_codec("one_u_8")
    with pytest.raises(SchemaError, match="bound too late"):
        package.BINDINGS.prepare(schema, uri="", database="")
