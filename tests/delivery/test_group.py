"""A group's turns, where a log is another one, or fails, in the middle of them."""

import asyncio

import pytest

from graphql_api.delivery.audience import Position
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.group import Group
from graphql_api.delivery.rendered import RenderedResults
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import DeviceFilter, Head
from graphql_api.devices.watches import Fresh, Item, Step, Watch
from graphql_api.errors import Unavailable
from graphql_api.moment import Moment, now
from tests.listening import Listener, Told

pytestmark = pytest.mark.anyio

OLD = Head(5, Moment(5))
NEW = Head(9, Moment(9))


class ScriptedLog:
    """A log of which a test says what it finds of a cursor, and when."""

    newest = NEW

    def __init__(self):
        self.looked_up = asyncio.Queue()

    async def look_up(self, cursor):
        return await taken(self.looked_up)

    def cursor(self, place):
        return Cursor("epoch", "s", place.version, place.timestamp).encode()


class ScriptedWatch(Watch):
    """Tells what a test says, when it says so."""

    def __init__(self):
        super().__init__("s", DeviceFilter())
        self.asked = asyncio.Queue()
        self.answers = asyncio.Queue()

    def resume(self, log, place):
        return place or Fresh.LOST

    def live(self, log, changes, head):
        return []

    async def behind(self, log, standing):
        self.asked.put_nowait(standing)
        return await taken(self.answers)


async def taken(queue):
    found = await queue.get()
    if isinstance(found, Exception):
        raise found
    return found


class Words:
    """Renders what a watch tells as it is."""

    def __init__(self):
        self.watch = ScriptedWatch()

    async def render(self, item):
        return item.value.encode(), True

    async def close(self):
        """Nothing is held."""


@pytest.fixture
async def group():
    renderer = Words()
    expiries = Expiries(now)
    async with asyncio.TaskGroup() as tasks:
        group = Group(
            renderer,
            ScriptedLog(),
            Position(NEW),
            rendered=RenderedResults(10**6),
            expiries=expiries,
            tasks=tasks,
        )
        yield group
        await group.close()
    expiries.close()


@pytest.fixture
def listener(group):
    """One who stands in the old log, and whose turn has begun."""
    listener = Listener(lambda text: Told(text, None))
    # As a member of a sharing finds its group.
    listener.share = type("Share", (), {"group": group})
    group.audience.join(listener, OLD)
    group.serve()
    return listener


@pytest.mark.parametrize("answer", [Unavailable("gone"), Step([Item("old", OLD, None, version=9)], OLD)])
async def test_a_turn_that_a_reset_interrupts_leads_nowhere(group, listener, answer):
    """However a turn ends during which the log became another one, its subscriber is not recovered, and is told so."""
    assert await group.watch.asked.get() == OLD
    group.reset(NEW)
    group.watch.answers.put_nowait(answer)
    assert await group.watch.asked.get() is Fresh.LOST
    group.watch.answers.put_nowait(Step([Item("new", NEW, None, version=9)], NEW))
    assert await listener.next() == "new"
    await listener.live.wait()
    assert listener.received == ["new"]
