"""`relay suppress` against the running relay: what an officer types binds the next message."""

import csv
import io
import json
from datetime import datetime

import pytest

from tests.support.fixtures import a_relay, an_upstream
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, NEWS, SHOP, Relay, message
from tests.support.terminal import LANGUAGES, Terminal

ADA, BOB, CAROL, DAVE = "ada@example.org", "bob@example.org", "carol@example.org", "dave@example.org"


upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", workers=2)


@pytest.fixture
def relay_with_redis(upstream, tmp_path):
    with RedisServer(tmp_path / "redis") as server, Relay(tmp_path, upstream, store=server.url, workers=2) as running:
        yield running


def reply_to(relay, recipient, sender=NEWS):
    return relay.send(sender, [recipient], message(to=recipient, sender=sender))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("kind", ["relay", "relay_with_redis"])
def test_a_refusal_is_found_exported_and_lifted_by_a_later_consent_only(kind, upstream, tmp_path, request):
    relay = request.getfixturevalue(kind)
    officer = Terminal(relay, "en")
    assert reply_to(relay, ADA)[0] == 250
    assert relay.unsubscribe(upstream.accepted[-1].data) == 200
    code, reply = reply_to(relay, ADA)
    assert code == 550
    assert "[base/suppression]" in reply
    relay.wait(lambda: relay.command("records", "search", ADA, "--kind", "applied", "--json").stdout)  # the journal was enough

    # found under its address, which stands sealed in the record of the mail that carried the link
    assert "unsubscribe" in officer.run("suppress", "check", ADA, code=1)
    listed = officer.json("suppress", "list", "--reason", "unsubscribe")["entries"]
    assert [(row["address"], row["origin"], row["in_force"]) for row in listed] == [(ADA, "one_click", True)]
    exported = tmp_path / "list.csv"
    officer.run("suppress", "export", "--out", exported)
    assert (ADA, "unsubscribe") in [(row["address"], row["reason"]) for row in rows_of(exported.read_text("utf-8"))]

    # receipts are not marketing: they go on
    assert reply_to(relay, ADA, sender=SHOP)[0] == 250

    # no word, no lifting; a word from before the refusal is none
    assert "only a later consent lifts it" in officer.run("suppress", "lift", ADA, code=2)
    officer.run("suppress", "lift", ADA, "--reason", "she is a good customer", code=2)
    officer.run("suppress", "lift", ADA, "--consent", "by telephone", "--at", "2020-01-01T10:00", code=2)
    assert reply_to(relay, ADA)[0] == 550

    assert "lifted: unsubscribe" in officer.run("suppress", "lift", ADA, "--consent", "form at the fair, 21 Nov, by herself")
    assert reply_to(relay, ADA)[0] == 250
    officer.run("suppress", "check", ADA, code=0)
    history = officer.json("suppress", "check", ADA, "--history", code=0)[ADA]
    assert [(row["reason"], row["in_force"]) for row in history] == [("unsubscribe", False)]
    assert officer.run("suppress", "lift", ADA, "--consent", "again", code=1)

    # the list from before the consent does not bring the refusal back, and never takes one away
    officer.run("suppress", "add", BOB, "--reason", "complaint")
    mine = tmp_path / "mine.csv"
    mine.write_text(f"address,status\n{BOB},subscribed\n", "utf-8")
    relay.command("suppress", "import", mine)
    assert reply_to(relay, BOB)[0] == 550
    officer.run("suppress", "import", exported)
    assert reply_to(relay, BOB)[0] == 550
    assert reply_to(relay, ADA)[0] == 250


def unasked(lines):
    """How often a refusal was written down without knowing what the store has: it took its time, or did not answer."""
    return sum("the store takes its time" in line or "goes into the journal alone" in line for line in lines)


@pytest.mark.parametrize("kind", ["relay", "relay_with_redis"])
def test_a_refusal_right_after_a_consent_binds_the_next_message(kind, upstream, request):
    relay = request.getfixturevalue(kind)
    officer, eve = Terminal(relay, "en"), "eve@example.org"
    assert reply_to(relay, eve)[0] == 250
    link = upstream.accepted[-1].data
    assert relay.unsubscribe(link) == 200
    for when in ([], ["--at", str], []):
        said = [datetime.now().astimezone().isoformat() if word is str else word for word in when]
        assert "lifted: unsubscribe" in officer.run("suppress", "lift", eve, "--consent", "by telephone, with Wang Min", *said)
        assert relay.unsubscribe(link) == 200
        assert reply_to(relay, eve)[0] == 550

    # said again it counts from then, and takes neither a record nor a row
    before = datetime.now().astimezone().isoformat()
    known = len(relay.lines)
    for _ in range(20):
        assert relay.unsubscribe(link) == 200
    officer.run("suppress", "lift", eve, "--consent", "by telephone", "--at", before, code=2)
    history = officer.json("suppress", "check", eve, "--history", code=1)[eve]
    assert [row["in_force"] for row in history].count(False) == 3
    found = relay.command("records", "search", eve, "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in found]
    assert kinds.count("lifted") == 3
    relay.wait(lambda: 4 <= kinds.count("suppressed") <= 4 + unasked(relay.lines[known:]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_an_officer_types_binds_the_next_message(relay, language, tmp_path):
    officer = Terminal(relay, language)
    tag = f"-{language}"
    carol, dave = CAROL.replace("@", f"{tag}@"), DAVE.replace("@", f"{tag}@")
    assert reply_to(relay, carol)[0] == 250

    officer.run("suppress", "check", carol)
    officer.run("suppress", "add", carol, "--reason", "manual", "--note", "asked by mail")
    officer.run("suppress", "add", carol, "--reason", "manual")
    assert reply_to(relay, carol)[0] == 550
    assert carol in officer.run("suppress", "check", carol, code=1, quiet=True)
    assert "asked by mail" in officer.run("suppress", "list", "--reason", "manual", quiet=True)
    officer.run("suppress", "lift", carol, code=2)
    officer.run("suppress", "lift", carol, "--reason", officer.choose("误加", "put there by mistake"))
    assert reply_to(relay, carol)[0] == 250

    bounces = tmp_path / "bounces.csv"
    bounces.write_text(f"email,reason,created\n{dave},550 no such user,2026-10-01 10:00:00\nno address,550,2026-10-01\n", "utf-8")
    said = officer.run("suppress", "import", bounces, "--reason", "hard_bounce", "--rejects", tmp_path / "bad.csv", code=1)
    assert "no address" in said
    assert "no address" in (tmp_path / "bad.csv").read_text("utf-8-sig")
    assert reply_to(relay, dave)[0] == 550
    assert reply_to(relay, dave, sender=SHOP)[0] == 550  # a mailbox that does not exist gets no receipts either

    customers = tmp_path / "customers.csv"
    customers.write_text(f"name,email\nDave,{dave}\nCarol,{carol}\n", "utf-8")
    officer.run("suppress", "clean", customers, "--out", tmp_path / "clean.csv")
    assert [row["email"] for row in rows_of((tmp_path / "clean.csv").read_text("utf-8-sig"))] == [carol]
    officer.run("suppress", "export", "--out", tmp_path / "list.csv", "--in-force")
    addresses = [row["address"] for row in rows_of((tmp_path / "list.csv").read_text("utf-8"))]
    assert dave in addresses
    assert carol not in addresses


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_cannot_be_meant_is_a_usage_error(relay, language, tmp_path):
    officer = Terminal(relay, language)
    officer.run("suppress", "add", "not an address", "--reason", "manual", code=2, quiet=True)
    officer.run("suppress", "add", ADA, "--reason", "manual", "--stream", "newsletters", code=2)
    officer.run("suppress", "add", ADA, "--reason", "unsubscribe", "--expires", "30d", code=2)
    officer.run("suppress", "import", tmp_path / "nowhere.csv", code=2)
    officer.run("suppress", "export", "--out", tmp_path / "nowhere" / "list.csv", code=2)
    officer.run("suppress", "list", "--reason", "spam", code=2, quiet=True)  # click's own words
