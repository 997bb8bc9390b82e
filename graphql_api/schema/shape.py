"""How large a document is once its fragments are spread, told without spreading them. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
)

__all__ = ["Shape", "shape_of"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a document or a part of it, each fragment counted wherever it is spread."""

    fields: int = 0
    aliases: int = 0
    depth: int = 0
    """Levels of fields in fields."""
    spreads: int = 0
    """Fragments that are spread, inline ones too: without a single field they cost as much as fields."""

    def beside(self, other: "Shape") -> "Shape":
        """That of both parts, one after the other."""
        return Shape(
            self.fields + other.fields,
            self.aliases + other.aliases,
            max(self.depth, other.depth),
            self.spreads + other.spreads,
        )


def shape_of(document: DocumentNode) -> Shape:
    """The shape of all operations together; of fragments that are spread nowhere too, for validation reads them.

    Raises:
        RecursionError: the document is nested too deeply.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    return _Walk(fragments).document(document)


class _Walk:
    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, Shape] = {}

    def document(self, document: DocumentNode) -> Shape:
        spread = Shape()
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                spread = spread.beside(self._selections(node.selection_set.selections))
        alone = Shape()
        for name in self._fragments:
            alone = alone.beside(self._fragment(name))
        return Shape(
            max(spread.fields, alone.fields),
            max(spread.aliases, alone.aliases),
            max(spread.depth, alone.depth),
            max(spread.spreads, alone.spreads),
        )

    def _selections(self, selections: Sequence[SelectionNode]) -> Shape:
        fields = aliases = depth = spreads = 0
        for node in selections:
            inner = self._inside(node)
            if isinstance(node, FieldNode):
                has_alias = node.alias is not None
                inner = Shape(inner.fields + 1, inner.aliases + has_alias, inner.depth + 1, inner.spreads)
            else:
                spreads += 1
            fields += inner.fields
            aliases += inner.aliases
            depth = max(depth, inner.depth)
            spreads += inner.spreads
        return Shape(fields, aliases, depth, spreads)

    def _inside(self, node: SelectionNode) -> Shape:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        selection_set = getattr(node, "selection_set", None)
        return self._selections(selection_set.selections) if selection_set else Shape()

    def _fragment(self, name: str) -> Shape:
        if name not in self._known:
            # Nothing while it is being counted: a fragment in itself is for validation to refuse.
            self._known[name] = Shape()
            if fragment := self._fragments.get(name):
                self._known[name] = self._selections(fragment.selection_set.selections)
        return self._known[name]
