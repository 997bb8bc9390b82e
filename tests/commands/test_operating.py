"""The commands of operators: token, schema, migrate, check-config; and the program itself."""

import subprocess

import pytest

from graphql_api.access.tokens import TokenVerifier
from graphql_api.schema import Executor
from graphql_api.settings import Settings
from tests.commands.conftest import COMMAND, SECRET, environment, run


def test_a_token_is_good(tmp_path):
    """A token that is printed is accepted by a service with the same settings, and means what was asked for."""
    claims = {
        "jwt_audience": "screens",
        "jwt_issuer": "https://issuer.example",
        "jwt_school_claim": "https://example.org/schools",
        "jwt_scope_claim": "permissions",
    }
    variables = {name.upper(): value for name, value in claims.items()}
    done = run(
        *("token", "--school", "1", "--school", "2", "--subject", "pager", "--ttl", "30m"),
        *("--scope", "devices:read devices:publish", "--scope", "devices:admin"),
        JWT_SECRET=f"{SECRET}\n{'another secret, for the rotation ':*<64}",
        **variables,
    )
    assert done.stdout.count("\n") == 1
    principal = TokenVerifier.from_settings(Settings(jwt_secret=SECRET, **claims)).verify(done.stdout.strip())
    assert principal.subject == "pager"
    assert principal.visibility.schools == {"1", "2"}
    assert principal.visibility.scopes == {"devices:read", "devices:publish", "devices:admin"}
    assert principal.issued_at is not None
    assert principal.expires_at - principal.issued_at == 30 * 60 * 1_000_000


def test_a_token_for_every_school():
    """A token for every school that may only read, by default."""
    done = run("token", "--school", "*", JWT_SECRET=SECRET)
    visibility = TokenVerifier.from_settings(Settings(jwt_secret=SECRET)).verify(done.stdout.strip()).visibility
    assert visibility.all_schools
    assert visibility.scopes == {"devices:read"}


@pytest.mark.parametrize(
    ("arguments", "secret", "sentence"),
    [
        (["--school", "1"], "", "Set DEVICE_STATUS_JWT_SECRET"),
        (["--school", "1", "--ttl", "soon"], SECRET, "--ttl: expected seconds, or a time like 30m"),
        (["--school", "1", "--school", "*"], SECRET, "No token was made: expected ids of schools"),
    ],
)
def test_no_token(arguments, secret, sentence):
    """Where no good token can be made, none is printed, and a sentence says why."""
    done = run("token", *arguments, JWT_SECRET=secret)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)


def test_the_schema(tmp_path):
    """The exported schema is the one that is served; a file that differs is told from it."""
    assert run("schema", "export", cwd=tmp_path).returncode == 0
    file = tmp_path / "schema" / "schema.graphql"
    assert file.read_text() == Executor().sdl()
    assert run("schema", "check", cwd=tmp_path).returncode == 0
    file.write_text(file.read_text().replace("type Viewer {", "type Viewed {"))
    done = run("schema", "check", cwd=tmp_path)
    assert done.returncode == 1
    assert "\n-type Viewed {\n+type Viewer {\n" in done.stdout


def test_the_reader_goes_early(tmp_path):
    """When nobody reads the standard output any more, the command ends without a complaint."""
    export = subprocess.Popen(
        [COMMAND, "schema", "export", "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    export.stdout.close()
    with export.stderr:
        assert export.stderr.read() == b""
    assert export.wait() == 1


def test_no_schema_to_check(tmp_path):
    """A file that isn't there is told in a sentence."""
    done = run("schema", "check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "schema/schema.graphql can't be read: No such file or directory.\n")


def test_migrate(tmp_path):
    """The first time the database is brought from nothing to a revision, the second time nothing is to be done."""
    assert "from an empty database to revision" in run("migrate", cwd=tmp_path).stdout
    assert (tmp_path / "device-status.db").exists()
    assert "nothing was to be done" in run("migrate", cwd=tmp_path).stdout


def test_check_config_shows_no_secret(tmp_path):
    """All settings are shown, but neither a secret nor a password."""
    url = "postgresql://reader:pa55word@db.example/devices?sslpassword=pa55word"
    done = run("check-config", cwd=tmp_path, JWT_SECRET=f"{SECRET}\n{SECRET[::-1]}", DATABASE_URL=url, KEEP_ALIVE="7.5")
    assert (done.returncode, done.stderr) == (0, "")
    shown = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if "DEVICE_STATUS_" in line}
    assert len(shown) == len(Settings.model_fields)
    assert shown["DEVICE_STATUS_JWT_SECRET"] == ["set", "(2", "keys)", "environment"]
    assert shown["DEVICE_STATUS_DATABASE_URL"] == ["postgresql://reader:***@db.example/devices", "environment"]
    assert shown["DEVICE_STATUS_KEEP_ALIVE"] == ["7.5", "environment"]
    assert shown["DEVICE_STATUS_MESSAGE_LIMIT"] == ["262144", "default"]
    assert SECRET not in done.stdout
    assert "pa55word" not in done.stdout


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "Set DEVICE_STATUS_JWT_SECRET"),
        ({"JWT_SECRET": SECRET, "KEEP_ALIVE": "soon"}, "DEVICE_STATUS_KEEP_ALIVE: expected a number of seconds"),
        ({"JWT_SECRETS": SECRET}, "DEVICE_STATUS_JWT_SECRETS is no setting; did you mean DEVICE_STATUS_JWT_SECRET?"),
    ],
)
def test_check_config_finds_what_is_wrong(variables, sentence):
    """Settings that the service would not start with end with exit code 2 and a sentence."""
    done = run("check-config", **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)


def test_help():
    """Without a command it shows what there is, and --version tells the version."""
    done = run()
    for command in ("serve", "token", "publish", "watch", "schema", "migrate", "check-config"):
        assert f" {command} " in done.stdout
    assert run("--version").stdout.startswith("device-status ")
