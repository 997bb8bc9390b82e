"""Documents: parsed and validated once, and remembered, the refused ones too."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    parse,
    validate,
)
from strawberry.extensions import SchemaExtension

from graphql_api.schema.problems import OperationRefused, request_error, validation_error

__all__ = ["Documents", "Operation", "PreparedDocument"]

# Documents remembered, the characters that their texts have together, and the longest text that is
# remembered at all. A parsed document takes up to 300 bytes for a character of its text, so they bound
# the memory, to 80 MB.
_REMEMBERED = 500
_REMEMBERED_CHARACTERS = 262_144
_LONGEST_REMEMBERED = 16_384


# What a document may hold, so that reading it does not keep everybody waiting: validation compares fields
# with each other, in a time that grows with the square of their number, and fragments multiply
# them. A round of 1,000 reports with all their fields, written into the document, has some 16,000 tokens;
# the introspection of GraphiQL, fragments spread, some 200 fields.
_MOST_CHARACTERS = 262_144
_MOST_TOKENS = 20_000
_MOST_FIELDS = 400


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


class Documents:
    """Checks operations before they are executed. Remembers a bounded number of texts."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
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
        if len(query) > _MOST_CHARACTERS:
            text = f"Expected a document of at most {_MOST_CHARACTERS} characters, but this one has {len(query)}."
            return _Checked(nothing, [request_error("LIMIT_EXCEEDED", text)])
        try:
            document = parse(query, max_tokens=_MOST_TOKENS)
            if _count_fields(document) > _MOST_FIELDS:
                text = f"Expected a document of at most {_MOST_FIELDS} fields, fragments spread, but this one has more."
                return _Checked(nothing, [request_error("LIMIT_EXCEEDED", text)])
            errors = validate(self._schema, document)
        except GraphQLSyntaxError as error:
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", error)])
        except RecursionError:
            text = "Expected a document of sensible depth, but this one is nested too deeply."
            return _Checked(nothing, [request_error("GRAPHQL_PARSE_FAILED", text)])
        if errors:
            return _Checked(nothing, [validation_error(error) for error in errors])
        return _Checked(document)


class PreparedDocument(SchemaExtension):
    """Hands Strawberry the document that :meth:`Documents.prepare` has found, so that none is parsed twice."""

    def on_parse(self) -> Iterator[None]:
        """The context of every execution holds its operation."""
        self.execution_context.graphql_document = self.execution_context.context.operation.document
        yield

    def on_validate(self) -> Iterator[None]:
        """It was valid when it was prepared."""
        no_errors: list[GraphQLError] = []
        self.execution_context.pre_execution_errors = no_errors
        yield


def _count_fields(document: DocumentNode) -> int:
    """The fields that are executed at most, each fragment counted wherever it is spread."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    counted: dict[str, int] = {}

    def count(selections: Sequence[SelectionNode]) -> int:
        found = 0
        for node in selections:
            if isinstance(node, FragmentSpreadNode):
                found += count_fragment(node.name.value)
                continue
            found += isinstance(node, FieldNode)
            if inner := getattr(node, "selection_set", None):
                found += count(inner.selections)
        return found

    def count_fragment(name: str) -> int:
        if name not in counted:
            # Zero while it is being counted: a fragment in itself is for validation to refuse.
            counted[name] = 0
            if fragment := fragments.get(name):
                counted[name] = count(fragment.selection_set.selections)
        return counted[name]

    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    # A fragment that is spread nowhere is read by validation all the same.
    return max(sum(count(node.selection_set.selections) for node in operations), sum(map(count_fragment, fragments)))


def _name(node: OperationDefinitionNode) -> str | None:
    return node.name.value if node.name else None


def _no_operation(operations: Sequence[OperationDefinitionNode], operation_name: str | None) -> str:
    if not operations:
        return "Expected the document to have an operation, but it has none."
    if operation_name is None:
        return f"Expected operationName to choose one of the document's {len(operations)} operations, but none came."
    return "Expected operationName to be the name of an operation in the document, but none is called that."
