"""Rests of snapshots for clients that have stopped reading: bounded, and counted once for all who share one."""

from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.unfinished import Unfinished

LIMIT = 100
WHOLES = st.sampled_from("abc")
SIZES = st.integers(1, LIMIT + 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | WHOLES, SIZES)))
def test_room_is_given_as_a_plain_count_would(steps):
    """Of each whole the longest rest that anybody has waited for counts, and there is never more than the limit."""
    unfinished, waiting, longest, forgotten = Unfinished(LIMIT), {}, {}, 0
    for owner, whole, size in steps:
        waiting.pop(owner, None)
        longest = {each: size for each, size in longest.items() if each in waiting.values()}
        if whole is None:
            unfinished.release(owner)
        else:
            wanted = {**longest, whole: max(size, longest.get(whole, 0))}
            fits = sum(wanted.values()) <= LIMIT
            assert unfinished.hold(owner, whole, size) is fits
            if fits:
                waiting[owner], longest = whole, wanted
            forgotten += not fits
        counts = unfinished.statistics()
        assert counts.bytes == sum(longest.values()) <= LIMIT
        assert (counts.kept, counts.forgotten) == (len(waiting), forgotten)


def test_who_has_more_to_wait_for_is_counted_in_full():
    """One who has got nothing of a whole yet takes its room, though another has got nearly all of it."""
    unfinished = Unfinished(LIMIT)
    assert unfinished.hold("nearly there", "whole", 1)
    assert not unfinished.hold("at the beginning", "whole", LIMIT + 1)
    assert unfinished.hold("in the middle", "whole", LIMIT)
    assert unfinished.statistics().bytes == LIMIT
