"""Cursors."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.devices.cursor import Cursor
from graphql_api.moment import Moment

cursors = st.builds(
    Cursor,
    epoch=st.text("0123456789abcdef", min_size=16, max_size=16),
    school=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128),
    version=st.integers(0, 2**62),
    timestamp=st.integers(0, 2**62).map(Moment),
)


@given(cursors)
def test_a_cursor_comes_back_as_it_went(cursor):
    """What encode makes, decode reads back, and it is printable ASCII without spaces."""
    text = cursor.encode()
    assert Cursor.decode(text) == cursor
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_other_text_is_refused(text):
    """Text that encode did not make raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match="expected a cursor"):
        Cursor.decode(text)


@given(cursors, st.data())
def test_a_changed_cursor_is_another_one_or_none(cursor, data):
    """A cursor with one character changed is refused or decodes to a different cursor."""
    text = cursor.encode()
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    with contextlib.suppress(ValueError):
        assert Cursor.decode(changed) != cursor


def test_huge_text_is_refused():
    """A megabyte of base64 is refused without being decoded."""
    with pytest.raises(ValueError, match="expected a cursor"):
        Cursor.decode("A" * 1_000_000)
