"""uvicorn, set up for this service: how it listens, how it closes."""

from typing import Any

import uvicorn

__all__ = ["server_config"]


def server_config(
    app: Any, *, host: str, port: int, message_limit: int, shutdown_timeout: float, **options: Any
) -> uvicorn.Config:
    """How uvicorn serves the application; ``options`` go to uvicorn as they are."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        # The only WebSocket implementation of uvicorn's that is not deprecated.
        ws="websockets-sansio",
        ws_max_size=message_limit,
        # Costs memory for each connection and time for each delivery, on messages of a few hundred bytes.
        ws_per_message_deflate=False,
        # uvicorn's own keep-alive closes with 1011, which is final for graphql-ws clients.
        ws_ping_interval=None,
        # An open event stream would keep the process from ending.
        timeout_graceful_shutdown=max(1, round(shutdown_timeout)),
        server_header=False,
        lifespan="on",
        **options,
    )
