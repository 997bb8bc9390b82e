"""Documents: parsed and validated once, and remembered, the refused ones too."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from strawberry.extensions import SchemaExtension

from graphql_api.schema.problems import OperationRefused, request_error

__all__ = ["Documents", "Operation"]

# Documents remembered, and the longest text (in characters) that is: together they bound the memory.
_REMEMBERED = 500
_LONGEST_REMEMBERED = 16_384


@dataclass(frozen=True, slots=True)
class Operation:
    """A valid document, and the operation in it that is asked for."""

    query: str
    name: str | None
    type: OperationType
    document: DocumentNode


@dataclass(frozen=True, slots=True)
class _Checked:
    document: DocumentNode
    errors: Sequence[dict[str, Any]] = ()


class Documents:
    """Checks operations before they are executed. Remembers a bounded number of texts."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._checked: OrderedDict[str, _Checked] = OrderedDict()

    def prepare(self, query: str, operation_name: str | None) -> Operation:
        """The operation that a request asks for.

        Raises:
            OperationRefused: the document does not parse or validate, or which operation is asked
                for can't be told (GraphQL specification, section 6.1, GetOperation).
        """
        checked = self._check(query)
        if checked.errors:
            raise OperationRefused(checked.errors)
        operations = [node for node in checked.document.definitions if isinstance(node, OperationDefinitionNode)]
        chosen = [node for node in operations if operation_name is None or _name(node) == operation_name]
        if len(chosen) == 1:
            return Operation(query, _name(chosen[0]), chosen[0].operation, checked.document)
        raise OperationRefused([request_error("BAD_USER_INPUT", _no_operation(operations, operation_name))])

    def extension(self) -> SchemaExtension:
        """Hands Strawberry what :meth:`prepare` has found, so that nothing is parsed or validated twice."""
        return _Prepared(self)

    def parsed(self, query: str) -> DocumentNode:
        """The document of a text that :meth:`prepare` has accepted."""
        return self._check(query).document

    def _check(self, query: str) -> _Checked:
        if checked := self._checked.get(query):
            self._checked.move_to_end(query)
            return checked
        checked = self._parse_and_validate(query)
        if len(query) <= _LONGEST_REMEMBERED:
            self._checked[query] = checked
            if len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)
        return checked

    def _parse_and_validate(self, query: str) -> _Checked:
        nothing = DocumentNode(definitions=())
        try:
            checked = _Checked(parse(query))
            errors = validate(self._schema, checked.document)
        except GraphQLSyntaxError as error:
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", error)])
        except RecursionError:
            text = "Expected a document of sensible depth, but this one is nested too deeply."
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", text)])
        return replace(checked, errors=[request_error("GRAPHQL_VALIDATION_FAILED", error) for error in errors])


class _Prepared(SchemaExtension):
    def __init__(self, documents: Documents) -> None:
        super().__init__()
        self._documents = documents

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        context.graphql_document = self._documents.parsed(context.query or "")
        yield

    def on_validate(self) -> Iterator[None]:
        no_errors: list[GraphQLError] = []
        self.execution_context.pre_execution_errors = no_errors
        yield


def _name(node: OperationDefinitionNode) -> str | None:
    return node.name.value if node.name else None


def _no_operation(operations: Sequence[OperationDefinitionNode], operation_name: str | None) -> str:
    if not operations:
        return "Expected the document to have an operation, but it has none."
    if operation_name is None:
        return f"Expected operationName to choose one of the document's {len(operations)} operations, but none came."
    return "Expected operationName to be the name of an operation in the document, but none is called that."
