"""Who may connect: connections counted by process, address and subject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.admission import Admission, AdmissionStatistics, Full, address_of
from graphql_api.limits import Limits
from graphql_api.refusals import Limit, Refusals


def admission(**limits):
    return Admission(Limits(**limits), Refusals())


def test_every_limit_has_a_sentence_and_is_counted():
    """One connection too many of the process, of an address or of a subject is told which, and counted."""
    refusals = Refusals()
    limits = Limits(max_connections=3, max_connections_per_address=2, max_connections_per_subject=1)
    admitted = Admission(limits, refusals)
    admitted.enter("a").belongs_to("one")
    second = admitted.enter("a")
    with pytest.raises(Full, match="this token's subject has its 1 connections") as of_subject:
        second.belongs_to("one")
    with pytest.raises(Full, match="this address has its 2 connections") as of_address:
        admitted.enter("a")
    admitted.enter(None)
    with pytest.raises(Full, match="the service has its 3 connections") as of_process:
        admitted.enter("b")
    assert [caught.value.limit for caught in (of_subject, of_address, of_process)] == [
        Limit.CONNECTIONS_PER_SUBJECT,
        Limit.CONNECTIONS_PER_ADDRESS,
        Limit.CONNECTIONS,
    ]
    assert {name for name, count in refusals.statistics().items() if count == 1} == {
        "connections",
        "connections_per_address",
        "connections_per_subject",
    }


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address", "max_connections_per_subject"])
def test_reasons_fit_into_a_close_frame(limit):
    """However large the limits are, each sentence has at most 123 bytes."""
    admitted = admission(**{limit: 1})
    admitted.enter("a").belongs_to("s")
    with pytest.raises(Full) as caught:
        admitted.enter("b" if limit == "max_connections_per_subject" else "a").belongs_to("s")
    sentence = str(caught.value).replace("1 conn", f"{2**40} conn")
    assert len(sentence.encode()) <= 123


class Model:
    """The same as an admission, as a plain list."""

    most = (3, 2)

    def __init__(self):
        self.present = {}

    def is_full(self, place, key):
        """Whether nobody more may have this address (0) or subject (1)."""
        return key is not None and sum(one[place] == key for one in self.present.values()) >= self.most[place]

    def enter(self, admitted, address):
        full = len(self.present) >= 6 or self.is_full(0, address)
        try:
            seat = admitted.enter(address)
        except Full:
            assert full
            return None
        assert not full
        self.present[seat] = [address, None]
        return seat

    def identify(self, seat, subject):
        known = self.present.get(seat, [None, "gone"])
        full = known[1] is None and self.is_full(1, subject)
        try:
            seat.belongs_to(subject)
        except Full:
            assert full
            return
        assert not full
        known[1] = known[1] or subject

    def leave(self, seat):
        seat.leave()
        self.present.pop(seat, None)

    def statistics(self):
        crowds = [{one[place] for one in self.present.values()} - {None} for place in (0, 1)]
        return AdmissionStatistics(len(self.present), *map(len, crowds))


names = st.sampled_from("abc")
steps_to_take = st.one_of(
    st.tuples(st.just("enter"), st.none() | names),
    st.tuples(st.just("identify"), st.integers(0, 30), names),
    st.tuples(st.just("leave"), st.integers(0, 30)),
)


@given(st.lists(steps_to_take, max_size=80))
def test_no_limit_is_ever_passed_and_nobody_who_leaves_is_still_counted(steps):
    """Whatever comes, goes, goes twice or turns out to be whose, the counts are those of a plain list."""
    admitted = admission(max_connections=6, max_connections_per_address=3, max_connections_per_subject=2)
    model = Model()
    seats = []
    for kind, *what in steps:
        if kind == "enter":
            seats.append(model.enter(admitted, *what))
        elif (number := what.pop(0)) < len(seats) and seats[number]:
            getattr(model, kind)(seats[number], *what)
        assert admitted.statistics() == model.statistics()


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::1", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("unknown", 0), "unknown"),
        (("", 0), None),
        (None, None),
    ],
)
def test_an_address_is_what_one_party_has(client, address):
    """An IPv4 address counts as it is, also written as IPv6; of an IPv6 address its network counts."""
    assert address_of({"client": client}) == address
