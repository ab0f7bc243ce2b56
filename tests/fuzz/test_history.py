"""Ten thousand histories of losses. `SPACETIMEDB_HISTORIES` says how many it should be instead."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.history import run

BATCHES = 20
HISTORIES = int(os.environ.get("SPACETIMEDB_HISTORIES", "10000"))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_histories(batch):
    for seed in range(batch, HISTORIES, BATCHES):
        run(seed)


def test_the_same_seed_is_the_same_history():
    def told(seed):
        lines = []
        run(seed, lines.append)
        return lines

    assert told(5) == told(5)
    assert told(5) != told(6)


def test_a_history_that_fails_says_how_to_see_it_again(monkeypatch):
    monkeypatch.setattr("tests.fuzz.history.check", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        run(17)
    assert caught.value.__notes__ == ["seen again by: python tests/fuzz/history.py --seed 17"]
