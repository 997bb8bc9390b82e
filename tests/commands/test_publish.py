import json
from contextlib import closing

import httpx
import pytest

from graphql_api.cli import publisher
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.target import Target
from tests.commands.conftest import run

RESULT = {"changed": 1, "created": 0, "unchanged": 0, "stale": 0, "ignored": 0, "rejected": []}
NOWHERE = {"URL": "http://127.0.0.1:1/graphql", "TOKEN": "eyJ"}


def lines(*reports):
    return "".join(json.dumps(report) + "\n" for report in reports)


def test_what_came_of_it(service, school):
    """A call tells how many statuses have changed, how many of the devices are new, and how many are as before."""
    access = service.access(school)
    first = run("publish", "--school", school, "board-7=OFFLINE", "reader=2=ONLINE", **access)
    assert (first.returncode, first.stdout, first.stderr) == (0, "2 changed (2 new), 0 unchanged\n", "")
    second = run("publish", "board-7=online", "reader=2=ONLINE", **access)
    assert second.stdout == "1 changed (0 new), 1 unchanged\n"


def test_the_same_lines_again(service, school):
    """Lines with their own observedAt do no harm when they are sent again, and older ones are stale."""
    reports = [
        {"deviceId": f"board-{number}", "status": "DEGRADED", "observedAt": "2026-01-01T08:00:00Z"} for number in (1, 2)
    ]
    access = service.access(school)
    assert run("publish", "-", stdin=lines(*reports), **access).stdout == "2 changed (2 new), 0 unchanged\n"
    assert run("publish", stdin=lines(*reports) + "\n", **access).stdout == "0 changed (0 new), 2 unchanged\n"
    old = {"deviceId": "board-1", "status": "ONLINE", "observedAt": "2025-01-01T08:00:00Z"}
    assert run("publish", stdin=lines(old), **access).stdout == "0 changed (0 new), 0 unchanged, 1 stale\n"


def test_more_than_a_round(service, school):
    """More than 1,000 lines are sent as several rounds."""
    reports = [{"deviceId": f"board-{number}", "status": "ONLINE"} for number in range(1_001)]
    done = run("publish", stdin=lines(*reports), **service.access(school))
    assert done.stdout == "1001 changed (1001 new), 0 unchanged\n"


def test_invalid_reports(service, school):
    """Invalid reports refuse the call, each with a line on stderr; with --skip-invalid the others are recorded."""
    reports = lines(
        {"deviceId": "board-1", "status": "ONLINE"},
        {"deviceId": "board-2", "status": "ONLINE", "observedAt": "2999-01-01T00:00:00Z"},
    )
    refused = run("publish", stdin=reports, **service.access(school))
    assert (refused.returncode, refused.stdout) == (1, "")
    problem, error = refused.stderr.splitlines()
    assert problem.startswith("line 2 (board-2): observedAt must not be")
    assert error.startswith("BAD_USER_INPUT: 1 of 2 reports are invalid")
    reports += "{\n"
    skipped = run("publish", "--skip-invalid", stdin=reports, **service.access(school))
    assert skipped.returncode == 0
    assert skipped.stdout == "1 changed (1 new), 0 unchanged, 2 rejected\n"
    assert [line.split(":")[0] for line in skipped.stderr.splitlines()] == ["line 3", "line 2 (board-2)"]


def test_what_is_no_report_is_not_sent():
    """Whatever can't be a report is told, all of it, and nothing is sent."""
    done = run("publish", "board-1", "board-2=BROKEN", "board-3=RETIRED", **NOWHERE)
    assert done.returncode == 2
    first, second, third, last = done.stderr.splitlines()
    assert first.startswith("'board-1': expected a device and its status")
    assert "one of ONLINE, DEGRADED, OFFLINE, MAINTENANCE, UNKNOWN, but got 'BROKEN'" in second
    assert "but got 'RETIRED'" in third
    assert last == "Nothing was sent."


@pytest.mark.parametrize(
    ("schools", "scopes", "arguments", "sentence"),
    [
        ("1", "devices:read", [], "FORBIDDEN: This needs a token with the scope devices:publish."),
        ("1", "devices:publish", ["--school", "2"], "FORBIDDEN: The token does not allow this school."),
        ("12", "devices:publish", [], "BAD_USER_INPUT: schoolId is required"),
    ],
)
def test_what_the_token_does_not_allow(service, schools, scopes, arguments, sentence):
    """What the service refuses is told as the service says it."""
    done = run("publish", *arguments, "board-1=ONLINE", **service.access(*schools, scopes=scopes))
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)


def test_a_refused_token(service):
    """A token that the service refuses ends the command with the reason, and without the token."""
    done = run("publish", "board-1=ONLINE", URL=service.url, TOKEN="eyJ.no.token")
    assert done.returncode == 1
    assert done.stderr.startswith("UNAUTHENTICATED: token-invalid")
    assert "eyJ" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"URL": "ftp://127.0.0.1/", "TOKEN": "eyJ"}, "--url: expected a URL like http://"),
        ({"URL": "http://127.0.0.1:1/"}, "Give a token with --token or DEVICE_STATUS_TOKEN"),
        ({"URL": "http://127.0.0.1:1/", "TOKEN": "no token"}, "--token: expected a JSON Web Token"),
    ],
)
def test_a_wrong_target(variables, sentence):
    """A URL or a token that can't be one is told before anything is sent."""
    done = run("publish", "board-1=ONLINE", **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)


async def publish(answers, monkeypatch):
    """Publish one round to a service that gives these answers; what it came to, what was told, and what was sent."""
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0)
    sent, told = [], []

    def answer(request):
        sent.append(request.content)
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    inputs = [{"deviceId": "board-1", "status": "ONLINE", "observedAt": "2026-01-01T08:00:00Z"}]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        target = Target("http://service/graphql", "ws://service/graphql", "token")
        try:
            result = await publisher.publish_round(client, target, inputs, school=None, tell=told.append)
        except CommandFailed as failed:
            result = failed
    return result, told, sent


def failing(code):
    error = {"message": "Trouble.", "extensions": {"code": code}}
    return httpx.Response(200, json={"data": None, "errors": [error]})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "trouble",
    [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.Response(503, text="<html>"), failing("UNAVAILABLE")],
    ids=["refused", "timeout", "5xx", "UNAVAILABLE"],
)
async def test_a_round_that_may_be_lost_is_sent_again(trouble, monkeypatch):
    """After a passing trouble the very same round is sent again, and that is told."""
    good = httpx.Response(200, json={"data": {"publishDeviceStatuses": RESULT}})
    result, told, sent = await publish(iter([trouble, trouble, good]), monkeypatch)
    assert result == RESULT
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert len(told) == 2


@pytest.mark.anyio
async def test_it_gives_up(monkeypatch):
    """A trouble that doesn't pass ends the call after some attempts."""
    result, _, sent = await publish(iter([httpx.ConnectError("refused")] * 5), monkeypatch)
    assert str(result) == "http://service/graphql can't be reached: refused. It was tried 5 times."
    assert len(sent) == 5


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (failing("FORBIDDEN"), "FORBIDDEN: Trouble."),
        (httpx.Response(404, text="<html>"), "Expected a GraphQL answer from http://service/graphql, but got HTTP 404"),
        (httpx.Response(200, json=[]), "Expected a GraphQL answer from http://service/graphql, but got HTTP 200"),
    ],
)
async def test_what_would_not_pass_is_not_repeated(answer, sentence, monkeypatch):
    """A refusal, and an answer of something else than the service, end the call at once."""
    with closing(iter_once(answer)) as answers:
        result, told, sent = await publish(answers, monkeypatch)
    assert str(result).startswith(sentence)
    assert (len(sent), told) == (1, [])


def iter_once(answer):
    yield answer
