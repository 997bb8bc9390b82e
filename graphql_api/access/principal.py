"""Who calls, and what they may see. No I/O."""

from dataclasses import dataclass

from graphql_api.errors import BadUserInput, Forbidden
from graphql_api.identifiers import LONGEST_IDENTIFIER, identifier_problem
from graphql_api.moment import Moment

__all__ = [
    "DEVICES_ADMIN",
    "DEVICES_PUBLISH",
    "DEVICES_READ",
    "EVERY_SCHOOL",
    "Principal",
    "Visibility",
    "choose_school",
    "is_school_id",
    "require_scope",
]

DEVICES_READ = "devices:read"
DEVICES_PUBLISH = "devices:publish"
DEVICES_ADMIN = "devices:admin"

EVERY_SCHOOL = "*"
"""Alone in a token's list of schools it means all of them; so it is no school's id."""

_NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a caller may see and do, without who they are: callers with equal visibilities can share work.

    A scope implies no other one.
    """

    schools: frozenset[str]
    """The schools that the token names; empty when it allows every school, so that equal means equal."""
    all_schools: bool
    scopes: frozenset[str]

    def __post_init__(self) -> None:
        if self.all_schools and self.schools:
            raise ValueError("expected no schools beside every school, or two equal visibilities would differ")

    def allows(self, school: str) -> bool:
        """Whether the caller may see this school."""
        return self.all_schools or school in self.schools

    def has(self, scope: str) -> bool:
        """Whether the caller was given this scope."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was good when it was looked at."""

    subject: str
    visibility: Visibility
    expires_at: Moment
    """From this moment on the token is no good."""
    issued_at: Moment | None = None
    token_id: str | None = None
    """The token's ``jti``, when that is a string or an integer."""


def is_school_id(text: str) -> bool:
    """Whether a school can have this id: what any id may be, but not "*"."""
    return text != EVERY_SCHOOL and identifier_problem("schoolId", text) is None


def choose_school(visibility: Visibility, school_id: str | None) -> str:
    """The school that a call is about: the ``schoolId`` argument, or else the token's only one.

    Raises:
        Forbidden: the school is not the token's, whatever the argument looks like: whether such a
            school exists, or could, is nobody's business.
        BadUserInput: the argument is needed and missing; or the token allows every school, and this is no id of one.
    """
    if school_id is None:
        return _only_school(visibility)
    if not visibility.allows(school_id):
        raise Forbidden("The token does not allow this school.")
    # The schools that a token names were checked with the token.
    if visibility.all_schools and not is_school_id(school_id):
        raise BadUserInput(
            f"schoolId: expected 1 to {LONGEST_IDENTIFIER} characters without control characters, and not"
            f" {EVERY_SCHOOL!r} alone, but got {len(school_id)} characters that are no school's id."
        )
    return school_id


def _only_school(visibility: Visibility) -> str:
    if visibility.all_schools:
        raise BadUserInput("schoolId is required: the token allows every school.")
    if not visibility.schools:
        raise Forbidden("The token allows no school.")
    if len(visibility.schools) > 1:
        raise BadUserInput(
            f"schoolId is required: the token names {len(visibility.schools)} schools{_named(visibility)}."
        )
    (school,) = visibility.schools
    return school


def _named(visibility: Visibility) -> str:
    if len(visibility.schools) > _NAMED_AT_MOST:
        return ""
    return ": " + ", ".join(f"“{school}”" for school in sorted(visibility.schools))


def require_scope(visibility: Visibility, scope: str) -> None:
    """See that the caller was given a scope.

    Raises:
        Forbidden: it was not; the sentence names the scope.
    """
    if not visibility.has(scope):
        raise Forbidden(f"This needs a token with the scope {scope}.")
