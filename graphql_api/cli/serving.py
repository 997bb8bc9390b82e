"""Serving with the configured settings: everything is tried once before, so that what is wrong is told plainly."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

import graphql_api
from graphql_api.app import create_app, open_services
from graphql_api.cli.configured import told_about_settings
from graphql_api.cli.database import told_about_database
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.logs import log_config
from graphql_api.delivery.server import run_server, server_config
from graphql_api.settings import Settings

__all__ = ["check_services", "configure", "run", "serve_configured"]


def serve_configured(settings: Settings, host: str, port: int, *, reload: bool) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        CommandFailed: it can't be served with these settings.
    """
    check_services(settings)
    if reload:
        # Another process serves then: it makes the application itself, from the environment.
        folder = str(Path(graphql_api.__file__).parent)
        config = configure(
            settings, "graphql_api.app:create_app", host, port, factory=True, reload=True, reload_dirs=[folder]
        )
    else:
        config = configure(settings, create_app(settings), host, port)
    run(lambda: run_server(config))


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
