"""NOTIFY=SUCCESS by an upstream without DSN: its sender hears of it once, whoever dies on the way (RFC 3461 section 5.2.2)."""

from dataclasses import replace

import pytest

from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import Reply
from relay.records.kinds import Kind
from relay.upstream.profile import Capabilities
from tests.support.courier import CourierHouse, report_parts
from tests.support.line import LineHouse
from tests.support.service import OFFICE, message
from tests.support.upstream import RecordingUpstream


@pytest.fixture
def upstream():
    with RecordingUpstream() as running:
        running.extensions = tuple(name for name in running.extensions if name != "DSN")
        yield running


@pytest.fixture
def house(tmp_path, upstream):
    with CourierHouse(tmp_path, upstream) as running:
        yield running


def send(house, *people: str) -> Reply:
    """The same message again and again, whose client goes away with its reply."""

    async def submit():
        submission = await house.begin(OFFICE, people)
        wanted = tuple(Recipient(Mailbox.parse(one), frozenset({"SUCCESS"})) for one in people)
        data = message(sender=OFFICE, extra="Message-ID: <one@example.com>\r\n")
        return await house.line.submit(replace(submission, recipients=wanted), data)

    return house.run(submit())


def dying_once(reporter, monkeypatch) -> None:
    """The process ends when the message has left and its sender has not heard of that."""
    confirm = reporter.confirm

    async def die(consignment, results):
        monkeypatch.setattr(reporter, "confirm", confirm)
        raise RuntimeError("died")

    monkeypatch.setattr(reporter, "confirm", die)


def confirmed(upstream) -> list[list[str]]:
    """Whom each confirmation names."""
    reports = [report_parts(one.data)[1] for one in upstream.accepted if one.recipients == [OFFICE]]
    names = [[line.split(";")[1].strip() for line in text.splitlines() if line.startswith("Final-Recipient")] for text in reports]
    assert all("Action: relayed" in text for text in reports)
    return [sorted(some) for some in names]


def test_what_a_try_delivered_that_died_before_it_said_so_is_confirmed_by_the_next(house, upstream, monkeypatch):
    dying_once(house.line._reporter, monkeypatch)
    assert send(house, "ada@example.org", "bob@example.org").is_transient
    assert send(house, "ada@example.org", "bob@example.org").is_positive
    assert confirmed(upstream) == [["ada@example.org", "bob@example.org"]]
    assert [one.recipients for one in upstream.accepted if one.recipients != [OFFICE]] == [["ada@example.org", "bob@example.org"]]


def test_nobody_is_confirmed_twice_however_often_the_client_comes_back(tmp_path, upstream):
    people = ["ada@example.org", "bob@example.org", "eve@example.org"]
    faults = [upstream.fault("RCPT", "450 4.2.1 greylisted", matching=who) for who in ("bob@", "eve@")]
    with LineHouse(tmp_path, upstream) as house:  # which holds nothing
        assert send(house, *people).is_transient
        for fault in faults:
            upstream.faults.remove(fault)
            assert send(house, *people).is_transient != (fault is faults[-1])
        assert send(house, *people).is_positive
    assert confirmed(upstream) == [[who] for who in people]


def test_who_confirms_is_not_guessed_before_the_upstream_was_asked(tmp_path, monkeypatch):
    """The worker that delivered it died; this one does not know yet that the upstream tells of success itself."""
    with RecordingUpstream() as upstream, CourierHouse(tmp_path, upstream) as house:
        dying_once(house.line._reporter, monkeypatch)
        assert send(house, "ada@example.org").is_transient
        house._assembly.upstreams._site("up").capabilities = Capabilities()
        assert send(house, "ada@example.org").is_positive
        assert [one.recipients for one in upstream.accepted] == [["ada@example.org"]]


def test_of_what_was_held_too(house, upstream, monkeypatch):
    fault = upstream.fault("MAIL", "450 4.2.1 try later")
    assert send(house, "ada@example.org").is_positive
    upstream.faults.remove(fault)
    dying_once(house.courier._resume.__self__._resender._reporter, monkeypatch)
    house.settled(90)
    assert [one.recipients for one in upstream.accepted] == [["ada@example.org"]]
    house.turn(150)
    house.wait_empty()
    assert confirmed(upstream) == [["ada@example.org"]]
    (reported,) = house.records(Kind.REPORTED)
    assert len(upstream.accepted) == 2
    assert reported.facts
