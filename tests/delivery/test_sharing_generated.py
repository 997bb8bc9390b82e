"""Nobody can tell that they share, whatever is asked for: generated requests, held against unshared executions."""

import asyncio
import contextlib
import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.app import Services, open_services
from graphql_api.delivery.operations import renderer_of, sharing_key
from graphql_api.devices.model import Report, Status
from graphql_api.schema import OperationRefused
from graphql_api.settings import Settings
from tests.delivery.generated_requests import DEVICES, SCHOOLS, requests
from tests.delivery.unshared import History, Subscriber, told
from tests.devices.conftest import SettableClock
from tests.listening import Listener, graphql_listener, leaving

pytestmark = pytest.mark.anyio

# Seconds until what is waited for will not come any more.
_LONGEST = 30


@dataclasses.dataclass(frozen=True)
class Round:
    """What is recorded at once: reports; or their devices are retired, or restored."""

    act: str
    school: str
    reports: Mapping[str, Status]


# Few statuses, so that filters let some through.
STATUSES = (Status.ONLINE, Status.OFFLINE, Status.DEGRADED)

rounds_of_a_story = st.lists(
    st.builds(
        Round,
        act=st.sampled_from(["report", "report", "report", "report", "retire", "restore"]),
        school=st.sampled_from(["1", "1", "1", "2"]),
        reports=st.dictionaries(st.sampled_from(DEVICES), st.sampled_from(STATUSES), min_size=2),
    ),
    min_size=3,
    max_size=5,
)


def seeing(*schools: str, scopes: Sequence[str] = (DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN)) -> Visibility:
    """Who may see these schools; without any, every school."""
    return Visibility(frozenset(schools), all_schools=not schools, scopes=frozenset(scopes))


# Most may see the same, so that many share.
WHO = (*3 * [seeing("1")], seeing("2"), seeing("1", "2"), seeing(), seeing("1", scopes=[DEVICES_READ]))


@st.composite
def crowds(draw) -> list[Subscriber]:
    """For each request some subscribers, who may see this or that, and come when so many rounds are over."""
    return [
        Subscriber(request, draw(st.sampled_from(WHO)), joined=draw(st.sampled_from([0, 0, 0, 1, 2, 3])))
        for request in draw(requests())
        for _ in range(draw(st.integers(1, 2)))
    ]


class Story:
    """What happens in two schools, and all who are told of it."""

    def __init__(self, services: Services, clock: SettableClock, stack: contextlib.ExitStack) -> None:
        self.histories = {school: History() for school in SCHOOLS}
        self.listeners: list[tuple[Subscriber, Listener]] = []
        self._services = services
        self._clock = clock
        self._stack = stack

    def admit(self, subscriber: Subscriber) -> None:
        """Have it subscribe, as those do who come over a wire."""
        delivery, request, seen = self._services.delivery, subscriber.request, subscriber.visibility
        operation = delivery.executor.prepare(request.query, request.operation_name)
        key = sharing_key(operation, request.variables, seen)
        listener = graphql_listener(delivery.sharing, key, renderer_of(delivery, operation, request.variables, seen))
        self.listeners.append((subscriber, self._stack.enter_context(leaving(delivery.sharing, listener))))

    async def record(self, happening: Round) -> None:
        """Have it happen, some moments after what happened before."""
        # All in less than the ten seconds after which counts are told again for the time of the last report alone.
        self._clock.advance(0.5)
        devices, school = self._services.devices, happening.school
        known = {device.device_id for device in self.histories[school].rounds[-1].after.devices}
        named = sorted(known & set(happening.reports))
        if happening.act == "report":
            await devices.publish(seeing(), school, [Report(*each) for each in happening.reports.items()])
        elif happening.act == "retire":
            await devices.retire(seeing(), school, named)
        else:
            await devices.restore(seeing(), school, named)
        for each, history in self.histories.items():
            await history.add(self._services.store, each)

    async def settled(self) -> None:
        """Wait until all are level with the store, or refused."""
        async with asyncio.timeout(_LONGEST):
            for _, listener in self.listeners:
                while listener.share and not listener.group:  # noqa: ASYNC110 - it is let in, or refused, in a moment
                    await asyncio.sleep(0)
                if listener.group:
                    await listener.until_level_with(self._services.store)


def asked_for(subscriber: Subscriber) -> tuple[object, ...]:
    """What those have in common, and only those, who are to share: in JSON 1 is not true."""
    request = subscriber.request
    return (
        subscriber.visibility,
        request.query,
        request.operation,
        json.dumps(request.declared_variables, sort_keys=True),
    )


async def heard(listener: Listener) -> tuple[list[object], list[object]]:
    """What a subscriber was told, or what it was refused with."""
    if listener.group:
        return listener.received, []
    with pytest.raises(OperationRefused) as caught:
        await listener.result()
    return listener.received, list(caught.value.errors)


@pytest.mark.timeout(240)  # a tenth of it on an idle machine
@settings(
    max_examples=40,
    phases=set(Phase) - {Phase.explain},  # it takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(crowd=crowds(), rounds=rounds_of_a_story)
async def test_nobody_can_tell_that_they_share(tmp_path_factory, crowd, rounds):
    """Whatever is asked for, those who share are as many as can, and told what an execution of one's own tells."""
    clock = SettableClock()
    database = tmp_path_factory.mktemp("story") / "devices.db"
    configured = Settings(jwt_secret=secrets.token_urlsafe(48), database_url=f"sqlite:///{database}")
    async with open_services(configured, clock=clock) as services:
        with contextlib.ExitStack() as stack:
            story = Story(services, clock, stack)
            for over in range(len(rounds) + 1):
                for subscriber in crowd:
                    if min(subscriber.joined, len(rounds)) == over:
                        story.admit(dataclasses.replace(subscriber, joined=over))
                await story.settled()
                let_in = [subscriber for subscriber, listener in story.listeners if listener.group]
                sharing = services.statistics().sharing
                assert (sharing.groups, sharing.subscribers) == (len(set(map(asked_for, let_in))), len(let_in))
                if over < len(rounds):
                    await story.record(rounds[over])
                    await story.settled()
            schema = services.delivery.executor._schema
            for subscriber, listener in story.listeners:
                assert await heard(listener) == await told(schema, services.devices, subscriber, story.histories)
        assert services.statistics().sharing.groups == 0
