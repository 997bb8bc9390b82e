"""What was rendered lately, against a list in the order of use."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from graphql_api.delivery.rendered import RenderedResults

LIMIT = 5_000
COST = 400
OWNERS = st.sampled_from("ab")
KEYS = st.integers(0, 6)


class RenderedMachine(RuleBasedStateMachine):
    """Entries of two owners under one limit."""

    def __init__(self):
        super().__init__()
        self.rendered = RenderedResults(LIMIT)
        self.entries = {}
        """Value and size, the one that was used last at the end."""
        self.hits = self.evicted = 0

    def weight(self):
        return sum(size + COST for _, size in self.entries.values())

    @rule(owner=OWNERS, key=KEYS, size=st.integers(0, 2_000) | st.just(LIMIT))
    def put(self, owner, key, size):
        value = object()
        self.rendered.put(owner, key, value, size)
        self.entries.pop((owner, key), None)
        if size + COST > LIMIT:
            return
        self.entries[owner, key] = value, size
        while self.weight() > LIMIT:
            del self.entries[next(iter(self.entries))]
            self.evicted += 1

    @rule(owner=OWNERS, key=KEYS)
    def get(self, owner, key):
        found = self.entries.pop((owner, key), None)
        if found:
            self.hits += 1
            self.entries[owner, key] = found
        assert self.rendered.get(owner, key) is (found and found[0])

    @rule(owner=OWNERS, key=KEYS)
    def drop(self, owner, key):
        self.entries.pop((owner, key), None)
        self.rendered.drop(owner, key)

    @rule(owner=OWNERS)
    def drop_all(self, owner):
        self.entries = {place: entry for place, entry in self.entries.items() if place[0] != owner}
        self.rendered.drop_all(owner)

    @invariant()
    def counted(self):
        statistics = self.rendered.statistics()
        assert (statistics.bytes, statistics.entries) == (self.weight(), len(self.entries))
        assert (statistics.hits, statistics.evicted) == (self.hits, self.evicted)
        assert statistics.bytes <= LIMIT
        assert set(self.rendered._of_owner) == {owner for owner, _ in self.entries}


class TestRendered(RenderedMachine.TestCase):
    """No more is kept than the limit says, what was not used for the longest goes first, and all of it is counted."""

    settings = settings(max_examples=100, stateful_step_count=40)


def test_what_is_larger_than_all_the_room_drives_nothing_out():
    """One result that can't be kept is not, and those that are kept stay."""
    rendered = RenderedResults(LIMIT)
    rendered.put("a", 1, "small", 100)
    rendered.put("b", 1, "large", LIMIT)
    assert rendered.get("a", 1) == "small"
    assert rendered.get("b", 1) is None
    assert rendered.statistics().evicted == 0
