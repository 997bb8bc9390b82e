"""Requests for subscriptions, generated: some that have much in common, and must not be taken for each other."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.delivery.generated_documents import Document, documents, kin

__all__ = ["DEVICES", "SCHOOLS", "Request", "requests"]

DEVICES = ("a", "b", "1", "true")
"""Ids of devices, among them some that numbers and booleans may be taken for."""

SCHOOLS = ("1", "2")

# What clients send for each, and what they had better not: some of it is equal in Python, or easily taken for another.
_FITTING = {
    "yes": (True, False),
    "no": (False, True),
    "ids": (["a", "b"], ["1"], [1], 1, "1", ["true"], "true", [], None),
    "id": ("a", "1", 1, "true"),
    "statuses": (["ONLINE"], "ONLINE", ["OFFLINE", "DEGRADED"], ["RETIRED"], [], None),
    "status": ("ONLINE", "OFFLINE", "RETIRED"),
    "school": ("1", 1, "2"),
    # Declared by no operation.
    "page": (1, True, "1"),
}
_BOOLEANS = (True, False, 1, 0, 1.0, "true", None)
_ANY = {
    **_FITTING,
    "yes": _BOOLEANS,
    "no": _BOOLEANS,
    "ids": (*_FITTING["ids"], True, [True], 1.0, [1.0], [None]),
    "id": (*_FITTING["id"], True, 1.0, None),
    "statuses": (*_FITTING["statuses"], ["online"], True),
    "status": (*_FITTING["status"], 1, None),
    "school": (*_FITTING["school"], True, None),
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client sends."""

    document: Document
    operation: str
    """The operation that it wants; empty if that has no name."""
    is_named: bool
    """Whether it says so, where there is but one."""
    variables: Mapping[str, Any]

    @property
    def query(self) -> str:
        return self.document.text

    @property
    def operation_name(self) -> str | None:
        return (self.operation or None) if self.is_named or len(self.document.declared) > 1 else None

    @property
    def declared_variables(self) -> dict[str, Any]:
        """Those that the operation declares."""
        declared = self.document.declared[self.operation]
        return {name: value for name, value in self.variables.items() if name in declared}


@st.composite
def _requests_of(draw: st.DrawFn, document: Document) -> list[Request]:
    """One for each operation, and others that differ from one in a variable, or in almost nothing of the document."""
    names = sorted(set().union(*document.declared.values()))
    variables = {name: draw(st.sampled_from(_FITTING[name])) for name in [*names, "page"]}
    is_named = draw(st.booleans())
    found = [Request(document, operation, is_named, variables) for operation in sorted(document.declared)]
    for _ in range(draw(st.integers(2, 6))):
        request = draw(st.sampled_from(found))
        differs = draw(st.sampled_from(["the document", *names, *names]))
        if differs == "the document":
            other = dataclasses.replace(document, text=draw(kin(document.text)))
            found.append(dataclasses.replace(request, document=other))
        else:
            others = {name: value for name, value in request.variables.items() if name != differs}
            if draw(st.integers(0, 3)):
                others[differs] = draw(st.sampled_from(_ANY[differs]))
            found.append(dataclasses.replace(request, variables=others))
    return found


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """Some that have much in common."""
    found = []
    for document in draw(st.lists(documents(), min_size=2, max_size=3)):
        found += draw(_requests_of(document))
    return found
