"""What is known of the part of a log that was not read yet."""

from graphql_api.devices.model import Change, Head, Status
from graphql_api.devices.unread import UNREAD_LIMIT, Unread
from graphql_api.moment import Moment


def change(version, timestamp):
    moment = Moment(timestamp)
    return Change("s", version, "d", Status.ONLINE, None, moment, moment, moment)


def place(version, timestamp):
    return Head(version, Moment(timestamp))


def test_a_change_that_is_another_one_contradicts():
    """Of neighbouring changes each is compared with what was known at its version, and with nothing else."""
    unread = Unread()
    unread.add(place(5, 50))
    unread.add(place(9, 90))
    assert not unread.contradicts([change(4, 0), change(5, 50), change(6, 0)])
    assert not unread.contradicts([change(6, 0)])
    assert unread.contradicts([change(4, 0), change(5, 51)])
    assert unread.contradicts([change(8, 0), change(9, 91)])


def test_the_first_claim_counts():
    """Somebody may stand at the first place, so a second one with the same version does not take its place."""
    unread = Unread()
    unread.add(place(5, 50))
    unread.add(place(5, 51))
    assert unread.timestamp_of(5) == 50


def test_what_was_read_is_forgotten():
    """Places up to where the log was read are not remembered any longer, in whatever order they came."""
    unread = Unread()
    for version in (7, 5, 6):
        unread.add(place(version, 10 * version))
    unread.read(6)
    assert [unread.timestamp_of(version) for version in (5, 6, 7)] == [None, None, 70]
    unread.clear()
    assert len(unread) == 0


def test_no_more_than_the_limit_is_remembered():
    """When it is full, what is remembered stays, and what comes next is not taken in."""
    unread = Unread()
    for version in range(1, UNREAD_LIMIT + 2):
        unread.add(place(version, version))
    assert len(unread) == UNREAD_LIMIT
    assert unread.timestamp_of(1) == 1
    assert unread.timestamp_of(UNREAD_LIMIT + 1) is None
