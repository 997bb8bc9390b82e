"""Recent changes in memory."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from graphql_api.devices.model import Change, Round, Status
from graphql_api.devices.recent import Backlog, RecentChanges
from graphql_api.moment import Moment


def round_of(school, first, size):
    """Each change has its version for a timestamp."""
    return Round(
        school,
        tuple(
            Change(school, version, "d", Status.ONLINE, None, Moment(version), Moment(version), Moment(version))
            for version in range(first, first + size)
        ),
        before=Moment(first - 1),
    )


class RecentMachine(RuleBasedStateMachine):
    """Backlogs of three schools under one limit of 40 changes, against lists that forget nothing."""

    def __init__(self):
        super().__init__()
        self.recent = RecentChanges(limit=16_000)
        self.backlogs = {school: Backlog(self.recent) for school in "abc"}
        self.heads = dict.fromkeys("abc", 0)

    @rule(school=st.sampled_from("abc"), number=st.integers(1, 30))
    def append_single_changes(self, school, number):
        for _ in range(number):
            self.append(school, 1)

    @rule(school=st.sampled_from("abc"), size=st.integers(1, 50))
    def append(self, school, size):
        self.backlogs[school].append(round_of(school, self.heads[school] + 1, size))
        self.heads[school] += size

    @rule(school=st.sampled_from("abc"), size=st.integers(1, 50))
    def prepend(self, school, size):
        """What was read back from the log is taken in where there is room, and nothing goes for it."""
        first = self.first(school)
        size = min(size, first - 1)
        if not size:
            return
        before = self.recent.statistics()
        self.backlogs[school].prepend(round_of(school, first - size, size))
        fits = before.bytes + 400 * size <= 16_000
        assert self.first(school) == (first - size if fits else first)
        assert self.recent.statistics().evicted == before.evicted

    def first(self, school):
        first = self.backlogs[school].first
        return self.heads[school] + 1 if first is None else first

    @rule(school=st.sampled_from("abc"))
    def clear(self, school):
        self.backlogs[school].clear()
        self.backlogs[school] = Backlog(self.recent)

    @rule(school=st.sampled_from("abc"), data=st.data())
    def ask(self, school, data):
        version = data.draw(st.integers(0, self.heads[school]))
        limit = data.draw(st.none() | st.integers(1, 100))
        found = self.backlogs[school].after(version, limit)
        remembers = self.backlogs[school].first is not None and version + 1 >= self.first(school)
        assert (found is not None) == remembers
        if found is not None:
            last = self.heads[school] if limit is None else min(version + limit, self.heads[school])
            assert [change.version for change in found] == list(range(version + 1, last + 1))

    @rule(school=st.sampled_from("abc"))
    def look_for_each(self, school):
        backlog, head, first = self.backlogs[school], self.heads[school], self.first(school)
        for version in range(head + 2):
            is_held = first <= version <= head
            found = backlog.find(version)
            assert (found and found.version) == (version if is_held else None)
            is_before = backlog.first is not None and version == first - 1
            assert backlog.timestamp_of(version) == (version if is_held or is_before else None)

    @invariant()
    def bounded(self):
        statistics = self.recent.statistics()
        remembered = [self.heads[school] + 1 - self.first(school) for school in "abc"]
        assert statistics.bytes == 400 * sum(remembered) <= 16_000
        assert statistics.rounds <= 40


class TestRecent(RecentMachine.TestCase):
    """Memory stays within its limit, and what is remembered is handed out whole or not at all."""

    settings = settings(max_examples=100, stateful_step_count=30)


def test_a_round_larger_than_the_limit_is_forgotten_at_once():
    """A single round that is over the limit is not kept, and is counted as evicted."""
    recent = RecentChanges(limit=400)
    backlog = Backlog(recent)
    backlog.append(round_of("a", 1, 2))
    assert backlog.after(0) is None
    assert (recent.statistics().bytes, recent.statistics().evicted) == (0, 1)


def test_who_is_live_gets_the_last_round_only():
    """Asking after the version before the last round gives that round's change alone, among many."""
    backlog = Backlog(RecentChanges(limit=10**9))
    rounds = [round_of("a", number, 1) for number in range(1, 1_001)]
    for each in rounds:
        backlog.append(each)
    assert backlog.after(999) == list(rounds[-1].changes)
    assert backlog.after(1_000) == []
