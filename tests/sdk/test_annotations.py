"""Annotations that name what does not exist yet, or for type checkers only."""

from __future__ import annotations

import sys
from inspect import Parameter

import pytest

from spacetimedb_proto.bsatn.values import Timestamp
from spacetimedb_sdk.annotations import annotations_of, parameters_of
from spacetimedb_sdk.testing import Database

LATE = pytest.mark.skipif(sys.version_info < (3, 14), reason="before Python 3.14 such a class cannot be made")

MODULE = """
from spacetimedb_sdk.testing import Module, PrimaryKey, u32

late = Module("late")


@late.sum
class Tree:
    Leaf: u32
    Pair: list[Tree]
    Nothing: None


@late.table(public=True)
class Root:
    id: PrimaryKey[u32]
    tree: Tree
    tag: Tag | None


@late.type
class Tag:
    text: str


@late.reducer
def plant(ctx: ForCheckers, id: u32, tag: str) -> AlsoForCheckers:
    ctx.db.root.insert(id=id, tree=Tree.Pair([Tree.Leaf(id), Tree.Nothing()]), tag=Tag(tag))
"""


class Base:
    a: int


class Derived(Base):
    b: int


def test_a_class_has_its_own():
    assert list(annotations_of(Derived)) == ["b"]
    assert annotations_of(type("Bare", (Base,), {})) == {}


def later(first: Missing, second: int = 2, *rest: Missing) -> Missing: ...  # noqa: F821


def test_names_that_do_not_exist():
    assert list(annotations_of(later)) == ["first", "second", "rest", "return"]
    parameters = parameters_of(later)
    assert list(parameters) == ["first", "second", "rest"]
    assert parameters["rest"].kind is Parameter.VAR_POSITIONAL


def run(source):
    """The names that a source text makes, which is read as if nothing were imported from the future."""
    namespace = {"__name__": __name__}
    exec(compile(source, "source", "exec", dont_inherit=True), namespace)
    return namespace


@LATE
def test_names_that_do_not_exist_and_are_no_texts():
    found = run("def later(first: Missing, second: int) -> Missing: ...")["later"]
    assert annotations_of(found)["second"] is int
    assert list(parameters_of(found)) == ["first", "second"]


@LATE
def test_a_module_whose_annotations_are_evaluated_late():
    namespace = run(MODULE)
    database = Database(namespace["late"], clock=lambda: Timestamp(0))
    assert [param.name for param in database.schema.reducers["plant"].params] == ["id", "tag"]
    database.run(lambda ctx: namespace["plant"](ctx, 1, "new"))
    (row,) = database.run(lambda ctx: list(ctx.db.root))
    assert (row.tree.value[0].value, row.tag.text) == (1, "new")
