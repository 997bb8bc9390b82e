"""`serve --workers 2` on PostgreSQL and Redis, as real processes: they share an address, and live and end together."""

import asyncio
import contextlib
import os
import re
import signal
import socket

import pytest
import sqlalchemy as sa

from tests.commands.conftest import SECRET, changed, running, serving, token
from tests.devices.conftest import plain_engine, postgresql_url, redis  # noqa: F401 - fixtures
from tests.devices.redis_server import free_port
from tests.wire.clients import EVENTS, Socket, http_client, publish

pytestmark = pytest.mark.anyio

STARTED = r"Started server process \[(\d+)\]"


@pytest.fixture
def shared(postgresql_url, redis):  # noqa: F811 - fixtures
    """The settings of what workers share."""
    return {"DATABASE_URL": postgresql_url, "BROADCAST_URL": redis.url}


@pytest.fixture
def service(tmp_path, shared):
    with serving(tmp_path, "--workers", "2", **shared) as service:
        yield service


@pytest.fixture
def workers(service):
    return processes(service)


def processes(service):
    """The numbers of the workers' processes. The address is told once both serve."""
    return [int(number) for number in re.findall(STARTED, "\n".join(service.process.stderr.seen))]


@contextlib.contextmanager
def only(worker, workers):
    """What connects in here is accepted by this worker: the others stand still."""
    others = [other for other in workers if other != worker]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


@contextlib.asynccontextmanager
async def client(service, worker, workers, **options):
    """A subscriber of events whose socket this worker holds."""
    async with contextlib.AsyncExitStack() as stack:
        with only(worker, workers):
            connected = await stack.enter_async_context(Socket.open(service, token("1"), **options))
            await connected.subscribe(EVENTS, live="resume_from" not in options)
        yield connected


async def devices(connected, count=1):
    return [(await connected.item("1"))["deviceId"] for _ in range(count)]


async def ready(service):
    async with http_client() as http:
        return (await http.get(f"http://127.0.0.1:{service.port}/health/ready")).json()


async def gone(service):
    """Wait until no process is left that could still write to the log, and see that nobody listens any more."""
    log = await asyncio.to_thread(service.process.stderr.rest)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port)).close()
    assert "Traceback" not in log
    return log


async def test_both_serve_one_address(service, workers):
    """Each of two workers answers on the one port, and what is published through either reaches clients of both."""
    assert len(set(workers)) == 2
    assert service.process.popen.pid not in workers
    assert "\n".join(service.process.stderr.seen).count("running on http") == 1
    for worker in workers:
        with only(worker, workers):
            assert (await ready(service)) == {"status": "ready"}
    async with client(service, workers[0], workers) as one, client(service, workers[1], workers) as other:
        with only(workers[0], workers):
            await publish(service, token("1"), a="ONLINE")
        with only(workers[1], workers):
            await publish(service, token("1"), b="ONLINE")
        assert await devices(one, 2) == await devices(other, 2) == ["a", "b"]


async def test_a_worker_that_is_killed_is_replaced(service, workers):
    """After SIGKILL of a worker another takes its place; its client resumes there, and the other's notices nothing."""
    killed, kept = workers
    log = service.process.stderr
    async with client(service, kept, workers) as undisturbed:
        async with client(service, killed, workers) as one:
            await publish(service, token("1"), a="ONLINE")
            cursor = (await one.next("1"))["extensions"]["cursor"]
            os.kill(killed, signal.SIGKILL)
        await publish(service, token("1"), b="ONLINE")
        log.until(f"Another worker starts in 0 s: Worker {killed} was ended by SIGKILL.")
        new = int(log.until(STARTED)[1])
        log.until("Application startup complete")
        async with client(service, new, [new, kept], resume_from={"1": cursor}) as resumed:
            assert await devices(resumed) == ["b"]
            await publish(service, token("1"), c="ONLINE")
            assert await devices(resumed) == ["c"]
        assert await devices(undisturbed, 3) == ["a", "b", "c"]
        os.kill(new, signal.SIGKILL)
        log.until(f"Another worker starts in 0.5 s: Worker {new} was ended by SIGKILL.")
        await undisturbed.barrier()
        assert await asyncio.to_thread(service.process.end) == 0
    await gone(service)


@pytest.mark.parametrize("by", ["SIGTERM", "Ctrl-C"])
async def test_all_end_together(service, workers, by):
    """SIGTERM to the command, or Ctrl-C, which each process of a terminal hears, ends all politely with exit code 0."""
    async with client(service, workers[0], workers) as one, client(service, workers[1], workers) as other:
        if by == "Ctrl-C":
            for worker in workers:
                os.kill(worker, signal.SIGINT)
        code = asyncio.create_task(
            asyncio.to_thread(service.process.end, signal.SIGTERM if by == "SIGTERM" else signal.SIGINT)
        )
        for connected in (one, other):
            assert (await connected.closed())[0] == 1012
        assert await code == 0
    log = await gone(service)
    assert log.count("Finished server process") == 2
    assert "Another worker" not in log


async def test_no_worker_outlives_the_command(service, workers):
    """After SIGKILL of the command its workers end by themselves, politely."""
    async with client(service, workers[0], workers) as one, client(service, workers[1], workers) as other:
        service.process.popen.kill()
        for connected in (one, other):
            assert (await connected.closed())[0] == 1012
    assert (await gone(service)).count("Finished server process") == 2


def let_in(postgresql, database_url, *, allowed):
    """Have PostgreSQL accept new connections to a database, or refuse them; those that there are stay."""
    with plain_engine(postgresql) as engine, engine.begin() as connection:
        name = sa.make_url(database_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")


@pytest.mark.timeout(150)  # seven processes start, one after the other
async def test_a_worker_that_can_not_start_is_tried_again_while_another_serves(service, workers, postgresql, shared):
    """Without the database a worker is tried again and again while another serves; with none left, the command ends."""
    killed, kept = workers
    log = service.process.stderr
    let_in(postgresql, shared["DATABASE_URL"], allowed=False)
    os.kill(killed, signal.SIGKILL)
    for delay in ("0", "0.5", "1"):
        assert log.until(r"Another worker starts in (\S+) s: ")[1] == delay
    assert "DEVICE_STATUS_DATABASE_URL: postgresql://" in log.seen[-1]
    assert await ready(service) == {"status": "ready"}
    let_in(postgresql, shared["DATABASE_URL"], allowed=True)
    log.until("Application startup complete")
    new = int(re.findall(STARTED, "\n".join(log.seen))[-1])
    async with client(service, new, [new, kept]) as connected:
        await publish(service, token("1"), a="ONLINE")
        assert await devices(connected) == ["a"]
    let_in(postgresql, shared["DATABASE_URL"], allowed=False)
    for worker in (new, kept):
        os.kill(worker, signal.SIGKILL)
    assert await asyncio.to_thread(service.process.popen.wait) == 1
    assert re.search("^DEVICE_STATUS_DATABASE_URL: .* can't be reached: ", await gone(service), re.MULTILINE)


async def test_a_worker_that_does_not_end_is_killed(tmp_path, shared):
    """A worker that does nothing more, not even end, does not keep the command from ending."""
    program = changed("graphql_api.cli.worker", patience="lambda settings: 0.5")
    with serving(tmp_path, "--workers", "2", program=program, **shared) as service:
        stopped, _ = processes(service)
        os.kill(stopped, signal.SIGSTOP)
        assert await asyncio.to_thread(service.process.end) == 0
        log = await gone(service)
    assert f"Worker {stopped} does not end, and is killed." in log


async def test_it_ends_while_its_workers_start(tmp_path, shared):
    """A signal before the workers serve ends them and the command, without a word of theirs."""
    port = free_port()
    with running("serve", "--workers", "2", "--port", str(port), cwd=tmp_path, JWT_SECRET=SECRET, **shared) as process:
        while True:
            # Connections are accepted by the system as soon as there are processes to come.
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            await asyncio.sleep(0.02)
        assert await asyncio.to_thread(process.end) == 0
        assert await asyncio.to_thread(process.stderr.rest) == ""
