"""Rests of snapshots for clients that have stopped reading: bounded, and counted once for all who share one."""

from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.unfinished import Unfinished

LIMIT = 100
SIZES = {"a": 40, "b": 70, "c": 30, "d": 101}


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.sampled_from(sorted(SIZES)))))
def test_room_is_given_as_a_plain_count_would(steps):
    """Each whole counts once while anybody waits for its rest, and there is never more than the limit."""
    unfinished, model, forgotten = Unfinished(LIMIT), {}, 0
    for owner, whole in steps:
        model.pop(owner, None)
        if whole is None:
            unfinished.release(owner)
        else:
            fits = sum(SIZES[each] for each in {*model.values(), whole}) <= LIMIT
            assert unfinished.hold(owner, whole, SIZES[whole]) is fits
            if fits:
                model[owner] = whole
            forgotten += not fits
        counts = unfinished.statistics()
        assert counts.bytes == sum(SIZES[each] for each in set(model.values())) <= LIMIT
        assert (counts.kept, counts.forgotten) == (len(model), forgotten)
