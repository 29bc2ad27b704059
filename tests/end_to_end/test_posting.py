"""Mail of the relay's own in the real line: it is judged, recorded and answered like any other, and it never advertises."""

import pytest

from relay.mail.mailbox import Mailbox
from relay.records.kinds import Kind
from relay.records.search import Query, search
from relay.service.posting import hand_in, letter
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.service import NEWS, SHOP, message

ADA = "ada@example.org"

upstream = an_upstream()


@pytest.fixture
def house(tmp_path, upstream):
    with LineHouse(tmp_path, upstream) as house:
        yield house


def post(house, sender=SHOP, recipient=ADA, octets=None):
    mail = letter(Mailbox.parse(sender), Mailbox.parse(recipient), octets or message(to=recipient, sender=sender))
    return house.run(hand_in(house.line, mail))


def kinds(house):
    return [entry.record.kind for entry in search(house.line.records.reader, Query())]


def test_it_leaves_by_the_line_and_is_on_record(house, upstream):
    assert post(house) == (250, "2.0.0")
    (delivery,) = upstream.accepted
    assert (delivery.recipients, b"Received: " in delivery.data) == ([ADA], True)
    assert {Kind.RECEIVED, Kind.FINISHED} <= set(kinds(house))
    assert post(house)[0] == 250  # the same again is another mail
    assert len(upstream.accepted) == 2


def test_what_a_stream_that_advertises_would_take_is_not_handed_in(house, upstream):
    assert post(house, NEWS)[0] == 550
    assert post(house, "nobody@elsewhere.example")[0] == 550
    assert (upstream.accepted, kinds(house)) == ([], [])


def test_who_must_get_no_mail_at_all_gets_none(house, upstream):
    house.relay.command("suppress", "add", ADA, "--reason", "legal", "--note", "order of 2026")
    assert post(house) == (550, "5.7.1 base/suppression")
    assert upstream.accepted == []


def test_octets_that_the_line_cannot_take_are_answered(house, upstream):
    code, _ = post(house, octets=b"From: a\r\nFrom: b\r\n\r\nx\r\n")
    assert 400 <= code < 600
    assert upstream.accepted == []
