"""The subscription behind ``watch``: one connection after the other, for as long as that can help."""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gql import Client, GraphQLRequest
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportQueryError,
)
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.target import Target
from graphql_api.delivery.close_codes import CloseCode

__all__ = ["View", "subscribe_for_ever"]

_SUBSCRIPTION = """
subscription Watch($schoolId: ID, $deviceIds: [ID!], $statuses: [Status!]) {
  deviceStatus(schoolId: $schoolId, deviceIds: $deviceIds, statuses: $statuses, snapshot: true) {
    kind schoolId deviceId status previousStatus lastSeen timestamp cursor
  }
}
"""

FIRST_PAUSE = 0.5
"""Seconds before connecting again, at first; each later pause is twice as long."""

LONGEST_PAUSE = 15.0
"""Seconds between two attempts to connect, at most."""

TIMEOUT = 10.0
"""Seconds to wait for a connection, and then for its acknowledgement."""

CLOSE_TIMEOUT = 1.0
"""Seconds that a polite goodbye may take."""

_TOKEN_REFUSED = CloseCode.FORBIDDEN
# A refused token stays refused here, where nobody gets another one. The numbers are RFC 6455's, of
# closes that the network or a proxy in between makes.
_PASSING_CLOSES = frozenset({code for code in CloseCode if code.may_retry} - {_TOKEN_REFUSED}) | {
    1000,
    1001,
    1005,
    1006,
    1011,
    1014,
}
"""After these, connecting again can help: the service restarts, is full, or the network broke."""

_PASSING_CODES = frozenset({"UNAVAILABLE", "RATE_LIMITED", "LIMIT_EXCEEDED"})
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class View(Protocol):
    """What shows the events to a person or a program."""

    def connected(self) -> None:
        """A snapshot of all devices follows."""

    def show(self, event: dict[str, Any]) -> None:
        """The next event."""

    def trouble(self, sentence: str) -> None:
        """There is no connection now; what is shown may be old."""


class _Dropped(Exception):
    """The subscription ended in a way that connecting again may mend."""


async def subscribe_for_ever(target: Target, variables: Mapping[str, Any], view: View) -> None:
    """Show the school's events until cancelled.

    Raises:
        CommandFailed: connecting again would not help.
    """
    subscriber = _Subscriber(target, variables, view)
    pause = FIRST_PAUSE
    while True:
        subscriber.was_connected = False
        try:
            await subscriber.run()
            reason = "The service ended the subscription"
        except _Dropped as dropped:
            reason = str(dropped)
        except asyncio.CancelledError:
            # What fails in gql's own tasks while the connection is torn down is nobody's concern any more,
            # but asyncio would print it.
            asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
            raise
        pause = FIRST_PAUSE if subscriber.was_connected else min(LONGEST_PAUSE, pause * 2)
        # Many watchers that lost the same service should not come back at the same moment.
        seconds = pause * random.uniform(0.5, 1.0)  # noqa: S311 (nobody gains by guessing it)
        view.trouble(f"{reason}; trying again in {seconds:.1f} s.")
        await asyncio.sleep(seconds)


class _Subscriber:
    """One connection at a time."""

    def __init__(self, target: Target, variables: Mapping[str, Any], view: View) -> None:
        self._target = target
        self._request = GraphQLRequest(_SUBSCRIPTION, variable_values=dict(variables))
        self._view = view
        self.was_connected = False

    async def run(self) -> None:
        """Connect, and show events until the service completes the subscription.

        Raises:
            CommandFailed: connecting again would not help.
            _Dropped: it may.
        """
        transport = WebsocketsTransport(
            url=self._target.ws,
            # gql offers the legacy subprotocol too, unless told.
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            init_payload={"authorization": self._target.authorization},
            connect_timeout=TIMEOUT,
            ack_timeout=TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            # The websockets library notices a dead service by pings of its own, every 20 s.
            connect_args={"close_timeout": CLOSE_TIMEOUT},
        )
        try:
            async with Client(transport=transport) as session:
                self.was_connected = True
                self._view.connected()
                async for data in session.subscribe(self._request):
                    self._view.show(data["deviceStatus"])
        except TransportQueryError as error:
            raise _refused(error.errors or []) from error
        except TransportConnectionFailed as error:
            raise _lost(error.__cause__ or error, self._target) from error
        except TransportError as error:
            raise CommandFailed(
                f"{self._target.ws} doesn't speak graphql-transport-ws as expected: {error}."
            ) from error
        except TimeoutError as error:
            raise _Dropped(f"{self._target.ws} does not answer within {TIMEOUT:g} s") from error


def _refused(errors: Sequence[Any]) -> Exception:
    """What an error means that ended the operation."""
    first: dict[str, Any] = errors[0] if errors else {"message": "The service gave no reason."}
    code = (first.get("extensions") or {}).get("code")
    sentence = f"{code}: {first['message']}" if code else str(first["message"])
    return _Dropped(sentence.rstrip(".")) if code in _PASSING_CODES else CommandFailed(sentence)


def _lost(cause: BaseException, target: Target) -> Exception:
    """What it means that there is no connection, or none any more."""
    match cause:
        case ConnectionClosed(rcvd=None):
            return _Dropped("The connection broke")
        case ConnectionClosed():
            return _closed(cause.rcvd.code, cause.rcvd.reason) if cause.rcvd else _Dropped("The connection broke")
        case InvalidStatus():
            status = cause.response.status_code
            sentence = f"{target.ws} answers HTTP {status} instead of opening a WebSocket"
            return _Dropped(sentence) if status in _PASSING_STATUSES else CommandFailed(f"{sentence}.")
        case InvalidURI():
            return CommandFailed(f"{target.ws} can't be connected to: {cause}.")
    return _Dropped(f"{target.ws} can't be reached: {_reason(cause)}")


def _closed(code: int, reason: str) -> Exception:
    if code == _TOKEN_REFUSED:
        return CommandFailed(f"The service refuses the token ({reason}).")
    sentence = f"The service closed the connection ({code}{f', {reason}' if reason else ''})"
    return _Dropped(sentence) if code in _PASSING_CLOSES else CommandFailed(f"{sentence}.")


def _reason(cause: BaseException) -> str:
    # asyncio's text for a refused connection repeats the address it was tried at.
    # gaierror's numbers, which are negative, are none of the system's.
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__
