"""What a subscriber is told by an execution of its own: the reference that those who share are held against.

Nothing of the delivery has a part in it, nor of Strawberry's execution: graphql-core executes each subscriber's
document for it alone, over the service's schema. The source stream is made from the school's history, by the
contract's words.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, parse, subscribe, validate

from graphql_api.access.principal import Visibility
from graphql_api.devices.model import Change, Device, DeviceFilter, Head, Snapshot, Status, Summary
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store
from graphql_api.devices.watches import DeviceListUpdate, Event, EventKind
from graphql_api.errors import ServiceError
from graphql_api.schema import Guard
from tests.delivery.generated_requests import Request

__all__ = ["History", "Subscriber", "told"]


@dataclasses.dataclass(frozen=True)
class _Round:
    changes: Sequence[Change]
    after: Snapshot
    """All devices after it, retired ones too."""


class History:
    """How one school came to be as it is, round by round."""

    def __init__(self) -> None:
        self.rounds = [_Round((), Snapshot(Head(), ()))]

    async def add(self, store: Store, school: str) -> None:
        """Read what has been recorded since."""
        known = self.rounds[-1].after.head.version
        changes = await store.changes(school, after=known, limit=1_000)
        after = await store.snapshot(school, DeviceFilter(None, frozenset(Status)))
        self.rounds.append(_Round(changes, after))


@dataclasses.dataclass(frozen=True)
class Subscriber:
    """Who asks for what, and after how many rounds."""

    request: Request
    visibility: Visibility
    joined: int


@dataclasses.dataclass
class _Watch:
    """What a resolver has chosen: what there is to be told of it, each with where that leads."""

    school: str
    values: Iterator[tuple[Any, str | None]]


class _Context:
    """What resolvers are given: they find nothing in it that others have, too."""

    def __init__(self, service: DeviceService, subscriber: Subscriber, histories: Mapping[str, History]) -> None:
        self.service = self
        self.visibility = subscriber.visibility
        self.guard = Guard()
        self.cursors: list[str | None] = []
        self._joined = subscriber.joined
        self._service = service
        self._histories = histories

    async def items(self, watch: _Watch) -> AsyncGenerator[Any, None]:
        for value, cursor in watch.values:
            self.cursors.append(cursor)
            yield value

    def watch_events(self, visibility: Visibility, school: str | None, wanted: DeviceFilter, *, snapshot: bool):
        return self._watch(visibility, school, lambda *rounds: self._events(*rounds, wanted, snapshot=snapshot))

    def watch_devices(self, visibility: Visibility, school: str | None, wanted: DeviceFilter):
        return self._watch(visibility, school, lambda *rounds: self._updates(*rounds, wanted))

    def watch_summary(self, visibility: Visibility, school: str | None):
        return self._watch(visibility, school, self._summaries)

    def _watch(self, visibility, school, tell) -> _Watch:
        school = self._service.readable(visibility, school)
        rounds = self._histories[school].rounds
        return _Watch(school, tell(school, rounds[self._joined], rounds[self._joined + 1 :]))

    def _events(self, school: str, start: _Round, rounds: Sequence[_Round], wanted: DeviceFilter, *, snapshot: bool):
        """Each listed device as it stands, if asked for; then every change of a device from or to a wanted status."""
        listed = [device for device in start.after.devices if snapshot and _is_listed(device, wanted)]
        for number, device in enumerate(listed, 1):
            cursor = self._service.cursor(school, start.after.head) if number == len(listed) else None
            yield Event(EventKind.SNAPSHOT, device, None, cursor), cursor
        for change in (change for each in rounds for change in each.changes):
            named = wanted.device_ids is None or change.device_id in wanted.device_ids
            if named and (wanted.statuses is None or wanted.statuses & {change.status, change.previous}):
                cursor = self._service.cursor(school, Head(change.version, change.timestamp))
                yield Event(EventKind.CHANGE, change.device, change.previous, cursor), cursor

    def _updates(self, school: str, start: _Round, rounds: Sequence[_Round], wanted: DeviceFilter):
        """The list, then one update for each round after which it is another one."""
        ids = {device.device_id for device in start.after.devices if _is_listed(device, wanted)}
        listed = [device for device in start.after.devices if device.device_id in ids]
        cursor = self._service.cursor(school, start.after.head)
        yield DeviceListUpdate(school, reset=True, changed=listed, removed=[], complete=True), cursor
        for each in rounds:
            # As each stood after its last change in the round, in the order of their first ones.
            touched = {change.device_id: change.device for change in each.changes}
            changed = [device for device in touched.values() if _is_listed(device, wanted)]
            kept = {device.device_id for device in changed}
            removed = [key for key in touched if key in ids and key not in kept]
            ids = (ids | kept) - set(removed)
            if changed or removed:
                cursor = self._service.cursor(school, each.after.head)
                yield DeviceListUpdate(school, reset=False, changed=changed, removed=removed, complete=True), cursor

    def _summaries(self, school: str, start: _Round, rounds: Sequence[_Round]):
        """The counts, then again after each round after which they are others."""
        shown = None
        for each in [start, *rounds]:
            counts = Counter(device.status for device in each.after.devices)
            if counts != shown:
                shown = counts
                yield Summary(each.after.head, counts), self._service.cursor(school, each.after.head)


def _is_listed(device: Device, wanted: DeviceFilter) -> bool:
    """Whether a list holds this device: RETIRED only when asked for by status or id."""
    if wanted.device_ids is not None and device.device_id not in wanted.device_ids:
        return False
    if wanted.statuses is None:
        return device.status is not Status.RETIRED or wanted.device_ids is not None
    return device.status in wanted.statuses


async def told(
    schema: GraphQLSchema, service: DeviceService, subscriber: Subscriber, histories: Mapping[str, History]
) -> tuple[list[Any], list[Any]]:
    """The responses that a subscriber gets who shares with nobody; or the errors that it is refused with."""
    request, context = subscriber.request, _Context(service, subscriber, histories)
    document = parse(request.query)
    assert validate(schema, document) == []
    begun = subscribe(
        schema,
        document,
        context_value=context,
        variable_values=dict(request.variables),
        operation_name=request.operation_name,
    )
    stream = await begun if isawaitable(begun) else begun
    if isinstance(stream, ExecutionResult):
        return [], _errors(stream)
    results = [result async for result in stream]
    return [_response(result, cursor) for result, cursor in zip(results, context.cursors, strict=True)], []


def _response(result: ExecutionResult, cursor: str | None) -> Any:
    """A result as clients get it."""
    extensions = {"extensions": {"cursor": cursor}} if cursor else {}
    errors = {"errors": _errors(result)} if result.errors else {}
    return _as_json({"data": result.data, **errors, **extensions})


def _errors(result: ExecutionResult) -> list[Any]:
    """Errors as clients get them: with the code of the service's own, or of a request that does not fit."""
    found = []
    for error in result.errors or ():
        cause = error.original_error
        extensions = cause.extensions if isinstance(cause, ServiceError) else {"code": "BAD_USER_INPUT"}
        found.append(_as_json({**error.formatted, "extensions": extensions}))
    return found


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
