"""How many fields of a document come to the same place in the response, and are to be merged there. No I/O.

Validation compares all of them with each other, arguments included (GraphQL specification, section 5.3.2, Field
Selection Merging), in a time that grows with the square of their number.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

__all__ = ["most_alike"]

_Fragments = dict[str, FragmentDefinitionNode]
_Place = Sequence[SelectionSetNode]
"""What is selected in one place of the response."""


def most_alike(document: DocumentNode) -> int:
    """The fields in that place of the response where there are most; 0 without fields.

    In a time that grows with the number of fields, each fragment counted wherever it is spread. The document must have
    no fragment that is spread in itself: this would not end.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    most = 0
    # Fragments that are spread nowhere too, for validation reads them.
    places: deque[_Place] = deque(
        [node.selection_set]
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode)
    )
    while places:
        counts, inside = _merged(places.popleft(), fragments)
        most = max([most, *counts.values()])
        places.extend(inside)
    return most


def _merged(place: _Place, fragments: _Fragments) -> tuple[Counter[str], Sequence[_Place]]:
    """How often each name of the response is selected in a place, and what is selected inside of it."""
    counts: Counter[str] = Counter()
    inside: defaultdict[str, list[SelectionSetNode]] = defaultdict(list)
    spread: set[str] = set()
    waiting = list(place)
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                name = (node.alias or node.name).value
                counts[name] += 1
                if node.selection_set:
                    inside[name].append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                if fragment := fragments.get(node.name.value):
                    waiting.append(fragment.selection_set)
    return counts, list(inside.values())
