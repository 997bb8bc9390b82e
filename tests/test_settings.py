import re
from pathlib import Path

import pytest

from graphql_api import settings as settings_module
from graphql_api.refusals import Limit
from graphql_api.settings import (
    COMMAND_VARIABLES,
    PREFIX,
    Settings,
    SettingsError,
    load_settings,
    settings_table,
    variable,
)

SECRET = "a-secret-of-more-than-32-bytes-for-tests"
OTHER_SECRET = "another-secret-of-more-than-32-bytes-too"
PEM = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"
PAGE = (Path(__file__).parent.parent / "docs" / "settings.md").read_text()


def load(**variables):
    return load_settings({PREFIX + name: value for name, value in variables.items()})


def problems(**variables):
    """What is wrong, a sentence each; never is any exception with a secret attached."""
    with pytest.raises(SettingsError) as refused:
        load(**variables)
    assert refused.value.__context__ is None
    assert str(refused.value) == "\n".join(refused.value.problems)
    assert "\n" not in "".join(refused.value.problems)
    return refused.value.problems


def plain(settings):
    """All values, secrets opened, so that they can be compared and searched."""
    return {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in ((name, getattr(settings, name)) for name in Settings.model_fields)
    }


def test_nothing_needs_to_be_set():
    """Without any variable the defaults hold, and no key is a matter for those who need one."""
    assert plain(load()) == plain(Settings())
    assert load().secrets == ()


def test_settings_do_not_change():
    """Settings are frozen: they are read once."""
    with pytest.raises(ValueError, match="frozen"):
        load().keep_alive = 3


def test_the_environment_is_read(monkeypatch):
    """By default the process's own environment counts, and only when it is asked for."""
    monkeypatch.setenv("DEVICE_STATUS_KEEP_ALIVE", "3.5")
    assert load_settings().keep_alive == 3.5
    assert Settings().keep_alive == 15


def test_blank_counts_as_not_set():
    """A blank variable, as compose files leave behind, counts as not set; space around a value is dropped."""
    assert load(KEEP_ALIVE="", JWT_SECRET=" \n", MESSAGE_LIMIT=" 5\n").message_limit == 5


def test_secrets_are_never_shown():
    """Neither the text of the settings nor that of an error holds a secret or a password."""
    settings = load(JWT_SECRET=SECRET, DATABASE_URL="postgresql://u:hunter2@h/db")
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in shown
        assert "hunter2" not in shown
    assert settings.database_url.get_secret_value() == "postgresql://u:hunter2@h/db"


BROKER = "expected memory://, or a URL like redis://host:6379 or postgresql://user:password@host/database"


@pytest.mark.parametrize(
    "wrong",
    [
        {"JWT_SECRET": "hunter2"},
        {"JWT_SECRET": f"{SECRET}\nhunter2"},
        {"JWT_SECRET_FILE": "hunter2"},
        {"JWT_PUBLIC_KEY": "hunter2"},
        {"JWT_PUBLIC_KEY": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"},
        {"JWT_PUBLIC_KEY_FILE": "hunter2"},
        {"DATABASE_URL": "mysql://u:hunter2@h/db"},
        {"DATABASE_URL": "postgresql://u:p@[hunter2/db"},
        {"DATABASE_URL": "postgresql://u:p@h:hunter2/db"},
        {"DATABASE_URL": "hunter2"},
        {"BROADCAST_URL": "redis://:hunter2@h:x"},
        {"JWT_SECRET": "\udcffhunter2"},
    ],
)
def test_a_wrong_secret_is_not_repeated(wrong):
    """A value that could be a secret is refused in one sentence that names the variable and not the value."""
    (problem,) = problems(**wrong)
    assert problem.startswith(PREFIX + next(iter(wrong)))
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("JWT_SECRET", "x" * 12, "expected secrets of at least 32 bytes, one per line, but got a value of 12 bytes"),
        (
            "JWT_SECRET",
            PEM,
            "expected secrets, one per line, but got a key in PEM; a public key goes into DEVICE_STATUS_JWT_PUBLIC_KEY",
        ),
        (
            "JWT_ALGORITHMS",
            "HS256,none",
            "expected one or several of HS256, RS256, ES256, EdDSA, with commas, but got 'HS256,none'",
        ),
        ("KEEP_ALIVE", "soon", "expected a number of seconds above 0 and at most 86,400, but got 'soon'"),
        ("HISTORY_DAYS", "0", "expected a number of days above 0 and at most 36,500, but got '0'"),
        ("STALE_AFTER", "never", "expected a number of seconds above 0 and at most 86,400, but got 'never'"),
        ("MESSAGE_LIMIT", "1.5", "expected a whole number of bytes from 1 to 1,099,511,627,776, but got '1.5'"),
        ("OUTBOX_LIMIT", "0", "expected a whole number of rounds from 1 to 1,099,511,627,776, but got '0'"),
        ("UNKNOWN_DEVICES", "Create", "expected create or reject, but got 'Create'"),
        ("BROADCAST_URL", "kafka://u:pa55word@h", f"{BROKER}, but got one that begins with kafka:"),
        ("BROADCAST_URL", "memory", f"{BROKER}, but got a value without a scheme"),
        ("BROADCAST_URL", "redis://h:pa55word", f"{BROKER}, but got one whose host or port can't be read"),
        ("PUBLISHES_PER_SECOND", "0", "expected a number of times a second above 0 and at most 1,000,000, but got '0'"),
        ("INTROSPECTION", "true", "expected on or off, but got 'true'"),
        (
            "ALLOWED_ORIGINS",
            "https://a.example, a.example/x",
            "expected origins like https://app.example.org, with commas, but got 'a.example/x'",
        ),
        (
            "PUBLIC_URL",
            "https://a.example/graphql",
            "expected a URL like https://status.example.org, without a path, but got 'https://a.example/graphql'",
        ),
        (
            "TRUSTED_PROXIES",
            "10.0.0.1/8",
            "expected addresses like 10.0.0.7 and networks like 10.0.0.0/8, with commas, but got '10.0.0.1/8'",
        ),
        ("JWT_AUDIENCE", "\udcff", "expected text in UTF-8, but got 1 bytes that are none"),
    ],
)
def test_a_bad_value_is_a_sentence(name, value, sentence):
    """A bad value becomes one sentence: the variable, what was expected, what came."""
    assert problems(**{name: value}) == (f"{PREFIX}{name}: {sentence}",)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300", "86401", "1,5", "9" * 5000])
def test_seconds(value):
    """Seconds are above 0 and at most a day, so that every timer can take them; a long value is cut."""
    (problem,) = problems(CONNECTION_INIT_TIMEOUT=value)
    assert len(problem) < 200


def test_days():
    """Days may be fractions, and are at most a hundred years."""
    assert load(HISTORY_DAYS="0.25").history_days == 0.25
    assert load(HISTORY_DAYS="36500").history_days == 36_500
    assert len(problems(HISTORY_DAYS="36501")) == 1


@pytest.mark.parametrize("value", ["none", "HS1", "RS1", "hs256", ",", "HS384", "HS256 RS256"])
def test_algorithms(value):
    """Only the four algorithms can be allowed, as they are written."""
    assert len(problems(JWT_ALGORITHMS=value)) == 1


def test_several_algorithms():
    """Algorithms are separated by commas, and each counts once."""
    assert load(JWT_ALGORITHMS="ES256, RS256,ES256,").jwt_algorithms == ("ES256", "RS256")


def test_who_is_let_in():
    """Origins, the public URL and proxies are read with commas, each once, as browsers and systems write them."""
    settings = load(
        ALLOWED_ORIGINS="https://App.example/, null,http://[::1]:3000,null",
        PUBLIC_URL="https://Status.example/",
        TRUSTED_PROXIES="10.0.0.7, fd00::/8",
        INTROSPECTION="off",
    )
    assert settings.allowed_origins == ("https://app.example", "null", "http://[::1]:3000")
    assert settings.public_url == "https://status.example"
    assert settings.trusted_proxies == ("10.0.0.7", "fd00::/8")
    assert not settings.introspection


def test_several_faults_are_told_at_once():
    """Whatever is wrong is told at once, a sentence a line."""
    assert len(problems(KEEP_ALIVE="0", BODY_LIMIT="x", JWT_SECRET="short")) == 3


def test_several_secrets():
    """Each line is a secret; blank lines and line ends don't matter."""
    secrets = load(JWT_SECRET=f"{SECRET}\r\n\n  {OTHER_SECRET}\n").secrets
    assert [secret.get_secret_value() for secret in secrets] == [SECRET, OTHER_SECRET]


def test_public_keys_with_literal_line_breaks():
    """Public keys may be several, with line breaks real or written as backslash and n."""
    assert load(JWT_PUBLIC_KEY=f"{PEM}\n{PEM}").public_keys == (PEM, PEM)
    assert load(JWT_PUBLIC_KEY=PEM.replace("\n", "\\n")).public_keys == (PEM,)


def test_a_public_key_that_was_cut_off():
    """A key without its end is noticed, even beside a whole one."""
    assert "with 1 whole PEM blocks" in problems(JWT_PUBLIC_KEY=f"{PEM}\n{PEM[:-5]}")[0]


def test_files(tmp_path):
    """The file variants hold the same as the variables."""
    (tmp_path / "secret").write_text(f"{SECRET}\n{OTHER_SECRET}\n")
    (tmp_path / "keys").write_text(PEM)
    settings = load(JWT_SECRET_FILE=str(tmp_path / "secret"), JWT_PUBLIC_KEY_FILE=str(tmp_path / "keys"))
    assert len(settings.secrets) == 2
    assert settings.public_keys == (PEM,)
    settings.require_keys()


def test_files_that_can_not_be_used(tmp_path):
    """A missing file, a directory, an empty file and bytes that are no text are told under the file's variable."""
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xfa")
    for name in ("missing", "", "empty", "bytes"):
        (problem,) = problems(JWT_SECRET_FILE=str(tmp_path / name))
        assert problem.startswith("DEVICE_STATUS_JWT_SECRET_FILE: expected ")


def test_a_variable_and_its_file(tmp_path):
    """A value and a file for the same thing is an error: nobody could tell which one counts."""
    (tmp_path / "secret").write_text(OTHER_SECRET)
    assert problems(JWT_SECRET=SECRET, JWT_SECRET_FILE=str(tmp_path / "secret")) == (
        "DEVICE_STATUS_JWT_SECRET_FILE: expected either this variable or DEVICE_STATUS_JWT_SECRET, but got both",
    )


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "sqlite:////var/lib/x.db", "postgresql://u:p@h:5432/db", "postgres:///db?host=/run"]
)
def test_databases(url):
    """SQLite files and PostgreSQL are databases."""
    assert load(DATABASE_URL=url).database_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://h/db", "postgresql:h", "x.db"]
)
def test_other_databases(url):
    """Anything else is no database for us, SQLite in memory included."""
    assert "expected a URL like sqlite:///device-status.db" in problems(DATABASE_URL=url)[0]


@pytest.mark.parametrize(
    "url",
    ["https://issuer.example.org/jwks", "https://10.0.0.1:8443/x?y=1", "http://localhost:8080/jwks", "http://[::1]/k"],
)
def test_key_sets(url):
    """A key set comes over TLS, or from this machine; with one, no other key is needed."""
    settings = load(JWKS_URL=url)
    assert settings.jwks_url == url
    settings.require_keys()


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.org/jwks",
        "http://localhost.example.org/jwks",
        "http://127.0.0.1.example.org/",
        "http://127.0.0.1@example.org/",
        "https://",
        "https://user:secret-word@example.org/",
        "https://example.org:port/",
        "file:///etc/keys",
        "ftp://example.org/",
        "example.org/secret-word",
    ],
)
def test_other_key_sets(url):
    """A key set that others could change on its way, or of another kind, is refused, and a password is not shown."""
    (sentence,) = problems(JWKS_URL=url)
    assert "expected a URL like https://issuer.example.org/" in sentence
    assert "secret-word" not in sentence


def warnings_of(caplog, **values):
    load_settings(values)
    return [record.getMessage() for record in caplog.records]


def test_a_misspelt_variable(caplog):
    """A variable that is nearly one of ours is told with the right name, without its value."""
    assert warnings_of(caplog, DEVICE_STATUS_JWT_SECRETS=SECRET) == [
        "DEVICE_STATUS_JWT_SECRETS is no setting; did you mean DEVICE_STATUS_JWT_SECRET?"
    ]


def test_an_unknown_variable(caplog):
    """A variable that is like none of ours is told with the page that lists them, and does no harm."""
    assert warnings_of(caplog, DEVICE_STATUS_XYZZY="1") == [
        "DEVICE_STATUS_XYZZY is no setting; docs/settings.md lists them all"
    ]


def test_case_counts(caplog):
    """A variable in another case is ignored, and that is told."""
    (sentence,) = warnings_of(caplog, device_status_keep_alive="3", DEVICE_STATUS_KEEP_ALIVE="4")
    assert sentence.startswith("device_status_keep_alive is no setting; did you mean DEVICE_STATUS_KEEP")


def test_variables_of_others(caplog):
    """Variables of the commands, without our prefix, or that Kubernetes makes of a service's name, are let be."""
    theirs = {
        "DEVICE_STATUS_SERVICE_HOST": "10.0.0.1",
        "DEVICE_STATUS_SERVICE_PORT_HTTP": "80",
        "DEVICE_STATUS_PORT": "tcp://10.0.0.1:80",
        "DEVICE_STATUS_PORT_80_TCP_ADDR": "10.0.0.1",
        "DEVICE_STATUS_DB_PORT": "tcp://10.0.0.2:5432",
        "DEVICE_STATUS_DB_SERVICE_PORT": "5432",
        "DEVICE": "x",
        "PATH": "/bin",
    }
    assert warnings_of(caplog, **theirs, **dict.fromkeys(COMMAND_VARIABLES, "x")) == []
    assert len(warnings_of(caplog, DEVICE_STATUS_PORT="8000")) == 1


def test_no_key_says_what_to_set():
    """Without a key the sentence says what to set, how to make one, and who needs none."""
    with pytest.raises(SettingsError) as refused:
        load().require_keys()
    for part in (
        "DEVICE_STATUS_JWT_SECRET",
        "DEVICE_STATUS_JWT_PUBLIC_KEY",
        "secrets.token_urlsafe(48)",
        "serve --demo",
    ):
        assert part in str(refused.value)


def documented():
    """The table of the documentation: defaults by variable."""
    rows = re.findall(r"^\| `(DEVICE_STATUS_\w+)` \| (not set|`[^`]+`) \| .+ \|$", PAGE, re.MULTILINE)
    return {name: "" if default == "not set" else default.strip("`") for name, default in rows}


def test_every_setting_is_documented():
    """The documented variables are the settings and the commands' variables, no more and no fewer."""
    assert set(documented()) == {*map(variable, Settings.model_fields), *COMMAND_VARIABLES}


def test_documented_defaults_are_the_defaults():
    """What the documentation calls a default, once set, changes nothing."""
    settings = {name: value for name, value in documented().items() if name not in COMMAND_VARIABLES}
    assert plain(load_settings(settings)) == plain(Settings())


def test_every_limit_is_documented():
    """The page's table of limits has each of them, with settings that exist."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", PAGE, re.MULTILINE)
    names = {name for name, _ in rows}
    assert names >= {limit.value for limit in Limit}
    known = {*map(variable, Settings.model_fields)}
    assert {found for _, row in rows for found in re.findall(r"DEVICE_STATUS_\w+", row)} <= known


def test_security_names_settings_that_exist():
    """Every variable that SECURITY.md names is one."""
    page = (Path(__file__).parent.parent / "SECURITY.md").read_text()
    named = set(re.findall(r"DEVICE_STATUS_\w+", page))
    assert len(named) > 20
    assert named <= {*map(variable, Settings.model_fields), *COMMAND_VARIABLES}


def test_the_documented_table_is_the_made_one():
    """The table in the documentation is what the settings themselves write."""
    assert settings_table() in PAGE, "put the output of graphql_api.settings.settings_table() into docs/settings.md"


def test_every_setting_is_described():
    """Each field has a description that fits into a row of the table."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "|" not in field.description, name
        assert field.description.endswith("."), name


def test_the_public_surface():
    """What the module offers exists."""
    assert all(hasattr(settings_module, name) for name in settings_module.__all__)
