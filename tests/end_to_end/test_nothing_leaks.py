"""Addresses stay out of logs and files, whatever upstreams answer: only sealed or as a keyed digest are they written down."""

import json
import smtplib
from pathlib import Path

import pytest

from relay.loglines import JSONFormatter
from tests.support.journey import Client, Journey, records, submission_id
from tests.support.line import LineHouse
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay, message
from tests.support.upstream import RecordingUpstream

NOT_OURS = ("boss@example.com", "stranger@example.net")


def everything_written(relay: Relay, redis_folder: Path | None) -> dict[str, bytes]:
    """Every octet of log and data: the policy sets apart, which name the accounts that an admin wrote into them."""
    folders = [relay.data, *([redis_folder] if redis_folder else [])]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    kept = {str(path): path.read_bytes() for path in files if relay.data / "policies" not in path.parents}
    return kept | {"log": "".join(relay.lines).encode()}


def found_in(written: dict[str, bytes], addresses: set[str]) -> list[tuple[str, str]]:
    return [(place, one) for place, octets in written.items() for one in addresses if one.encode() in octets.lower()]


def test_no_address_is_written_in_clear(relay, upstream, request):
    journeys = []

    def send(sender: str, *people: str, reply: str = "", at: str = "RCPT", listener: str = "") -> tuple[int, str]:
        """One message; the upstream's reply says <WHO> for the first recipient, <FROM> for the sender."""
        journey = Journey(upstream, *people, sender=sender)
        journeys.append(journey)
        who, matching = journey.recipients[0], {"RCPT": f"<{journey.recipients[0]}>", "MAIL": "", "DOT": journey.subject}[at]
        if reply:
            upstream.fault(at, reply.replace("WHO", who).replace("FROM", sender), matching=matching, times=1)
        client = Client(relay, sender, listener)
        answer = client.send(journey)
        client.quit()
        return answer

    assert send(OFFICE, "ada", at="DOT", reply="250 2.0.0 queued for <WHO> from <FROM>")[0] == 250
    assert send(OFFICE, "bob", reply="550 5.1.1 <WHO>: no mailbox of that name; write to stranger@example.net")[0] == 550
    assert send(OFFICE, "cid", reply="450 4.2.0 WHO comes back later")[0] == 450
    assert send(OFFICE, "dan", at="MAIL", reply="553 5.7.1 FROM may not write to WHO")[0] == 553
    assert send(NEWS, "eve", "fay", reply="550 5.1.1 WHO?")[0] == 250  # the report names Eve, to the sender alone
    assert send(NEWS, "gus", "hal", listener="netease", reply="550 MI:SFQ WHO is throttled")[0] == 451
    code, text = send(NEWS, "ivy")
    assert code == 250
    assert relay.unsubscribe(journeys[-1].deliveries[0].data) == 200
    relay.wait(lambda: records(relay, journeys[-1].recipients[0], "suppressed"))
    refused = Client(relay)
    assert refused.send(journeys[-1])[0] == 550
    assert refused.say("MAIL FROM:<boss@example.com>")[0] == 553
    refused.quit()
    upstream.fault("AUTH", f"535 5.7.8 {OFFICE} is not known, ask stranger@example.net", times=1)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        relay.connect(OFFICE, "wrong")

    addresses = {*ACCOUNTS, *NOT_OURS, *(one for journey in journeys for one in journey.recipients)}
    redis_folder = request.getfixturevalue("redis_server").folder if "redis://" in relay.config.read_text("utf-8") else None
    written = everything_written(relay, redis_folder)
    assert any(submission_id(text).encode() in octets for octets in written.values())
    assert found_in(written, addresses) == []
    assert found_in({"policies": (relay.folder / "policies/streams/newsletter.toml").read_bytes()}, addresses)


# Faults, whose texts quote what they stumbled over -------------------------------------------------------------------

FRAGILE = """
[[rule]]
id = "fragile"
when = %s
text = "x"
text_zh = "x"
"""
BREAKS = {
    "a missing key": (NEWS, "message.subject == 'Break.' && message.fields['x' + recipient.address] == ''"),
    "a bad pattern": (NEWS, "message.subject == 'Break.' && recipient.address.matches(recipient.address + '(')"),
    "at RCPT": (OFFICE, "recipient.domain == 'broken.example' && recipient.address.matches(recipient.address + '(')"),
}
STREAMS = {NEWS: "newsletter", OFFICE: "correspondence"}
VICTIM = "ada.secret@broken.example"


@pytest.mark.parametrize(("sender", "when"), BREAKS.values(), ids=BREAKS)
def test_a_rule_that_fails_is_named_and_its_recipient_is_not(tmp_path, sender, when):
    """docs/replies.md: 451 4.3.5, the log names the rule; `relay explain` names it too, and says why."""
    stream = STREAMS[sender]
    policy = {f"streams/{stream}.toml": [(r"\Z", lambda _: FRAGILE % json.dumps(when))]}
    data = message(VICTIM, sender, "Break.")
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream, policy=policy) as relay:
        assert relay.send(sender, [VICTIM], data) == (451, "4.3.5 The policy cannot be applied now, try again later")
        assert relay.send(sender, ["ada@example.org"], message(sender=sender))[0] == 250
        assert [VICTIM] not in [list(delivery.recipients) for delivery in upstream.deliveries]
        (tmp_path / "mail.eml").write_bytes(data)
        explained = relay.command("explain", tmp_path / "mail.eml")
    (logged,) = relay.events("relay.pipeline")
    assert logged["fault"] == f"the rule {stream}/fragile could not be evaluated"
    assert logged["error"].startswith("RuleFailed from ")
    assert logged["places"][-1].startswith("relay/policy/rules/expression.py:")
    assert logged["places"][-1].endswith(" Expression.holds")
    assert found_in({"log": "".join(relay.lines).encode()}, {VICTIM, "ada@example.org"}) == []
    assert explained.returncode == 1
    assert f"the rule {stream}/fragile could not be evaluated: " in explained.stderr
    assert "451 4.3.5 The policy cannot be applied now" in explained.stderr
    assert "Traceback" not in explained.stderr


def broken(*_, **__):
    raise KeyError(VICTIM)


FAULTS = {
    "a copy": ("line.dispatcher.renderer", "copy"),
    "the report": ("line.dispatcher.renderer", "report"),
    "gathering": ("line.store", "open_submission"),
    "the record": ("line.records", "append"),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with RecordingUpstream() as upstream, LineHouse(tmp_path_factory.mktemp("line"), upstream) as house:
        upstream.fault("RCPT", "550 5.1.1 no such mailbox", matching=VICTIM)  # so that there is something to report
        yield house


@pytest.mark.parametrize(("place", "name"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_ours_anywhere_in_the_line_quotes_nobody(house, monkeypatch, caplog, place, name):
    """Each stage with a net of its own, and the tasks that are spawned, log what they caught."""
    broken_part = house
    for step in place.split("."):
        broken_part = getattr(broken_part, step)
    monkeypatch.setattr(broken_part, name, broken)
    reply = house.send(NEWS, ["bob@example.org", VICTIM], message(VICTIM, NEWS, name))
    assert reply.code == 451
    log = [JSONFormatter().format(record) for record in caplog.records]
    assert any(json.loads(line).get("error", "").endswith("KeyError") for line in log), log
    assert found_in({"log": "\n".join(log).encode()}, {VICTIM}) == []
