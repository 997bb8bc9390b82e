"""Server-Sent Events as a browser's EventSource reads them, over httpx: it comes back by itself, with Last-Event-ID."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

# A CR that nothing follows yet may be half of a CR LF.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    type: str
    data: str


@dataclass
class EventStream:
    """What one response's bytes mean, without I/O (HTML standard, 9.2.6 "Interpreting an event stream")."""

    last_event_id: str = ""
    """Of the last block that was whole; also of those without data."""
    retry: float = 1.0
    """Seconds until the next connection."""
    _rest: bytes = b""
    _id: str | None = None
    _type: str = ""
    _data: list[str] = field(default_factory=list)
    _begun: bool = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes."""
        *lines, self._rest = _LINE_END.split(self._rest + chunk)
        for line in lines:
            text = line.decode(errors="replace")
            if not self._begun:
                self._begun, text = True, text.removeprefix("\ufeff")
            if text:
                self._read(text)
            else:
                yield from self._dispatch()

    def _read(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000

    def _dispatch(self) -> Iterator[Event]:
        if self._id is not None:
            self.last_event_id = self._id
        event, data = self._type or "message", self._data
        self._type, self._data = "", []
        if data:
            yield Event(event, "\n".join(data))


async def watch(
    client: httpx.AsyncClient,
    address: str,
    current_token: Callable[[], Awaitable[str]],
    query: str,
    take: Callable[[dict[str, Any]], None],
) -> None:
    """Hand over each result, over any number of connections, until the service completes it.

    Raises:
        httpx.HTTPStatusError: the service refuses, and will refuse the next time too.
    """
    stream = EventStream()
    while True:
        # What was read of a block that the last response did not finish is forgotten.
        stream = EventStream(stream.last_event_id, stream.retry)
        headers = {"authorization": f"Bearer {await current_token()}", "accept": "text/event-stream"}
        if stream.last_event_id:
            headers["last-event-id"] = stream.last_event_id
        try:
            async with client.stream("POST", address, json={"query": query}, headers=headers) as response:
                response.raise_for_status()
                # Not by aiter_lines(), which also takes U+2028 and others for ends of lines: JSON may hold them.
                async for chunk in response.aiter_bytes():
                    for event in stream.feed(chunk):
                        if event.type == "complete":
                            return
                        take(json.loads(event.data))
        except httpx.HTTPStatusError as refused:
            if refused.response.status_code not in {429, 502, 503, 504}:
                raise
        except httpx.TransportError:
            pass
        await asyncio.sleep(stream.retry * random.uniform(1, 1.5))
