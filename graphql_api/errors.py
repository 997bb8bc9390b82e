"""What can go wrong that a caller may be told, as one tree of exceptions.

::

    ServiceError            everything below; its text and code may be shown to a client
    ├── Unauthenticated     UNAUTHENTICATED   no token came with the call
    ├── Forbidden           FORBIDDEN         the token does not allow this
    ├── BadUserInput        BAD_USER_INPUT    the arguments are wrong; ``problems`` may list each
    ├── LimitExceeded       LIMIT_EXCEEDED    too much of something at once
    ├── RateLimited         RATE_LIMITED      too often; ``retry_after`` says when to repeat it
    └── Unavailable         UNAVAILABLE       the store can't be reached; the call may be repeated

The texts are written for the caller: what was expected, what came, what to do. Whatever is not
in this tree is internal, and is shown to a client as INTERNAL without its text.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "BadUserInput",
    "Forbidden",
    "LimitExceeded",
    "RateLimited",
    "ServiceError",
    "Unauthenticated",
    "Unavailable",
]


class ServiceError(Exception):
    """An error whose text and code may be shown to the client that caused it."""

    code: ClassVar[str]

    @property
    def extensions(self) -> dict[str, Any]:
        """What goes into the GraphQL error's ``extensions``."""
        return {"code": self.code}


class Unauthenticated(ServiceError):
    """The call needs a token, and none came with it."""

    code = "UNAUTHENTICATED"


class Forbidden(ServiceError):
    """The token is good, but does not allow this."""

    code = "FORBIDDEN"


class BadUserInput(ServiceError):
    """The arguments are wrong; ``problems`` holds one JSON object for each wrong item of a list."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str, problems: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)

    @property
    def extensions(self) -> dict[str, Any]:
        """The code, and the problems where there are any."""
        found = {"problems": self.problems} if self.problems else {}
        return {"code": self.code, **found}


class LimitExceeded(ServiceError):
    """More of something than the service allows at once."""

    code = "LIMIT_EXCEEDED"


class RateLimited(ServiceError):
    """The same caller has asked for so much lately; in ``retry_after`` seconds it may be repeated."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, Any]:
        """The code, and when to come back."""
        return {"code": self.code, "retryAfter": self.retry_after}


class Unavailable(ServiceError):
    """The store can't be reached now. Repeating the call does no harm."""

    code = "UNAVAILABLE"
