"""Server-sent events: results to bytes, without I/O.

Sources: GraphQL over SSE (PROTOCOL.md of graphql-sse), section "Distinct connections mode"; the HTML
standard, section "Server-sent events". Lines end with LF alone: clients such as urql look for an
empty line as two of them.
"""

__all__ = ["COMPLETE", "KEEP_ALIVE", "checkpoint", "next_event"]

COMPLETE = b"event: complete\ndata:\n\n"
"""The operation is over. The empty ``data`` line is needed: browsers drop an event that has none."""

KEEP_ALIVE = b":\n\n"
"""A comment: readers skip it, proxies see that the connection lives."""


def next_event(result: bytes, event_id: str | None = None) -> bytes:
    """One execution result.

    Args:
        result: encoded JSON. Valid JSON needs no raw line break, and orjson writes none.
        event_id: what a client hands back as ``Last-Event-ID``.

    Raises:
        ValueError: the result holds a raw line break, or the id can't be one.
    """
    if b"\n" in result or b"\r" in result:
        raise ValueError("expected JSON without raw line breaks")
    if event_id is None:
        return b"event: next\ndata: %b\n\n" % result
    return b"event: next\ndata: %b\n%b" % (result, checkpoint(event_id))


def checkpoint(event_id: str) -> bytes:
    """An id without an event: a reader remembers it for ``Last-Event-ID``, and dispatches nothing.

    Raises:
        ValueError: the id is empty (which would make a reader forget the last one), or holds
            a line break or NUL (which would make it ignore the line, or read two).
    """
    if not event_id or not {"\r", "\n", "\0"}.isdisjoint(event_id):
        raise ValueError(f"expected a cursor without line breaks and NUL, but got {event_id[:64]!r}")
    return b"id: %b\n\n" % event_id.encode()
