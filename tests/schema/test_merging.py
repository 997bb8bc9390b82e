"""How many fields come to the same place in the response."""

import pytest
from graphql import parse

from graphql_api.schema.merging import most_alike


@pytest.mark.parametrize(
    ("document", "most"),
    [
        ("{ a }", 1),
        ("{ a b c }", 1),
        ("{ a b a }", 2),
        ("{ x: a x: a a }", 2),
        ("{ a { b } c { b } }", 1),
        ("{ a { b } a { b } a { b } }", 3),
        ("{ a { b b } a { b b b } }", 5),
        ("{ a ... { a ... { a } } }", 3),
        ("{ ...F ...F ...F } fragment F on Q { a }", 1),
        ("{ ...F ...G } fragment F on Q { a { b } } fragment G on Q { a { b b } }", 3),
        ("{ ...F a { ...G ...G } } fragment F on Q { a { ...G b } } fragment G on A { b }", 2),
        ("{ ...Nothing a }", 1),
        ("query A { a } query B { a }", 1),
        ("{ a } fragment F on Q { a a }", 2),
        ("type A { b: Int }", 0),
    ],
)
def test_fields_of_one_place_are_counted_wherever_they_were_written(document, most):
    """Fields count together that have one name in the response, and parents that do; a fragment once in each place."""
    assert most_alike(parse(document)) == most
