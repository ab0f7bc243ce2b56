"""Odd names: dynamic and generated bindings reach each thing by the same one."""

from __future__ import annotations

import sys

import pytest

from spacetimedb_proto import ClientSession
from spacetimedb_sdk.bindings.engine import Engine
from tests.sdk.codegen.support import hostile, imported


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    yield imported(tmp_path_factory.mktemp("odd"), "odd", hostile())
    for name in [name for name in sys.modules if name.partition(".")[0] == "odd"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    from spacetimedb_sdk import codegen

    return codegen.generate(hostile(), package_name="odd")


class Core:
    """As much of a connection as bindings need that are not used."""

    def __init__(self, schema):
        self.session = ClientSession(schema)


class NoHost:
    """Nothing drives it."""

    def table(self, engine, name):
        from spacetimedb_sdk import TableHandle

        return TableHandle(engine, name)


@pytest.fixture(scope="module")
def engine(package):
    schema = hostile()
    package.BINDINGS.prepare(schema, uri="", database="")
    return Engine(Core(schema), NoHost())


@pytest.mark.parametrize("kind", ["tables", "reducers", "procedures"])
def test_what_stubs_name_is_there_on_a_connection(stubs, engine, kind):
    things = {"tables": engine.db, "reducers": engine.reducers, "procedures": engine.procedures}[kind]
    text = stubs[f"{kind}.pyi"].partition(f"class {kind.capitalize()}(")[2].partition("class Queries(")[0]
    named = [line.split()[1].partition("(")[0] for line in text.splitlines() if line.startswith("    def ")]
    assert len(named) == len(things)
    for name in named:
        assert getattr(things, name).name in things


def test_rows_are_of_the_same_classes(package, engine):
    assert engine.types["int"] is package.types.int
    assert engine.types["auth.Session"] is package.types.auth_Session
    assert engine.types["auth.lib.Session"] is package.types.auth_lib_Session
    assert engine.schema.row_codec("person").python_type is package.Node
    assert engine.schema.row_codec("pErson").python_type is package.Empty


def test_a_recursive_value_goes_there_and_back(package, engine):
    leaf = package.Tree.Leaf()
    node = package.Node(package.Node(None, [], leaf), [], package.Tree.Branch([leaf, package.Tree.Tree(leaf)]))
    codec = engine.schema.row_codec("person")
    assert codec.decode_exact(codec.encode(node)) == node


def test_find_takes_a_column_that_is_called_self(engine):
    assert engine.db.class_.find(class_=1) is None
    assert list(engine.db.class_.filter(self=1)) == []


def test_columns_by_their_names_in_queries(package):
    query = package.query
    assert query.class_.where(lambda c: c.class_ == 1) == 'SELECT * FROM "class" WHERE "class"."class" = 1'
    assert query["class"].where(lambda c: c["class"] == 1) == 'SELECT * FROM "class" WHERE "class"."class" = 1'
    assert query.fish.where(lambda c: c.attrs == 1) == 'SELECT * FROM "ﬁsh" WHERE "ﬁsh"."attrs" = 1'
    odd = query['a"""b\\'].where(lambda c: c['"""'] > 1)
    assert odd == 'SELECT * FROM "a""""""b\\" WHERE "a""""""b\\"."""""""" > 1'
    assert query.auth_lib_liveSession.where() == 'SELECT * FROM "auth.lib.liveSession"'
    assert "one" not in query, "a view with parameters is not to be had by its name alone"
    with pytest.raises(AttributeError, match="class has no column 'colour'"):
        query.class_.where(lambda c: c.colour == 1)


def test_what_the_package_has_itself_comes_first(package):
    import spacetimedb_sdk

    assert package.Connection is spacetimedb_sdk.Connection
    assert package.types.Connection is not package.Connection
    assert package.types is sys.modules["odd.types"]
    with pytest.raises(AttributeError, match="module 'odd' has no attribute 'Nobody'"):
        package.Nobody  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'odd\.types' has no attribute 'Nobody'"):
        package.types.Nobody  # noqa: B018
