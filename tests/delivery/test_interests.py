"""The index of filters against asking every filter about every change."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from graphql_api.delivery.interests import Interests
from graphql_api.devices.model import Change, DeviceFilter, Status
from graphql_api.moment import Moment

NOW = Moment(0)
DEVICES = st.sampled_from("abcd")
FILTERS = st.builds(
    DeviceFilter, st.none() | st.frozensets(DEVICES), st.none() | st.frozensets(st.sampled_from(Status), max_size=3)
)
CHANGES = st.lists(
    st.builds(
        lambda device_id, status, previous: Change("s", 1, device_id, status, previous, NOW, NOW, NOW),
        DEVICES,
        st.sampled_from(Status),
        st.none() | st.sampled_from(Status),
    ),
    max_size=6,
)


class InterestsMachine(RuleBasedStateMachine):
    """Filters that come and go, beside a list of them."""

    def __init__(self):
        super().__init__()
        self.interests = Interests()
        self.filters = {}
        self.count = 0

    @rule(wanted=FILTERS)
    def add(self, wanted):
        self.count += 1
        self.filters[self.count] = wanted
        self.interests.add(self.count, wanted)

    @precondition(lambda self: self.filters)
    @rule(data=st.data())
    def remove(self, data):
        key = data.draw(st.sampled_from(sorted(self.filters)))
        del self.filters[key]
        self.interests.remove(key)

    @rule(changes=CHANGES)
    def ask(self, changes):
        found = {key: list(passing) for key, passing in self.interests.touched(changes).items()}
        expected = {key: [each for each in changes if wanted.passes(each)] for key, wanted in self.filters.items()}
        assert found == {key: passing for key, passing in expected.items() if passing}

    @invariant()
    def nothing_else_is_held(self):
        interests = self.interests
        assert sorted(interests.keys()) == sorted(self.filters)
        assert len(interests) == len(self.filters)
        if not self.filters:
            assert [*interests._by_device, *interests._by_status, *interests._in_everything] == []


class TestInterests(InterestsMachine.TestCase):
    """Whatever filters there are, those are found that a change passes, with the changes in order; no other is."""

    settings = settings(max_examples=100, stateful_step_count=30)


def test_who_wants_something_else_is_not_asked(monkeypatch):
    """A change of one device looks into the filters of that device, not into those of two thousand others."""
    interests = Interests()
    for number in range(2_000):
        interests.add(number, DeviceFilter(frozenset([f"d{number}"])))
    asked = []
    passes = DeviceFilter.passes
    monkeypatch.setattr(DeviceFilter, "passes", lambda self, change: asked.append(self) or passes(self, change))
    change = Change("s", 1, "d7", Status.ONLINE, None, NOW, NOW, NOW)
    assert interests.touched([change]) == {7: [change]}
    assert len(asked) == 1
