"""What ``publish`` is told of devices: arguments like ``board-7=OFFLINE``, or lines of JSON. No I/O."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphql_api.devices.model import Status
from graphql_api.moment import parse_moment

__all__ = ["GivenReport", "UnusableReport", "read_argument", "read_lines"]

REPORTABLE = tuple(status.value for status in Status if status is not Status.RETIRED)
"""RETIRED is an administrator's to give."""

_FIELDS = ("deviceId", "status", "observedAt", "lastSeen")


@dataclass(frozen=True, slots=True)
class GivenReport:
    """One report, ready to be sent, and where it was given."""

    where: str
    input: dict[str, str]

    @property
    def device_id(self) -> str:
        """The device that it is about."""
        return self.input["deviceId"]


class UnusableReport(Exception):
    """What was given is no report; the text says where, what was expected, and what came."""


def read_argument(text: str, observed_at: str) -> GivenReport:
    """The report of an argument. A device's id may contain "=": the last one divides.

    Raises:
        UnusableReport: it is none.
    """
    device_id, equals, status = text.rpartition("=")
    if not equals or not device_id:
        raise UnusableReport(f"{text!r}: expected a device and its status, like board-7=OFFLINE.")
    report = {"deviceId": device_id, "status": _status(repr(text), status), "observedAt": observed_at}
    return GivenReport(repr(text), report)


def read_lines(lines: Iterable[str], observed_at: str) -> tuple[list[GivenReport], list[str]]:
    """The reports of lines of JSON, and a sentence for each line that is none. Blank lines are nothing."""
    reports: list[GivenReport] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            reports.append(_read_line(f"line {number}", line, observed_at))
        except UnusableReport as problem:
            problems.append(str(problem))
    return reports, problems


def _read_line(where: str, line: str, observed_at: str) -> GivenReport:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableReport(f"{where}: expected a JSON object, but got {_shown(line.strip())} ({error}).") from None
    if not isinstance(given, dict):
        raise UnusableReport(f"{where}: expected a JSON object, but got {_shown(line.strip())}.")
    for name in given:
        if name not in _FIELDS:
            raise UnusableReport(f"{where}: {_shown(name)} is no field of a report; {', '.join(_FIELDS)} are.")
    given = {name: value for name, value in given.items() if value is not None}
    device_id = given.get("deviceId")
    if isinstance(device_id, int) and not isinstance(device_id, bool):
        # GraphQL's ID takes integers too.
        device_id = str(device_id)
    if not isinstance(device_id, str) or not device_id:
        raise UnusableReport(f"{where}: expected deviceId to be a device's id, but got {_shown(device_id)}.")
    report = {"deviceId": device_id, "status": _status(where, given.get("status"))}
    report["observedAt"] = _moment(where, "observedAt", given.get("observedAt", observed_at))
    if "lastSeen" in given:
        report["lastSeen"] = _moment(where, "lastSeen", given["lastSeen"])
    return GivenReport(where, report)


def _status(where: str, value: Any) -> str:
    if isinstance(value, str) and value.upper() in REPORTABLE:
        return value.upper()
    raise UnusableReport(f"{where}: expected a status, one of {', '.join(REPORTABLE)}, but got {_shown(value)}.")


def _moment(where: str, name: str, value: Any) -> str:
    try:
        if isinstance(value, str):
            parse_moment(value)
            return value
    except ValueError as error:
        raise UnusableReport(f"{where}: {name}: {error}.") from None
    raise UnusableReport(f"{where}: expected {name} to be an ISO 8601 moment, but got {_shown(value)}.")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:61]}..."  # noqa: PLR2004 (most of a line)
