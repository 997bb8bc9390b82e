"""Documents of subscriptions, generated: they differ in all that GraphQL lets them differ in.

hypothesis-graphql chooses the fields of each operation, and literal arguments. It knows no variables, aliases,
directives, fragments, nor documents with several operations: those are put on here.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import DocumentNode, FieldNode, NameNode, ObjectTypeDefinitionNode, SchemaDefinitionNode, parse, print_ast
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries

from graphql_api.schema import Executor

__all__ = ["Document", "documents", "kin"]

_ROOTS = ("deviceStatus", "devices", "statusSummary")

# The types of all fields that have fields.
_TYPES = {
    "deviceStatus": "DeviceStatusEvent",
    "devices": "DeviceListUpdate",
    "statusSummary": "StatusSummary",
    "device": "Device",
    "changed": "Device",
    "counts": "StatusCount",
}

# How each variable may be declared: wherever one is used, each of its declarations is valid.
_DECLARATIONS = {
    "yes": ("Boolean!", "Boolean! = true", "Boolean! = false", "Boolean = true"),
    "no": ("Boolean!", "Boolean! = true", "Boolean! = false", "Boolean = false"),
    "ids": ("[ID!]", "[ID!]!", '[ID!] = ["a", 1]', '[ID!]! = "true"'),
    "id": ("ID!", 'ID! = "1"', "ID = 1"),
    "statuses": ("[Status!]", "[Status!]!", "[Status!] = OFFLINE"),
    "status": ("Status!", "Status! = OFFLINE"),
    "school": ("ID", 'ID = "1"'),
}


@dataclasses.dataclass(frozen=True)
class Document:
    text: str
    declared: Mapping[str, Sequence[str]]
    """The variables of each operation, by its name; an operation without one is the only one."""


class _Writer:
    """Writes one document, whose fragments may be spread by all of its operations."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._fragments: dict[str, tuple[str, str]] = {}
        """The type and the body of each."""

    def document(self) -> Document:
        names = self._one_of([""], ["One"], ["One", "Two"], ["One", "Two"])
        declared, texts, body = {}, [], ""
        for name in names:
            if body and self._draw(st.booleans()):
                body = self._draw(kin(body, values=False))
            else:
                body = self._root(self._draw(_GENERATED[self._one_of(*_ROOTS)]))
            declared[name] = sorted(self._variables_in(body))
            declarations = [f"${each}: {self._one_of(*_DECLARATIONS[each])}" for each in declared[name]]
            texts.append(f"subscription {name}{_in_parentheses(declarations)} {body}")
        texts += [f"fragment {name} on {on} {body}" for name, (on, body) in self._fragments.items()]
        return Document("\n".join(self._draw(st.permutations(texts))), declared)

    def _root(self, node: FieldNode) -> str:
        """The one field of a subscription, which may come in two parts; each may be in a fragment."""
        name, selections = node.name.value, node.selection_set.selections
        head = f"{self._one_of('', 'as_root: ')}{name}{_in_parentheses(self._arguments(node))}"
        cut = self._draw(st.integers(0, len(selections) - 1))
        parts = [part for part in (selections[:cut], selections[cut:]) if part]
        fields = [f"{head} {self._selection_set(part, _TYPES[name])}" for part in parts]
        return _in_braces([self._in_fragment("Subscription", [field]) for field in fields])

    def _arguments(self, node: FieldNode) -> list[str]:
        given = {each.name.value: print_ast(each.value) for each in node.arguments}
        for name, generated in given.items():
            match name:
                case "deviceIds":
                    others = ["", '["a", 1]', '"true"', "$ids", "$ids", "[$id]", '["b", $id]']
                case "statuses":
                    others = ["", "$statuses", "$statuses", "[$status]", "[RETIRED, $status]"]
                case "snapshot":
                    others = ["$yes", "$no"]
            given[name] = self._one_of("", generated, *others)
        given["schoolId"] = self._one_of("", "", "", '"1"', "$school")
        return [f"{name}: {value}" for name, value in given.items() if value]

    def _selection_set(self, selections: Sequence[FieldNode], on: str) -> str:
        fields = [self._field(each) for each in selections]
        fields += [f"...{name}{self._condition()}" for name in self._fragments_on(on) if self._draw(st.booleans())]
        if not self._draw(st.integers(0, 5)):
            fields.append("__typename")
        cut = self._draw(st.integers(0, len(fields) - 1))
        return _in_braces([*fields[:cut], self._in_fragment(on, fields[cut:], self._condition())])

    def _field(self, node: FieldNode) -> str:
        name = node.name.value
        # An alias that says what it is of is in conflict with nothing else in the document.
        text = f"{self._one_of('', f'as_{name}: ')}{name}{self._condition()}"
        if node.selection_set:
            text += " " + self._selection_set(node.selection_set.selections, _TYPES[name])
        return text

    def _in_fragment(self, on: str, fields: Sequence[str], condition: str = "") -> str:
        """The fields in a fragment with a name, in an inline one, or as they are."""
        kind = self._one_of("named", "inline", "on its type", "none", "none")
        if kind == "none":
            return " ".join(fields)
        if kind != "named":
            return f"...{f' on {on}' if kind == 'on its type' else ''}{condition} {_in_braces(fields)}"
        name = f"Part{len(self._fragments)}"
        self._fragments[name] = (on, _in_braces(fields))
        return f"...{name}{condition}"

    def _condition(self) -> str:
        said = self._one_of("", "", "", "", " @skip(if: {})", " @include(if: {})", " @skip(if: {}) @include(if: {})")
        return said.format(*[self._one_of("true", "false", "$yes", "$no") for _ in range(said.count("{}"))])

    def _fragments_on(self, on: str) -> list[str]:
        return [name for name, (other, _) in self._fragments.items() if other == on]

    def _variables_in(self, body: str) -> set[str]:
        spread = re.findall(r"\.\.\.(Part\d+)", body)
        # A generated string may hold what looks like a variable.
        found = _DECLARATIONS.keys() & re.findall(r"\$(\w+)", body)
        return found.union(*(self._variables_in(self._fragments[each][1]) for each in spread))

    def _one_of(self, *values: Any) -> Any:
        return self._draw(st.sampled_from(values))


def _in_parentheses(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)})" if parts else ""


def _in_braces(parts: Sequence[str]) -> str:
    return f"{{ {' '.join(parts)} }}"


@st.composite
def kin(draw: st.DrawFn, text: str, *, values: bool = True) -> str:
    """Almost the same text, with the same variables; with other values, if its fragments are in it."""
    swapped = [("skip", "include"), ("true", "false")] if values else [("skip", "include")]
    names = draw(st.sampled_from([None, *swapped]))
    if names is None:
        # In two parts the root would become two fields.
        return re.sub(r"as_(?!root)\w+: ", "", text)
    other = dict(zip(names, reversed(names), strict=True))
    return re.sub("|".join(names), lambda found: other[found[0]], text)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Valid ones."""
    return _Writer(draw).document()


def _subscriptions_as_queries() -> str:
    """The schema with subscriptions in place of queries, as the generator knows no subscriptions."""
    definitions = []
    for node in parse(Executor().sdl()).definitions:
        name = getattr(getattr(node, "name", None), "value", None)
        if name in {"Query", "Mutation"} or isinstance(node, SchemaDefinitionNode):
            continue
        if isinstance(node, ObjectTypeDefinitionNode) and name == "Subscription":
            fields = tuple(
                # It knows no school, so we name some.
                dataclasses.replace(field, arguments=tuple(a for a in field.arguments if a.name.value != "schoolId"))
                for field in node.fields
            )
            definitions.append(dataclasses.replace(node, name=NameNode(value="Query"), fields=fields))
        else:
            definitions.append(node)
    return print_ast(DocumentNode(definitions=tuple(definitions)))


def _only_field(document: DocumentNode) -> FieldNode:
    (operation,) = document.definitions
    (field,) = operation.selection_set.selections
    return field


_SCALARS = {name: st.just(nodes.String("never asked for")) for name in ("Cursor", "DateTime")}
_GENERATED = {
    root: queries(_subscriptions_as_queries(), fields=[root], custom_scalars=_SCALARS, print_ast=_only_field)
    for root in _ROOTS
}
