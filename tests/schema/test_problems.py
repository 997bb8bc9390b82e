"""What clients are told of errors, and what only the log is."""

import logging
import re

import pytest
from graphql import GraphQLError

from graphql_api.errors import BadUserInput, Forbidden, LimitExceeded, Unavailable
from graphql_api.schema import OperationRefused, RequestContext
from graphql_api.schema.problems import field_error, request_error

pytestmark = pytest.mark.anyio

MASKED = re.compile(r"An internal error, which the service's log has under the id ([0-9a-f]{12})\.")
VIEWED = "{ statusSummary { total } }"


@pytest.fixture
def broken(caller, monkeypatch):
    """Make every answer of the domain an error."""

    def breaking(error):
        async def fail(*_args, **_kwargs):
            raise error

        def fail_at_once(*_args, **_kwargs):
            raise error

        devices = type(caller.services.devices)
        for name in ("summary", "publish"):
            monkeypatch.setattr(devices, name, fail)
        monkeypatch.setattr(devices, "watch_summary", fail_at_once)

    return breaking


def assert_masked(error, caplog):
    assert "hunter2" not in str(error)
    error_id = MASKED.fullmatch(error["message"])[1]
    assert error["extensions"] == {"code": "INTERNAL", "errorId": error_id}
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert error_id in record.getMessage()
    assert "hunter2" in str(record.exc_info[1])


@pytest.mark.logs_errors
async def test_internal_text_never_leaves(caller, broken, caplog):
    """A query's defect is answered with an id, under which the log has the error."""
    broken(RuntimeError("password=hunter2"))
    assert_masked(await caller.refusal(VIEWED), caplog)


@pytest.mark.logs_errors
async def test_internal_text_never_leaves_a_subscription(caller, broken, caplog):
    """A subscription's defect is answered with an id, too."""
    broken(RuntimeError("password=hunter2"))
    async with caller.watch("subscription { statusSummary { total } }") as watched:
        with pytest.raises(OperationRefused) as caught:
            await watched.next()
    (error,) = caught.value.errors
    assert_masked(error, caplog)


@pytest.mark.logs_errors
async def test_a_masked_error_keeps_its_place(caller, broken):
    """Clients learn which field failed, and where it stands."""
    broken(RuntimeError("password=hunter2"))
    error = await caller.refusal("{ viewer { id }\n  counts: statusSummary { total } }")
    assert error["path"] == ["counts"]
    assert error["locations"] == [{"line": 2, "column": 3}]


@pytest.mark.parametrize(
    ("error", "extensions"),
    [
        (Forbidden("Not yours."), {"code": "FORBIDDEN"}),
        (Unavailable("Gone for lunch."), {"code": "UNAVAILABLE"}),
        (LimitExceeded("Too many."), {"code": "LIMIT_EXCEEDED"}),
        (BadUserInput("Wrong.", [{"index": 3}]), {"code": "BAD_USER_INPUT", "problems": [{"index": 3}]}),
    ],
)
async def test_the_services_own_errors_keep_text_and_code(caller, broken, caplog, error, extensions):
    """A ServiceError is written for the caller, so it is shown, and not logged."""
    broken(error)
    shown = await caller.refusal(VIEWED)
    assert (shown["message"], shown["extensions"]) == (str(error), extensions)
    assert shown["path"] == ["statusSummary"]
    assert caplog.records == []


async def test_a_failed_field_leaves_the_nullable_ones(caller):
    """An error in a nullable field makes that field null, and the others are answered."""
    result = await caller.run('{ device(deviceId: "a", schoolId: "2") { id } viewer { id } }')
    assert result.data == {"device": None, "viewer": {"id": "tester"}}
    (error,) = result.errors
    assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_extensions_of_other_libraries_are_not_shown():
    """What a library puts into an error's extensions stays here."""
    error = GraphQLError("Wrong.", extensions={"stacktrace": ["hunter2"]})
    assert request_error("BAD_USER_INPUT", error) == {"message": "Wrong.", "extensions": {"code": "BAD_USER_INPUT"}}


async def test_a_nested_cause_is_found():
    """A ServiceError inside several GraphQLErrors is still the service's own."""
    nested = GraphQLError("outer", original_error=GraphQLError("inner", original_error=Forbidden("Not yours.")))
    assert field_error(nested) == {"message": "Not yours.", "extensions": {"code": "FORBIDDEN"}}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "$id"),
        ({"id": None}, "$id"),
        ({"id": ["a", "b"]}, "$id"),
        ({"id": {"a": 1}}, "$id"),
    ],
)
async def test_variables_that_do_not_fit_are_bad_input(caller, variables, named):
    """The error names the variable, and nothing is executed."""
    operation = caller.executor.prepare("query ($id: ID!) { device(deviceId: $id) { id } }", None)
    with pytest.raises(OperationRefused) as caught:
        await caller.executor.execute(operation, variables, RequestContext(caller.services.devices, None))
    (error,) = caught.value.errors
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert named in error["message"]
