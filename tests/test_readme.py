"""The README's examples do what it says, and its tables are complete."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import typer
from graphql import build_schema, parse, validate

from graphql_api import errors
from graphql_api.cli.program import app
from graphql_api.delivery.close_codes import CloseCode
from graphql_api.schema import Executor
from graphql_api.settings import settings_table
from tests.schema.conftest import Caller, principal
from tests.wire.conftest import secret, server, settings  # noqa: F401 - fixtures

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

# `<!-- example: name -->` stands above each console block.
EXAMPLES = dict(re.findall(r"<!-- example: ([\w, ]+) -->\n```console\n(.*?)```", README, re.DOTALL))

# What differs each time: moments and cursors.
VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<moment>"),
    (re.compile(r"\b[A-Za-z0-9_-]{30,}"), "<cursor>"),
]

WAIT = 30
"""Seconds that a command may take; two shared cores start several of them."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def table(heading):
    """The rows under a heading, each as its cells, with the marks of code taken off."""
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", README, re.DOTALL | re.MULTILINE)
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" |`") for cell in row] for row in rows[2:]]


def stable(text):
    for pattern, name in VOLATILE:
        text = pattern.sub(name, text)
    return text.strip()


def steps(example):
    """The commands of a console block, each with the output that should follow it."""
    found = []
    for line in EXAMPLES[example].splitlines():
        if line.startswith("$ "):
            found.append([line.removeprefix("$ "), ""])
        elif found[-1][0].endswith("\\"):
            found[-1][0] += "\n" + line
        else:
            found[-1][1] += line + "\n"
    return found


@pytest.fixture
def shell(server):  # noqa: F811 - the fixture
    """Start a command as a reader of the README would, but with this server's address and keys."""

    async def start(command):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DEVICE_STATUS_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DEVICE_STATUS_URL": server.http,
            "DEVICE_STATUS_TOKEN": server.token("1", scopes=["devices:read", "devices:publish"]),
            "DEVICE_STATUS_JWT_SECRET": server.secret,
        }
        return await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command.replace("http://127.0.0.1:8000/graphql", server.http),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            # A group of its own: the shell is ended with what it runs.
            start_new_session=True,
        )

    return start


async def assert_runs(shell, example):
    """Run a console block, one command after the other."""
    for command, expected in steps(example):
        process = await shell(command)
        async with asyncio.timeout(WAIT):
            output, _ = await process.communicate()
        assert process.returncode == 0
        assert stable(output.decode()) == stable(expected)


@contextlib.asynccontextmanager
async def running(shell, command):
    process = await shell(command)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.communicate()


async def assert_hears(shell, story):
    """Run what listens; once its first line is there, run what publishes; then the rest must come."""
    ((command, expected),) = steps(f"{story}, listening")
    lines = expected.strip().splitlines()
    async with running(shell, command) as listener, asyncio.timeout(WAIT):
        output = await listener.stdout.readline()
        await assert_runs(shell, f"{story}, publishing")
        while len(output.splitlines()) < len(lines):
            output += await listener.stdout.readline()
    assert stable(output.decode()).splitlines() == stable(expected).splitlines()


async def test_every_console_example_is_run_here():
    """There is no console block that the tests below leave out."""
    assert len(EXAMPLES) == len(blocks("console"))
    assert set(EXAMPLES) == {
        "serve",
        "watch, before",
        "watch, listening",
        "watch, publishing",
        "curl, listening",
        "curl, publishing",
    }


async def test_a_publish_causes_the_event(shell):
    """What `watch` prints after `publish` is what the README shows."""
    await assert_runs(shell, "watch, before")
    await assert_hears(shell, "watch")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_curl_reads_the_stream(shell):
    """What curl shows of a subscription and of a mutation is what the README shows."""
    await assert_hears(shell, "curl")


async def test_the_secret_and_the_token_are_made_as_told(shell):
    """The commands before `serve` make a secret that is long enough, and a token that publishes."""
    commands = [command for command, _ in steps("serve")]
    assert commands[-1] == "device-status serve"
    process = await shell(" && ".join([*commands[:-1], "device-status check-config > /dev/null", "env"]))
    output, _ = await process.communicate()
    made = dict(line.split("=", 1) for line in output.decode().splitlines() if "=" in line)
    assert process.returncode == 0
    assert len(made["DEVICE_STATUS_JWT_SECRET"]) >= 32
    assert made["DEVICE_STATUS_TOKEN"].count(".") == 2


@pytest.mark.parametrize("document", blocks("graphql"))
async def test_graphql_examples_are_executed(server, document):  # noqa: F811 - the fixture
    """Each GraphQL document is answered without an error; of a subscription, the first result is."""
    caller = Caller(Executor(), server.services, principal("1"))
    if document.startswith("subscription"):
        async with caller.watch(document) as watched:
            assert await watched.next()
    else:
        result = await caller.run(document)
        assert (result.errors, None in result.data.values()) == ((), False)


async def test_the_javascript_example_asks_what_the_schema_has():
    """The query in the Apollo client's snippet is valid, and published under the same name."""
    snippet, _ = blocks("js")
    (query,) = re.findall(r"gql`(.*?)`", snippet, re.DOTALL)
    document = parse(query)
    assert validate(build_schema(Executor().sdl()), document) == []
    assert (ROOT / "schema" / "operations" / f"{document.definitions[0].name.value}.graphql").exists()


async def test_make_has_the_two_commands():
    """`make run` and `make test` are targets, and the demonstration is what `make run` serves."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    (commands,) = blocks("sh")
    assert set(re.findall(r"^make (\w+)", commands, re.MULTILINE)) == {"run", "test"} <= targets
    assert "device-status serve --demo" in makefile


async def test_every_command_and_option_is_told():
    """The table of commands holds all of them, each with all its options."""
    told = {row[0]: set(row[2].split()) if len(row) > 2 else set() for row in table("Commands")}
    found = {}

    def collect(name, command):
        if hasattr(command, "commands"):
            for sub, inner in command.commands.items():
                collect(f"{name} {sub}", inner)
        else:
            found[name] = {max(option.opts, key=len) for option in command.params if option.opts[0].startswith("-")}

    collect("device-status", typer.main.get_command(app))
    assert told == found


async def test_the_settings_are_those_that_are_read():
    """The table of settings is the one that the settings write of themselves."""
    assert settings_table() in README, "put the output of graphql_api.settings.settings_table() into README.md"


async def test_every_close_code_is_told():
    """The table of close codes is the code's own."""
    rows = [[str(code.value), code.issued_when, "yes" if code.may_retry else "no"] for code in CloseCode]
    assert table("How a WebSocket ends") == rows


async def test_every_error_code_is_told():
    """The table of error codes holds those of the service's errors, and those of requests and defects."""
    codes = {error.code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "code")}
    others = {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "INTERNAL"}
    assert {row[0] for row in table("What an error says")} == codes | others


async def test_the_layout_is_there():
    """Every entry of the tree exists, and every room of the package is in it."""
    (tree,) = blocks("text")
    folder, found = Path(), set()
    for line in tree.splitlines():
        name, sentence = line.split(maxsplit=1)
        folder = folder if line.startswith(" ") else Path(name if name.endswith("/") else ".")
        found.add(folder / name if line.startswith(" ") else Path(name))
        assert sentence
    assert [str(path) for path in sorted(found) if not (ROOT / path).exists()] == []
    rooms = {path.relative_to(ROOT) for path in (ROOT / "graphql_api").iterdir() if (path / "__init__.py").exists()}
    assert rooms <= found


async def test_links_lead_somewhere():
    """Every link to a file of the repository has its target."""
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
