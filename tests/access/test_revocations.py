import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.access.keys import secret_key
from graphql_api.access.principal import EVERY_SCHOOL, Principal, Visibility
from graphql_api.access.revocations import Revocation, Revocations
from graphql_api.access.tokens import TokenProblem, TokenRefused, TokenVerifier
from graphql_api.moment import SECOND, Moment
from tests.access.tokens_of import NOW, SECRET, good_claims, signed


class Connection:
    """Holds a token, and notes when it hears of its revocation."""

    def __init__(self, principal, on_revoked):
        self.principal = principal
        self.on_revoked = on_revoked


def bearer(subject="anna", schools=("1",), issued_at=5, *, all_schools=False):
    issued = None if issued_at is None else Moment(issued_at)
    return Principal(subject, Visibility(frozenset(schools), all_schools, frozenset()), Moment(100), issued)


@pytest.mark.parametrize(("issued_at", "refused"), [(4, True), (5, False), (6, False), (None, True)])
def test_a_token_issued_before_the_moment_is_refused(issued_at, refused):
    """Tokens of before the moment are refused, from the very moment on they are good; without iat they are refused."""
    revocation = Revocation("anna", EVERY_SCHOOL, Moment(5))
    assert revocation.refuses(bearer(issued_at=issued_at)) is refused


def test_another_subject_is_not_meant():
    """A revocation is about one subject, and nobody else's token."""
    assert not Revocation("anna", EVERY_SCHOOL, Moment(9)).refuses(bearer("bert", issued_at=None))


@pytest.mark.parametrize(
    ("schools", "all_schools", "refused"),
    [(("1",), False, True), (("1", "2"), False, True), (("2",), False, False), ((), True, False)],
)
def test_a_school_s_revocation_is_about_tokens_that_name_it(schools, all_schools, refused):
    """One school's administrator reaches tokens that name the school, not others, and not those for every school."""
    revocations = Revocations()
    revocations.add([Revocation("anna", "1", Moment(9))])
    assert revocations.refuse(bearer(schools=schools, all_schools=all_schools)) is refused


def test_those_who_watch_are_told_once():
    """Who holds a revoked token is told at once and once, who holds another one, or has gone, is not."""
    revocations = Revocations()
    told = []
    revocations.watch(Connection(bearer(issued_at=4), lambda: told.append("old")))
    revocations.watch(Connection(bearer(issued_at=6), lambda: told.append("new")))
    revocations.watch(Connection(bearer("bert", issued_at=4), lambda: told.append("other")))
    gone = Connection(bearer(issued_at=4), lambda: told.append("gone"))
    revocations.watch(gone)
    revocations.unwatch(gone)
    revocations.unwatch(gone)
    assert revocations.add([Revocation("anna", EVERY_SCHOOL, Moment(5))]) == 1
    assert revocations.add([Revocation("anna", EVERY_SCHOOL, Moment(5))]) == 0
    assert told == ["old"]
    assert (revocations.statistics().watched, revocations.statistics().ended) == (2, 1)


def test_watchers_may_leave_while_others_are_told():
    """A connection that ends while another one is told disturbs nothing, and is not told."""
    revocations = Revocations()
    told = []

    def leave_all():
        told.append(1)
        for connection in connections:
            revocations.unwatch(connection)

    connections = [Connection(bearer(), leave_all) for _ in range(3)]
    for connection in connections:
        revocations.watch(connection)
    assert revocations.add([Revocation("anna", EVERY_SCHOOL, Moment(9))]) == 1
    assert told == [1]
    assert revocations.statistics().watched == 0


def test_a_revocation_reaches_further_only():
    """One that reaches less far than a known one changes nothing."""
    revocations = Revocations()
    revocations.add([Revocation("anna", EVERY_SCHOOL, Moment(9)), Revocation("anna", EVERY_SCHOOL, Moment(3))])
    assert revocations.refuse(bearer(issued_at=5))
    assert revocations.statistics().revocations == 1


def test_what_is_too_old_is_forgotten():
    """Revocations of so long ago that no such token can be valid are dropped, and younger ones stay."""
    revocations = Revocations()
    revocations.add(
        [Revocation("anna", "1", Moment(4)), Revocation("anna", "2", Moment(6)), Revocation("b", "1", Moment(4))]
    )
    revocations.forget(Moment(4))
    assert revocations.statistics().revocations == 1
    assert revocations.refuse(bearer(schools=["2"]))
    assert not revocations.refuse(bearer("b", issued_at=1))


subjects = st.sampled_from(["anna", "bert"])
schools = st.sampled_from(["1", "2", "3"])
moments = st.integers(0, 6)
revocation_lists = st.lists(st.builds(Revocation, subjects, schools | st.just(EVERY_SCHOOL), moments), max_size=8)
bearers = st.builds(bearer, subjects, st.frozensets(schools, min_size=1), st.none() | moments)


@given(revocation_lists, revocation_lists, bearers)
def test_all_that_was_ever_revoked_is_in_force(first, then, principal):
    """However revocations come, a token is refused, and its watcher told, just when one of them is about it."""
    revocations = Revocations()
    told = []
    revocations.add(first)
    revocations.watch(Connection(principal, lambda: told.append(1)))
    revocations.add(then)
    before, after = (any(one.refuses(principal) for one in some) for some in (first, then))
    assert revocations.refuse(principal) is (before or after)
    if not before:
        assert len(told) == after


def test_a_revoked_token_is_refused_though_it_was_remembered():
    """A token found good before is refused from the revocation on, with a reason of its own; a newer one is good."""
    revocations = Revocations()
    verifier = TokenVerifier([secret_key(SECRET)], revocations=revocations, clock=lambda: NOW)
    old, new = (signed(good_claims(iat=NOW // SECOND - ago)) for ago in (10, 0))
    verifier.verify(old)
    revocations.add([Revocation("reader-1", "north", Moment(NOW - 5 * SECOND))])
    with pytest.raises(TokenRefused) as refused:
        verifier.verify(old)
    assert refused.value.reason is TokenProblem.REVOKED
    assert str(refused.value).startswith("token-revoked: ")
    assert len(str(refused.value).encode()) <= 123
    assert verifier.verify(new).subject == "reader-1"


@pytest.mark.parametrize(("iat", "good"), [(0, True), (-1, False), (..., False)])
def test_a_longest_lifetime(iat, good):
    """Where tokens may live a day, one of a day is good, and one that lives longer or hides its age is not."""
    verifier = TokenVerifier([secret_key(SECRET)], max_lifetime=1, clock=lambda: NOW)
    now = NOW // SECOND
    token = signed(good_claims(iat=iat if iat is ... else now + iat, exp=now + 86_400))
    if good:
        verifier.verify(token)
    else:
        with pytest.raises(TokenRefused, match="it lives too long") as refused:
            verifier.verify(token)
        assert len(str(refused.value).encode()) <= 123
