"""The schema over real services on an SQLite file, without HTTP."""

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Principal, Visibility
from graphql_api.app import Services, open_services
from graphql_api.delivery.operations import renderer_of, sharing_key
from graphql_api.moment import SECOND, Moment
from graphql_api.schema import Executor, OperationRefused, RequestContext, Result
from graphql_api.settings import Settings
from tests.devices.conftest import DAWN, SettableClock
from tests.listening import Listener, graphql_listener, leaving

EVERY_SCOPE = (DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN)


def principal(*schools: str, scopes=EVERY_SCOPE, all_schools=False) -> Principal:
    visibility = Visibility(frozenset(schools), all_schools, frozenset(scopes))
    return Principal("tester", visibility, Moment(DAWN + 3600 * SECOND))


@dataclasses.dataclass
class Caller:
    """Someone who runs operations, with a token (already verified) or without."""

    executor: Executor
    services: Services
    principal: Principal | None

    def __call__(self, *schools: str, **given: Any) -> "Caller":
        """Someone else, who may see these schools."""
        return dataclasses.replace(self, principal=principal(*schools, **given))

    def anonymous(self) -> "Caller":
        return dataclasses.replace(self, principal=None)

    async def run(self, query: str, **variables: Any) -> Result:
        operation = self.executor.prepare(query, None)
        return await self.executor.execute(operation, variables, RequestContext(self.services.devices, self.principal))

    async def data(self, query: str, **variables: Any) -> Any:
        """What the one field of the operation came to."""
        result = await self.run(query, **variables)
        assert result.errors == ()
        (value,) = result.data.values()
        return value

    async def refusal(self, query: str, **variables: Any) -> Any:
        """The one error, wherever it came up."""
        try:
            errors = (await self.run(query, **variables)).errors
        except OperationRefused as refused:
            errors = refused.errors
        (error,) = errors
        return error

    @contextlib.asynccontextmanager
    async def watch(self, query: str, **variables: Any) -> AsyncIterator["Watched"]:
        """Subscribe, as those do who come over a wire."""
        visibility = self.principal.visibility if self.principal else None
        operation = self.executor.prepare(query, None)
        delivery = dataclasses.replace(self.services.delivery, executor=self.executor)
        listener = graphql_listener(
            delivery.sharing,
            sharing_key(operation, variables, visibility),
            renderer_of(delivery, operation, variables, visibility),
        )
        with leaving(delivery.sharing, listener):
            yield Watched(listener)

    async def publish(self, school: str = "1", **statuses: str) -> Any:
        inputs = [{"deviceId": key.replace("_", "-"), "status": status} for key, status in statuses.items()]
        return await self.data(PUBLISH, inputs=inputs, school=school)


@dataclasses.dataclass
class Watched:
    """A subscription under way."""

    listener: Listener
    cursor: str | None = None
    """Of the result that was read last."""

    @property
    def live(self) -> asyncio.Event:
        """Set when whatever is recorded from now on will come."""
        return self.listener.live

    async def next(self) -> Any:
        """What the one field of the subscription came to."""
        told = await self.listener.result()
        self.cursor = told.cursor
        assert "errors" not in told.value
        (value,) = told.value["data"].values()
        return value


PUBLISH = """
mutation ($inputs: [DeviceStatusInput!]!, $school: ID, $onInvalid: OnInvalid! = REJECT) {
  publishDeviceStatuses(inputs: $inputs, schoolId: $school, onInvalid: $onInvalid) {
    changed created unchanged stale ignored rejected { index deviceId message } cursor
  }
}
"""


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(scope="session")
def executor() -> Executor:
    return Executor()


@pytest.fixture
async def services(tmp_path, clock) -> AsyncIterator[Services]:
    settings = Settings(jwt_secret=secrets.token_urlsafe(48), database_url=f"sqlite:///{tmp_path}/devices.db")
    async with open_services(settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def caller(executor, services) -> Caller:
    """Someone with every scope for school 1."""
    return Caller(executor, services, principal("1"))
