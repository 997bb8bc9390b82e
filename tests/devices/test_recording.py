"""The rules of recording, against a model that says them once more, plainly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.devices.model import Change, Device, Head, Rejected, Report, Status
from graphql_api.devices.recording import administer, decide, refusal
from graphql_api.errors import BadUserInput
from graphql_api.moment import MINUTE, SECOND, Moment

NOON = Moment(1_795_478_400 * SECOND)

device_ids = st.sampled_from(["a", "b", "c", "d", "e"])
statuses = st.sampled_from(Status)
# Few and close together, around now and around the minute of tolerance: meetings are what matters.
moments = st.sampled_from([NOON + offset for offset in (-2, -1, 0, 1, MINUTE - 1, MINUTE, MINUTE + 1)])
reports = st.builds(Report, device_ids, statuses, st.none() | moments, st.none() | moments)
rounds = st.lists(reports, max_size=8).map(lambda listed: list(enumerate(listed)))
heads = st.builds(
    Head,
    st.integers(5, 9),
    st.sampled_from([NOON - 1, NOON, NOON + 1]),
    st.none() | st.sampled_from([NOON - 1, NOON + 1]),
)
known_devices = st.dictionaries(
    device_ids, st.builds(Device, st.just("s"), device_ids, statuses, moments, moments, moments, st.integers(1, 5))
).map(lambda by_id: {key: device._replace(device_id=key) for key, device in by_id.items()})


def record(known, listed, head=Head(7, NOON), now=NOON, unknown_devices="create"):  # noqa: B008 - immutable
    return decide(known, listed, school="s", head=head, now=now, unknown_devices=unknown_devices)


def after(known, decision):
    """The devices as they stand when the decision has been written."""
    devices = {**known, **{change.device_id: change.device for change in decision.changes}}
    for touch in decision.touched:
        moved = devices[touch.device_id]._replace(last_seen=touch.last_seen, reported_at=touch.reported_at)
        devices[touch.device_id] = moved
    return devices


def model(known, listed, now, unknown_devices):
    """The same rules, one report at a time: counts, and what is then known as (status, last_seen, reported_at)."""
    counts = {"changed": 0, "created": 0, "unchanged": 0, "stale": 0, "ignored": 0, "rejected": []}
    facts = {key: (device.status, device.last_seen, device.reported_at) for key, device in known.items()}
    seen = set()
    for index, report in listed:
        repeated = report.device_id in seen
        seen.add(report.device_id)
        late = [moment for moment in (report.observed_at, report.last_seen) if moment and moment > now + MINUTE]
        missing = unknown_devices == "reject" and report.device_id not in known
        if repeated or late or missing or report.status is Status.RETIRED:
            counts["rejected"].append(index)
            continue
        status, last_seen, reported_at = facts.get(report.device_id, (None, None, None))
        if status is Status.RETIRED:
            counts["ignored"] += 1
            continue
        observed_at = report.observed_at or max(now, reported_at or now)
        if reported_at and observed_at < reported_at:
            counts["stale"] += 1
            continue
        if report.status is status and observed_at == reported_at:
            counts["unchanged"] += 1
            continue
        counts["changed" if report.status is not status else "unchanged"] += 1
        counts["created"] += status is None
        kept = last_seen if report.status in {Status.OFFLINE, Status.UNKNOWN} and last_seen else observed_at
        facts[report.device_id] = (report.status, report.last_seen or kept, observed_at)
    return counts, facts


@given(known_devices, rounds, heads, st.sampled_from(["create", "reject"]))
def test_decision_equals_the_model(known, listed, head, unknown_devices):
    """Counts, rejections and the devices afterwards are those of the model, for every round."""
    decision = record(known, listed, head, unknown_devices=unknown_devices)
    counts, facts = model(known, listed, NOON, unknown_devices)
    assert counts == {
        "changed": len(decision.changes),
        "created": decision.created,
        "unchanged": decision.unchanged,
        "stale": decision.stale,
        "ignored": decision.ignored,
        "rejected": [one.index for one in decision.rejected],
    }
    assert facts == {
        key: (device.status, device.last_seen, device.reported_at) for key, device in after(known, decision).items()
    }


@given(known_devices, rounds, heads)
def test_versions_go_on_without_holes_and_timestamps_never_back(known, listed, head):
    """The changes continue the log at its head, all at max(now, the last timestamp), each from the known status."""
    decision = record(known, listed, head)
    timestamp = max(NOON, head.timestamp)
    assert [one.version for one in decision.changes] == [head.version + n + 1 for n in range(len(decision.changes))]
    assert {one.timestamp for one in decision.changes} <= {timestamp}
    for one in decision.changes:
        assert one.previous == (known[one.device_id].status if one.device_id in known else None)
        assert one.previous is not one.status
    expected = (head.version + len(decision.changes), timestamp) if decision.changes else (head.version, head.timestamp)
    assert (decision.head.version, decision.head.timestamp) == expected


@given(known_devices, rounds, heads)
def test_last_report_at_moves_with_every_valid_report(known, listed, head):
    """A round with one valid report moves last_report_at to now, never back; a round without leaves it."""
    decision = record(known, listed, head)
    valid = len(listed) > len(decision.rejected)
    assert decision.head.last_report_at == (max(NOON, head.last_report_at or 0) if valid else head.last_report_at)


@given(known_devices, rounds)
def test_repeating_a_round_with_its_moments_does_no_harm(known, listed):
    """A round whose reports carry observedAt, recorded twice, changes nothing the second time."""
    explicit = [(index, report._replace(observed_at=report.observed_at or NOON)) for index, report in listed]
    first = record(known, explicit)
    devices = after(known, first)
    again = record(devices, explicit, first.head)
    assert (again.changes, again.touched) == ((), ())
    assert after(devices, again) == devices


@given(
    st.lists(st.sampled_from([one for one in Status if one is not Status.RETIRED]), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_newest_observation_wins_in_whatever_order_they_come(observed, random):
    """Observations of one device at different moments lead to the status of the newest, in every order of arrival."""
    arriving = [Report("a", status, NOON - len(observed) + n) for n, status in enumerate(observed)]
    random.shuffle(arriving)
    known, head = {}, Head()
    for report in arriving:
        decision = record(known, [(0, report)], head)
        known, head = after(known, decision), decision.head
    assert known["a"].status is observed[-1]


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report("a", Status.ONLINE, Moment(NOON + MINUTE + 1)), "observedAt must not be more than a minute after now"),
        (Report("a", Status.ONLINE, None, Moment(NOON + MINUTE + 1)), "lastSeen must not be more than a minute"),
        (Report("a", Status.RETIRED), "with retireDevices"),
        (Report("first", Status.ONLINE), "already listed in this round, at index 3"),
    ],
)
def test_reasons_are_sentences(report, says):
    """Each way to be invalid has a sentence that says what was expected."""
    [rejected] = record({}, [(3, Report("first", Status.ONLINE)), (5, report)]).rejected
    assert (rejected.index, rejected.device_id) == (5, report.device_id)
    assert says in rejected.message
    assert rejected.message.endswith(".")


def test_unknown_devices_may_be_refused():
    """With the policy "reject" an unknown device is invalid, and a retired one is known."""
    retired = Device("s", "old", Status.RETIRED, NOON, NOON, NOON, 1)
    listed = [(0, Report("new", Status.ONLINE)), (1, Report("old", Status.ONLINE))]
    decision = record({"old": retired}, listed, unknown_devices="reject")
    assert [one.index for one in decision.rejected] == [0]
    assert decision.ignored == 1


def test_refusal_lists_every_problem():
    """The error of a refused round counts the reports and holds one problem for each invalid one."""
    error = refusal([Rejected(1, "b", "Bad."), Rejected(4, "e", "Worse.")], valid=3)
    assert str(error) == "2 of 5 reports are invalid; nothing was recorded."
    assert error.problems == [
        {"index": 1, "deviceId": "b", "reason": "Bad."},
        {"index": 4, "deviceId": "e", "reason": "Worse."},
    ]


@given(known_devices, st.sampled_from(["retire", "restore"]), heads)
def test_administering_moves_only_those_that_need_it(known, action, head):
    """Retiring and restoring append a change for each device that needs one, times kept, and doing it twice is once."""
    decision = administer(known, list(known), action, head=head, now=NOON)
    goal = Status.RETIRED if action == "retire" else Status.UNKNOWN
    needed = [key for key, device in known.items() if (device.status is Status.RETIRED) is (action == "restore")]
    timestamp = max(NOON, head.timestamp)
    assert decision.changes == tuple(
        Change("s", head.version + n, key, goal, before.status, before.last_seen, before.reported_at, timestamp)
        for n, (key, before) in enumerate(((key, known[key]) for key in needed), start=1)
    )
    assert decision.head.last_report_at == head.last_report_at
    again = administer(after(known, decision), list(known), action, head=decision.head, now=NOON)
    assert again.changes == ()


def test_administering_unknown_devices_is_refused():
    """Ids that are not known are named, and listed as problems."""
    with pytest.raises(BadUserInput, match="Not known in this school: x, y") as caught:
        administer({}, ["x", "y"], "retire", head=Head(), now=NOON)
    assert [problem["deviceId"] for problem in caught.value.problems] == ["x", "y"]
