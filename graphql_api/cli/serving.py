"""Serving with the configured settings: everything is tried once before, so that what is wrong is told plainly."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

import graphql_api
from graphql_api.app import create_app, open_services
from graphql_api.cli.configured import told_about_settings
from graphql_api.cli.database import told_about_database
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.logs import log_config
from graphql_api.delivery.handshake import Receive, Scope
from graphql_api.delivery.outlet import Send
from graphql_api.delivery.server import run_server, server_config
from graphql_api.settings import Settings

__all__ = ["ASGI", "check_services", "configure", "run", "serve_application", "serve_configured"]

ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]


def serve_configured(settings: Settings, host: str, port: int, *, reload: bool) -> None:
    """Serve in this process until SIGTERM or Ctrl-C.

    Raises:
        CommandFailed: it can't be served with these settings.
    """
    check_services(settings)
    if not reload:
        serve_application(settings, lambda app: run_server(configure(settings, app, host, port)))
        return
    # Another process serves then: it makes the application itself, from the environment.
    folder = str(Path(graphql_api.__file__).parent)
    config = configure(
        settings, "graphql_api.app:create_app", host, port, factory=True, reload=True, reload_dirs=[folder]
    )
    run(lambda: run_server(config))


def serve_application(settings: Settings, serve: Callable[[ASGI], bool]) -> None:
    """Make the application, and have it served.

    Raises:
        CommandFailed: it could not start; what can have changed since :func:`check_services` is told in a sentence.
    """
    starting = _Starting(create_app(settings))
    try:
        run(lambda: serve(starting))
    except CommandFailed:
        if starting.failure is None:
            raise
        with told_about_settings(), told_about_database(settings):
            raise starting.failure from None


class _Starting:
    """The application; a failure to start is kept, to be told by the command instead of as a traceback in the log."""

    def __init__(self, app: ASGI) -> None:
        self._app = app
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def tell(message: Any) -> None:
            # The text of a failure is a traceback, which uvicorn would log.
            await send({"type": message["type"]} if message["type"] == "lifespan.startup.failed" else message)

        try:
            await self._app(scope, receive, tell)
        except Exception as error:
            self.failure = error
            raise


def configure(settings: Settings, app: Any, host: str, port: int, **options: Any) -> uvicorn.Config:
    """Configure uvicorn, and the logs with it."""
    return server_config(
        app,
        host=host,
        port=port,
        message_limit=settings.message_limit,
        shutdown_timeout=settings.shutdown_timeout,
        trusted_proxies=settings.trusted_proxies,
        log_config=log_config(),
        **options,
    )


def run(serve: Callable[[], bool]) -> None:
    """Serve, and see that it came to that.

    Raises:
        CommandFailed: it didn't.
    """
    try:
        served = serve()
    except SystemExit:
        # uvicorn has logged the reason.
        served = False
    if not served:
        raise CommandFailed("The service could not start; the log says why.")


def check_services(settings: Settings) -> None:
    """Open all that serves, and close it again.

    Raises:
        CommandFailed: the keys or the database can't serve.
    """

    async def try_once() -> None:
        async with open_services(settings):
            pass

    with told_about_settings(), told_about_database(settings):
        asyncio.run(try_once())
