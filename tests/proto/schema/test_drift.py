"""What a comparison of two definitions finds, and whom each difference breaks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.types import AlgebraicType, Array, Element, Primitive, Product, Ref, Sum
from spacetimedb_proto.errors import DecodeError, SchemaMismatch
from spacetimedb_proto.schema import Difference, Drift, Effect, Schema, compare, dump_schema, load_schema
from spacetimedb_proto.schema.definitions import Column, Function, Param, Table, TypeDef
from spacetimedb_proto.schema.model import by_name
from tests import strategies

from .support import (
    MODULES,
    STRING,
    U8,
    UNIT,
    elements,
    pantry,
    product,
    recorded,
    recorded_schema,
    reducer10,
    shuffled,
    some,
    table10,
    v10,
    view10,
)

NONE, WIRE, API, BOTH = Effect.NONE, Effect.WIRE, Effect.API, Effect.BOTH
U32: dict[str, Any] = {"U32": []}
U64: dict[str, Any] = {"U64": []}
IDENTITY = product(__identity__={"U256": []})
PERSON = {"id": U32, "name": STRING, "mood": {"Ref": 1}, "home": {"Ref": 2}}
MOOD = {"happy": UNIT, "sad": UNIT}
HOME = {"street": STRING, "tags": {"Array": STRING}}
SHAPE = {"circle": U32, "dot": UNIT}
IN_ORDER = "(id: U32, name: String, mood: Mood, home: Home)"
NAMES = ("Person", "Mood", "Home", "Shape")


def sum_of(**types: Any) -> dict[str, Any]:
    return {"Sum": {"variants": elements(**types)["elements"]}}


def option(payload: Any) -> dict[str, Any]:
    return sum_of(some=payload, none=UNIT)


def unique(*columns: int) -> dict[str, Any]:
    return {"source_name": {"none": []}, "data": {"Unique": {"columns": list(columns)}}}


def index(accessor: str | None, *columns: int, kind: str = "BTree") -> dict[str, Any]:
    name = {"none": []} if accessor is None else some(accessor)
    return {"source_name": {"none": []}, "accessor_name": name, "algorithm": {kind: list(columns)}}


def type_defs(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"source_name": {"scope": [], "source_name": name}, "ty": slot, "custom_ordering": True}
        for slot, name in enumerate(names)
        if name
    ]


def town(
    *,
    person: Any = PERSON,
    mood: Any = MOOD,
    home: Any = HOME,
    shape: Any = SHAPE,
    names: tuple[str, ...] = NAMES,
    more: tuple[Any, ...] = (),
    table: Any = None,
    tables: tuple[Any, ...] = (),
    reducers: tuple[Any, ...] | None = None,
    procedure: Any = None,
    view: Any = None,
    returns: Any = None,
    **sections: Any,
) -> Schema:
    """A module to change one thing of: a table of persons, a reducer, a procedure and a view."""
    types = (product(**person), sum_of(**mood), product(**home), sum_of(**shape), *more)
    draw = reducer10("draw", params=elements(shape={"Ref": 3}, size=U32))
    count = {"source_name": "count", "params": elements(), "return_type": U32, "visibility": {"ClientCallable": []}}
    returned = {"Array": product(street=STRING)} if returns is None else returns
    contents = {
        "Tables": [table10("person", **{"primary_key": [0], "constraints": [unique(0)], **(table or {})}), *tables],
        "Reducers": [draw] if reducers is None else list(reducers),
        "Procedures": [{**count, **(procedure or {})}],
        "Views": [view10("near", returned, **{"params": elements(m=U32), **(view or {})})],
        "Types": type_defs(names),
        **sections,
    }
    return load_schema(v10(*types, **contents))


def draw(**params: Any) -> tuple[dict[str, Any]]:
    return (reducer10("draw", params=elements(**params)),)


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def swapped(fields: dict[str, Any], *order: str) -> dict[str, Any]:
    return {name: fields[name] for name in order}


# What is changed, what is said about it, whom it breaks. The known module is `town()`.
CHANGES: dict[str, tuple[Schema, str, Effect]] = {
    # --- tables and views
    "a table is added": (town(tables=(table10("house", 2),)), "table house added", NONE),
    "a table is gone": (town(Tables=[]), "table person removed", API),
    "a view is gone": (town(Views=[]), "view near removed", API),
    "a table is private": (
        town(table={"table_access": {"Private": []}}),
        "table person changed from public to private",
        API,
    ),
    "a table has events": (town(table={"is_event": True}), "table person changed from stored rows to events", BOTH),
    "a view takes more": (
        town(view={"params": elements(m=U32, n=U8)}),
        "parameter near.n added: U8, at the end",
        BOTH,
    ),
    "a view is an option": (town(returns=option(product(street=STRING))), "no differences", NONE),
    # --- columns
    "a column at the end": (
        town(person={**PERSON, "age": U8}),
        "column person.age added: U8, at the end",
        WIRE,
    ),
    "a column before the end": (
        town(person={**swapped(PERSON, "id", "name"), "age": U8, **swapped(PERSON, "mood", "home")}),
        "column person.age added: U8",
        BOTH,
    ),
    "a column is gone": (town(person=without(PERSON, "home")), "column person.home removed, was Home", BOTH),
    "a column has another type": (
        town(person={**PERSON, "name": U64}),
        "column person.name changed from String to U64",
        BOTH,
    ),
    "a column has an inner type": (
        town(person={**PERSON, "name": {"Array": option(STRING)}}),
        "column person.name changed from String to array of option of String",
        BOTH,
    ),
    "a column has another name": (
        town(person={"key": U32, **without(PERSON, "id")}, table={"primary_key": [], "constraints": []}),
        """\
column person.id changed from id: U32 to key: U32
primary key person removed, was id
unique person.id removed""",
        BOTH,
    ),
    "columns have another order": (
        town(person=swapped(PERSON, "id", "mood", "name", "home")),
        f"order of columns person changed from {IN_ORDER} to (id: U32, mood: Mood, name: String, home: Home)",
        BOTH,
    ),
    "a column has a default": (town(table={"default_values": [{"col_id": 0, "value": "07"}]}), "no differences", NONE),
    # --- keys and indexes
    "no key": (town(table={"primary_key": []}), "primary key person removed, was id", BOTH),
    "another key": (town(table={"primary_key": [1]}), "primary key person changed from id to name", BOTH),
    "less is unique": (town(table={"constraints": []}), "unique person.id removed", BOTH),
    "more is unique": (
        town(table={"constraints": [unique(0), unique(2, 1)]}),
        "unique person.name, mood added",
        NONE,
    ),
    "an index is added": (
        town(table={"indexes": [index("by_mood", 2, 1)]}),
        "index person.by_mood (mood, name) added",
        NONE,
    ),
    "a column counts": (
        town(
            table={
                "sequences": [
                    {
                        "source_name": {"none": []},
                        "column": 0,
                        "start": {"none": []},
                        "min_value": {"none": []},
                        "max_value": {"none": []},
                        "increment": 1,
                    }
                ]
            }
        ),
        "auto increment person.id added",
        NONE,
    ),
    # --- named types
    "a field at the end": (town(home={**HOME, "flat": U8}), "field Home.flat added: U8, at the end", BOTH),
    "a field is gone": (town(home=without(HOME, "tags")), "field Home.tags removed, was array of String", BOTH),
    "a field has another type": (
        town(home={**HOME, "tags": {"Array": U8}}),
        "field Home.tags changed from array of String to array of U8",
        BOTH,
    ),
    "a field is an identity": (
        town(home={**HOME, "tags": IDENTITY}),
        "field Home.tags changed from array of String to Identity",
        BOTH,
    ),
    "a variant at the end": (town(mood={**MOOD, "bored": UNIT}), "variant Mood.bored added: unit, at the end", NONE),
    "a variant with a payload at the end": (
        town(shape={**SHAPE, "box": U64}),
        "variant Shape.box added: U64, at the end",
        NONE,
    ),
    "an enum gets a payload": (town(mood={**MOOD, "odd": U8}), "variant Mood.odd added: U8, at the end", API),
    "a variant before the end": (
        town(mood={"happy": UNIT, "bored": UNIT, "sad": UNIT}),
        "variant Mood.bored added: unit",
        BOTH,
    ),
    "a variant is gone": (town(shape=without(SHAPE, "dot")), "variant Shape.dot removed, was unit", BOTH),
    "a variant has another name": (
        town(mood={"happy": UNIT, "glum": UNIT}),
        "variant Mood.sad changed from sad: unit to glum: unit",
        BOTH,
    ),
    "a variant has another payload": (
        town(shape={"circle": U64, "dot": UNIT}),
        "variant Shape.circle changed from U32 to U64",
        BOTH,
    ),
    "variants have another order": (
        town(mood={"sad": UNIT, "happy": UNIT}),
        "order of variants Mood changed from (happy, sad) to (sad, happy)",
        BOTH,
    ),
    "a type has another name": (
        town(names=("Person", "Mood", "House", "Shape")),
        "type Home changed from Home to House",
        API,
    ),
    "a row type has another name": (
        town(names=("Human", "Mood", "Home", "Shape")),
        "type Person changed from Person to Human",
        API,
    ),
    "a type has lost its name": (
        town(names=("Person", "Mood", "", "Shape")),
        "type Home changed from Home to a type without a name",
        API,
    ),
    "a type that nothing uses": (
        town(names=(*NAMES, "Unused"), more=(product(x=U8),)),
        "no differences",
        NONE,
    ),
    # --- functions
    "a reducer is added": (town(reducers=(*draw(shape={"Ref": 3}, size=U32), reducer10("x"))), "reducer x added", NONE),
    "a reducer is gone": (town(reducers=()), "reducer draw removed", API),
    "a reducer is private": (
        town(
            reducers=(reducer10("draw", params=elements(shape={"Ref": 3}, size=U32), visibility={"Private": []}),),
        ),
        "reducer draw changed from callable to private",
        API,
    ),
    "a private reducer is added": (
        town(reducers=(*draw(shape={"Ref": 3}, size=U32), reducer10("x", visibility={"Private": []}))),
        "no differences",
        NONE,
    ),
    "the host runs another reducer": (
        town(
            reducers=(*draw(shape={"Ref": 3}, size=U32), reducer10("init", visibility={"Private": []})),
            LifeCycleReducers=[{"lifecycle_spec": {"Init": []}, "function_name": "init"}],
        ),
        "no differences",
        NONE,
    ),
    "a parameter is added": (
        town(reducers=draw(shape={"Ref": 3}, size=U32, fill=U8)),
        "parameter draw.fill added: U8, at the end",
        BOTH,
    ),
    "a parameter is gone": (
        town(reducers=draw(shape={"Ref": 3})),
        "parameter draw.size removed, was U32",
        BOTH,
    ),
    "a parameter has another type": (
        town(reducers=draw(shape={"Ref": 3}, size=U64)),
        "parameter draw.size changed from U32 to U64",
        BOTH,
    ),
    "a parameter has another name": (
        town(reducers=draw(shape={"Ref": 3}, width=U32)),
        "parameter draw.size changed from size: U32 to width: U32",
        API,
    ),
    "a parameter is another one": (
        town(reducers=draw(shape={"Ref": 3}, width=U64)),
        "parameter draw.size changed from size: U32 to width: U64",
        BOTH,
    ),
    "parameters have another order": (
        town(reducers=draw(size=U32, shape={"Ref": 3})),
        "order of parameters draw changed from (shape: Shape, size: U32) to (size: U32, shape: Shape)",
        BOTH,
    ),
    "a procedure is added": (
        town(
            Procedures=[
                {"source_name": n, "params": elements(), "return_type": U32, "visibility": {"ClientCallable": []}}
                for n in ("count", "sum")
            ]
        ),
        "procedure sum added",
        NONE,
    ),
    "a procedure is gone": (town(Procedures=[]), "procedure count removed", API),
    "a procedure returns something else": (
        town(procedure={"return_type": option(U32)}),
        "return type count changed from U32 to option of U32",
        BOTH,
    ),
    # --- rules
    "there are rules now": (
        town(RowLevelSecurity=[{"sql": "SELECT * FROM person"}]),
        "row-level security of the module changed from no rules to 1 rule (SELECT * FROM person)",
        WIRE,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_change(change: str) -> None:
    served, words, effect = CHANGES[change]
    drift = compare(town(), served)
    assert str(drift) == words
    found = NONE
    for difference in drift.differences:
        found |= difference.effect
    assert found is effect
    assert (drift.fits_wire, drift.fits_bindings) == (not effect & WIRE, not effect & API)
    assert drift.is_compatible is (effect is NONE)
    assert drift.breaking == tuple(difference for difference in drift.differences if difference.is_breaking)


@pytest.mark.parametrize("change", CHANGES)
def test_one_change_for_those_who_cut_rows(change: str) -> None:
    served, words, effect = CHANGES[change]
    drift = compare(town(), served).with_rows_cut()
    assert str(drift) == words
    assert drift.fits_wire is (not effect & WIRE or change == "a column at the end")
    assert drift.fits_bindings is not bool(effect & API)


@pytest.mark.parametrize("change", CHANGES)
def test_the_other_way_round(change: str) -> None:
    """What was added is then removed, and the other way round."""
    served = CHANGES[change][0]
    assert mirrored(compare(town(), served)) == facts(compare(served, town()))


OPPOSITE = {"added": "removed", "removed": "added", "changed": "changed"}


def facts(drift: Drift) -> Counter[tuple[str, ...]]:
    """Differences without the names and words that only the known side, or only one direction, has."""
    return Counter((d.kind, d.what, *(sides(d) if d.what == "changed" else (own_name(d),))) for d in drift.differences)


def mirrored(drift: Drift) -> Counter[tuple[str, ...]]:
    return Counter(
        (d.kind, OPPOSITE[d.what], *(reversed(sides(d)) if d.what == "changed" else (own_name(d),)))
        for d in drift.differences
    )


def own_name(difference: Difference) -> str:
    return difference.name.rpartition(".")[2]


def sides(difference: Difference) -> tuple[str, str]:
    return difference.before, difference.after


# What only shows in the other direction, or between two modules of which neither is `town()`.
PAIRS: dict[str, tuple[Schema, Schema, str, Effect]] = {
    "a key is new": (
        town(table={"primary_key": []}),
        town(),
        "primary key person added: id",
        API,  # rows that change become updates
    ),
    "a table is public": (
        town(table={"table_access": {"Private": []}}),
        town(),
        "table person changed from private to public",
        NONE,
    ),
    "a reducer is callable": (
        CHANGES["a reducer is private"][0],
        town(),
        "reducer draw changed from private to callable",
        NONE,
    ),
    "an index with an accessor is gone": (
        town(table={"indexes": [index("by_mood", 2)]}),
        town(),
        "index person.by_mood (mood) removed",
        API,
    ),
    "an index that code cannot name is gone": (
        town(table={"indexes": [index(None, 2)]}),
        town(),
        "index person.unnamed (mood) removed",
        NONE,
    ),
    "an index of another kind": (
        town(table={"indexes": [index("by_mood", 2)]}),
        town(table={"indexes": [index("by_mood", 2, kind="Hash")]}),
        "no differences",
        NONE,
    ),
    "there are no rules any more": (
        CHANGES["there are rules now"][0],
        town(),
        "row-level security of the module changed from 1 rule (SELECT * FROM person) to no rules",
        NONE,
    ),
    "a table is a view": (
        town(Views=[], tables=(table10("near", 2),)),
        town(Views=[view10("near", {"Array": {"Ref": 2}})]),
        "table near changed from a table to a view",
        WIRE,  # which may have a row twice
    ),
    "a view is a table": (
        town(Views=[view10("near", {"Array": {"Ref": 2}})]),
        town(Views=[], tables=(table10("near", 2),)),
        "table near changed from a view to a table",
        NONE,
    ),
    "an option gets a third variant": (
        town(person={**PERSON, "name": option(STRING)}),
        town(person={**PERSON, "name": sum_of(some=STRING, none=UNIT, unknown=UNIT)}),
        "column person.name changed from option of String to one of (some: String | none | unknown)",
        API,  # Python no longer has `value | None` for it
    ),
    "a sum without a name gets another variant": (
        town(person={**PERSON, "name": sum_of(a=STRING, b=U8)}),
        town(person={**PERSON, "name": sum_of(a=STRING, b=U8, c=UNIT)}),
        "column person.name changed from one of (a: String | b: U8) to one of (a: String | b: U8 | c)",
        NONE,
    ),
    "a product without a name has another field": (
        town(person={**PERSON, "name": {"Array": product(a=STRING)}}),
        town(person={**PERSON, "name": {"Array": product(b=STRING)}}),
        "column person.name changed from array of (a: String) to array of (b: String)",
        BOTH,
    ),
    "columns of one name": (
        load_schema(v10({"Product": {"elements": 2 * elements(a=U8)["elements"]}}, Tables=[table10("t")])),
        load_schema(v10({"Product": {"elements": elements(a=U8, b=U8)["elements"]}}, Tables=[table10("t")])),
        "column t.a changed from a: U8 to b: U8",
        BOTH,
    ),
    "another type of the same layout": (
        town(names=(*NAMES, "Abode"), more=(product(**HOME),)),
        town(person={**PERSON, "home": {"Ref": 4}}, names=(*NAMES, "Abode"), more=(product(**HOME),)),
        "type Home changed from Home to Abode",
        API,
    ),
    "another type of another layout": (
        town(names=(*NAMES, "Abode"), more=(product(street=U8),)),
        town(person={**PERSON, "home": {"Ref": 4}}, names=(*NAMES, "Abode"), more=(product(street=U8),)),
        """\
type Home changed from Home to Abode
field Home.street changed from String to U8
field Home.tags removed, was array of String""",
        BOTH,
    ),
    "a product becomes a sum": (
        load_schema(v10(product(x={"Ref": 1}), product(a=U8), Tables=[table10("t")], Types=type_defs(("T", "X")))),
        load_schema(v10(product(x={"Ref": 1}), sum_of(a=U8), Tables=[table10("t")], Types=type_defs(("T", "X")))),
        "type X changed from (a: U8) to one of (a: U8)",
        BOTH,
    ),
    "a row type grows that is also a parameter": (
        town(reducers=draw(who={"Ref": 0})),
        town(reducers=draw(who={"Ref": 0}), person={**PERSON, "age": U8}),
        "column person.age added: U8, at the end\nfield Person.age added: U8, at the end",
        BOTH,  # arguments of the old form are too short, whoever writes them
    ),
    "a schedule": (
        town(person={**PERSON, "at": U8}),
        town(
            person={**PERSON, "at": U8},
            Schedules=[
                {"source_name": {"none": []}, "table_name": "person", "schedule_at_col": 4, "function_name": "tick"}
            ],
        ),
        "schedule person.tick added",
        NONE,
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_one_pair(pair: str) -> None:
    known, served, words, effect = PAIRS[pair]
    drift = compare(known, served)
    assert str(drift) == words
    assert (drift.fits_wire, drift.fits_bindings) == (not effect & WIRE, not effect & API)
    assert mirrored(drift) == facts(compare(served, known))


# --- recursion and slots ----------------------------------------------------------------------------------------------


def trees(leaf: Any, *, names: tuple[str, ...] = ("Row", "Tree", "Branch")) -> Schema:
    """Rows with trees in them, which contain themselves through another type."""
    tree = product(leaf=leaf, branches={"Array": {"Ref": 2}})
    branch = product(tree=option({"Ref": 1}), next=option({"Ref": 2}))
    return load_schema(v10(product(tree={"Ref": 1}), tree, branch, Tables=[table10("t")], Types=type_defs(names)))


def test_recursive_types_end() -> None:
    assert compare(trees(U8), trees(U8)) == Drift()
    assert str(compare(trees(U8), trees(U32))) == "field Tree.leaf changed from U8 to U32"


def test_recursive_types_without_names_end() -> None:
    known, served = trees(U8, names=("Row",)), trees(U32, names=("Row",))
    assert compare(known, known) == Drift()
    (difference,) = compare(known, served).differences
    assert (difference.kind, difference.name, difference.effect) == ("column", "t.tree", BOTH)
    assert difference.before.startswith("(leaf: U8, branches: array of (tree: option of ")
    assert len(str(difference)) < 400


def test_slots_do_not_matter() -> None:
    """A server may number the same types otherwise."""
    turned = load_schema(
        v10(
            product(tree=option({"Ref": 2}), next=option({"Ref": 0})),
            product(tree={"Ref": 2}),
            product(leaf=U8, branches={"Array": {"Ref": 0}}),
            Tables=[table10("t", 1)],
            Types=type_defs(("Branch", "Row", "Tree")),
        )
    )
    assert turned != trees(U8)
    assert compare(trees(U8), turned) == compare(turned, trees(U8)) == Drift()


def test_aliases_do_not_matter() -> None:
    """A slot without a name is what it holds."""
    plain = load_schema(v10(product(a=STRING, b={"Array": U8}), Tables=[table10("t")]))
    aliased = load_schema(
        v10(product(a={"Ref": 1}, b={"Ref": 2}), STRING, {"Ref": 3}, {"Array": {"Ref": 4}}, U8, Tables=[table10("t")])
    )
    assert compare(plain, aliased) == compare(aliased, plain) == Drift()


def test_types_that_are_made_to_take_long() -> None:
    """Two rings of types meet in as many pairs as the product of their lengths, none of them compared twice."""

    def ring(length: int) -> Schema:
        types = [product(**{f"f{n}": {"Ref": (slot + 1) % length} for n in range(20)}) for slot in range(length)]
        return load_schema(v10(*types, Tables=[table10("t")]))

    drift = compare(ring(310), ring(311))
    assert str(drift) == "type * changed from at most 500000 fields and variants to more"
    assert not drift.fits_wire
    assert not drift.fits_bindings


# --- v9 and v10, recorded modules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [9, 10])
@pytest.mark.parametrize("module", MODULES)
def test_a_module_does_not_differ_from_itself(module: str, version: int) -> None:
    other = load_schema(shuffled(recorded(module, version), random.Random(1)))
    assert compare(recorded_schema(module, version), other) == Drift()


@pytest.mark.parametrize("module", MODULES)
def test_the_two_forms_do_not_differ(module: str) -> None:
    v9, v10 = recorded_schema(module, 9), recorded_schema(module, 10)
    assert compare(v9, v10) == compare(v10, v9) == Drift()


def test_what_v9_cannot_tell_is_left_out() -> None:
    """Submodules and privacy here; events and keys of views are among the recorded modules."""
    definition = pantry()
    (reducers,) = (section["Reducers"] for section in definition["sections"] if "Reducers" in section)
    reducers[0]["visibility"] = {"Private": []}
    schema = load_schema(definition)
    other = load_schema(dump_schema(schema, version=9))
    assert any(table.namespace for table in schema.tables.values())
    assert compare(schema, other) == compare(other, schema) == Drift()


def test_different_modules_differ() -> None:
    drift = compare(recorded_schema("sdk-test", 10), recorded_schema("module-test", 10))
    assert not drift.fits_bindings
    assert mirrored(drift) == facts(compare(recorded_schema("module-test", 10), recorded_schema("sdk-test", 10)))


# --- private tables ---------------------------------------------------------------------------------------------------


def secret(column: Any, access: str = "Private") -> Schema:
    table = table10("secret", 4, table_access={access: []})
    return town(more=(product(x=column),), tables=(table,), names=(*NAMES, "Secret"))


def test_private_tables_count_if_they_are_read() -> None:
    words = "column secret.x changed from U8 to U32"
    assert str(compare(secret(U8), secret(U32))) == words
    assert compare(secret(U8), secret(U32), private=False) == Drift()
    assert str(compare(secret(U8, "Public"), secret(U32, "Public"), private=False)) == words


def test_private_tables_that_come_out() -> None:
    assert str(compare(secret(U8), secret(U8, "Public"), private=False)) == "table secret added"
    drift = compare(secret(U8, "Public"), secret(U8), private=False)
    assert str(drift) == "table secret changed from public to private"
    assert not drift.fits_bindings
    assert drift.fits_wire, "who asks for it is refused, as for any other"
    assert not drift.in_use({"secret"}).fits_wire
    assert drift.in_use({"person"}).fits_wire


# --- refusing ---------------------------------------------------------------------------------------------------------


def test_a_mismatch_lists_what_breaks() -> None:
    served = town(person={**PERSON, "age": U8}, reducers=(), tables=(table10("house", 2),))
    drift = compare(town(), served)
    with pytest.raises(SchemaMismatch) as caught:
        drift.raise_if_breaking(hint="generate the bindings again")
    assert str(caught.value) == (
        "the server's module is not the one that this client knows: 2 differences\n"
        "- column person.age added: U8, at the end\n"
        "- reducer draw removed\n"
        "generate the bindings again"
    )
    with pytest.raises(SchemaMismatch, match=r"knows: 1 difference\n- reducer draw removed$"):
        drift.raise_if_breaking(Effect.API)


def test_what_breaks_somebody_else_is_no_mismatch() -> None:
    longer = compare(town(), town(person={**PERSON, "age": U8}))
    longer.raise_if_breaking(Effect.API)
    renamed = compare(town(), CHANGES["a type has another name"][0])
    renamed.raise_if_breaking(Effect.WIRE)
    compare(town(), town(mood={**MOOD, "bored": UNIT})).raise_if_breaking()


def test_long_lists_end() -> None:
    known = town(tables=tuple(table10(f"t{number:02}", 2) for number in range(25)))
    with pytest.raises(SchemaMismatch) as caught:
        compare(known, town()).raise_if_breaking()
    lines = str(caught.value).splitlines()
    assert lines[1] == "- table t00 removed"
    assert lines[20:] == ["- table t19 removed", "- and 5 more"]
    with pytest.raises(SchemaMismatch, match=r"t01 removed\n- and 23 more\nhint$"):
        compare(known, town()).raise_if_breaking(hint="hint", most=2)


def test_a_difference_is_one_line_of_some_length() -> None:
    served = town(person={**PERSON, "a\nb\x1b[31m": U8, "x" * 10_000: U8})
    lines = str(compare(town(), served)).splitlines()
    assert lines[0] == "column person.a?b?[31m added: U8, at the end"
    assert len(lines) == 2
    assert len(lines[1]) < 400


# --- what the effects mean --------------------------------------------------------------------------------------------


def test_an_added_column_breaks_old_codecs() -> None:
    known, served = town(), town(person={**PERSON, "age": U8})
    row = served.row_codec("person")
    codec = known.row_codec("person")
    happy = codec.column(2).decode_exact(b"\0")
    home = codec.column(3).decode_exact(bytes(8))
    old = codec.encode(codec.python_type(id=1, name="a", mood=happy, home=home))
    with pytest.raises(DecodeError):
        codec.decode_exact(old + b"\7")
    assert row.decode_exact(old + b"\7").age == 7


def test_an_added_variant_breaks_nothing_until_it_arrives() -> None:
    known, served = town(), town(shape={**SHAPE, "box": U64})
    old, new = (schema.types.codec(Ref(3)) for schema in (known, served))
    circle, box = b"\0" + bytes(4), b"\2" + bytes(8)
    assert old.encode(old.decode_exact(circle)) == new.encode(new.decode_exact(circle)) == circle
    assert new.encode(new.decode_exact(box)) == box
    with pytest.raises(DecodeError, match="tag 2, but Shape has 2 variants"):
        old.decode_exact(box)


# --- properties -------------------------------------------------------------------------------------------------------


def table_of(typespace: Sequence[AlgebraicType], names: Mapping[int, str], slot: int) -> Schema:
    """A table of these rows, and a reducer that takes one. Of equal names the first keeps its own."""
    row = typespace[slot]
    assert isinstance(row, Product)
    columns = tuple(
        Column(name=element.name or "", type=element.type, index=index) for index, element in enumerate(row.elements)
    )
    return Schema(
        typespace=tuple(typespace),
        type_defs=tuple(TypeDef(slot=slot, name=name) for slot, name in names.items()),
        tables=by_name([Table(name="t", source_name="t", row=Ref(slot), columns=columns)]),
        reducers=by_name([Function(name="f", source_name="f", params=(Param(name="row", type=Ref(slot)),))]),
    )


def turned(type_: AlgebraicType, slots: Sequence[int]) -> AlgebraicType:
    """A type in a typespace whose slot n has become `slots[n]`."""
    match type_:
        case Ref(index):
            return Ref(slots[index])
        case Array(element):
            return Array(turned(element, slots))
        case Product(parts):
            return Product(tuple(Element(part.name, turned(part.type, slots)) for part in parts))
        case Sum(parts):
            return Sum(tuple(Element(part.name, turned(part.type, slots)) for part in parts))
        case _:
            return type_


@given(strategies.rows(), st.randoms(use_true_random=False))
def test_nothing_differs_from_itself_under_other_numbers(drawn: strategies.Drawn, rng: random.Random) -> None:
    typespace, names = drawn.typespace, drawn.types.names
    slot = len(typespace) - 1
    schema = table_of(typespace, names, slot)
    assert compare(schema, schema) == Drift()
    slots = list(range(len(typespace)))
    rng.shuffle(slots)
    other: list[AlgebraicType] = [Primitive.BOOL] * len(typespace)
    for index, type_ in enumerate(typespace):
        other[slots[index]] = turned(type_, slots)
    renumbered = table_of(other, {slots[index]: name for index, name in names.items()}, slots[slot])
    assert compare(schema, renumbered) == compare(renumbered, schema) == Drift()


@st.composite
def changed(draw: st.DrawFn, type_: AlgebraicType, slots: int) -> AlgebraicType:
    """The type with something else somewhere in it, or perhaps the same."""
    if isinstance(type_, Product | Sum) and draw(st.integers(0, 3)):
        parts = list(type_.elements if isinstance(type_, Product) else type_.variants)
        what = draw(st.sampled_from(("inside", "append", "remove", "rename", "swap")))
        at = draw(st.integers(0, len(parts) - 1)) if parts else 0
        match what:
            case "inside" if parts:
                parts[at] = Element(parts[at].name, draw(changed(parts[at].type, slots)))
            case "append":
                parts.append(Element("more", draw(strategies.types(slots))))
            case "remove" if parts:
                del parts[at]
            case "rename" if parts:
                parts[at] = Element("other", parts[at].type)
            case "swap" if parts:
                parts[at], parts[0] = parts[0], parts[at]
            case _:
                pass
        return type(type_)(tuple(parts))
    return draw(strategies.types(slots))


@given(strategies.rows(), st.data())
def test_bytes_mean_the_same_where_the_wire_fits(drawn: strategies.Drawn, data: st.DataObject) -> None:
    """Whatever a module becomes: if a comparison lets it pass, rows of known form are rows of the served form."""
    typespace, names = list(drawn.typespace), drawn.types.names
    slot = len(typespace) - 1
    at = data.draw(st.integers(0, slot))
    typespace[at] = data.draw(changed(typespace[at], slot))
    if not isinstance(typespace[slot], Product) or any(isinstance(type_, Ref) for type_ in typespace):
        return
    known, served = table_of(drawn.typespace, names, slot), table_of(typespace, names, slot)
    drift = compare(known, served)
    back = compare(served, known)
    assert Counter(d.what for d in drift.differences) == Counter(OPPOSITE[d.what] for d in back.differences)
    row = drawn.codec.encode(drawn.value)
    if drift.fits_wire:
        codec = served.row_codec("t")
        assert codec.encode(codec.decode_exact(row)) == row
    if not drift.differences:
        assert back == Drift()
