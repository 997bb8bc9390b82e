"""Isolation under load: tokens are renewed, revoked and expire at random while changes pour in.

50 schools, 500 subscribers with random filters, 20,000 changes. What each subscriber was sent is compared with a model
of what it was entitled to, change by change.
"""

import asyncio
import contextlib
import dataclasses
import json
import random

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from graphql_api.access.signing import sign_token
from graphql_api.moment import SECOND, Moment, parse_moment
from tests.wire.clients import EVENTS, PUBLISH, http_client
from tests.wire.conftest import serve
from tests.wire.test_revocation import revoke

pytestmark = pytest.mark.anyio

SCHOOLS = 50
SUBSCRIBERS = 10  # of each school
PHASES = 8
ROUNDS = 5  # of each school in a phase
DEVICES = [f"d{number}" for number in range(10)]  # all of them change in every round
STATUSES = ["ONLINE", "DEGRADED", "OFFLINE"]
CHANGES = SCHOOLS * PHASES * ROUNDS * len(DEVICES)

RENEW = "mutation Renew($token: String!) { renewAuthorization(token: $token) { expiresAt } }"


@dataclasses.dataclass
class Subscriber:
    """One client: what it watches, what its token allows, and what it was sent."""

    server: object
    subject: str
    school: str
    device_ids: frozenset[str] | None
    statuses: frozenset[str] | None
    expires_at: Moment
    seen: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    settled: int = 0
    """How much of what it should see had been sent when the last phase was over."""
    cursor: str | None = None
    fate: str = "served"
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    pongs: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    connection: object = None
    reading: object = None

    def wants(self, device_id, status, previous):
        return (self.device_ids is None or device_id in self.device_ids) and (
            self.statuses is None or status in self.statuses or previous in self.statuses
        )

    def token(self, *schools):
        clock = self.server.clock()
        return sign_token(
            self.server.secret,
            subject=self.subject,
            schools=schools or (self.school, "spare"),
            scopes=["devices:read"],
            ttl_seconds=(self.expires_at - clock) / SECOND,
            now=clock,
        )

    async def connect(self):
        """Connect, resume from what was seen last, and return when the subscription is live."""
        self.ended = asyncio.Event()
        live = asyncio.Event()
        self.connection = await connect(self.server.ws, subprotocols=["graphql-transport-ws"], ping_interval=None)
        payload = {"authorization": f"Bearer {self.token()}"}
        await self.send(type="connection_init", payload=payload)
        variables = {
            "schoolId": self.school,
            "deviceIds": None if self.device_ids is None else sorted(self.device_ids),
            "statuses": None if self.statuses is None else sorted(self.statuses),
        }
        assert json.loads(await self.connection.recv())["type"] == "connection_ack"
        subscribe = {"query": EVENTS, "variables": variables, "extensions": {"resumeFrom": self.cursor}}
        await self.send(id="events", type="subscribe", payload=subscribe)
        self.reading = asyncio.create_task(self._read(live))
        await live.wait()

    async def send(self, **message):
        await self.connection.send(json.dumps(message))

    async def settle(self):
        """Return when all that was on its way has arrived, or the socket is closed."""
        self.pongs.clear()
        with contextlib.suppress(ConnectionClosed):
            await self.send(type="ping")
            waiting = [asyncio.create_task(event.wait()) for event in (self.pongs, self.ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    async def close(self):
        await self.connection.close()
        await self.reading

    async def _read(self, live):
        try:
            while True:
                self._take(json.loads(await self.connection.recv()), live)
        except ConnectionClosed as closed:
            self.fate = closed.rcvd.reason.split(":")[0] if closed.rcvd else "cut off"
        finally:
            self.ended.set()

    def _take(self, message, live):
        match message:
            case {"type": "next", "id": "events", "payload": payload}:
                assert self.fate == "served", f"an event came after {self.fate}"
                event = payload["data"]["deviceStatus"]
                assert event["schoolId"] == self.school
                assert parse_moment(event["timestamp"]) < self.expires_at
                self.seen.append((event["deviceId"], event["status"], event["previousStatus"]))
                self.cursor = payload["extensions"]["cursor"]
            case {"type": "ping", "payload": {"cursors": {"events": cursor}}}:
                self.cursor = cursor
                live.set()
            case {"type": "pong"}:
                self.pongs.set()
            case {"type": "error", "id": "events", "payload": [error]}:
                assert error["extensions"]["code"] == "FORBIDDEN"
                self.fate = "forbidden"


class Crowd:
    """All subscribers, and what was published for each school."""

    def __init__(self, server, dice):
        self.server = server
        self.dice = dice
        self.published = {f"s{number}": [] for number in range(SCHOOLS)}
        self.known = {school: {} for school in self.published}
        self.subscribers = [
            Subscriber(
                server,
                f"{school}-{number}",
                school,
                frozenset(dice.sample(DEVICES, dice.randint(1, 9))) if dice.random() < 0.5 else None,
                frozenset(dice.sample(STATUSES, dice.randint(1, 2))) if dice.random() < 0.5 else None,
                self.expiry(),
            )
            for school in self.published
            for number in range(SUBSCRIBERS)
        ]

    def expiry(self):
        """Within the test for one in three, far behind it for the others. The clock moves by 60 seconds a phase."""
        phases = self.dice.uniform(0.5, PHASES) if self.dice.random() < 0.33 else 10 * PHASES
        return Moment(self.server.clock() + int(phases * 60) * SECOND)

    def expected(self, subscriber):
        return [change for change in self.published[subscriber.school] if subscriber.wants(*change)]

    async def publish(self, token, school):
        """Rounds in which every device gets another status."""
        # A client for each school: one for all takes connections away that it has just handed out.
        async with http_client() as client:
            for _ in range(ROUNDS):
                answer = await client.post(
                    self.server.http,
                    json={"query": PUBLISH, "variables": {"inputs": self.next_round(school), "schoolId": school}},
                    headers={"authorization": f"Bearer {token}"},
                )
                assert answer.json()["data"]["publishDeviceStatuses"]["changed"] == len(DEVICES)

    def next_round(self, school):
        known = self.known[school]
        inputs = []
        for device_id in DEVICES:
            before = known.get(device_id)
            known[device_id] = self.dice.choice([status for status in STATUSES if status != before])
            self.published[school].append((device_id, known[device_id], before))
            inputs.append({"deviceId": device_id, "status": known[device_id]})
        return inputs

    async def trouble(self, subscriber):
        """What happens to one of the served, while changes pour in."""
        await asyncio.sleep(self.dice.uniform(0, 0.5))  # anywhere in the phase
        match self.dice.choice(["renew", "renew", "lose the school", "revoke"]):
            case "renew":
                subscriber.expires_at = max(subscriber.expires_at, self.expiry())
                await self.renew(subscriber, subscriber.token())
            case "lose the school":
                await self.renew(subscriber, subscriber.token("spare"))
            case "revoke":
                ended = await revoke(self.server, subscriber.subject)
                at_most = len(self.expected(subscriber))
                await subscriber.ended.wait()
                assert len(subscriber.seen) <= at_most
                assert ended == (subscriber.fate != "token-expired")

    async def renew(self, subscriber, token):
        with contextlib.suppress(ConnectionClosed):
            payload = {"query": RENEW, "variables": {"token": token}}
            await subscriber.send(id="renewal", type="subscribe", payload=payload)

    async def phase(self, token):
        served = [each for each in self.subscribers if each.fate == "served"]
        async with asyncio.TaskGroup() as tasks:
            for school in self.published:
                tasks.create_task(self.publish(token, school))
            for subscriber in self.dice.sample(served, len(served) // 12):
                tasks.create_task(self.trouble(subscriber))
        await asyncio.gather(*(each.settle() for each in self.subscribers if not each.ended.is_set()))
        self.check()
        self.server.clock.advance(60)

    def check(self):
        """All that the served are entitled to has come; of the others, all of the phases before, and nothing else."""
        for each in self.subscribers:
            expected = self.expected(each)
            if each.fate == "served":
                assert each.seen == expected
                each.settled = len(expected)
            else:
                assert len(each.seen) >= each.settled
                assert each.seen == expected[: len(each.seen)]

    async def come_back(self):
        """Those whose tokens have expired get new ones, and resume."""
        now = self.server.clock()
        # The machine's own time goes on as well: some have expired in the middle of the phase.
        expired = [
            each
            for each in self.subscribers
            if each.fate == "token-expired" or (each.fate == "served" and each.expires_at <= now)
        ]
        for each in expired:
            await each.ended.wait()
            assert each.fate == "token-expired"
            each.expires_at = self.expiry()
            each.fate = "served"
            await each.connect()
        return len(expired)


@pytest.mark.timeout(300)
async def test_nobody_is_sent_what_is_not_theirs_and_all_are_sent_what_is(settings, secret):
    """Expired, revoked and curtailed subscribers get nothing from then on, all others each change once, in order."""
    dice = random.Random(50_500_20_000)
    async with serve(settings, secret) as server:
        crowd = Crowd(server, dice)
        publisher = sign_token(
            secret, subject="checker", schools=["*"], scopes=["devices:publish"], ttl_seconds=86_400, now=server.clock()
        )
        for each in crowd.subscribers:
            await each.connect()
        came_back = 0
        for _ in range(PHASES):
            await crowd.phase(publisher)
            came_back += await crowd.come_back()
        await asyncio.gather(*(each.settle() for each in crowd.subscribers if not each.ended.is_set()))
        crowd.check()
        assert sum(map(len, crowd.published.values())) == CHANGES
        fates = {each.fate for each in crowd.subscribers}
        # The machine's own time went on: some may have expired since the last came back.
        assert fates - {"token-expired"} == {"served", "forbidden", "token-revoked"}
        assert came_back > SCHOOLS
        for each in crowd.subscribers:
            await each.close()
