"""The fuzz target works, and holds for a few hundred damaged recordings. For more, run it by hand."""

from __future__ import annotations

import pytest

from tests.fuzz.session import recorded, run, target


def test_recorded_traffic_passes():
    for data in recorded():
        target(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_recordings_pass(seed):
    run(150, seed)
