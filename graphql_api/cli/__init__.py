"""The command ``device-status``: one module for each group of commands."""

from graphql_api.cli.program import main

__all__ = ["main"]
