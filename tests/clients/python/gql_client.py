"""gql over its WebSocket transport: a new token for each connection, and the subscription resumes."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport


async def watch(
    address: str,
    current_token: Callable[[], Awaitable[str]],
    query: str,
    take: Callable[[dict[str, Any]], None],
) -> None:
    """Hand over the data of each result, over any number of connections, until the service completes it.

    Raises:
        gql.transport.exceptions.TransportQueryError: the subscription was refused.
    """
    cursor, checkpoints = None, {}
    while True:
        transport = WebsocketsTransport(
            address,
            # A quiet subscription's cursor is in the service's last ping; of it and the last result's the further wins.
            init_payload={"authorization": f"Bearer {await current_token()}", "resumeFrom": checkpoints},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        )
        request = GraphQLRequest(query, extensions={"resumeFrom": cursor})
        try:
            async with Client(transport=transport) as session:
                async for result in session.subscribe(request, get_execution_result=True):
                    take(result.data)
                    cursor = (result.extensions or {}).get("cursor") or cursor
                return
        except TransportConnectionFailed:
            checkpoints = (transport.payloads.get("ping") or {}).get("cursors") or checkpoints
            await asyncio.sleep(random.uniform(0.5, 1.5))
