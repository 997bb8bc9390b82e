"""Publishing rounds over HTTP as a health checker should: a round that may not have arrived is sent again."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.target import Target

__all__ = ["MOST_REPORTS", "CallRefused", "publish_round"]

MOST_REPORTS = 1_000
"""Reports in a round at most: the service takes no more in one call."""

ATTEMPTS = 5
FIRST_PAUSE = 0.25
"""Seconds before the second attempt; each later pause is twice as long."""

TIMEOUT = 20.0
"""Seconds that an attempt may take."""

_MUTATION = """
mutation PublishRound($inputs: [DeviceStatusInput!]!, $schoolId: ID, $onInvalid: OnInvalid!) {
  publishDeviceStatuses(inputs: $inputs, schoolId: $schoolId, onInvalid: $onInvalid) {
    changed created unchanged stale ignored
    rejected { index deviceId message }
  }
}
"""

_TRANSIENT_CODES = frozenset({"UNAVAILABLE", "RATE_LIMITED"})
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


class CallRefused(CommandFailed):
    """The service refused a round and recorded nothing of it.

    ``problems`` has index, deviceId and reason of each invalid report, if that is why.
    """

    def __init__(self, sentences: Sequence[str], problems: Sequence[dict[str, Any]]) -> None:
        super().__init__(*sentences)
        self.problems = problems


class _Passing(Exception):
    """What may be over in a moment; ``pause`` is how long the service asks to wait, in seconds."""

    def __init__(self, sentence: str, pause: float = 0.0) -> None:
        super().__init__(sentence)
        self.pause = pause


async def publish_round(
    client: httpx.AsyncClient,
    target: Target,
    inputs: Sequence[dict[str, str]],
    *,
    school: str | None,
    skip_invalid: bool = False,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Publish a round, and hand back the service's ``PublishResult``.

    Every input must have its ``observedAt``: the same round is sent again when it is not known to have
    arrived. ``tell`` is given a sentence whenever that happens.

    Raises:
        CallRefused: the service refuses the call, or reports of it.
        CommandFailed: the service can't be reached for several attempts, or something else answers.
    """
    variables = {"inputs": list(inputs), "schoolId": school, "onInvalid": "SKIP" if skip_invalid else "REJECT"}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _publish_once(client, target, variables)
        except _Passing as trouble:
            if attempt == ATTEMPTS:
                raise CommandFailed(f"{trouble} It was tried {ATTEMPTS} times.") from trouble
            # Many checkers that lost the same service should not come back at the same moment.
            spread = random.uniform(0.5, 1.0)  # noqa: S311 (nobody gains by guessing it)
            pause = max(trouble.pause, FIRST_PAUSE * 2 ** (attempt - 1) * spread)
            tell(f"{trouble} Trying again in {pause:.1f} s.")
            await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _publish_once(client: httpx.AsyncClient, target: Target, variables: dict[str, Any]) -> dict[str, Any]:
    try:
        response = await client.post(
            target.http,
            json={"query": _MUTATION, "variables": variables},
            headers={"Authorization": target.authorization, "Accept": "application/graphql-response+json"},
            timeout=TIMEOUT,
        )
    except httpx.TransportError as error:
        raise _Passing(f"{target.http} can't be reached: {error or type(error).__name__}.") from error
    answer = _answer(response, target)
    if errors := answer.get("errors"):
        _refuse(errors)
    return dict(answer["data"]["publishDeviceStatuses"])


def _answer(response: httpx.Response, target: Target) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    understood = isinstance(answer, dict) and (bool(answer.get("errors")) or bool(answer.get("data")))
    status = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY_REQUESTS:
        after = response.headers.get("retry-after", "")
        raise _Passing(f"{target.http} answers {status}.", float(after) if after.isdecimal() else 0.0)
    if not understood:
        raise CommandFailed(f"Expected a GraphQL answer from {target.http}, but got {status}.")
    return dict(answer)


def _refuse(errors: Sequence[dict[str, Any]]) -> None:
    sentences = []
    problems: list[dict[str, Any]] = []
    for error in errors:
        extensions: dict[str, Any] = error.get("extensions") or {}
        code = extensions.get("code")
        if code in _TRANSIENT_CODES:
            raise _Passing(f"{code}: {error['message']}", float(extensions.get("retryAfter") or 0))
        sentences.append(f"{code}: {error['message']}" if code else str(error["message"]))
        problems += extensions.get("problems") or []
    raise CallRefused(sentences, problems)
