"""The rules of recording, without I/O: what is known, what is reported, and when, make a decision.

The store reads what is known, asks here, and writes what was decided, all in one transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, NamedTuple

from graphql_api.devices.model import Change, Device, Head, Rejected, Report, Status
from graphql_api.errors import BadUserInput
from graphql_api.moment import MINUTE, Moment, format_moment

__all__ = [
    "CAN_GO_STALE",
    "Decision",
    "Touch",
    "UnknownDevices",
    "administer",
    "decide",
    "is_stale",
    "mark_stale",
    "refusal",
]

UnknownDevices = Literal["create", "reject"]
"""What a report on a device that was never reported does: make it known, or be invalid."""

CAN_GO_STALE = frozenset({Status.ONLINE, Status.DEGRADED, Status.OFFLINE})
"""Statuses that hold only as long as somebody looks. MAINTENANCE and RETIRED are somebody's decision."""

_KEEPS_LAST_SEEN = frozenset({Status.OFFLINE, Status.UNKNOWN})


class Touch(NamedTuple):
    """A device whose status stays, while the times of its last report move on."""

    device_id: str
    last_seen: Moment
    reported_at: Moment


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, and what to answer."""

    head: Head
    """After the writing."""
    changes: tuple[Change, ...] = ()
    """To append to the log; one without a previous status makes its device known."""
    touched: tuple[Touch, ...] = ()
    unchanged: int = 0
    stale: int = 0
    ignored: int = 0
    rejected: tuple[Rejected, ...] = ()

    @property
    def created(self) -> int:
        """How many devices become known."""
        return sum(change.previous is None for change in self.changes)


class _Outcome(Enum):
    CHANGED = "another status, or the first one: a change"
    MOVED_ON = "the same status, observed later: counted as unchanged, the times move on"
    UNCHANGED = "the same status at the same moment: a repeated call"
    STALE = "observed before what is known"
    IGNORED = "the device is retired"


def decide(
    known: Mapping[str, Device],
    reports: Sequence[tuple[int, Report]],
    *,
    school: str,
    head: Head,
    now: Moment,
    unknown_devices: UnknownDevices = "create",
) -> Decision:
    """What a round of reports comes to.

    Args:
        known: The devices among the reported ones that are known, by id.
        reports: Each with its index in the round as the caller sent it.
        school: Whose round it is.
        head: Of the school's log, as it stands.
        now: By the service's clock, read after ``known`` was locked.
        unknown_devices: Whether reports may make devices known.
    """
    rejected = list(_invalid(known, reports, now, unknown_devices))
    wrong = {one.index for one in rejected}
    timestamp = Moment(max(now, head.timestamp))
    changes: list[Change] = []
    touched: list[Touch] = []
    unchanged = stale = ignored = 0
    version = head.version
    for index, report in reports:
        if index in wrong:
            continue
        device_id, status, device = report.device_id, report.status, known.get(report.device_id)
        outcome, observed_at, last_seen = _weigh(device, report, now)
        if outcome is _Outcome.CHANGED:
            version += 1
            previous = device.status if device else None
            changes.append(Change(school, version, device_id, status, previous, last_seen, observed_at, timestamp))
        elif outcome is _Outcome.MOVED_ON:
            touched.append(Touch(device_id, last_seen, observed_at))
        elif outcome is _Outcome.UNCHANGED:
            unchanged += 1
        elif outcome is _Outcome.STALE:
            stale += 1
        else:
            ignored += 1
    if len(rejected) < len(reports):
        head = replace(head, last_report_at=max(now, head.last_report_at or now))
    return Decision(
        _moved(head, changes),
        tuple(changes),
        tuple(touched),
        len(touched) + unchanged,
        stale,
        ignored,
        tuple(rejected),
    )


def _moved(head: Head, changes: Sequence[Change]) -> Head:
    return replace(head, version=changes[-1].version, timestamp=changes[-1].timestamp) if changes else head


def _weigh(device: Device | None, report: Report, now: Moment) -> tuple[_Outcome, Moment, Moment]:
    """What one valid report does, and its moments with the defaults filled in."""
    observed_at = report.observed_at
    if observed_at is None:
        # Not before what is known: a clock that was set back must not make reports stale.
        observed_at = Moment(max(now, device.reported_at)) if device else now
    last_seen = report.last_seen
    if last_seen is None:
        last_seen = device.last_seen if device and report.status in _KEEPS_LAST_SEEN else observed_at
    if device is None:
        outcome = _Outcome.CHANGED
    elif device.status is Status.RETIRED:
        outcome = _Outcome.IGNORED
    elif observed_at < device.reported_at:
        outcome = _Outcome.STALE
    elif report.status is not device.status:
        outcome = _Outcome.CHANGED
    else:
        outcome = _Outcome.MOVED_ON if observed_at > device.reported_at else _Outcome.UNCHANGED
    return outcome, observed_at, last_seen


def _invalid(
    known: Mapping[str, Device], reports: Sequence[tuple[int, Report]], now: Moment, unknown_devices: UnknownDevices
) -> Iterator[Rejected]:
    first_listed: dict[str, int] = {}
    latest = now + MINUTE
    for index, report in reports:
        device_id = report.device_id
        first = first_listed.setdefault(device_id, index)
        if first != index:
            reason = f"This device is already listed in this round, at index {first}."
        elif report.status is Status.RETIRED:
            reason = "RETIRED can't be reported: only an administrator retires devices, with retireDevices."
        elif report.observed_at is not None and report.observed_at > latest:
            reason = _in_the_future("observedAt", report.observed_at, now)
        elif report.last_seen is not None and report.last_seen > latest:
            reason = _in_the_future("lastSeen", report.last_seen, now)
        elif unknown_devices == "reject" and device_id not in known:
            reason = "This device is not known, and here reports do not make devices known."
        else:
            continue
        yield Rejected(index, device_id, reason)


def _in_the_future(field: str, moment: Moment, now: Moment) -> str:
    return f"{field} must not be more than a minute after now ({format_moment(now)}), but is {format_moment(moment)}."


def refusal(rejected: Sequence[Rejected], valid: int) -> BadUserInput:
    """The error that lists the invalid reports of a round of which nothing is recorded."""
    total = len(rejected) + valid
    return BadUserInput(
        f"{len(rejected)} of {total} {'report is' if total == 1 else 'reports are'} invalid; nothing was recorded.",
        [{"index": one.index, "deviceId": one.device_id, "reason": one.message} for one in rejected],
    )


def administer(
    known: Mapping[str, Device],
    device_ids: Collection[str],
    action: Literal["retire", "restore"],
    *,
    head: Head,
    now: Moment,
) -> Decision:
    """What retiring or restoring these devices comes to; a device that needs nothing gets no change.

    Raises:
        BadUserInput: some of the devices are not known.
    """
    if unknown := [device_id for device_id in device_ids if device_id not in known]:
        raise _not_known(unknown)
    status = Status.RETIRED if action == "retire" else Status.UNKNOWN
    needed = [known[one] for one in device_ids if (known[one].status is Status.RETIRED) is not (action == "retire")]
    return _turned(needed, status, head=head, now=now)


def is_stale(device: Device, silent_since: Moment) -> bool:
    """Whether a device should count as UNKNOWN, having last been reported at this moment or before."""
    return device.status in CAN_GO_STALE and device.reported_at <= silent_since


def mark_stale(devices: Iterable[Device], *, silent_since: Moment, head: Head, now: Moment) -> Decision:
    """What it comes to that nobody has reported some devices for too long.

    They become UNKNOWN, and keep all their times: nobody has seen them, and any report counts that
    would have counted before.
    """
    stale = [device for device in devices if is_stale(device, silent_since)]
    return _turned(stale, Status.UNKNOWN, head=head, now=now)


def _turned(devices: Sequence[Device], status: Status, *, head: Head, now: Moment) -> Decision:
    """A change to this status for each of the devices, though nobody has reported it."""
    timestamp = Moment(max(now, head.timestamp))
    changes = tuple(
        Change(
            device.school,
            version,
            device.device_id,
            status,
            device.status,
            device.last_seen,
            device.reported_at,
            timestamp,
        )
        for version, device in enumerate(devices, head.version + 1)
    )
    return Decision(_moved(head, changes), changes)


def _not_known(device_ids: Sequence[str]) -> BadUserInput:
    shown = 5
    names = ", ".join(device_ids[:shown])
    more = f" and {len(device_ids) - shown} more" if len(device_ids) > shown else ""
    return BadUserInput(
        f"Not known in this school: {names}{more}. Nothing was done.",
        [{"deviceId": device_id, "reason": "This device is not known in this school."} for device_id in device_ids],
    )
