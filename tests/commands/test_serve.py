import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import httpx
import pytest
from websockets.sync.client import connect

from tests.commands.conftest import SECRET, changed, run, running, serving, token

SUBSCRIPTION = "subscription { deviceStatus(snapshot: true) { deviceId } }"


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        ({}, 2, "Set DEVICE_STATUS_JWT_SECRET"),
        ({"JWT_SECRET": "short"}, 2, "DEVICE_STATUS_JWT_SECRET: expected secrets of at least 32 bytes"),
        ({"JWT_SECRET": SECRET, "DATABASE_URL": "mysql://u:pa55word@h/n"}, 2, "DEVICE_STATUS_DATABASE_URL: expected"),
        ({"JWT_SECRET": SECRET, "DATABASE_URL": "sqlite:////no/such/folder/d.db"}, 1, "no directory /no/such/folder"),
        ({"JWT_SECRET": SECRET, "DATABASE_URL": "postgresql://u:pa55word@127.0.0.1:1/n"}, 1, "can't be reached: "),
    ],
    ids=["no key", "short secret", "bad URL", "no folder", "no PostgreSQL"],
)
def test_what_keeps_it_from_starting_is_told(tmp_path, variables, code, sentence):
    """What is wrong with the settings or the database is one sentence on stderr, without a password."""
    done = run("serve", "--port", "0", cwd=tmp_path, **variables)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "pa55word" not in done.stderr


def test_every_wrong_setting_is_told(tmp_path):
    """Each wrong setting has its own line."""
    done = run("serve", cwd=tmp_path, JWT_SECRET="short", KEEP_ALIVE="soon")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "DEVICE_STATUS_JWT_SECRET",
        "DEVICE_STATUS_KEEP_ALIVE",
    ]


def test_a_port_in_use(tmp_path):
    """A port that is taken is told in a sentence, before a database is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, cwd=tmp_path, JWT_SECRET=SECRET)
    assert done.returncode == 1
    assert done.stderr == f"Can't listen on 127.0.0.1, port {port}: Address already in use.\n"
    assert list(tmp_path.iterdir()) == []


POSTGRESQL = "postgresql://u:pa55word@h/n"
FILE_IS_FOR_ONE = "DEVICE_STATUS_DATABASE_URL: expected postgresql://user:password@host/database with --workers 2, but"
MEMORY_IS_FOR_ONE = (
    "DEVICE_STATUS_BROADCAST_URL: expected redis://host:6379, or the URL of the PostgreSQL database, with"
)


@pytest.mark.parametrize("command", ["serve", "check-config"])
@pytest.mark.parametrize(
    ("variables", "sentences"),
    [
        ({}, [FILE_IS_FOR_ONE, MEMORY_IS_FOR_ONE]),
        ({"DATABASE_URL": POSTGRESQL}, [MEMORY_IS_FOR_ONE]),
        ({"BROADCAST_URL": "redis://h"}, [FILE_IS_FOR_ONE]),
    ],
    ids=["neither", "memory", "SQLite"],
)
def test_what_workers_can_not_share_is_refused(tmp_path, command, variables, sentences):
    """Several workers with SQLite or memory:// are refused, and a sentence for each says what to set instead."""
    done = run(command, "--workers", "2", cwd=tmp_path, JWT_SECRET=SECRET, **variables)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(lines) == len(sentences)
    assert all(line.startswith(sentence) for line, sentence in zip(lines, sentences, strict=True)), lines
    assert "pa55word" not in done.stderr


@pytest.mark.parametrize("option", ["--demo", "--reload"])
def test_what_serves_in_one_process_takes_no_workers(tmp_path, option):
    """--demo and --reload with several workers are refused in a sentence."""
    done = run("serve", "--workers", "2", option, cwd=tmp_path, JWT_SECRET=SECRET)
    assert (done.returncode, done.stderr) == (
        2,
        f"--workers 2: expected 1 with {option}, which serves in one process.\n",
    )


def test_a_broadcaster_beside_a_file_is_a_warning(tmp_path):
    """A broadcaster for several processes with an SQLite file is warned of, and serves all the same."""
    done = run("check-config", cwd=tmp_path, JWT_SECRET=SECRET, BROADCAST_URL="redis://:pa55word@h")
    assert done.returncode == 0
    assert done.stderr.startswith("DEVICE_STATUS_BROADCAST_URL names a broadcaster for several processes, but")
    assert "pa55word" not in done.stdout + done.stderr


@pytest.mark.parametrize("value", ["3", "many"])
def test_the_environment_starts_no_workers(tmp_path, monkeypatch, value):
    """WEB_CONCURRENCY, which uvicorn would go by, is not looked at."""
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    with serving(tmp_path) as service:
        assert service.process.end() == 0
        log = service.process.stderr.rest()
    assert re.findall(r"Started server process \[(\d+)\]", log) == [str(service.process.popen.pid)]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_vanishes_at_start(tmp_path, workers):
    """A database that is gone between the check and the start is one sentence, and no traceback."""
    done = run(
        *("serve", "--port", "0", "--workers", workers),
        cwd=tmp_path,
        program=changed("graphql_api.cli.serving", check_services="lambda settings: None"),
        JWT_SECRET=SECRET,
        DATABASE_URL="postgresql://u:pa55word@127.0.0.1:1/n",
        BROADCAST_URL="redis://127.0.0.1:1",
    )
    assert done.returncode == 1
    assert "pa55word" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("DEVICE_STATUS_DATABASE_URL: ")]
    assert len(told) == 1
    assert "postgresql://u:***@127.0.0.1:1/n can't be reached" in told[0]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_clients_connected(tmp_path, by):
    """A signal ends it within seconds, politely, although a WebSocket and an SSE stream are open."""
    authorization = {"Authorization": f"Bearer {token('1')}"}
    with serving(tmp_path) as service, httpx.Client(timeout=30) as client:
        assert run("publish", "board-1=ONLINE", **service.access("1")).returncode == 0
        url = service.url.replace("http", "ws")
        streamed = client.stream(
            "POST", service.url, json={"query": SUBSCRIPTION}, headers={**authorization, "Accept": "text/event-stream"}
        )
        with (
            connect(url, subprotocols=["graphql-transport-ws"], additional_headers=authorization) as ws,
            streamed as sse,
        ):
            ws.send('{"type": "connection_init"}')
            ws.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION}}))
            while json.loads(ws.recv(timeout=30))["type"] != "next":
                pass
            lines = sse.iter_lines()
            next(line for line in lines if line.startswith("data:"))
            began = time.monotonic()
            assert service.process.end(by) == 0
            assert time.monotonic() - began < 5
            # It is not told that the subscription is complete: it shall come back.
            assert not [line for line in lines if "complete" in line]
        log = service.process.stderr.rest()
        assert "Traceback" not in log
        assert "Finished server process" in log
        assert service.process.stdout.rest() == ""


def test_no_token_is_logged(service):
    """The log has neither the token of the plain dialect's query nor anything else of a query."""
    secret = token("1")
    address = f"127.0.0.1:{service.port}"
    with connect(f"ws://{address}/ws/device-status?%74oken={secret}&school_id=1") as ws:
        assert json.loads(ws.recv(timeout=30))["type"] == "connected"
    with connect(f"ws://{address}/ws/device-status?token={secret}") as ws:
        assert json.loads(ws.recv(timeout=30))["type"] == "connected"
    with connect(f"ws://{address}/graphql?token={secret}", subprotocols=["graphql-transport-ws"]) as ws:
        ws.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {secret}"}}))
        assert json.loads(ws.recv(timeout=30))["type"] == "connection_ack"
    # Handshakes are not logged, but what is not one is.
    httpx.get(f"http://{address}/ws/device-status?%74oken={secret}")
    httpx.get(f"http://{address}/graphql?query=%7Bviewer%7Bid%7D%7D&token={secret}")
    httpx.get(f"http://{address}/health/live?token={secret}")
    log = service.process.stderr
    log.until(r"GET /ws/device-status\?\.\.\. HTTP")
    log.until(r"GET /graphql\?\.\.\. HTTP")
    log.until(r"GET /health/live\?\.\.\. HTTP")
    assert not re.search(r"token=|school_id|eyJ", "\n".join(log.seen))


def test_reload_serves(tmp_path):
    """With --reload another process serves, and both end together."""
    with serving(tmp_path, "--reload") as service:
        service.process.stderr.until("Application startup complete")
        assert httpx.get(f"http://127.0.0.1:{service.port}/health/ready").json() == {"status": "ready"}
        assert service.process.end() == 0
        assert "Traceback" not in service.process.stderr.rest()


def test_reload_needs_no_demo(tmp_path):
    """--demo and --reload together are refused."""
    assert run("serve", "--demo", "--reload", cwd=tmp_path).returncode == 2


@pytest.fixture
def busy_demo(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    # What is configured is not what the demonstration serves.
    with running(
        "serve", "--demo", "--port", "0", cwd=tmp_path, tmpdir=folder, DATABASE_URL="sqlite:////no/such/folder/d.db"
    ) as process:
        yield process, folder


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_no_command_that_the_demonstration_prints_shows_a_token(busy_demo, tmp_path):
    """Neither command that is printed has a token in its arguments, where whoever lists processes would see it."""
    process, _ = busy_demo
    process.stdout.until("curl ")
    saying, curl = process.stdout.seen[-1].split(" | ")
    assert saying.startswith("echo 'Authorization: Bearer eyJ")
    for command in (curl, *(line.partition(" ")[2] for line in process.stdout.seen if "device-status watch" in line)):
        assert "eyJ" not in command
    done = subprocess.run(["sh", "-c", process.stdout.seen[-1]], capture_output=True, check=True, timeout=50, text=True)
    assert json.loads(done.stdout) == {"data": {"publishDeviceStatus": {"changed": 1}}}


def test_the_demonstration(busy_demo, tmp_path):
    """The demonstration prints what to do next; it works as printed, and nothing is left when it ends."""
    process, folder = busy_demo
    process.stdout.until("curl ")
    welcome = process.stdout.seen
    viewer, checker, administrator = (line for line in welcome if line.startswith("eyJ"))
    (command,) = (shlex.split(line) for line in welcome if "device-status watch" in line)
    variable, _, *arguments = command
    assert arguments == ["watch", "--url", command[4]]
    assert variable == f"DEVICE_STATUS_TOKEN={viewer}"
    with running(*arguments, "--json", cwd=tmp_path, TOKEN=viewer) as watch:
        events = [json.loads(watch.stdout.next()) for _ in range(60)]
        assert {event["kind"] for event in events} <= {"SNAPSHOT", "CHANGE"}
        assert len({event["deviceId"] for event in events}) == 60
        # A round of the simulated checker that changes something.
        while json.loads(watch.stdout.next())["previousStatus"] is None:
            pass
        done = run("publish", "projector-1=OFFLINE", URL=command[4], TOKEN=checker)
        assert done.stdout == "1 changed (1 new), 0 unchanged\n"
        watch.stdout.until('"projector-1"')
        retire = {"query": 'mutation { retireDevices(deviceIds: ["projector-1"]) { status } }'}
        answer = httpx.post(command[4], json=retire, headers={"Authorization": f"Bearer {administrator}"})
        assert answer.json() == {"data": {"retireDevices": [{"status": "RETIRED"}]}}
        assert len(list(folder.iterdir())) == 1
        assert process.end() == 0
    assert list(folder.iterdir()) == []
    assert not re.search("Traceback|WARNING|ERROR", process.stderr.rest())
