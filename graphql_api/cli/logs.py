"""The log of ``serve``: everything to stderr, one line an event, and never a token."""

import logging
import re
from typing import Any

__all__ = ["HideQueries", "HideTokens", "log_config"]


_QUERY = re.compile(r"\?|%3f", re.IGNORECASE)
# A JWT begins with a JSON object in base64url (RFC 7519, section 3): a brace, and a quote or white space. What stands
# before it in a path may be percent-encoded, and end in a letter: "%3D".
_TOKEN = re.compile(r"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))e(?:yJ|yA|wo|w0|wk)[\w-]*\.[\w-]+\.[\w-]*")


class HideQueries(logging.Filter):
    """Takes the query out of every path that is logged: the plain dialect has its token there.

    All of it, not just ``token=``: a key can be written in many ways (``%74oken=``), and queries over
    GET hold what people ask for.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without queries."""
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(value) for value in record.args)
        return True


class HideTokens(logging.Formatter):
    """Takes whatever looks like a token out of the finished line: the text of an error may hold one, or a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without tokens."""
        return _TOKEN.sub("...", super().format(record))


def _without_query(value: object) -> object:
    if not isinstance(value, str):
        return value
    # A request's target need not begin with a slash, and its question mark may be written as %3F.
    if "/" in value and (query := _QUERY.search(value)):
        value = f"{value[: query.start()]}?..."
    return value


def log_config() -> dict[str, Any]:
    """For :func:`logging.config.dictConfig`: uvicorn's loggers and ours at INFO, all others at WARNING.

    WebSocket handshakes are not told one by one: when ten thousand clients come back at once, nobody reads that.
    """
    info = {"level": "INFO"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": HideTokens, "fmt": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
        "filters": {"hide_queries": {"()": HideQueries}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "line",
                "filters": ["hide_queries"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        # uvicorn speaks of requests only when its access logger has a handler, its own or the root's.
        "loggers": {
            "uvicorn": info,
            "uvicorn.access": info,
            "uvicorn.error": info,
            "uvicorn.error.websocket": {"level": "WARNING"},
            "graphql_api": info,
        },
    }
