import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.access.claims import TokenRefused, moment_of, schools_of, scopes_of, subject_of, text_of
from graphql_api.moment import SECOND, format_moment, parse_moment

END = parse_moment("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_800_000_000, 1_800_000_000 * SECOND),
        (1_800_000_000.25, 1_800_000_000 * SECOND + SECOND // 4),
        (0, 0),
        (-1, -SECOND),
        (1_800_000_000_000, END),
        (253402300800, END),
        (253402300799.9999999, END),
        (10**400, END),
        (1e300, END),
        (-(10**400), parse_moment("0001-01-01T00:00:00Z")),
        (-1e300, parse_moment("0001-01-01T00:00:00Z")),
    ],
)
def test_moments(value, moment):
    """Seconds become moments; what lies beyond the years 1 to 9999 becomes their end."""
    assert moment_of({"exp": value}, "exp") == moment


def test_no_moment():
    """A claim that is not there is no moment, and no error."""
    assert moment_of({}, "exp") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), True, None, "1800000000", [], {}])
def test_what_is_no_moment(value):
    """NaN, infinity, booleans, null and text are no moments."""
    with pytest.raises(TokenRefused, match=r"^token-invalid: exp must be a number"):
        moment_of({"exp": value}, "exp")


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_moment_can_be_written(value):
    """Whatever number a claim holds, the moment that comes of it can be written down."""
    format_moment(moment_of({"exp": value}, "exp"))


@pytest.mark.parametrize(("value", "subject"), [("a", "a"), (5, "5"), (0, "0"), (-7, "-7"), ("ä b", "ä b")])
def test_subjects(value, subject):
    """A subject is a string or an integer."""
    assert subject_of({"sub": value}) == subject


@pytest.mark.parametrize("claims", [{}, *({"sub": value} for value in ["", None, True, 1.5, ["a"], {}, "\ud800"])])
def test_what_is_no_subject(claims):
    """A missing, empty or otherwise typed subject is refused."""
    with pytest.raises(TokenRefused, match="sub is required"):
        subject_of(claims)


@pytest.mark.parametrize(
    ("claims", "schools"),
    [
        ({"school_id": "north"}, {"north"}),
        ({"school_id": 7}, {"7"}),
        ({"school_id": "x" * 128}, {"x" * 128}),
        ({"school_ids": ["north", 7, "7"]}, {"north", "7"}),
        ({"school_ids": ["a"], "school_id": "b"}, {"a", "b"}),
    ],
)
def test_schools(claims, schools):
    """Schools are strings or integers, one or several, and both claims together are their union."""
    assert schools_of(claims, None) == (schools, False)


@pytest.mark.parametrize("claims", [{"school_ids": ["*"]}, {"school_ids": ["*"], "school_id": "north"}])
def test_every_school(claims):
    """A star alone in the list means every school, whatever school_id adds."""
    assert schools_of(claims, None) == (frozenset(), True)


NO_SCHOOLS = [
    {},
    {"school_id": None},
    {"school_id": True},
    {"school_id": 1.0},
    {"school_id": ""},
    {"school_id": "*"},
    {"school_id": "x" * 129},
    {"school_id": 10**200},
    {"school_id": "a\x00"},
    {"school_id": "\ud800"},
    {"school_id": ["north"]},
    {"school_id": {}},
    {"school_ids": []},
    {"school_ids": "north"},
    {"school_ids": None},
    {"school_ids": [True]},
    {"school_ids": ["north", False]},
    {"school_ids": ["north", 1.5]},
    {"school_ids": ["north", None]},
    {"school_ids": [["north"]]},
    {"school_ids": ["*", "north"]},
    {"school_ids": ["*", "*"]},
    {"school_id": "north", "school_ids": []},
]


@pytest.mark.parametrize("claims", NO_SCHOOLS)
def test_what_is_no_school(claims):
    """None, an empty list, a boolean, a float, null, nesting or a misplaced star: the token is invalid."""
    with pytest.raises(TokenRefused, match=r"^token-invalid: "):
        schools_of(claims, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("north", ({"north"}, False)), (3, ({"3"}, False)), (["a", 1], ({"a", "1"}, False)), (["*"], (set(), True))],
)
def test_a_claim_of_ones_own(value, expected):
    """A configured school claim may be a string, an integer or a list, and is the only one looked at."""
    assert schools_of({"https://x.example/school": value, "school_id": "other"}, "https://x.example/school") == expected


@pytest.mark.parametrize("claims", [{"school_id": "north"}, {"mine": "*"}, {"mine": []}, {"mine": True}])
def test_a_claim_of_ones_own_without_a_school(claims):
    """A configured school claim that is missing or wrong makes the token invalid, whatever else it names."""
    with pytest.raises(TokenRefused):
        schools_of(claims, "mine")


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, {"devices:read"}),
        ({"scope": "devices:read  devices:publish"}, {"devices:read", "devices:publish"}),
        ({"scope": ["devices:admin", "mail"]}, {"devices:admin", "mail"}),
        ({"scope": ""}, set()),
        ({"scope": []}, set()),
    ],
)
def test_scopes(claims, scopes):
    """Scopes are text with spaces or a list; unknown ones are kept; only a missing claim means devices:read."""
    assert scopes_of(claims, "scope") == scopes


@pytest.mark.parametrize("value", [None, 5, True, {}, [5], [None], [["a"]], "\ud800"])
def test_what_is_no_scope(value):
    """Another type of scope claim makes the token invalid."""
    with pytest.raises(TokenRefused, match="scope claim"):
        scopes_of({"scope": value}, "scope")


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (1, "1"), (True, None), (1.5, None), (None, None), ("\udfff", None)]
)
def test_text(value, text):
    """Strings and integers are text; booleans and lone surrogates are not."""
    assert text_of(value) == text


@pytest.mark.parametrize("claims", NO_SCHOOLS)
def test_refusals_fit_a_close_frame(claims):
    """A refusal fits into the 123 bytes of a close reason and repeats nothing of the token."""
    with pytest.raises(TokenRefused) as refused:
        schools_of(claims, None)
    assert len(str(refused.value).encode()) <= 123
    assert "north" not in str(refused.value)
    assert json.dumps(refused.value.extensions) == '{"code": "UNAUTHENTICATED", "reason": "token-invalid"}'
