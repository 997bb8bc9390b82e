"""Which documents are accepted, which operation of them is run, and what is remembered."""

import pytest
from graphql import OperationType, build_schema, get_introspection_query

from graphql_api.schema import OperationRefused, documents
from graphql_api.schema.documents import Documents

TWO = "query A { viewer { id } } subscription B { deviceStatus { status } }"


def refusal(executor, query, name=None):
    with pytest.raises(OperationRefused) as caught:
        executor.prepare(query, name)
    (error,) = caught.value.errors
    return error


@pytest.fixture
def small():
    return Documents(build_schema("type Query { a: Int }"))


@pytest.fixture
def parsed(monkeypatch):
    """The texts that were parsed."""
    texts = []
    parse = documents.parse

    def counting(text, **options):
        texts.append(text)
        return parse(text, **options)

    monkeypatch.setattr(documents, "parse", counting)
    return texts


def test_the_only_operation_needs_no_name(executor):
    """A document with one operation runs it, named or not."""
    assert executor.prepare("{ viewer { id } }", None).type is OperationType.QUERY
    assert executor.prepare("mutation M { retireDevices(deviceIds: []) { id } }", None).name == "M"


def test_a_name_chooses_among_several(executor):
    """The operationName chooses the operation, and with it its type."""
    assert executor.prepare(TWO, "A").type is OperationType.QUERY
    assert executor.prepare(TWO, "B").type is OperationType.SUBSCRIPTION


@pytest.mark.parametrize(
    ("query", "name", "sentence"),
    [
        (TWO, None, "Expected operationName to choose one of the document's 2 operations, but none came."),
        (TWO, "C", "Expected operationName to be the name of an operation in the document, but none is called that."),
        (
            "{ viewer { id } }",
            "A",
            "Expected operationName to be the name of an operation in the document, but none is called that.",
        ),
    ],
)
def test_an_operation_that_cannot_be_told_is_refused(executor, query, name, sentence):
    """Without a fitting name the first of several operations is not run."""
    assert refusal(executor, query, name) == {"message": sentence, "extensions": {"code": "BAD_USER_INPUT"}}


def test_a_document_without_an_operation_is_refused(small):
    """Fragments and types alone are nothing to run."""
    with pytest.raises(OperationRefused) as caught:
        small.prepare("fragment F on Query { a }", None)
    codes = {error["extensions"]["code"] for error in caught.value.errors}
    assert codes == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("query", ["", "   ", "# nothing", "{", "query {", "\N{SNOWMAN}", "{ a(: }", '{ a(b: "\n") }'])
def test_what_is_no_document_fails_to_parse(executor, query):
    """A syntax error is told with its place."""
    error = refusal(executor, query)
    assert error["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}
    assert error["message"].startswith("Syntax Error: ")
    assert error["locations"]


@pytest.mark.parametrize(
    "query",
    [
        "{" * 10_000,
        "{a" * 10_000 + "}" * 10_000,
        "{ viewer(a: " + "[" * 10_000,
        "{ viewer(a: " + "[" * 10_000 + "]" * 10_000 + ") { id } }",
        "{ viewer(a: " + "{a:" * 10_000 + "1" + "}" * 10_000 + ") { id } }",
        "query ($a: " + "[" * 10_000 + "Int" + "]" * 10_000 + ") { viewer { id } }",
        "{" + "... {" * 10_000 + "viewer { id }" + "}" * 10_001,
    ],
    ids=["braces", "selections", "open lists", "lists", "objects", "types", "fragments"],
)
def test_deep_nesting_fails_to_parse(executor, query):
    """However deeply a document is nested, the answer is an error."""
    assert refusal(executor, query)["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}


def test_invalid_documents_are_told_every_error(executor):
    """Each validation error has its sentence, its place and its code."""
    with pytest.raises(OperationRefused) as caught:
        executor.prepare("{ viewer { id, ages } schoools { id } }", None)
    errors = caught.value.errors
    assert [error["extensions"]["code"] for error in errors] == ["GRAPHQL_VALIDATION_FAILED"] * 2
    assert [error["locations"] for error in errors] == [[{"line": 1, "column": 16}], [{"line": 1, "column": 23}]]
    assert errors[1]["message"] == "Cannot query field 'schoools' on type 'Query'. Did you mean 'schools'?"


def test_an_unknown_enum_value_is_named(executor):
    """A literal that is no status fails validation with the value in the sentence."""
    error = refusal(executor, "{ devices(statuses: [ONLIN]) { totalCount } }")
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "'ONLIN' does not exist in 'Status' enum" in error["message"]


def test_a_text_is_parsed_once(small, parsed):
    """The second request with the same text is served from memory, refused texts included."""
    for _ in range(3):
        small.prepare("{ a }", None)
        for wrong in ("{ b }", "{"):
            with pytest.raises(OperationRefused):
                small.prepare(wrong, None)
    assert parsed == ["{ a }", "{ b }", "{"]


def test_a_bounded_number_of_texts_is_remembered(small, parsed):
    """Of a thousand short texts, five hundred are kept: those that were used last."""
    small.prepare("{ a }", None)
    for number in range(1_000):
        small.prepare(f"{{ a{number}: a }}", None)
        small.prepare("{ a }", None)
    assert len(small) == 500
    assert parsed.count("{ a }") == 1


def test_a_bounded_amount_of_text_is_remembered(small, parsed):
    """Long texts push out more than one other, and those over 16,384 characters are not kept at all."""
    for number in range(30):
        small.prepare(f"{{ a{number}: a }} #{'.' * 16_000}", None)
    assert len(small) == 16
    long = f"{{ a }} #{'.' * 16_384}"
    small.prepare(long, None)
    small.prepare(long, None)
    assert len(small) == 16
    assert parsed.count(long) == 2


def aliases(name, selection, count=20):
    return " ".join(f"{name}{number}:{selection}" for number in range(count))


MULTIPLYING = (
    "{" + aliases("a", "__schema{...A}") + "}"
    "fragment A on __Schema{" + aliases("b", "types{...B}") + "}"
    "fragment B on __Type{" + aliases("c", "name") + "}"
)  # fmt: skip
DOUBLING = "{...F0}" + "".join(
    f"fragment F{number} on Query {{ a: viewer {{ id }} ...F{number + 1} ...F{number + 1} }}" for number in range(100)
)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{" + "a " * 30_000 + "}", "LIMIT_EXCEEDED"),
        ("{" + "viewer{id}" * 1_000 + "}", "LIMIT_EXCEEDED"),
        ("{ ...F } fragment F on Query {" + "viewer{id}" * 1_000 + "}", "LIMIT_EXCEEDED"),
        ("#" * 300_000 + "\n{ viewer { id } }", "LIMIT_EXCEEDED"),
        (MULTIPLYING, "LIMIT_EXCEEDED"),
        (DOUBLING, "LIMIT_EXCEEDED"),
    ],
)
def test_a_document_that_would_take_long_to_read_is_refused(executor, document, code):
    """Too many tokens or fields are refused before the validation whose time grows with their square."""
    with pytest.raises(OperationRefused) as refused:
        executor.prepare(document, None)
    assert refused.value.errors[0]["extensions"]["code"] == code


def written_out(count):
    """A round without variables, with all that a report may say."""
    times = 'observedAt: "2026-11-23T08:00:00Z", lastSeen: "2026-11-23T08:00:00Z"'
    reports = ",".join(f'{{deviceId: "board-{number}", status: ONLINE, {times}}}' for number in range(count))
    return f"mutation {{ publishDeviceStatuses(inputs: [{reports}]) {{ changed }} }}"


def test_a_round_of_a_school_may_be_written_into_the_document(executor):
    """The limits leave room for 300 reports without variables; whoever sends 1,000 so is told to use them."""
    executor.prepare(written_out(300), None)
    for reports in (written_out(1_000), written_out(1_000).replace(", ", " ")):
        (error,) = told(executor, reports)
        assert error["message"].startswith("Expected a document of at most ")
        assert error["message"].endswith(" Send long values as variables.")
        assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}


def test_the_usual_introspection_is_no_large_document(executor):
    """What GraphiQL asks for is within the limits."""
    executor.prepare(
        get_introspection_query(descriptions=True, specified_by_url=True, input_value_deprecation=True), None
    )


def test_a_number_that_python_can_not_read_is_told_without_its_words(executor):
    """An integer of 5,000 digits is refused with a sentence of ours."""
    with pytest.raises(OperationRefused) as refused:
        executor.prepare("{ devices(first: " + "9" * 5_000 + ") { totalCount } }", None)
    (error,) = refused.value.errors
    assert "digits" not in error["message"]
    assert len(error["message"]) < 100


def told(executor, query):
    with pytest.raises(OperationRefused) as caught:
        executor.prepare(query, None)
    return caught.value.errors


def test_few_errors_are_told_and_none_quotes_all_of_the_document(executor):
    """A value with thousands of mistakes, which each error would quote, is told of in a few short errors."""
    wrong = 'deviceIs: "a" ' * 1_500
    errors = told(executor, f"mutation {{ publishDeviceStatuses(inputs: [{{ {wrong} }}]) {{ changed }} }}")
    assert 1 < len(errors) <= 6
    assert max(len(error["message"]) for error in errors) <= 1_000
    assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize(
    "query",
    [
        "{" + 'devices(deviceIds: ["a"]) { totalCount } ' * 33 + "}",
        "{" + "schools { summary { total } } " * 33 + "}",
        "{ schools { summary {" + "total " * 33 + "} } }",
    ],
)
def test_many_fields_in_one_place_are_refused(executor, query):
    """Fields that would all be compared with each other are too many before they are compared, be they valid."""
    (error,) = told(executor, query)
    assert error["message"].startswith("Expected a document of at most 32 fields in one place of the response")
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED"}


def test_as_many_fields_in_one_place_as_may_be_are_accepted(executor):
    """Thirty-two times the same field is one field."""
    executor.prepare("{ schools { " + "id " * 32 + "} }", None)


@pytest.mark.parametrize(
    "query",
    [
        "{ ...A0 }" + "".join(f" fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(20)),
        "{ " + "... { " * 3 + "... { __typename } " * 400 + "} " * 3 + "}",
    ],
)
def test_fragments_without_fields_are_counted_too(executor, query):
    """Fragments that are spread over and over, and hold hardly a field, are refused by their number."""
    (error,) = told(executor, query)
    assert error["message"].startswith("Expected a document of at most 400 fields and fragments spread")


def test_a_fragment_in_itself_is_told_and_ends(executor):
    """Fragments that are spread in themselves in two ways at once are refused for that."""
    (error, *_) = told(
        executor,
        "{ schools { ...A } } fragment A on School { summary { ...B ...B } ...A } fragment B on StatusSummary { ...B }",
    )
    assert "within itself" in error["message"]
