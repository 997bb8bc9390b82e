import json
import signal

import pytest

from tests.commands.conftest import run, running, serving


def event(line):
    found = json.loads(line)
    return found["kind"], found["deviceId"], found["status"]


def test_a_publish_is_watched(service, school):
    """What is published is watched at once by those of the same school, and never by those of another one."""
    other = f"{school}, the other"
    access = service.access(school, other)
    for one in (school, other):
        run("publish", "--school", one, "board-1=ONLINE", **access)
    with (
        running("watch", "--json", "--school", school, **access) as here,
        running("watch", "--json", "--school", other, **access) as there,
    ):
        assert event(here.stdout.next()) == event(there.stdout.next()) == ("SNAPSHOT", "board-1", "ONLINE")
        run("publish", "--school", school, "board-1=OFFLINE", **access)
        assert event(here.stdout.next()) == ("CHANGE", "board-1", "OFFLINE")
        # The barrier: had there been something of the first school, it would come before this.
        run("publish", "--school", other, "board-9=DEGRADED", **access)
        assert event(there.stdout.next()) == ("CHANGE", "board-9", "DEGRADED")


def test_only_some(service, school):
    """Devices and statuses that were not asked for are not shown."""
    access = service.access(school)
    run("publish", "board-1=ONLINE", "board-2=OFFLINE", "board-3=ONLINE", **access)
    with (
        running("watch", "--json", "--status", "offline", **access) as offline,
        running("watch", "--json", "--device", "board-3", **access) as one,
    ):
        assert event(offline.stdout.next()) == ("SNAPSHOT", "board-2", "OFFLINE")
        assert event(one.stdout.next()) == ("SNAPSHOT", "board-3", "ONLINE")
        run("publish", "board-1=DEGRADED", "board-3=OFFLINE", **access)
        assert event(offline.stdout.next()) == ("CHANGE", "board-3", "OFFLINE")
        assert event(one.stdout.next()) == ("CHANGE", "board-3", "OFFLINE")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly(service, school, by):
    """Ctrl-C ends it without a word."""
    run("publish", "board-1=ONLINE", **service.access(school))
    with running("watch", "--json", **service.access(school)) as watch:
        watch.stdout.next()
        assert watch.end(by) == 130
        assert watch.stderr.rest() == ""


def test_it_ends_in_the_background(service, school):
    """SIGTERM ends it where a shell has made it ignore Ctrl-C, and SIGHUP does nothing under nohup."""
    access = service.access(school)
    run("publish", "board-1=ONLINE", **access)
    with running("watch", "--json", ignore="INT HUP", **access) as watch:
        watch.stdout.next()
        watch.popen.send_signal(signal.SIGHUP)
        run("publish", "board-1=OFFLINE", **access)
        assert event(watch.stdout.next()) == ("CHANGE", "board-1", "OFFLINE")
        assert watch.end() == 130
        assert watch.stderr.rest() == ""


def test_lines_for_people(service, school):
    """Without a terminal it prints a line for each change."""
    access = service.access(school)
    run("publish", "board-1=ONLINE", **access)
    with running("watch", **access) as watch:
        assert watch.stdout.next().endswith("  board-1  ONLINE")
        run("publish", "board-1=OFFLINE", **access)
        assert watch.stdout.next().endswith("  board-1  ONLINE -> OFFLINE")


def test_a_refused_token(service):
    """A refused token ends it with the reason."""
    done = run("watch", "--json", URL=service.url, TOKEN="eyJ.no.token")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The service refuses the token (token-invalid: ")


def test_another_school(service):
    """A school that is not the token's ends it with the service's sentence."""
    done = run("watch", "--json", "--school", "2", **service.access("1"))
    assert (done.returncode, done.stderr) == (1, "FORBIDDEN: The token does not allow this school.\n")


def test_a_school_is_needed(service):
    """A token of several schools needs --school, and the service says so."""
    done = run("watch", **service.access("1", "2"))
    assert done.returncode == 1
    assert done.stderr.startswith("BAD_USER_INPUT: schoolId is required")


def test_an_unknown_status():
    """A status that doesn't exist is told with those that do, without asking the service."""
    done = run("watch", "--status", "BROKEN", URL="http://127.0.0.1:1/", TOKEN="eyJ")
    assert done.returncode == 2
    assert "ONLINE, DEGRADED, OFFLINE" in done.stderr


def test_something_else_answers(service):
    """An address that opens no WebSocket ends it with a sentence."""
    done = run("watch", URL=f"http://127.0.0.1:{service.port}/nowhere", TOKEN="eyJ")
    assert done.returncode == 1
    assert "answers HTTP 40" in done.stderr


def test_it_comes_back(tmp_path):
    """It outlives a restart of the service: it says that it waits, then begins with a new snapshot."""
    with serving(tmp_path) as before:
        access = before.access("1")
        run("publish", "board-1=ONLINE", **access)
        with running("watch", "--json", **access) as watch:
            assert event(watch.stdout.next()) == ("SNAPSHOT", "board-1", "ONLINE")
            assert before.process.end() == 0
            watch.stderr.until("trying again")
            with serving(tmp_path, port=before.port):
                assert event(watch.stdout.next()) == ("SNAPSHOT", "board-1", "ONLINE")
                run("publish", "board-1=OFFLINE", **access)
                assert event(watch.stdout.next()) == ("CHANGE", "board-1", "OFFLINE")
                assert watch.end(signal.SIGINT) == 130
