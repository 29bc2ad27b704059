"""Held mail of a client's own login leaves with that login, when the client is long gone; by the real line and courier."""

import logging
import shutil
from dataclasses import replace

from relay.carrying.account_watch import FREE_SECONDS
from relay.holding.codec import owner_of
from relay.mail.envelope import Credentials, Identity, IdentityKind, Recipient
from relay.mail.mailbox import Mailbox
from relay.stores.held import HeldCopy, Why
from tests.support.courier import CourierHouse
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.line import CLIENT
from tests.support.redis_server import RedisServer
from tests.support.service import OFFICE, PASSWORD, message
from tests.support.upstream import RecordingUpstream

KEYS = '[keys]\nfile = "secrets/keys.toml"\n'
upstream = an_upstream(accounts={OFFICE: PASSWORD})
house = a_courier_house(auth="account", extra=KEYS, logins='held_credentials = "sealed"')


def submit(house, recipient: str):
    """One mail of a client that logged in with its own account, and goes."""
    credentials = Credentials(OFFICE, PASSWORD)
    identity = Identity(OFFICE, IdentityKind.PASSTHROUGH, frozenset({OFFICE}), "up", credentials, house.clock.now)

    async def send():
        submission = await house.line.begin(CLIENT, identity, Mailbox.parse(OFFICE))
        submission = replace(submission, recipients=(Recipient(Mailbox.parse(recipient)),))
        reply = await house.line.submit(submission, message(sender=OFFICE))
        await house.line.concluded(submission)
        return reply

    return house.run(send())


def login_kept(house):
    return house.run(house.store.credentials_of(owner_of(house.line.keys, "up", OFFICE)))


def test_it_leaves_under_its_own_account_and_the_login_is_forgotten_with_the_last_copy(house, upstream):
    upstream.fault("CONNECT", close=True)
    assert submit(house, "ada@example.org").is_positive
    assert login_kept(house)
    upstream.faults.clear()
    house.turn(600)
    house.wait_empty()
    (delivery,) = upstream.accepted
    assert (delivery.identity, delivery.recipients) == (OFFICE, ["ada@example.org"])
    assert login_kept(house) is None


def test_a_login_that_is_refused_is_forgotten_and_its_mail_waits_for_the_next_one(house, upstream):
    upstream.fault("CONNECT", close=True)
    assert submit(house, "ada@example.org").is_positive
    upstream.faults.clear()
    upstream.accounts[OFFICE] = "changed"
    house.settled(600)
    assert house.whys() == {Why.AUTHENTICATION: 1}
    assert login_kept(house) is None
    asked = len(upstream.auth_attempts)
    house.settled(7200)
    assert len(upstream.auth_attempts) == asked  # nobody guesses
    custody = house.line.holder._custody
    fresh = Credentials(OFFICE, "changed")
    assert house.run(custody.refreshed("up", OFFICE, fresh)) == 1
    house.settled(1)
    house.wait_empty()
    assert upstream.accepted[0].identity == OFFICE


def an_account(folder, password: str) -> str:
    (folder / "office.password").write_text(password)
    (folder / "office.password").chmod(0o600)
    return f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.password"\n'


def test_what_the_clients_own_password_cannot_send_leaves_with_an_account_by_itself(tmp_path):
    with (
        RecordingUpstream(accounts={OFFICE: "right"}) as upstream,
        CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "right")) as house,
    ):
        assert submit(house, "ada@example.org").is_positive  # its own password is an old one
        assert house.whys() == {Why.AUTHENTICATION: 1}
        house.turn(90)
        house.wait_empty()
        assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org"]]


def test_where_the_account_has_an_old_password_its_mail_leaves_when_the_file_has_the_new_one(tmp_path):
    with RecordingUpstream(accounts={OFFICE: "new"}) as upstream:
        with CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "old")) as house:
            assert submit(house, "ada@example.org").is_positive
            house.settled(90)
            asked = len(upstream.auth_attempts)
            for _ in range(5):
                house.settled(3700)
            assert len(upstream.auth_attempts) == asked  # nobody guesses
            assert sum(house.whys().values()) == 1
        with CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "new"), clock=house.clock) as again:
            again.turn(3700)
            again.wait_empty()
        assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org"]]


def test_what_was_parked_before_it_had_an_account_leaves_when_it_has_one(tmp_path):
    with RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        with CourierHouse(tmp_path, upstream, auth="account", extra=KEYS, logins='held_credentials = "sealed"') as house:
            upstream.fault("CONNECT", close=True)
            assert submit(house, "ada@example.org").is_positive
            upstream.faults.clear()
            upstream.accounts[OFFICE] = "changed"
            house.settled(600)
            (copy,) = house.held()
            assert copy.why is Why.AUTHENTICATION
            assert copy.due_at > house.clock.now + 4 * 86400  # nothing but an AUTH frees it
        extra = an_account(tmp_path, "changed") + KEYS
        with CourierHouse(tmp_path, upstream, auth="account", extra=extra, clock=house.clock) as again:
            again.turn(1)
            again.wait_empty()
        assert upstream.accepted[0].identity == OFFICE


def test_what_a_node_without_the_account_put_off_leaves_by_the_node_that_has_it(tmp_path, caplog):
    """Of two nodes on one Redis one has the [[account]]; the other meets the copy first, and cannot know that."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with RedisServer(tmp_path / "redis") as server, RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        extra = an_account(tmp_path / "one", PASSWORD)
        with CourierHouse(tmp_path / "one", upstream, auth="account", extra=extra, store=server.url) as one:
            upstream.fault("RCPT", "450 4.2.1 later", times=1)
            assert submit(one, "ada@example.org").is_positive
            claim, one.store.claim = one.store.claim, nothing_claimed
            two = CourierHouse(tmp_path / "two", upstream, auth="account", store=server.url, clock=one.clock)
            two.relay.data.mkdir(exist_ok=True)
            shutil.copy(one.relay.data / "keys.toml", two.relay.data)
            with two, caplog.at_level(logging.INFO):
                two.settled(90)
                (copy,) = two.held()
                assert copy.why is Why.AUTHENTICATION
                assert copy.due_at > two.clock.now + 4 * 86400  # by itself it would wait for its sender's next AUTH
            assert any("held without a login" in record.getMessage() for record in caplog.records)
            one.store.claim = claim
            one.turn(FREE_SECONDS)
            one.wait_empty()
        assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org"]]


async def nothing_claimed(most: int, lease_seconds: float) -> list[HeldCopy]:
    """Of a courier whose hands are full."""
    return []


def test_without_custody_the_next_auth_frees_what_leaves_with_an_account(tmp_path):
    with (
        RecordingUpstream(accounts={OFFICE: "right"}) as upstream,
        CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "right")) as house,
    ):
        assert submit(house, "ada@example.org").is_positive  # its own password is an old one
        assert house.whys() == {Why.AUTHENTICATION: 1}
        custody = house.line.holder._custody
        assert house.run(custody.refreshed("up", OFFICE, Credentials(OFFICE, "right"))) == 1
        assert login_kept(house) is None
        house.settled(1)
        house.wait_empty()
        assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org"]]
