"""The queue of payloads against a plain list of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.alike import Alike
from spacetimedb_proto.wire import Inbox, Sealed


def alike(header, payloads):
    return Alike(b"".join(header + payload for payload in payloads), len(header), len(header + payloads[0]))


HEADERS = st.binary(min_size=2, max_size=4)
PAYLOADS = st.binary(max_size=4)
SEVERAL = st.integers(0, 3).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1))
STEPS = st.one_of(
    st.tuples(st.just("add"), PAYLOADS | st.text(max_size=3)),
    st.tuples(st.just("add many"), st.lists(PAYLOADS | st.text(max_size=3), max_size=4)),
    st.tuples(st.just("add alike"), st.tuples(HEADERS, SEVERAL)),
    st.tuples(st.just("drop"), st.integers(0, 5)),
    st.tuples(st.just("seal"), st.none()),
    st.tuples(st.just("clear"), st.none()),
)


def same(inbox, model):
    assert bool(inbox) is bool(model)
    assert inbox.size == sum(map(len, model))
    if model:
        assert inbox.first == model[0]
        for most in (0, 2, len(model) + 1):
            assert list(inbox.after(most)) == model[1 : 1 + most]


@given(st.lists(STEPS, max_size=12))
def test_it_is_a_queue_of_payloads(steps):
    inbox, model = Inbox(), []
    for step, value in steps:
        match step:
            case "add":
                inbox.add(value)
                model.append(value)
            case "add many":
                inbox.add_many(value, sum(map(len, value)))
                model += value
            case "add alike":
                inbox.add_many(alike(*value), sum(map(len, value[1])))
                model += value[1]
            case "drop":
                count = min(value, len(model))
                inbox.drop(count)
                del model[:count]
            case "seal" if model and isinstance(model[0], bytes):
                model[0] = Sealed(model[0], 1000, "here")
                inbox.seal(model[0])
            case "clear":
                inbox.clear()
                model.clear()
        same(inbox, model)


@given(HEADERS, SEVERAL, st.data())
def test_what_came_alike_is_told_until_it_is_gone(header, payloads, data):
    inbox = Inbox()
    inbox.add_many(alike(header, payloads), sum(map(len, payloads)))
    inbox.add(b"after")
    gone = data.draw(st.integers(0, len(payloads)))
    inbox.drop(gone)
    left = inbox.alike
    if gone == len(payloads):
        assert left is None
        assert inbox.first == b"after"
    else:
        assert left is not None
        assert list(left) == payloads[gone:]
        assert len(left) == len(payloads) - gone
        assert left.size == sum(map(len, payloads[gone:]))
        assert left.first == payloads[gone]
