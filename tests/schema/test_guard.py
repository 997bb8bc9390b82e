"""What one operation may ask for."""

import pytest

from graphql_api.errors import LimitExceeded, RateLimited
from graphql_api.limits import Limits
from graphql_api.schema import Executor, Guard, OperationRefused

NESTED = "{ __schema { types { fields { type { ofType { ofType { name } } } } } } }"


def refused(limits, act):
    """The sentence and the code, and what was counted."""
    guard = Guard(limits)
    with pytest.raises((OperationRefused, LimitExceeded, RateLimited)) as caught:
        act(guard)
    error = caught.value
    code = error.errors[0]["extensions"]["code"] if isinstance(error, OperationRefused) else error.code
    return str(error), code, {name for name, count in guard.refusals.statistics().items() if count}


@pytest.mark.parametrize(
    ("limits", "document", "sentence", "code", "counted"),
    [
        (
            {"max_document_tokens": 5},
            "{ viewer { id subject } }",
            "Expected a document of at most 5 tokens, but this one has more. Send long values as variables.",
            "LIMIT_EXCEEDED",
            "document_size",
        ),
        (
            {"max_document_tokens": 5},
            f"#{'x' * 65}\n{{ a }}",
            "Expected a document of at most 65 characters, but this one has more. Send long values as variables.",
            "LIMIT_EXCEEDED",
            "document_size",
        ),
        (
            {"max_document_fields": 2},
            "{ viewer { id subject } }",
            "Expected a document of at most 2 fields and fragments spread, but this one has more.",
            "LIMIT_EXCEEDED",
            "document_fields",
        ),
        (
            {"max_document_aliases": 1},
            "{ a: viewer { b: id } }",
            "Expected a document of at most 1 aliases, fragments spread, but this one has more.",
            "LIMIT_EXCEEDED",
            "document_aliases",
        ),
        (
            {"max_document_depth": 6},
            NESTED,
            "Expected a document of at most 6 levels of fields, but this one has more.",
            "LIMIT_EXCEEDED",
            "document_depth",
        ),
        (
            {"introspection": False},
            '{ __type(name: "Query") { name } }',
            "GraphQL introspection has been disabled, but the requested query contained the field '__type'.",
            "GRAPHQL_VALIDATION_FAILED",
            "introspection",
        ),
    ],
)  # fmt: skip
def test_a_document_over_a_limit_is_refused_in_a_sentence_and_counted_each_time(
    limits, document, sentence, code, counted
):
    """Each limit of documents has its sentence, its code and its count; a remembered text is counted again."""

    def ask_twice(guard):
        executor = Executor(guard)
        with pytest.raises(OperationRefused):
            executor.prepare(document, None)
        assert guard.refusals.statistics()[counted] == 1
        try:
            executor.prepare(document, None)
        finally:
            assert guard.refusals.statistics()[counted] == 2

    assert refused(Limits(**limits), ask_twice) == (sentence, code, {counted})


def test_documents_at_the_limits_are_accepted():
    """Exactly as many tokens, fields, aliases and levels as are allowed pass, and __typename is no introspection."""
    limits = Limits(
        max_document_tokens=14,
        max_document_fields=4,
        max_document_aliases=2,
        max_document_depth=2,
        introspection=False,
    )
    Executor(Guard(limits)).prepare("{ a: viewer { b: id subject __typename } }", None)


def test_variables_that_are_too_large_are_refused():
    """The variables' bytes as JSON count, and a list among them may not be huge."""
    limits = Limits(variables_limit=10)
    sentence = "Expected variables of at most 10 bytes, but these have 11."
    expected = (sentence, "LIMIT_EXCEEDED", {"variables_size"})
    assert refused(limits, lambda guard: guard.check_variables({"a": "b\N{SNOWMAN}"})) == (
        "Expected variables of at most 10 bytes, but these have 12.",
        *expected[1:],
    )
    assert refused(limits, lambda guard: guard.check_variables({"a": 12345})) == expected
    Guard(limits).check_variables({"a": 1234})
    assert refused(Limits(), lambda guard: guard.check_variables({"a": [1] * 5_001})) == (
        "Expected the list $a to have at most 5000 items, but it has 5001.",
        "LIMIT_EXCEEDED",
        {"list_length"},
    )


def test_a_filter_of_too_many_devices_is_refused():
    """As many deviceIds as allowed pass, one more does not, and none at all is every device."""
    guard = Guard(Limits(max_device_ids=2))
    guard.check_device_ids(None)
    guard.check_device_ids(["a", "b"])
    with pytest.raises(LimitExceeded, match="Expected at most 2 deviceIds, but got 3"):
        guard.check_device_ids(["a", "b", "c"])
    assert guard.refusals.statistics()["list_length"] == 1


def test_publishes_of_one_subject_are_limited_and_of_another_are_not_touched():
    """Who has used up the burst is told when to come back, and others are let through."""
    guard = Guard(Limits(publishes_per_second=0.1, publishes_burst=2))
    for _ in range(2):
        guard.admit_publish("checker")
    with pytest.raises(RateLimited) as caught:
        guard.admit_publish("checker")
    assert 9 < caught.value.retry_after <= 10
    assert caught.value.extensions == {"code": "RATE_LIMITED", "retryAfter": caught.value.retry_after}
    assert f"repeat it in {caught.value.retry_after:g} seconds" in str(caught.value)
    guard.admit_publish("another")
    assert guard.refusals.statistics()["publish_rate"] == 1
