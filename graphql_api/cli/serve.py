"""``device-status serve``: run the service."""

from typing import Annotated

import typer

from graphql_api.cli.failure import MISUSED, CommandFailed

__all__ = ["serve"]


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; with 0 the system chooses one.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="How many processes serve; several need PostgreSQL and a broadcaster.")
    ] = 1,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Serve a simulated school, with a database and a key that end with it.")
    ] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew whenever the service's code changes; for development.")
    ] = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    With --workers, that many processes share the port; one that dies is replaced. They need a PostgreSQL database and a
    broadcaster that all of them reach: DEVICE_STATUS_DATABASE_URL and DEVICE_STATUS_BROADCAST_URL.

    It speaks GraphQL over HTTP, Server-Sent Events and WebSocket at /graphql, and plain JSON at /ws/device-status.

    The settings are environment variables; `device-status check-config` shows them.
    """
    if workers > 1 and (demo or reload):
        raise CommandFailed(
            f"--workers {workers}: expected 1 with {'--demo' if demo else '--reload'}, which serves in one process.",
            exit_code=MISUSED,
        )
    if demo and reload:
        raise CommandFailed(
            "--demo and --reload don't go together: the demonstration has no state to return to.", exit_code=MISUSED
        )
    # Imported late, as cli/program.py says; the most so what is needed when nothing is wrong so far.
    from graphql_api.cli.address import check_address
    from graphql_api.cli.configured import read_settings, require_shared, told_about_settings

    if demo:
        check_address(host, port)
        from graphql_api.cli.demo import serve_demo

        serve_demo(host, port)
        return
    settings = read_settings()
    with told_about_settings():
        settings.require_keys()
    require_shared(settings, workers)
    check_address(host, port)
    if workers > 1:
        from graphql_api.cli.supervision import serve_with_workers

        serve_with_workers(settings, host, port, workers)
        return
    from graphql_api.cli.serving import serve_configured

    serve_configured(settings, host, port, reload=reload)
