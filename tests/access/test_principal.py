import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.access.principal import (
    DEVICES_PUBLISH,
    DEVICES_READ,
    Visibility,
    choose_school,
    is_school_id,
    require_scope,
)
from graphql_api.errors import BadUserInput, Forbidden

SCOPES = frozenset({DEVICES_READ})
EVERY_SCHOOL = Visibility(frozenset(), all_schools=True, scopes=SCOPES)
ODD_IDS = ["", "x" * 200, "a\x00b", "a\nb", "\ud800", "*", " north", "North"]


def seeing(*schools):
    return Visibility(frozenset(schools), all_schools=False, scopes=SCOPES)


def test_equal_visibilities_are_one_key():
    """Visibilities with the same schools and scopes are equal and hash alike, whoever they belong to."""
    assert {seeing("north", "south"), seeing("south", "north")} == {seeing("north", "south")}


def test_every_school_names_none():
    """A visibility of every school can't name some beside it, so that there is one way to write it."""
    with pytest.raises(ValueError, match="no schools beside every school"):
        Visibility(frozenset({"north"}), all_schools=True, scopes=SCOPES)


def test_what_is_allowed():
    """A visibility allows its own schools only, and every school when it says so."""
    assert seeing("north").allows("north")
    assert not seeing("north").allows("south")
    assert EVERY_SCHOOL.allows("south")


def test_the_only_school_needs_no_argument():
    """Who sees one school need not name it, but may."""
    assert choose_school(seeing("north"), None) == "north"
    assert choose_school(seeing("north"), "north") == "north"


@pytest.mark.parametrize("school", ["south", *ODD_IDS])
def test_a_school_outside_the_token_is_forbidden(school):
    """A school that the token doesn't name is forbidden with the same words, whatever the argument looks like."""
    with pytest.raises(Forbidden) as refused:
        choose_school(seeing("north", "east"), school)
    assert str(refused.value) == "The token does not allow this school."


def test_several_schools_need_the_argument():
    """With several schools the argument is required, and the sentence names the caller's own."""
    with pytest.raises(BadUserInput) as refused:
        choose_school(seeing("south", "north"), None)
    assert str(refused.value) == "schoolId is required: the token names 2 schools: “north”, “south”."


def test_many_schools_are_only_counted():
    """More than ten schools are not listed in an error."""
    with pytest.raises(BadUserInput) as refused:
        choose_school(seeing(*map(str, range(11))), None)
    assert str(refused.value) == "schoolId is required: the token names 11 schools."


def test_every_school_needs_the_argument():
    """With every school the argument is required, and nobody's schools are listed."""
    with pytest.raises(BadUserInput, match="every school"):
        choose_school(EVERY_SCHOOL, None)


def test_no_school_is_forbidden():
    """A visibility without any school allows nothing, and does not crash."""
    with pytest.raises(Forbidden):
        choose_school(seeing(), None)


def test_every_school_takes_any_id():
    """With every school, anything that can be a school's id is taken as it is."""
    assert choose_school(EVERY_SCHOOL, "Schule am See/3") == "Schule am See/3"
    assert choose_school(EVERY_SCHOOL, "x" * 128) == "x" * 128


@pytest.mark.parametrize("school", ["", "x" * 129, "a\x00b", "a\nb", "a\x7f", "a\x85", "\ud800", "*"])
def test_every_school_takes_no_nonsense(school):
    """With every school, what can't be a school's id is refused, and not repeated in the answer."""
    with pytest.raises(BadUserInput) as refused:
        choose_school(EVERY_SCHOOL, school)
    str(refused.value).encode()
    assert "control characters" in str(refused.value)


@given(st.text(st.characters(), max_size=140))
def test_an_id_that_is_taken_can_be_sent(text):
    """Whatever counts as a school's id is UTF-8 without control characters and at most 128 characters."""
    if is_school_id(text):
        text.encode()
        assert "\x00" not in text
        assert len(text) <= 128


def test_a_missing_scope_is_named():
    """Who lacks a scope is told which one is needed."""
    require_scope(seeing("north"), DEVICES_READ)
    with pytest.raises(Forbidden, match="the scope devices:publish"):
        require_scope(seeing("north"), DEVICES_PUBLISH)
