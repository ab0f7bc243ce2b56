"""Reading along."""

from __future__ import annotations

import pytest

from spacetimedb_sdk.cli.waiting import read_along


def test_all_items_then_the_end():
    assert list(read_along(iter([1, None, 3]))) == [1, None, 3]


def test_what_ended_it_is_raised():
    def items():
        yield 1
        raise OSError("gone")

    along = read_along(items())
    assert next(along) == 1
    with pytest.raises(OSError, match="gone"):
        next(along)
