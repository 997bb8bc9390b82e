"""Relay-style pages of devices and of their history."""

import base64
import binascii
from typing import Self

import strawberry

from graphql_api.devices import model
from graphql_api.errors import BadUserInput
from graphql_api.identifiers import identifier_problem
from graphql_api.moment import Moment
from graphql_api.schema.enums import Status
from graphql_api.schema.outputs import Device
from graphql_api.schema.scalars import Cursor

__all__ = [
    "DeviceConnection",
    "DeviceEdge",
    "PageInfo",
    "StatusChange",
    "StatusChangeConnection",
    "StatusChangeEdge",
    "check_first",
    "device_after",
    "version_before",
]

_LARGEST_PAGE = 500
_NO_EDGE = "Expected `after` to be the cursor of an edge, but it is none."


def check_first(first: int) -> int:
    """The page size asked for.

    Raises:
        BadUserInput: it is negative, or more than 500.
    """
    if not 0 <= first <= _LARGEST_PAGE:
        raise BadUserInput(f"Expected `first` to be 0 to {_LARGEST_PAGE}, but got {first}. Ask for the next page.")
    return first


def _encode(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).rstrip(b"=").decode()


def _decode(after: str | None) -> str | None:
    if after is None:
        return None
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        return base64.b64decode(padded, b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise BadUserInput(_NO_EDGE) from None


def device_after(after: str | None) -> str | None:
    """The device id that an edge's cursor stands for.

    Raises:
        BadUserInput: it is no cursor of an edge.
    """
    position = _decode(after)
    if position is not None and identifier_problem("after", position):
        raise BadUserInput(_NO_EDGE)
    return position


def version_before(after: str | None) -> int | None:
    """The version that an edge's cursor stands for; raises as :func:`device_after`."""
    position = _decode(after)
    if position is None:
        return None
    # More digits than any version has would be a cost to read, and no number for the store.
    if not (position.isascii() and position.isdigit() and len(position) <= 18):  # noqa: PLR2004 - what fits into 64 bits
        raise BadUserInput(_NO_EDGE)
    return int(position)


@strawberry.type
class PageInfo:
    """Where a page stands among the others."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None

    @classmethod
    def of(cls, cursors: list[str], *, after: str | None, has_next: bool) -> Self:
        """Of the page with these edges: a page after something has a previous one."""
        return cls(
            has_next_page=has_next,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )


@strawberry.type
class DeviceEdge:
    """A device in a page."""

    node: Device
    cursor: str


@strawberry.type
class DeviceConnection:
    """A page of devices, in the order of their ids."""

    edges: list[DeviceEdge]
    page_info: PageInfo
    total_count: int
    cursor: Cursor = strawberry.field(
        description="The school's stream as of this answer: a subscription resumed from here continues it "
        "without a seam."
    )

    @classmethod
    def of(cls, page: model.DevicePage, *, after: str | None, cursor: str) -> Self:
        """The output of a page."""
        edges = [DeviceEdge(node=Device.of(device), cursor=_encode(device.device_id)) for device in page.devices]
        return cls(
            edges=edges,
            page_info=PageInfo.of([edge.cursor for edge in edges], after=after, has_next=page.has_next),
            total_count=page.total,
            cursor=Cursor(cursor),
        )


@strawberry.type
class StatusChange:
    """One entry of a device's history."""

    status: Status
    previous_status: Status | None
    last_seen: Moment
    timestamp: Moment


@strawberry.type
class StatusChangeEdge:
    """An entry in a page of history."""

    node: StatusChange
    cursor: str


@strawberry.type
class StatusChangeConnection:
    """A page of a device's history, newest first."""

    edges: list[StatusChangeEdge]
    page_info: PageInfo

    @classmethod
    def of(cls, page: model.HistoryPage, *, after: str | None) -> Self:
        """The output of a page."""
        edges = [
            StatusChangeEdge(
                node=StatusChange(
                    status=change.status,
                    previous_status=change.previous,
                    last_seen=change.last_seen,
                    timestamp=change.timestamp,
                ),
                cursor=_encode(str(change.version)),
            )
            for change in page.changes
        ]
        return cls(
            edges=edges, page_info=PageInfo.of([edge.cursor for edge in edges], after=after, has_next=page.has_next)
        )
