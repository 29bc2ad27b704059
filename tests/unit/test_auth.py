"""Authenticator: who a login proves a client to be, and that guesses are paid for before anybody is asked."""

import asyncio
import time
from datetime import date

import pytest

from relay.config import Config
from relay.doors.auth import Authenticator
from relay.doors.users import User, hash_password, save_users
from relay.errors import StoreUnavailable
from relay.holding.custody import Custody
from relay.keys import Keys, new_keys, rotated
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind
from relay.mail.mailbox import Mailbox
from relay.mail.reply import Reply
from relay.stores.limits import OverLimit, Reserved
from relay.upstream.site import Rejected, Unavailable, Verification, Verified
from tests.support.clocks import Clock
from tests.support.door import a_config
from tests.support.stores import a_store

KEYS = new_keys(date(2026, 11, 21))
NOW = 1_800_000_000.0


class Judge:
    """Upstreams that know the right passwords and count every guess that reaches them."""

    def __init__(self, **right: str) -> None:
        self.right = {f"{name}@example.com": password for name, password in right.items()}
        self.asked: list[tuple[str, str]] = []
        self.answer: Verification | None = None
        self.delay = 0.0

    async def verify(self, upstream, identity, credentials):
        self.asked.append((credentials.login, credentials.password))
        await asyncio.sleep(self.delay)
        if self.answer:
            return self.answer
        return Verified() if self.right.get(identity) == credentials.password else Rejected("535 5.7.8 no")


def a_client(address: str = "192.0.2.7") -> Client:
    return Client("submission", address, "client.example", "TLSv1.3 X", "ESMTPS")


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, clock):
    async with a_store(request, tmp_path, clock) as opened:
        yield opened


class Naps:
    """Sleeps that take no time; remembers them."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


async def told(upstream: str, identity: str) -> None:
    """Whoever wants to know of a login that was taken."""


def an_authenticator(store, judge, config: Config | None = None, clock=None, naps=None, keys: Keys = KEYS) -> Authenticator:
    config = config or a_config()
    custody = Custody(config, keys=keys, store=store, clock=time.time)
    return Authenticator(
        config,
        store=store,
        upstreams=judge,
        keys=keys,
        logged_in=told,
        custody=custody,
        clock=lambda: NOW,
        monotonic=clock or Clock(),
        sleep=naps or Naps(),
    )


async def say(authenticator, login, password, address="192.0.2.7"):
    config = authenticator._config
    return await authenticator.authenticate(a_client(address), config.listen[0], login, password)


async def test_the_upstream_judges_and_the_login_owns_itself(store):
    authenticator = an_authenticator(store, Judge(ada="right"))
    found = await say(authenticator, "Ada@Example.com", "right")
    assert isinstance(found, Identity)
    assert (found.name, found.kind, found.upstream) == ("ada@example.com", IdentityKind.PASSTHROUGH, "main")
    assert found.credentials == Credentials("Ada@Example.com", "right")
    assert found.proved_at == NOW
    assert found.may_use(Mailbox.parse("ada@example.com"))
    assert not found.may_use(Mailbox.parse("bob@example.com"))


async def test_senders_of_the_configuration_are_owned_too(store):
    config = a_config(auth={"senders": {"AKIAEXAMPLE": ["@brand.example", "news@example.com"]}})
    judge = Judge()
    judge.answer = Verified()
    found = await say(an_authenticator(store, judge, config), "AKIAEXAMPLE", "x")
    assert found.owns == {"@brand.example", "news@example.com"}


async def test_a_wrong_password_is_answered_with_the_upstreams_text(store):
    found = await say(an_authenticator(store, Judge(ada="right")), "ada@example.com", "wrong")
    assert isinstance(found, Reply)
    assert str(found) == "535 5.7.8 The upstream server said: 535 5.7.8 no"


async def test_an_upstream_that_cannot_be_asked_is_never_a_yes(store):
    judge = Judge()
    judge.answer = Unavailable("connection refused", asked=False)
    found = await say(an_authenticator(store, judge), "ada@example.com", "x")
    assert found.status == "4.7.0"


async def test_an_upstream_without_auth_judges_nobody(store):
    config = a_config(upstream=[{"name": "main", "addresses": ["127.0.0.1:1"], "tls": "none", "auth": "none"}])
    judge = Judge(ada="right")
    found = await say(an_authenticator(store, judge, config), "ada@example.com", "right")
    assert found.code == 454
    assert judge.asked == []


async def test_a_thousand_guesses_reach_the_upstream_at_most_twenty_times(store):
    judge, naps = Judge(), Naps()
    judge.delay = 0.001
    two = [an_authenticator(store, judge, naps=naps), an_authenticator(store, judge, naps=naps)]
    answers = await asyncio.gather(
        *(say(two[i % 2], f"user{i}@example.com", f"guess{i}", f"198.51.{i % 250}.{i // 250}") for i in range(1000))
    )
    assert len(judge.asked) <= 20
    assert {answer.code for answer in answers} == {535, 454}
    assert sum(answer.code == 535 for answer in answers) == len(judge.asked)


async def test_one_identity_gets_three_different_wrong_passwords(store):
    judge = Judge(ada="right")
    authenticator = an_authenticator(store, judge)
    codes = [(await say(authenticator, "ada@example.com", f"guess{i}", f"192.0.2.{i}")).code for i in range(5)]
    assert codes == [535, 535, 535, 454, 454]
    assert len(judge.asked) == 3


async def test_the_same_wrong_password_costs_once(store):
    judge = Judge(ada="right")
    two = [an_authenticator(store, judge), an_authenticator(store, judge)]
    codes = [(await say(two[i % 2], "ada@example.com", "old")).code for i in range(8)]
    assert codes == [535] * 8
    assert len(judge.asked) == 1
    assert isinstance(await say(two[0], "ada@example.com", "right"), Identity)


async def test_one_address_gets_ten_and_an_ipv6_network_is_one_address(store):
    judge = Judge()
    authenticator = an_authenticator(store, judge)
    codes = [(await say(authenticator, f"u{i}@example.com", "x", f"2001:db8::{i:x}")).code for i in range(12)]
    assert codes == [535] * 10 + [454] * 2
    assert (await say(authenticator, "u99@example.com", "x", "2001:db8:0:1::1")).code == 535


async def test_budgets_come_back_with_time(store, clock):
    judge = Judge(ada="right")
    authenticator = an_authenticator(store, judge, clock=clock)
    for i in range(4):
        await say(authenticator, "ada@example.com", f"guess{i}")
    clock.pass_(16 * 60)
    assert isinstance(await say(authenticator, "ada@example.com", "right"), Identity)


async def test_right_passwords_cost_nothing(store):
    authenticator = an_authenticator(store, Judge(**{f"u{i}": "right" for i in range(30)}))
    for i in range(30):
        assert isinstance(await say(authenticator, f"u{i}@example.com", "right"), Identity)


async def test_who_was_right_a_moment_ago_goes_on_while_strangers_have_used_up_the_budget(store):
    judge = Judge(ada="right")
    authenticator = an_authenticator(store, judge)
    assert isinstance(await say(authenticator, "ada@example.com", "right"), Identity)
    for i in range(25):
        await say(authenticator, f"u{i}@example.com", "x", f"198.51.100.{i}")
    assert isinstance(await say(authenticator, "ada@example.com", "right"), Identity)


async def test_a_password_that_was_right_and_is_wrong_now_is_paid_for(store):
    judge = Judge(ada="right")
    authenticator = an_authenticator(store, judge)
    await say(authenticator, "ada@example.com", "right")
    judge.right["ada@example.com"] = "new"
    assert (await say(authenticator, "ada@example.com", "right")).code == 535
    assert (await say(authenticator, "ada@example.com", "right")).code == 535
    assert len(judge.asked) == 2  # the third was answered from the budget: the same wrong password


async def test_unclear_answers_count_as_tries_at_the_upstream_only(store):
    judge = Judge(ada="right")
    judge.answer = Unavailable("no answer in time", asked=True)
    authenticator = an_authenticator(store, judge)
    for i in range(40):
        assert (await say(authenticator, "ada@example.com", f"x{i}")).code == 454
    assert len(judge.asked) == 20


async def test_a_new_key_generation_gives_nobody_new_guesses(store):
    keys, judge = new_keys(date(2026, 11, 21)), Judge(ada="right")
    authenticator = an_authenticator(store, judge, keys=keys)
    for i in range(3):
        await say(authenticator, "ada@example.com", f"guess{i}")
    keys.take_up(rotated(keys, "addresses", date(2027, 11, 21)))
    assert (await say(authenticator, "ada@example.com", "guess3")).code == 454
    assert len(judge.asked) == 3


async def test_an_outage_costs_nobody_a_guess(store):
    judge = Judge(**{f"u{i}": "right" for i in range(50)})
    judge.answer = Unavailable("connection refused", asked=False)
    authenticator = an_authenticator(store, judge)
    for i in range(50):
        assert (await say(authenticator, f"u{i}@example.com", "right")).code == 454
    assert len(judge.asked) == 50
    judge.answer = None
    for i in range(50):
        assert isinstance(await say(authenticator, f"u{i}@example.com", "right"), Identity)


async def test_later_is_said_slowly(store):
    naps = Naps()
    authenticator = an_authenticator(store, Judge(), naps=naps)
    for i in range(4):
        await say(authenticator, "ada@example.com", f"guess{i}")
    assert naps.taken == [3.0]


class BrokenStore:
    async def reserve(self, charges, lease_seconds):
        raise StoreUnavailable("unreachable", "no answer")


async def test_without_the_store_nobody_is_asked(store):
    judge = Judge(ada="right")
    found = await say(an_authenticator(BrokenStore(), judge), "ada@example.com", "right")
    assert (found.code, judge.asked) == (454, [])


class BusyStore:
    """Guesses of others are in flight for the first few times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def reserve(self, charges, lease_seconds):
        self.times -= 1
        return OverLimit("auth/upstream", 1, in_flight=True) if self.times >= 0 else Reserved("1")

    async def settle(self, reservation):
        pass

    async def refund(self, reservation):
        pass


async def test_guesses_in_flight_are_waited_for_a_while(store):
    judge = Judge(ada="right")
    assert isinstance(await say(an_authenticator(BusyStore(3), judge), "ada@example.com", "right"), Identity)
    assert (await say(an_authenticator(BusyStore(100), judge), "ada@example.com", "right")).code == 454
    assert len(judge.asked) == 1


@pytest.fixture
def users_config(tmp_path):
    save_users(
        tmp_path / "users.toml",
        [User("news@example.com", hash_password("right"), frozenset({"news@example.com", "@brand.example"}))],
    )
    return a_config(tmp_path, auth={"mode": "users", "users_file": "users.toml"})


async def test_users_of_the_file_own_what_it_lists(store, users_config):
    authenticator = an_authenticator(store, Judge(), users_config)
    found = await say(authenticator, "News@Example.com", "right")
    assert (found.kind, found.upstream, found.credentials) == (IdentityKind.USER, None, None)
    assert found.may_use(Mailbox.parse("anybody@brand.example"))
    assert isinstance(await say(authenticator, "news@example.com", "right"), Identity)
    authenticator.close()


async def test_wrong_and_unknown_users_are_refused_and_budgeted(store, users_config):
    authenticator = an_authenticator(store, Judge(), users_config)
    assert (await say(authenticator, "news@example.com", "wrong")).code == 535
    assert (await say(authenticator, "nobody@example.com", "wrong")).code == 535
    codes = [(await say(authenticator, "news@example.com", f"guess{i}")).code for i in range(3)]
    assert codes == [535, 535, 454]
    authenticator.close()


async def test_a_password_that_was_tried_before_it_was_set_is_right_once_it_is(store, users_config, tmp_path, clock):
    """Whoever logs in at once after a change is a second ahead of the file."""
    authenticator = an_authenticator(store, Judge(), users_config, clock)
    assert (await say(authenticator, "news@example.com", "new")).code == 535
    save_users(tmp_path / "users.toml", [User("news@example.com", hash_password("new"), frozenset({"news@example.com"}))])
    clock.pass_(2)
    assert isinstance(await say(authenticator, "news@example.com", "new"), Identity)
    authenticator.close()


async def test_a_user_who_was_removed_is_refused_though_he_was_right_a_moment_ago(store, users_config, tmp_path, clock):
    authenticator = an_authenticator(store, Judge(), users_config, clock)
    assert isinstance(await say(authenticator, "news@example.com", "right"), Identity)
    save_users(tmp_path / "users.toml", [])
    clock.pass_(2)
    assert (await say(authenticator, "news@example.com", "right")).code == 535
    authenticator.close()
