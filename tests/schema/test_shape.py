"""How large a document is once its fragments are spread."""

from dataclasses import replace

import pytest
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.schema.shape import Shape, shape_of


@pytest.mark.parametrize(
    ("document", "shape"),
    [
        ("{ a }", Shape(1, 0, 1)),
        ("{ x: a { y: b c } }", Shape(3, 2, 2)),
        ("{ a { ...F } b { ... on Q { ...F } } } fragment F on Q { x: c { d } }", Shape(6, 2, 3, 3)),
        ("query A { a } query B { a { b } }", Shape(3, 0, 2)),
        ("{ a } fragment F on Q { a { b { c } } }", Shape(3, 0, 3)),
        ("{ ...F } fragment F on Q { a ...F ...G } fragment G on Q { b ...F }", Shape(3, 0, 1, 4)),
        ("{ ...Nothing }", Shape(spreads=1)),
    ],
)
def test_fields_aliases_and_levels_are_counted_with_fragments_spread(document, shape):
    """Fragments count wherever they are spread, inline ones as if they were not there, and cycles once."""
    assert shape_of(parse(document)) == shape


selections = st.recursive(
    st.just(()), lambda inner: st.lists(st.tuples(st.booleans(), inner), min_size=1, max_size=4), max_leaves=30
)


def written(selection):
    fields = [f"{'x: ' if alias else ''}f {written(inner)}" for alias, inner in selection]
    return f"{{ {' '.join(fields)} }}" if fields else ""


def counted(selection):
    found = Shape()
    for alias, inner in selection:
        below = counted(inner)
        found = found.beside(Shape(below.fields + 1, below.aliases + alias, below.depth + 1))
    return found


@given(selections.filter(bool))
def test_a_tree_is_counted_as_it_was_written_and_the_same_in_a_fragment(selection):
    """What was put into a document is found in it, in the operation or in a fragment that it spreads."""
    text = written(selection)
    assert shape_of(parse(text)) == counted(selection)
    assert shape_of(parse(f"{{ ...F }} fragment F on Q {text}")) == replace(counted(selection), spreads=1)
