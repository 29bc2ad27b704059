"""A ring gets a new generation while mail flows: nothing is lost, nothing doubled, no refusal forgotten, nobody restarts."""

import json
import smtplib
import threading
import time
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date

import pytest

from relay.ids import new_id
from relay.keys import load_keys, rotated, save_keys
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.suppressed import suppressed_record
from tests.support.fixtures import an_upstream
from tests.support.journey import readiness
from tests.support.line import LineHouse
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, NEWS, Relay, message, unsubscribe_url

RINGS = ("addresses", "tokens", "records", "held")
MANY = 12  # messages that leave after the last generation is in use

upstream = an_upstream(accounts=ACCOUNTS)


@pytest.fixture(params=["sqlite", "redis"])
def store(request, tmp_path):
    if request.param == "sqlite":
        yield "sqlite"
    else:
        with RedisServer(tmp_path / "redis") as server:
            yield server.url


class Sender(threading.Thread):
    """Sends one newsletter after another and tries each until it is answered for good, as a mail server would."""

    def __init__(self, relay: Relay, name: str):
        super().__init__(name=name)
        self.relay = relay
        self.enough = threading.Event()
        self.codes: dict[str, list[int]] = {}  # by recipient, one for each try
        self.fault: BaseException | None = None

    def run(self):
        try:
            while not self.enough.is_set():
                self.send_one(f"{self.name}.{len(self.codes)}@example.org")
        except BaseException as fault:  # noqa: BLE001 - told to the test
            self.fault = fault

    def send_one(self, recipient: str) -> None:
        tries = self.codes.setdefault(recipient, [])
        data = message(recipient, extra=f"Message-ID: <{recipient}>\r\n")
        while not tries or 400 <= tries[-1] < 500:
            tries.append(self.attempt(recipient, data))
            if len(tries) > 1:
                time.sleep(0.1)

    def attempt(self, recipient: str, data: bytes) -> int:
        try:
            return self.relay.send(NEWS, [recipient], data)[0]
        except smtplib.SMTPServerDisconnected:
            return 421

    def finish(self) -> None:
        self.enough.set()
        self.join(120)
        assert not self.is_alive()
        if self.fault:
            raise self.fault


def deliver(relay, upstream, recipient) -> bytes:
    """Have one newsletter delivered; the copy."""
    relay.wait(lambda: relay.send(NEWS, [recipient], message(recipient, subject=recipient))[0] == 250)
    return next(d.data for d in reversed(upstream.accepted) if recipient in d.recipients)


def code_of(relay, recipient) -> int:
    """The first answer that is not a 451."""
    seen: list[int] = []

    def answered():
        seen.append(relay.send(NEWS, [recipient], message(recipient, subject=f"again to {recipient}"))[0])
        return seen[-1] >= 500 or seen[-1] < 300

    relay.wait(answered)
    return seen[-1]


def token_key(data: bytes) -> int:
    """The number of the key that made the copy's link: the token's second octet."""
    return urlsafe_b64decode(unsubscribe_url(data).rpartition("/")[2][:4])[1]


def generations(relay) -> dict[str, int]:
    return {ring: getattr(load_keys(relay.data / "keys.toml"), ring).keys[0].number for ring in RINGS}


def test_every_ring_under_load(upstream, store, tmp_path):
    with Relay(tmp_path, upstream, workers=2, store=store) as relay:
        workers = relay.worker_pids()
        early, old_link = "early@example.org", deliver(relay, upstream, "link@example.org")
        assert relay.unsubscribe(deliver(relay, upstream, early)) == 200
        during = {ring: deliver(relay, upstream, f"during-{ring}@example.org") for ring in RINGS}
        senders = [Sender(relay, f"load-{number}") for number in range(2)]
        for sender in senders:
            sender.start()
        with ThreadPoolExecutor(1) as admin:
            for ring, data in during.items():
                rotation = admin.submit(relay.command, "keys", "rotate", ring)
                assert relay.unsubscribe(data) == 200
                done = rotation.result()
                assert (done.returncode, "takes it up by itself" in done.stdout) == (0, True), done.stderr
        relay.wait(lambda: token_key(deliver(relay, upstream, "probe@example.org")) == 2)
        count = [len(sender.codes) for sender in senders]
        relay.wait(lambda: all(len(s.codes) >= c + MANY for s, c in zip(senders, count, strict=True)), 90)
        for sender in senders:
            sender.finish()

        assert generations(relay) == dict.fromkeys(RINGS, 2)
        assert relay.worker_pids() == workers
        tries = {recipient: codes for sender in senders for recipient, codes in sender.codes.items()}
        assert {codes[-1] for codes in tries.values()} == {250}
        assert {code for codes in tries.values() for code in codes} <= {250, 451, 454}
        arrived = [r for d in upstream.accepted for r in d.recipients if r.startswith("load-")]
        assert sorted(arrived) == sorted(tries)

        assert code_of(relay, early) == 550
        assert {code_of(relay, f"during-{ring}@example.org") for ring in RINGS} == {550}
        assert relay.unsubscribe(old_link) == 200
        assert code_of(relay, "link@example.org") == 550
        new_link = deliver(relay, upstream, "new@example.org")
        assert relay.unsubscribe(new_link) == 200
        assert code_of(relay, "new@example.org") == 550
        assert relay.command("suppress", "add", "late@example.org", "--reason", "unsubscribe").returncode == 0
        assert code_of(relay, "late@example.org") == 550

        relay.wait(lambda: readiness(relay)[0] == 200)  # a busy worker or a slow disk shows there for a moment
        verified = relay.command("records", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert early in relay.command("records", "search", early, "--addresses").stdout
        assert f"store {'sqlite' if store == 'sqlite' else 'redis'}\n" in relay.command("check").stdout
        assert relay.command("backup", tmp_path / "after.backup").returncode == 0
        relay.restart()
        assert {code_of(relay, r) for r in (early, "link@example.org", "new@example.org", "late@example.org")} == {550}


def test_another_node_waits_for_its_copy_of_the_key_file_and_goes_on(upstream, tmp_path):
    with RedisServer(tmp_path / "redis") as server, Relay(tmp_path / "a", upstream, store=server.url) as first:
        second = Relay(tmp_path / "b", upstream, workers=2, store=server.url)
        second.data.mkdir()
        save_keys(second.data / "keys.toml", load_keys(first.data / "keys.toml"))
        with second:
            deliver(second, upstream, "here@example.org")
            assert "copy it now" in first.command("keys", "rotate", "addresses").stdout
            assert first.command("keys", "rotate", "tokens").returncode == 0
            newer = deliver(first, upstream, "there@example.org")
            assert first.unsubscribe(newer) == 200

            status, why = readiness(second)
            assert (status, "store: keys: " in why) == (503, True), why
            arrived = len(upstream.accepted)
            assert second.send(NEWS, ["there@example.org"], message("there@example.org"))[0] in (451, 454)
            assert len(upstream.accepted) == arrived
            late = second.command("keys", "rotate", "addresses")  # from here it would be a second line of generations
            assert late.returncode == 4, late.stdout + late.stderr
            assert [key.number for key in load_keys(second.data / "keys.toml").addresses.keys] == [1]

            (second.data / "keys.toml").write_bytes((first.data / "keys.toml").read_bytes())
            second.wait(lambda: readiness(second)[0] == 200)
            assert code_of(second, "there@example.org") == 550
            deliver(second, upstream, "here.too@example.org")


def test_a_link_of_a_newer_node_is_not_called_forged(upstream, tmp_path):
    with RedisServer(tmp_path / "redis") as server, Relay(tmp_path / "a", upstream, store=server.url) as first:
        second = Relay(tmp_path / "b", upstream, store=server.url)
        second.data.mkdir()
        save_keys(second.data / "keys.toml", load_keys(first.data / "keys.toml"))
        with second:
            assert token_key(deliver(first, upstream, "ada@example.org")) == 1
            assert first.command("keys", "rotate", "tokens").returncode == 0
            first.wait(lambda: token_key(deliver(first, upstream, "bob@example.org")) == 2)
            newer = upstream.accepted[-1].data
            assert second.unsubscribe(newer) == 503
            (second.data / "keys.toml").write_bytes((first.data / "keys.toml").read_bytes())
            second.wait(lambda: second.unsubscribe(newer) == 200)
            assert code_of(first, "bob@example.org") == 550


def test_the_supervisor_says_that_it_took_the_keys_up(upstream, tmp_path):
    with Relay(tmp_path, upstream) as relay:
        assert relay.command("keys", "rotate", "addresses", "--by", "Wang Min").returncode == 0
        relay.wait(lambda: relay.events("keys"))
        rows = json.loads(relay.command("keys", "show", "--json").stdout)
        shown = {row["fingerprint"] for row in rows if row["ring"] != "records"}
        assert set(relay.events("keys")[-1]["fingerprints"]) == shown


@pytest.mark.parametrize("place", ["store", "journal"])
def test_a_refusal_under_a_generation_that_came_in_the_middle_of_a_mail_binds(upstream, tmp_path, monkeypatch, place):
    """The mail was judged under the old ring; another process rotates and refuses while it waits for its connection."""
    with LineHouse(tmp_path, upstream) as house:
        assembly = house._assembly
        lease = assembly.upstreams.lease

        @asynccontextmanager
        async def meanwhile(*arguments, **options):
            newer = rotated(assembly.keys, "addresses", date(2027, 1, 1))
            await assembly.keeper.take_up(newer)
            entry = Suppression(newer.addresses.digest("ada@example.org"), ORGANISATION, Reason.UNSUBSCRIBE, "link", 1.0, b"")
            if place == "store":
                await assembly.store.suppress(entry)
            else:
                await assembly.records.journal_refusal(suppressed_record(new_id(1.0, bytes(10)), 1.0, entry, "recipient"), entry)
            async with lease(*arguments, **options) as connection:
                yield connection

        monkeypatch.setattr(assembly.upstreams, "lease", meanwhile)
        reply = house.send(NEWS, ["ada@example.org"], message())
        assert (reply.code, reply.rule) == (550, "base/suppression")
        assert upstream.accepted == []
