"""Documents: parsed and validated once, and remembered, the refused ones too."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoFragmentCyclesRule,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from graphql_api.limits import Limits
from graphql_api.refusals import Limit
from graphql_api.schema.guard import Guard
from graphql_api.schema.merging import most_alike
from graphql_api.schema.problems import OperationRefused, request_error, validation_error
from graphql_api.schema.shape import shape_of

__all__ = ["Documents", "Operation"]

# Documents remembered, the characters that their texts have together, and the longest text that is
# remembered at all. A parsed document takes up to 300 bytes for a character of its text, so they bound
# the memory, to 80 MB.
_REMEMBERED = 500
_REMEMBERED_CHARACTERS = 262_144
_LONGEST_REMEMBERED = 16_384


# What a document may hold is limited, so that reading it does not keep everybody waiting: validation compares fields
# with each other, in a time that grows with the square of their number, and fragments multiply
# them. A token has rarely more characters than this, comments and space included.
_CHARACTERS_A_TOKEN = 13

# What to do about a document that is too large.
_VARIABLES = " Send long values as variables."

# Errors that a document is told at most. Each may take milliseconds to write: it quotes a value that may be as large as
# the document.
_MOST_ERRORS = 5

# Fields that come to the same place in the response: merging them takes the square of that. A page whose twenty
# fragments all want the id of the same thing has twenty.
_MOST_ALIKE = 32


@dataclass(frozen=True, slots=True)
class Operation:
    """A valid document, and the operation in it that is asked for."""

    query: str
    name: str | None
    type: OperationType
    document: DocumentNode
    declared: frozenset[str]
    """The names of its variables."""


@dataclass(frozen=True, slots=True)
class _Checked:
    document: DocumentNode
    errors: Sequence[dict[str, Any]] = ()
    limit: Limit | None = None
    """The limit that the text does not keep."""


class _TooMuch(Exception):
    def __init__(self, limit: Limit, most: int, unit: str, of_what: str = "", way_out: str = "") -> None:
        self.limit = limit
        super().__init__(f"Expected a document of at most {most} {unit}{of_what}, but this one has more.{way_out}")


class Documents:
    """Checks operations before they are executed. Remembers a bounded number of texts."""

    def __init__(self, schema: GraphQLSchema, guard: Guard | None = None) -> None:
        self._schema = schema
        self._guard = guard or Guard()
        self._checked: OrderedDict[str, _Checked] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        """How many texts are remembered."""
        return len(self._checked)

    def prepare(self, query: str, operation_name: str | None) -> Operation:
        """The operation that a request asks for.

        Raises:
            OperationRefused: the document does not parse or validate, or which operation is asked
                for can't be told (GraphQL specification, section 6.1, GetOperation).
        """
        checked = self._check(query)
        if checked.limit:
            self._guard.refusals.count(checked.limit)
        if checked.errors:
            raise OperationRefused(checked.errors)
        operations = [node for node in checked.document.definitions if isinstance(node, OperationDefinitionNode)]
        chosen = [node for node in operations if operation_name is None or _name(node) == operation_name]
        if len(chosen) == 1:
            node = chosen[0]
            declared = frozenset(each.variable.name.value for each in node.variable_definitions or ())
            return Operation(query, _name(node), node.operation, checked.document, declared)
        raise OperationRefused([request_error("BAD_USER_INPUT", _no_operation(operations, operation_name))])

    def _check(self, query: str) -> _Checked:
        if checked := self._checked.get(query):
            self._checked.move_to_end(query)
            return checked
        checked = self._parse_and_validate(query)
        if len(query) <= _LONGEST_REMEMBERED:
            self._checked[query] = checked
            self._characters += len(query)
            while len(self._checked) > _REMEMBERED or self._characters > _REMEMBERED_CHARACTERS:
                forgotten, _ = self._checked.popitem(last=False)
                self._characters -= len(forgotten)
        return checked

    def _parse_and_validate(self, query: str) -> _Checked:
        nothing = DocumentNode(definitions=())
        try:
            document = _parse(query, self._guard.limits)
            if not self._guard.limits.introspection and (
                errors := self._validate(document, NoSchemaIntrospectionCustomRule)
            ):
                return _Checked(nothing, [validation_error(error) for error in errors], Limit.INTROSPECTION)
            # Fragments that are spread in themselves first: nobody else need expect any.
            errors = self._validate(document, NoFragmentCyclesRule) or self._merge_and_validate(document)
        except _TooMuch as refused:
            return _Checked(nothing, [request_error("LIMIT_EXCEEDED", str(refused))], refused.limit)
        except GraphQLSyntaxError as error:
            limit = Limit.DOCUMENT_DEPTH if "nested too deeply" in error.message else None
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", error)], limit)
        except RecursionError:
            text = "Expected a document of sensible depth, but this one is nested too deeply."
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", text)], Limit.DOCUMENT_DEPTH)
        if errors:
            return _Checked(nothing, [validation_error(error) for error in errors])
        return _Checked(document)

    def _merge_and_validate(self, document: DocumentNode) -> list[GraphQLError]:
        if most_alike(document) > _MOST_ALIKE:
            raise _TooMuch(Limit.DOCUMENT_FIELDS, _MOST_ALIKE, "fields", " in one place of the response")
        return self._validate(document)

    def _validate(self, document: DocumentNode, *rules: type[ASTValidationRule]) -> list[GraphQLError]:
        """The errors of these rules; without any, of all that the specification has."""
        return validate(self._schema, document, rules or None, max_errors=_MOST_ERRORS)


def _parse(query: str, limits: Limits) -> DocumentNode:
    """The document, if it keeps the limits."""
    characters = limits.max_document_tokens * _CHARACTERS_A_TOKEN
    if len(query) > characters:
        raise _TooMuch(Limit.DOCUMENT_SIZE, characters, "characters", way_out=_VARIABLES)
    try:
        document = parse(query, max_tokens=limits.max_document_tokens)
    except GraphQLSyntaxError as error:
        # graphql-core has no error of its own for it.
        if "tokens. Parsing aborted" in error.message:
            raise _TooMuch(Limit.DOCUMENT_SIZE, limits.max_document_tokens, "tokens", way_out=_VARIABLES) from None
        raise
    shape = shape_of(document)
    if shape.fields + shape.spreads > limits.max_document_fields:
        raise _TooMuch(Limit.DOCUMENT_FIELDS, limits.max_document_fields, "fields and fragments", " spread")
    if shape.aliases > limits.max_document_aliases:
        raise _TooMuch(Limit.DOCUMENT_ALIASES, limits.max_document_aliases, "aliases", ", fragments spread")
    if shape.depth > limits.max_document_depth:
        raise _TooMuch(Limit.DOCUMENT_DEPTH, limits.max_document_depth, "levels of fields")
    return document


def _name(node: OperationDefinitionNode) -> str | None:
    return node.name.value if node.name else None


def _no_operation(operations: Sequence[OperationDefinitionNode], operation_name: str | None) -> str:
    if not operations:
        return "Expected the document to have an operation, but it has none."
    if operation_name is None:
        return f"Expected operationName to choose one of the document's {len(operations)} operations, but none came."
    return "Expected operationName to be the name of an operation in the document, but none is called that."
