from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacetimedb_proto.errors import DecodeError
from spacetimedb_proto.wire.rowlist import RowList


@given(
    st.lists(st.binary(max_size=6)) | st.integers(0, 5).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n)))
)
def test_rows_come_back_in_order(rows: list[bytes]) -> None:
    made = RowList.of(rows)
    assert made.rows() == list(made) == rows
    assert len(made) == len(rows)
    assert made.shortest == min(map(len, rows), default=0)
    assert made == RowList(b"".join(rows), offsets=[sum(map(len, rows[:n])) for n in range(len(rows))])


def test_rows_of_one_size_are_cut_in_chunks() -> None:
    rows = [n.to_bytes(3, "little") for n in range(1025)]
    made = RowList.of(rows)
    assert (made.row_size, made.offsets) == (3, ())
    assert made.rows() == rows
    assert made == RowList.within(b"?" + b"".join(rows), 1, 1 + 3075, row_size=3)


def test_rows_without_bytes_keep_their_number() -> None:
    made = RowList.of([b"", b"", b""])
    assert (made.row_size, tuple(made.offsets), made.rows()) == (0, (0, 0, 0), [b"", b"", b""])


def test_rows_too_long_for_the_hint_have_offsets() -> None:
    assert RowList.of([bytes(65535)]).row_size == 65535
    assert tuple(RowList.of([bytes(65536)]).offsets) == (0,)


def test_repr_shows_no_row() -> None:
    assert repr(RowList.of([b"secret"])) == "<RowList of 1 rows, 6 bytes>"
    assert RowList.of([b"a"]) != b"a"


BITS = st.binary(max_size=6).map(lambda data: bytes(byte & 1 for byte in data))


@given(
    st.lists(BITS) | st.integers(0, 5).flatmap(lambda n: st.lists(BITS.filter(lambda row: len(row) == n))),
    BITS.filter(bool),
    st.integers(0, 3),
)
def test_the_first_row_with_a_piece_is_found_without_cutting(rows: list[bytes], piece: bytes, at: int) -> None:
    def first(some: list[bytes]) -> bytes | None:
        return next((row for row in some if row[at : at + len(piece)] == piece), None)

    made = RowList.of(rows)
    middle = RowList.within(b"1" + made.data + b"1", 1, 1 + made.size, row_size=made.row_size, offsets=made.offsets)
    assert made.seek(piece, at) == middle.seek(piece, at) == first(rows)
    for number, part in enumerate(made.parts(2)):
        assert part.seek(piece, at) == first(rows[2 * number : 2 * number + 2])


def test_a_piece_that_stands_everywhere_else_is_not_sought_for_ever() -> None:
    rows = RowList.of([bytes(99) + b"1"] * 2)
    assert rows.seek(b"1", 99) == bytes(99) + b"1"
    with pytest.raises(LookupError):
        rows.seek(b"\0", 99)


@pytest.mark.parametrize(
    ("data", "size", "offsets", "text"),
    [
        (b"12345", 2, (), "data: expected rows of 2 bytes, got 5 bytes"),
        (b"1", 0, (), "data: expected nothing in a list without rows, got 1 bytes"),
        (b"12", 0, (1,), "offsets: expected them to rise from 0 to at most 2, got others"),
        (b"12", 0, (0, 3), "offsets: expected them to rise from 0 to at most 2, got others"),
        (b"12", 0, (0, 2, 1), "offsets: expected them to rise from 0 to at most 2, got others"),
    ],
)
def test_lists_that_cannot_be_cut(data: bytes, size: int, offsets: tuple[int, ...], text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        RowList(data, row_size=size, offsets=offsets)
    assert str(caught.value) == text
