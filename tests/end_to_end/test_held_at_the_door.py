"""Holding with the real relay: who may have mail held, what is told before the message, and what lies on the disk."""

import re

import pytest

from tests.end_to_end.test_nothing_leaks import everything_written, found_in
from tests.support.fixtures import an_upstream
from tests.support.journey import Client, Journey, records
from tests.support.redis_server import RedisServer
from tests.support.scrape import counted, samples
from tests.support.service import ACCOUNTS, NEWS, OFFICE, PASSWORD, SHOP, Relay
from tests.support.upstream import RecordingUpstream

SLOW_DOWN = "450 4.7.1 slow down"
SECRET = "Geheimnis-4711"

upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@pytest.fixture(autouse=True)
def healed(upstream):
    yield
    upstream.faults.clear()
    for client in list(Client.still_open):
        client.close()


def account(folder, identity) -> str:
    """[[account]] with a password file."""
    secret = folder / "secrets" / identity.partition("@")[0]
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return f'[[account]]\nidentity = "{identity}"\nupstream = "up"\npassword_file = "secrets/{secret.name}"\n'


def begun(client, size, sender=NEWS) -> tuple[int, str]:
    """What MAIL with this SIZE is told; no transaction stays open."""
    answer: tuple[int, str] = client.say(f"MAIL FROM:<{sender}> SIZE={size}")
    client.say("RSET")
    return answer


def held(relay) -> int:
    """How many recipients the relay says that it holds."""
    return int(sum(value for name, value in samples(relay).items() if name.startswith("relay_held_copies{")))


@pytest.fixture(scope="module")
def relay(upstream, tmp_path_factory):
    """NEWS has an [[account]], OFFICE and SHOP have not."""
    folder = tmp_path_factory.mktemp("relay")
    with Relay(folder, upstream, holds=True, extra=account(folder, NEWS)) as relay:
        yield relay


def test_who_has_an_account_is_held_for_and_who_has_not_is_told_to_come_back(relay, upstream):
    news, office = Journey(upstream, "ada"), Journey(upstream, "bob", sender=OFFICE)
    for journey in (news, office):
        upstream.fault("RCPT", SLOW_DOWN, matching=journey.recipients[0])
    client = Client(relay)
    code, text = client.send(news)
    assert (code, text.partition(", ")[2]) == (250, "0 delivered, 1 held, 0 left out")
    client.vanish()
    resend = Client(relay)
    assert resend.send(news) == (code, text)
    other = Client(relay, OFFICE)
    assert other.send(office)[0] == 450
    relay.wait(lambda: held(relay) == 1)
    assert samples(relay)['relay_held_copies{reason="upstream"}'] == 1
    assert samples(relay)["relay_held_octets"] > len(news.data)
    assert records(relay, office.recipients[0], "held") == []
    assert len(records(relay, news.recipients[0], "held")) == 1


def test_nothing_that_is_held_can_be_read_on_the_disk(relay, upstream):
    journey = Journey(upstream, "carla", "dora")
    upstream.fault("RCPT", SLOW_DOWN)
    assert Client(relay).send(journey)[0] == 250
    written = everything_written(relay, None)
    assert any("held" in place for place in written), "the bodies lie somewhere else"
    assert found_in(written, {*journey.recipients, NEWS, journey.subject.lower(), "readers@example.org"}) == []


def test_without_room_mail_that_may_be_held_is_refused_before_it_is_sent(upstream, tmp_path):
    extra = account(tmp_path, NEWS) + "[hold]\nmax_bytes = 2000\n"
    with Relay(tmp_path, upstream, holds=True, extra=extra) as relay:
        upstream.fault("RCPT", SLOW_DOWN, times=1)
        client = Client(relay)
        assert client.send(Journey(upstream, "ada"))[0] == 250
        relay.wait(lambda: held(relay) == 1)
        relay.wait(lambda: begun(client, 1900) == (452, "4.3.1 Too much mail is held, try again later"))
        assert begun(client, 100)[0] == 250
        assert client.send(Journey(upstream, "bob"))[0] == 250
        not_held_for = Client(relay, SHOP)
        assert begun(not_held_for, 1900, SHOP)[0] == 250
        relay.wait(lambda: counted(relay, 'relay_refused_by_limit_total{limit="hold"}') == 1)


def test_at_the_bound_data_is_refused_too(upstream, tmp_path):
    extra = account(tmp_path, NEWS) + "[hold]\nmax_bytes = 1000\n"
    with Relay(tmp_path, upstream, holds=True, extra=extra) as relay:
        upstream.fault("RCPT", SLOW_DOWN, times=1)
        client, journey = Client(relay), Journey(upstream, "ada", extra=f"X-Filler: {'x' * 600}\r\n")
        assert client.say(f"MAIL FROM:<{NEWS}> SIZE=400")[0] == 250
        assert client.say("RCPT TO:<eve@example.org>")[0] == 250
        assert Client(relay).send(journey)[0] == 250
        relay.wait(lambda: held(relay) == 1)
        relay.wait(lambda: begun(Client(relay), 400)[0] == 452)
        assert client.say("DATA") == (452, "4.3.1 Too much mail is held, try again later")
        assert client.say("RSET")[0] == 250  # a relay that stops waits for who is in the middle of something


def test_what_redis_has_no_memory_for_is_refused_before_it_is_sent(upstream, tmp_path):
    folder = tmp_path / "relay"
    with (
        RedisServer(tmp_path / "redis") as server,
        Relay(folder, upstream, store=server.url, holds=True, extra=account(folder, NEWS)) as relay,
    ):
        client = Client(relay)
        assert begun(client, 0)[0] == 250
        used = re.search(r"used_memory:(\d+)", server.command("INFO", "memory"))
        assert used
        server.command("CONFIG", "SET", "maxmemory", str(int(int(used[1]) / 0.7) + 4_000_000))
        relay.wait(lambda: begun(client, 20_000_000) == (452, "4.3.1 Too much mail is held, try again later"))
        assert client.send(Journey(upstream, "ada"))[0] == 250
        server.command("CONFIG", "SET", "maxmemory", str(int(int(used[1]) * 1.2)))
        relay.wait(lambda: begun(client, 0)[0] == 452)  # nobody said how large it will be
        server.command("CONFIG", "SET", "maxmemory", "0")
        relay.wait(lambda: begun(client, 20_000_000)[0] == 250)


def test_a_sealed_login_is_kept_beside_the_copies_and_cannot_be_read(tmp_path):
    """`held_credentials = "sealed"`: nobody has an [[account]], and everybody is held for."""
    sealed = 'held_credentials = "sealed"\n[keys]\nfile = "keys.toml"\n'
    with RecordingUpstream(accounts={NEWS: SECRET}) as upstream, Relay(tmp_path, upstream, holds=True, auth=sealed) as relay:
        journey = Journey(upstream, "ada")
        upstream.fault("RCPT", SLOW_DOWN)
        with relay.connect(NEWS, SECRET) as client:
            client.mail(NEWS)
            client.rcpt(journey.recipients[0])
            code, said = client.data(journey.data)
        assert code == 250
        assert b"0 delivered, 1 held, 0 left out" in said
        relay.wait(lambda: held(relay) == 1)
        written = everything_written(relay, None)
        assert found_in(written, {SECRET.lower(), NEWS, *journey.recipients}) == []
