r"""Apollo's multipart protocol for subscriptions: results to bytes, without I/O.

Source: "Multipart HTTP protocol for GraphQL subscriptions" in Apollo's router documentation; RFC 2046
section 5.1.1. A body is ``OPENING``, then any number of parts, then ``CLOSING``.

Every part ends with the *next* boundary, and ``CLOSING`` is only what turns that one into the
last. For a reader knows that a part is over when it sees a boundary: with the boundary in front of
each part instead, every result would wait at the client for the one after it.

Parts are ASCII. Apollo Client decodes each chunk that it reads by itself, so that a character
which the network cuts in two would arrive as two replacement characters.
"""

import json
import re

__all__ = ["CLOSING", "HEARTBEAT", "OPENING", "next_part"]

_PART = b"\r\ncontent-type: application/json\r\n\r\n%b\r\n--graphql"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")

OPENING = b"\r\n--graphql"
"""The first boundary; its line break is part of what clients look for."""

HEARTBEAT = _PART % b"{}"
"""An empty object, which clients skip; proxies see that the connection lives."""

CLOSING = b"--\r\n"
"""Makes the last boundary the closing one. Final: a body that just ends is one to be resumed."""


def next_part(result: bytes) -> bytes:
    """One execution result; ``result`` is encoded JSON."""
    return _PART % _ascii(b'{"payload":%b}' % result)


def _ascii(encoded: bytes) -> bytes:
    """The same JSON with escapes in the place of what is not ASCII (which only strings can hold)."""
    if encoded.isascii():
        return encoded
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], encoded.decode()).encode("ascii")
