"""Addresses stay out of logs and files, whatever upstreams answer: only sealed or as a keyed digest are they written down."""

import smtplib
from pathlib import Path

import pytest

from tests.support.journey import Client, Journey, records, submission_id
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay

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
