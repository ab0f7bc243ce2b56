"""The modules of the official SDKs' test suite in Python: their schemas are those that the real server gave."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from spacetimedb_proto.schema import dump_schema
from tests.modules.sdk_test import sdk_test
from tests.schemas import SCHEMAS
from tests.sdk.testing.recorded import Told, cases, return_all

MODULES = {"sdk-test": sdk_test}


def normal(definition: dict[str, Any], types: list[dict[str, Any]], field: str) -> Any:
    """A definition in one order, in which types are named instead of numbered."""
    name_of = {each["ty"]: each[field][field] for each in types}

    def named(value: Any, key: str = "") -> Any:
        if key in {"Ref", "ty", "product_type_ref"}:
            return name_of[value]
        if isinstance(value, dict):
            return {name: named(each, name) for name, each in value.items()}
        if isinstance(value, list):
            each = [named(item) for item in value]
            return each if key in {"elements", "variants", "BTree", "primary_key"} else sorted(each, key=json.dumps)
        return value

    by_name = {name_of[slot]: named(type_) for slot, type_ in enumerate(definition.pop("typespace")["types"])}
    return {"typespace": by_name, **named(definition)}


def sections(definition: dict[str, Any]) -> dict[str, Any]:
    """The sections of a v10 definition by name."""
    found = {name: payload for section in definition["sections"] for name, payload in section.items()}
    return {"typespace": found.pop("Typespace"), **found}


@pytest.mark.parametrize("name", MODULES)
def test_schemas_are_the_recorded_ones(name):
    for version in (9, 10):
        recorded = json.loads((SCHEMAS / f"{name}.v{version}.json").read_text("utf-8"))
        served = json.loads(json.dumps(dump_schema(MODULES[name].schema, version)))
        if version == 10:
            recorded, served = sections(recorded), sections(served)
        part, field = ("types", "name") if version == 9 else ("Types", "source_name")
        ours, theirs = (normal(each, each[part], field) for each in (served, recorded))
        assert ours.keys() == theirs.keys()
        for part, expected in theirs.items():
            assert ours[part] == expected, f"{part} of v{version}"


# --- what clients are told --------------------------------------------------------------------------------------------

CASES = cases("test-client")

RANDOM = {"test-client/sorted-uuids-insert": "the last 31 bits of each UUID of version 7 are random"}
"""What cannot be the same, by case, and why."""


@pytest.mark.parametrize("case", CASES)
def test_recorded_clients_learn_what_they_did(case):
    transcripts = CASES[case]
    for client in return_all(MODULES[transcripts[0].module], transcripts):
        assert client.client.hello == client.recorded.hello
        ours, theirs = client.client.told, client.recorded.told
        if case in RANDOM:
            ours, theirs = map(without_random, (ours, theirs))
        assert ours.answers == theirs.answers
        assert ours.news == theirs.news
        assert ours.rows == theirs.rows


def without_random(told):
    """What a client has learned, but for the ends of UUIDs, which in bytes are their beginnings."""
    rows = {name: sorted(data[4:] for data in found) for name, found in told.rows.items()}
    text = re.sub(r"(UUID\('[0-9a-f-]{28})[0-9a-f]{8}", r"\1", str(told.answers))
    return Told({("all", None): text}, told.news, rows)
