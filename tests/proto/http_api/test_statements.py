"""Results of SQL: values of every type, and whose rows they are."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from spacetimedb_proto.bsatn.codec import Types
from spacetimedb_proto.bsatn.types import Array, Element, Primitive, Product, Sum
from spacetimedb_proto.errors import EncodeError, RemoteProtocolError
from spacetimedb_proto.http import HttpResponse
from spacetimedb_proto.http_api import SqlAnswer, table_of
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema.types_json import elements_to_json
from spacetimedb_sdk.sql import Identifier, literal
from tests.schemas import schema
from tests.strategies import types, values_of

SDK_TEST = schema("sdk-test")

# Making the codecs of a table takes some time, and floats that JSON cannot carry are rejected.
PATIENT = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def body_of(product, values, **more):
    return json.dumps(
        [{"schema": {"elements": elements_to_json(product.elements, 0)}, "rows": values, **more}]
    ).encode()


def read(body):
    return SqlAnswer.read(HttpResponse(200, (), body), Limits())


def inlined(definition, type_):
    """A type as answers have it, without references."""
    match definition.resolve(type_):
        case Product(elements):
            return Product(tuple(Element(each.name, inlined(definition, each.type)) for each in elements))
        case Sum(variants):
            return Sum(tuple(Element(each.name, inlined(definition, each.type)) for each in variants))
        case Array(element):
            return Array(inlined(definition, element))
        case leaf:
            return leaf


def has_values(type_):
    match type_:
        case Product(elements):
            return all(has_values(each.type) for each in elements)
        case Sum(variants):
            return any(has_values(each.type) for each in variants)
        case _:
            return True


def in_json(codec, value):
    try:
        return codec.to_json(value)
    except EncodeError:
        reject()  # a float that JSON cannot carry


@PATIENT
@given(st.data())
def test_values_of_every_type(data):
    type_ = data.draw(types(0).filter(has_values))
    product = Product((Element("column", type_), Element(None, Primitive.U8)))
    made = Types(())
    codec = made.codec(product)
    row = data.draw(values_of(made, (), product))
    result = read(body_of(product, [in_json(codec, row)] * 2)).result()
    assert list(map(repr, result)) == [repr(row)] * 2  # each has classes of its own
    assert [column.name for column in result.columns] == ["column", None]


@PATIENT
@given(st.sampled_from(sorted(SDK_TEST.tables)), st.data())
def test_rows_of_every_table_are_those_of_the_cache(table, data):
    codec, type_ = SDK_TEST.row_codec(table), SDK_TEST.table(table).row
    row = data.draw(values_of(SDK_TEST.types, SDK_TEST.typespace, type_))
    answer = read(body_of(inlined(SDK_TEST, type_), [in_json(codec, row)]))
    assert answer.fits(SDK_TEST, table)
    (got,) = answer.result(SDK_TEST, table)
    assert type(got) is codec.python_type
    assert got == row


def test_equal_answers_have_equal_rows():
    """Who watches a count asks again and again, and compares."""
    product = Product((Element("n", Primitive.U64),))
    first, second = (read(body_of(product, [[7]])).result() for _ in range(2))
    assert first.rows == second.rows


def test_numbers_that_only_integers_can_hold():
    columns = [Primitive.U64, Primitive.I128, Primitive.U256, Primitive.I256]
    product = Product(tuple(Element(each.value, each) for each in columns))
    body = body_of(product, [[2**64 - 1, -(2**127), hex(2**256 - 1), "-0x2a"]])
    (row,) = read(body).result()
    assert (row.U64, row.I128, row.U256, row.I256) == (2**64 - 1, -(2**127), 2**256 - 1, -42)


def test_what_is_no_number_in_json():
    (row,) = read(
        b'[{"schema":{"elements":[{"name":{"some":"x"},"algebraic_type":{"F64":[]}}]},"rows":[[null]]}]'
    ).result()
    assert math.isnan(row.x)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "^sql: the answer cannot be understood: not JSON"),
        (b"{}", "expected an array, got an object without keys$"),
        (b"[]", "expected the result of one statement, got an array of 0$"),
        (b"[{},{}]", "expected the result of one statement, got an array of 2$"),
        (b"[{}]", r"\[0\]: expected a field 'schema', got an object without keys$"),
        (
            b'[{"schema":{"elements":[{"name":{"none":[]},"algebraic_type":{"Ref":0}}]}}]',
            "a slot of the typespace below 0",
        ),
        (b"[" * 100_000, "cannot be understood"),
        (b"1" * 5000, "cannot be understood"),
    ],
)
def test_answers_that_cannot_be_understood(body, text):
    with pytest.raises(RemoteProtocolError, match=text):
        read(body)


def test_a_row_that_cannot_be_understood():
    product = Product((Element("n", Primitive.U8),))
    with pytest.raises(RemoteProtocolError, match=r"^sql: a row cannot be understood: Row\.n: "):
        read(body_of(product, [[1], [256]])).result()


@pytest.mark.parametrize(
    ("query", "table"),
    [
        ("SELECT * FROM user", "user"),
        ("select * from user where id = 1", "user"),
        ("SELECT * FROM user;", "user"),
        ('SELECT * FROM "odd""name"', 'odd"name'),
        ("SELECT * FROM auth.sessions", "auth.sessions"),
        ("SELECT * FROM user LIMIT 3", "user"),
        ("SELECT * FROM by_age(3, 'x')", "by_age"),
        ("SELECT u.* FROM user u JOIN item AS i ON u.id = i.owner", "user"),
        ("SELECT i.* FROM user AS u JOIN item i ON u.id = i.owner WHERE u.name = 'JOIN x'", "item"),
        ("SELECT item.* FROM user JOIN item ON user.id = item.owner", "item"),
        ("SELECT nobody.* FROM user", None),
        ("SELECT * FROM user JOIN item ON user.id = item.owner", None),
        ("SELECT id FROM user", None),
        ("SELECT u.id FROM user u", None),
        ("SELECT COUNT(*) AS n FROM user", None),
        ("SELECT * FROM *", None),
        ("INSERT INTO user (id) VALUES (1)", None),
        ("SELECT *", None),
        ("SELECT '", None),
        ("", None),
    ],
)
def test_whose_rows_a_query_asks_for(query, table):
    assert table_of(query) == table


@given(st.text())
def test_any_text_may_be_asked(text):
    assert table_of(text) is None or isinstance(table_of(text), str)


@given(st.text(), st.text())
def test_names_in_quotes_are_found(name, condition):
    assert table_of(f"SELECT * FROM {literal(Identifier(name))} WHERE x = {literal(condition)}") == name
