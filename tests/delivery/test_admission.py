"""Who may connect: connections counted by process, address and subject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.admission import Admission, Full, address_of
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


def test_reasons_fit_into_a_close_frame():
    """However large the limits are, each sentence has at most 123 bytes."""
    most = 2**40
    for limit in ("max_connections", "max_connections_per_address", "max_connections_per_subject"):
        sentences = []
        crowded = admission(**{limit: 1})
        with pytest.raises(Full) as caught:
            for _ in range(2):
                crowded.enter("a").belongs_to("s")
        sentences.append(str(caught.value).replace("1 conn", f"{most} conn"))
        assert max(len(sentence.encode()) for sentence in sentences) <= 123


names = st.sampled_from("abc")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("enter"), st.none() | names),
            st.tuples(st.just("identify"), st.integers(0, 30), names),
            st.tuples(st.just("leave"), st.integers(0, 30)),
        ),
        max_size=80,
    )
)
def test_no_limit_is_ever_passed_and_nobody_who_leaves_is_still_counted(steps):
    """Whatever comes, goes, goes twice or turns out to be whose, the counts are those of a plain list."""
    admitted = admission(max_connections=6, max_connections_per_address=3, max_connections_per_subject=2)
    present = {}
    seats = []

    def crowd(place, key):
        return sum(1 for one in present.values() if one[place] == key)

    for kind, *given in steps:
        if kind == "enter":
            (address,) = given
            full = len(present) >= 6 or (address is not None and crowd(0, address) >= 3)
            try:
                seat = admitted.enter(address)
            except Full:
                assert full
            else:
                assert not full
                seats.append(seat)
                present[seat] = [address, None]
        elif given[0] < len(seats):
            seat = seats[given[0]]
            if kind == "leave":
                seat.leave()
                present.pop(seat, None)
            elif seat in present and present[seat][1] is None:
                full = crowd(1, given[1]) >= 2
                try:
                    seat.belongs_to(given[1])
                except Full:
                    assert full
                else:
                    assert not full
                    present[seat][1] = given[1]
            else:
                seat.belongs_to(given[1])
        statistics = admitted.statistics()
        assert statistics.connections == len(present)
        assert statistics.addresses == len({one[0] for one in present.values()} - {None})
        assert statistics.subjects == len({one[1] for one in present.values()} - {None})


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
