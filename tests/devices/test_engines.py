"""What a database URL may be."""

import pytest

from graphql_api.devices.engines import UnusableDatabaseError, make_engines
from graphql_api.devices.store import Store

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "mysql://host/name", "nonsense", "", "a://[b"]
)
async def test_other_urls_are_refused(url):
    """A URL that is neither a SQLite file nor a PostgreSQL database is refused with what was expected."""
    with pytest.raises(ValueError, match="expected"):
        await Store.open(url)


async def test_unusable_files_are_refused_by_name(tmp_path):
    """A missing directory, a directory in place of the file, and a file of another kind are named in the error."""
    (tmp_path / "text.db").write_text("not a database, but long enough to have a header" * 100)
    (tmp_path / "directory.db").mkdir()
    for name in ("missing/devices.db", "directory.db", "text.db"):
        with pytest.raises(UnusableDatabaseError, match=name):
            await Store.open(f"sqlite:///{tmp_path}/{name}")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_urls_are_served_by_psycopg(scheme):
    """Every usual scheme means PostgreSQL by psycopg, and what the URL sets is not overruled."""
    engines = make_engines(f"{scheme}://user@host/name?connect_timeout=9")
    assert engines.writer.url.drivername == "postgresql+psycopg"
    assert engines.writer.url.query["connect_timeout"] == "9"


def test_a_bad_url_is_not_repeated_in_the_error():
    """The text of a refused URL stays out of the error: it may hold a password."""
    with pytest.raises(ValueError, match="expected") as caught:
        make_engines("mysql://user:secret@host/name")
    assert "secret" not in str(caught.value)
