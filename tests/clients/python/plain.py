"""The plain dialect, for clients without GraphQL: a new token for each connection, and the changes go on."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake


async def watch(
    address: str,
    current_token: Callable[[], Awaitable[str]],
    take: Callable[[dict[str, Any]], None],
    cursor: str | None = None,
) -> None:
    """Hand over each change, over any number of connections; with a query's cursor, all since that query.

    Raises:
        websockets.exceptions.ConnectionClosed: the service refuses, and will refuse another token too.
    """
    while True:
        url = f"{address}?{urlencode({'resume_from': cursor})}" if cursor else address
        headers = {"authorization": f"Bearer {await current_token()}"}
        try:
            async with connect(url, additional_headers=headers) as connection:
                while True:
                    message = json.loads(await connection.recv())
                    if message["type"] == "device_status_update":
                        take(message)
                        cursor = message["cursor"] or cursor
        except ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code == 4403 and not closed.rcvd.reason.startswith("token-expired"):
                raise
        except (OSError, InvalidHandshake):
            pass
        await asyncio.sleep(random.uniform(0.5, 1.5))
