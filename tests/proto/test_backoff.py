"""How long is waited before each attempt to connect again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.backoff import Backoff

chances = st.floats(0, 1)
backoffs = st.builds(
    Backoff,
    initial=st.floats(1e-3, 1e3),
    maximum=st.floats(1e-3, 1e3),
    factor=st.floats(1, 100),
    jitter=st.floats(0, 1),
)


def test_waits_double_until_they_are_long_enough():
    steady = Backoff(jitter=0)
    assert [steady.delay(attempt, 0.9) for attempt in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(("chance", "share"), [(0, 0.5), (0.25, 0.75), (0.5, 1), (0.75, 1.25), (1, 1.5)])
def test_chance_takes_away_or_adds_up_to_half(chance, share):
    assert Backoff().delay(1, chance) == share
    assert Backoff().delay(3, chance) == 4 * share


def test_chance_never_makes_it_longer_than_the_maximum():
    assert Backoff().delay(6, 1) == 30
    assert Backoff().delay(6, 0) == 15
    assert Backoff(initial=5, maximum=2).delay(1, 0.5) == 2


@given(backoffs, st.integers(1, 10**9), chances)
def test_every_wait_is_within_bounds(backoff, attempt, chance):
    assert 0 <= backoff.delay(attempt, chance) <= backoff.maximum


@given(backoffs, st.integers(1, 200), chances)
def test_no_wait_is_shorter_than_the_one_before(backoff, attempt, chance):
    assert backoff.delay(attempt, chance) <= backoff.delay(attempt + 1, chance)


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": 0},
        {"initial": -1},
        {"maximum": 0},
        {"factor": 0.5},
        {"factor": 101},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"attempts": 0},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Backoff(**wrong)
