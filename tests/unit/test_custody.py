"""Logins in custody: for whom they are kept, that nobody else opens them, and when they are gone."""

from dataclasses import replace
from datetime import date

import pytest

from relay.doors.auth import Authenticator
from relay.errors import StoreUnavailable
from relay.holding.codec import owner_of
from relay.holding.custody import KEPT_SECONDS, Custody
from relay.keys import Keys, new_keys, rotated
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind
from relay.stores.adaptations import Adaptation, Kind, Scope
from relay.stores.held import NEVER, HeldUpdate, Why
from relay.upstream.site import Rejected, Unavailable, Verified
from tests.support.clocks import Clock
from tests.support.door import a_config
from tests.support.held import done, held_copy, held_message, hold, hold_one, lane
from tests.support.stores import START, a_store

LOGIN = "ada@example.com"
FIRST, SECOND = Credentials("Ada@example.com", "first 密码"), Credentials("Ada@example.com", "second")
ADA = Identity(LOGIN, IdentityKind.PASSTHROUGH, frozenset({LOGIN}), "main", FIRST, START)
KEYS = new_keys(date(2026, 11, 22))
SEALED = {"held_credentials": "sealed"}


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, clock):
    async with a_store(request, tmp_path, clock) as opened:
        yield opened


def custody_of(store, clock, keys: Keys = KEYS, auth=SEALED) -> Custody:
    return Custody(a_config(auth=auth), keys=keys, store=store, clock=clock)


async def held_for_ada(store, **facts):
    """A copy that leaves with Ada's login."""
    facts.setdefault("due_at", NEVER)
    facts.setdefault("why", Why.AUTHENTICATION)
    return await hold_one(store, owner=owner_of(KEYS, "main", LOGIN), **facts)


async def test_a_login_is_what_it_was_and_readable_by_nobody_else(store, clock):
    custody = custody_of(store, clock)
    kept = custody.sealed_for(ADA)
    assert kept is not None
    owner, sealed, until = kept
    assert (owner, until) == (owner_of(KEYS, "main", LOGIN), START + 5 * 86400)
    assert b"first" not in sealed
    assert b"Ada" not in sealed
    await held_for_ada(store)
    assert await store.keep_credentials(owner, sealed, until)
    assert await custody.opened("main", LOGIN) == FIRST
    assert await custody_of(store, clock, rotated(KEYS, "held", date(2026, 12, 1))).opened("main", LOGIN) == FIRST


async def test_a_login_in_anothers_place_opens_for_nobody(store, clock):
    """Whoever may write to the store still cannot send one person's mail with another's password."""
    custody = custody_of(store, clock)
    kept = custody.sealed_for(ADA)
    assert kept is not None
    for number, (upstream, identity) in enumerate((("main", "bob@example.com"), ("other", LOGIN))):
        owner = owner_of(KEYS, upstream, identity)
        await hold_one(store, number=number, owner=owner, in_lane=lane(identity))
        assert await store.keep_credentials(owner, *kept[1:])
        assert await custody.opened(upstream, identity) is None


@pytest.mark.parametrize(
    "identity",
    [
        Identity(LOGIN, IdentityKind.USER, frozenset({LOGIN})),
        Identity("listener:lan", IdentityKind.TRUSTED, frozenset()),
        Identity(LOGIN, IdentityKind.PASSTHROUGH, frozenset({LOGIN}), "main", None),
    ],
)
async def test_only_a_clients_own_login_is_kept(store, clock, identity):
    assert custody_of(store, clock).sealed_for(identity) is None


async def test_nothing_is_kept_where_nobody_asked_for_it(store, clock):
    await held_for_ada(store)
    closed = custody_of(store, clock, auth={})
    assert closed.sealed_for(ADA) is None
    assert await closed.refreshed("main", LOGIN, FIRST) == 0
    assert await store.credentials_of(owner_of(KEYS, "main", LOGIN)) is None


async def test_a_good_login_takes_the_place_of_the_old_one_and_frees_what_waited(store, clock):
    custody = custody_of(store, clock)
    copy = await held_for_ada(store)
    assert await custody.refreshed("main", LOGIN, FIRST) == 1
    clock.pass_(1)
    assert await custody.refreshed("main", LOGIN, SECOND) == 0, "it is free already"
    assert await custody.opened("main", LOGIN) == SECOND
    (claimed,) = await store.claim(10, 600.0)
    assert claimed.recipient == copy.recipient


async def test_a_session_that_is_still_open_does_not_bring_its_old_password_back(store, clock):
    """Ada changed her password and logged in with the new one; her old session sends on and its mail is held."""
    custody = custody_of(store, clock)
    await held_for_ada(store)
    clock.pass_(3600)
    await custody.refreshed("main", LOGIN, SECOND)
    clock.pass_(3600)
    message = held_message(2)
    await hold(store, message, [held_copy(message, "bob")], credentials=custody.sealed_for(ADA))
    assert await custody.opened("main", LOGIN) == SECOND


async def test_what_was_proved_longer_ago_than_it_may_be_kept_is_not_kept(store, clock):
    custody = custody_of(store, clock)
    clock.pass_(KEPT_SECONDS - 1)
    assert custody.keeps(ADA)
    clock.pass_(1)
    assert not custody.keeps(ADA)
    assert custody.sealed_for(ADA) is None


async def test_of_whom_nothing_is_held_nothing_is_kept(store, clock):
    custody = custody_of(store, clock)
    assert await custody.refreshed("main", LOGIN, FIRST) == 0
    assert await custody.opened("main", LOGIN) is None


async def test_with_the_last_copy_and_after_five_days_it_is_gone(store, clock):
    custody = custody_of(store, clock)
    await held_for_ada(store, expires_at=START + 2 * KEPT_SECONDS)
    await custody.refreshed("main", LOGIN, FIRST)
    clock.pass_(KEPT_SECONDS)
    assert await custody.opened("main", LOGIN) is None
    await custody.refreshed("main", LOGIN, SECOND)
    assert await custody.opened("main", LOGIN) == SECOND
    (freed,) = await store.held_copies(None, 10)
    assert await done(store, freed) == 1
    assert await custody.opened("main", LOGIN) is None


async def test_a_refused_login_is_forgotten_at_once_but_not_a_newer_one(store, clock):
    custody = custody_of(store, clock)
    await held_for_ada(store)
    await custody.refreshed("main", LOGIN, FIRST)
    await custody.refused("main", LOGIN, FIRST)
    assert await custody.opened("main", LOGIN) is None
    await custody.refreshed("main", LOGIN, SECOND)
    await custody.refused("main", LOGIN, FIRST)  # this answer was on its way when the second came
    assert await custody.opened("main", LOGIN) == SECOND


async def test_copies_that_are_parked_while_a_login_comes_in_do_not_wait_for_the_next(store, clock):
    custody = custody_of(store, clock)
    await held_for_ada(store, due_at=START, why=Why.UPSTREAM)
    assert await custody.refreshed("main", LOGIN, SECOND) == 0
    (copy,) = await store.claim(10, 600.0)
    await parked(store, copy)
    await custody.parked("main", LOGIN)
    assert len(await store.claim(10, 600.0)) == 1


async def parked(store, copy):
    assert await store.update_held([HeldUpdate(copy, replace(copy, due_at=NEVER, why=Why.AUTHENTICATION))]) == 1


async def test_without_a_login_they_stay_parked(store, clock):
    await held_for_ada(store)
    await custody_of(store, clock).parked("main", LOGIN)
    assert await store.claim(10, 600.0) == []


WITH_ACCOUNT = a_config(account=[{"identity": LOGIN, "upstream": "main", "login": "AKIA1", "password_file": "ada"}])


async def test_a_changed_password_frees_what_waits_for_it_and_what_rests_since_the_old_one_was_refused(store, clock):
    custody = Custody(WITH_ACCOUNT, keys=KEYS, store=store, clock=clock)
    later, hers, its = START + 3600, owner_of(KEYS, "main", LOGIN), owner_of(KEYS, "main", "AKIA1")
    parked = await hold_one(store, 1, owner=hers, why=Why.AUTHENTICATION, due_at=NEVER)
    rests = await hold_one(store, 2, owner=its, why=Why.UPSTREAM, due_at=later)
    await hold_one(store, 3, owner=its, why=Why.LIMIT, due_at=later)
    await hold_one(store, 4, owner=owner_of(KEYS, "main", "eve@example.com"), why=Why.UPSTREAM, due_at=later)
    await custody.passwords_changed(WITH_ACCOUNT.account)
    assert sorted(copy.message for copy in await store.claim(10, 600.0)) == [parked.message, rests.message]


async def test_after_a_start_the_accounts_of_upstreams_that_refused_a_login_count_as_changed(store, clock):
    custody = Custody(WITH_ACCOUNT, keys=KEYS, store=store, clock=clock)
    rest = Adaptation(b"k" * 16, Kind.REST, "main", Scope.UPSTREAM, b"", START, START + 60)
    assert await store.adapt(rest)
    assert await custody.accounts_at_rest() == [], "the upstream wants a pause: no password mends that"
    assert await store.adapt(replace(rest, key=b"l" * 16, scope=Scope.IDENTITY, login=b"1234"))
    assert await custody.accounts_at_rest() == [*WITH_ACCOUNT.account]


class Judge:
    """An upstream that gives one answer."""

    def __init__(self, answer):
        self.answer = answer

    async def verify(self, upstream, identity, credentials):
        return self.answer


@pytest.mark.parametrize(("answer", "freed"), [(Verified(), 1), (Rejected("535 no"), 0), (Unavailable("away", asked=True), 0)])
async def test_only_a_login_that_the_upstream_took_frees_copies(store, clock, answer, freed):
    await held_for_ada(store)
    config = a_config(auth=SEALED)
    custody = custody_of(store, clock)
    told: list[tuple[str, str]] = []

    async def logged_in(upstream, identity):
        told.append((upstream, identity))

    door = Authenticator(
        config, store=store, upstreams=Judge(answer), keys=KEYS, custody=custody, logged_in=logged_in, sleep=no_delay
    )
    try:
        await door.authenticate(Client("submission", "192.0.2.7", "x", None, "ESMTPA"), config.listen[0], LOGIN, "first 密码")
    finally:
        door.close()
    assert told == [("main", LOGIN)] * freed
    assert len(await store.claim(10, 600.0)) == freed
    assert await custody.opened("main", LOGIN) == (Credentials(LOGIN, "first 密码") if freed else None)


async def no_delay(seconds):
    pass


class Away:
    """A store that does not answer what is asked of logins."""

    async def keep_credentials(self, owner, sealed, until):
        raise StoreUnavailable("unreachable", "away")


async def test_that_a_login_is_good_does_not_depend_on_the_store(clock):
    assert await custody_of(Away(), clock).refreshed("main", LOGIN, FIRST) == 0
