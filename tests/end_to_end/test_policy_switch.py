"""Another policy set comes into force in the middle of a mail: no step mixes two sets."""

from dataclasses import replace

import pytest

from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.sets.parse import parse_policies
from relay.records.kinds import Kind
from relay.records.search import Query, search
from relay.service.policies import read_folder
from relay.stores.ledger import Cleared
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.policies import word_rule
from tests.support.service import NEWS, message

ADA = Recipient(Mailbox.parse("ada@example.org"))

upstream = an_upstream()


@pytest.fixture
def house(tmp_path, upstream):
    with LineHouse(tmp_path, upstream) as house:
        yield house


def switch(house, file, old, new):
    """Put a set in force that differs in one text."""
    files = read_folder(house.relay.config.parent / "policies")
    if "everybody" in new:
        files["streams/everybody.toml"] = files.pop("streams/newsletter.toml")
    assert old.encode() in files[file]
    house.line.policy = parse_policies({**files, file: files[file].replace(old.encode(), new.encode())})


def sets_of(house, *rules):
    """A set for each of these rules that the newsletter's file has besides."""
    files = read_folder(house.relay.config.parent / "policies")
    file = "streams/newsletter.toml"
    return [parse_policies({**files, file: files[file] + b"\n" + rule.encode()}) for rule in rules]


def answers(house, submission):
    """The replies to one more RCPT and to the message."""
    return house.run(house.line.admit(submission, ADA)), house.run(house.line.submit(submission, message(sender=NEWS)))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("streams/newsletter.toml", f'identities = ["{NEWS}"]', 'identities = ["other@example.com"]'),
        ("streams/newsletter.toml", "listeners = []", 'listeners = ["another"]'),
        ("organisation.toml", '["newsletter", ', '["everybody", '),
    ],
    ids=["somebody else's", "another listener's", "another stream's"],
)
def test_a_stream_that_would_not_take_the_mail_any_more_does_not(house, upstream, file, old, new):
    submission = house.run(house.begin(NEWS, ["ada@example.org"]))
    before = house.line.policy
    switch(house, file, old, new)
    assert house.line.policy.hash != before.hash
    assert [reply.status for reply in answers(house, submission)] == ["4.3.5", "4.3.5"]
    assert upstream.deliveries == []
    house.line.policy = before
    assert [reply.status for reply in answers(house, submission)] == ["2.1.5", "2.0.0"]


def test_a_stream_that_still_takes_it_judges_by_the_set_in_force(house, upstream):
    submission = house.run(house.begin(NEWS, ["ada@example.org"]))
    (house.line.policy,) = sets_of(house, word_rule("News", "no-hello"))
    admitted, answer = answers(house, submission)
    assert (admitted.code, answer.code, answer.rule) == (250, 550, "newsletter/no-hello")
    assert upstream.deliveries == []
    again = replace(submission, policy=house.line.policy.hash)
    assert house.run(house.line.submit(again, message(sender=NEWS))).code == 550


# Between the ruling and the leaving -------------------------------------------------------------------------------------


class Overtaking:
    """Puts the next of some policy sets in force directly before each copy is made, so after its ruling."""

    def __init__(self, house, monkeypatch, *sets, begins=lambda: True):
        self.sets = list(sets)
        self.begins = begins
        self.line, renderer = house.line, house.line.dispatcher.renderer
        self.original = renderer.ready
        monkeypatch.setattr(renderer, "ready", self.ready)

    async def ready(self, *arguments, **options):
        if self.sets and self.begins():
            self.line.policy = self.sets.pop(0)
        return await self.original(*arguments, **options)


def told(house):
    """The records of the one message: kind, policy set, and what was decided."""
    records = [entry.record for entry in search(house.line.records.reader, Query())]
    return [(r.kind, r.facts.get("policy"), [ruling["action"] for ruling in r.facts.get("rulings", ())]) for r in records]


def test_a_set_that_comes_while_the_store_is_asked_is_asked_too(house, upstream, monkeypatch):
    """The worker looks at the set before the step of the store and again after it: nothing leaves that another has judged."""
    (strict,) = sets_of(house, word_rule("News", "no-hello"))
    store, before = house.line.store, house.line.policy.hash
    clear, cleared = store.clear, []

    async def slow(key, *arguments):
        cleared.append((key, await clear(key, *arguments)))
        house.line.policy = strict
        return cleared[-1][1]

    monkeypatch.setattr(store, "clear", slow)
    reply = house.send(NEWS, ["ada@example.org"], message(sender=NEWS))
    assert (reply.code, reply.rule) == (550, "newsletter/no-hello")
    assert upstream.deliveries == []
    (key, answers) = cleared[0]
    assert [type(answer) for answer in answers] == [Cleared]
    assert len(cleared) == 1
    assert house.run(store.rows(key)) == ()  # it was given back
    assert [record[1:] for record in told(house)[:2]] == [(before, ["permit"]), (strict.hash, ["reject"])]


def test_a_set_that_comes_between_the_ruling_and_the_leaving_is_asked(house, upstream, monkeypatch):
    (strict,) = sets_of(house, word_rule("News", "no-hello"))
    before = house.line.policy.hash
    Overtaking(house, monkeypatch, strict)
    reply = house.send(NEWS, ["ada@example.org"], message(sender=NEWS))
    assert (reply.code, reply.rule) == (550, "newsletter/no-hello")
    assert upstream.deliveries == []
    assert told(house) == [
        (Kind.RECEIVED, before, ["permit"]),
        (Kind.JUDGED, strict.hash, ["reject"]),
        (Kind.FINISHED, None, []),
    ]


def test_who_may_still_get_it_does_and_the_new_ruling_is_on_record_before(house, upstream, monkeypatch):
    (other,) = sets_of(house, word_rule("nobody says this", "no-such-words"))
    before = house.line.policy.hash
    Overtaking(house, monkeypatch, other)
    records = []
    upstream.on_delivery = lambda _: records.extend(told(house))
    assert house.send(NEWS, ["ada@example.org"], message(sender=NEWS)).code == 250
    assert [delivery.recipients for delivery in upstream.deliveries] == [["ada@example.org"]]
    assert records == [(Kind.RECEIVED, before, ["permit"]), (Kind.JUDGED, other.hash, ["permit"])]


def test_what_the_new_set_asks_for_is_done_to_the_copy(house, upstream, monkeypatch):
    """Nothing that was prepared for the set before is left."""
    files = read_folder(house.relay.config.parent / "policies")
    file, pack = "streams/newsletter.toml", b'[pack]\nversion = "1"\n[[duty]]\nid = "label"\ndo = "label"\nlabel = "KR"\n'
    packs = files[file].replace(b'packs = ["base"]', b'packs = ["base", "korean"]')
    assert packs != files[file]
    Overtaking(house, monkeypatch, parse_policies({**files, file: packs, "packs/korean.toml": pack}))
    assert house.send(NEWS, ["ada@example.org"], message(sender=NEWS, subject="Spring")).code == 250
    assert [Message.parse(delivery.data).subject for delivery in upstream.deliveries] == ["(광고) Spring"]


def test_those_who_had_left_before_had_leave(house, upstream, monkeypatch):
    (strict,) = sets_of(house, word_rule("News", "no-hello"))
    Overtaking(house, monkeypatch, strict, begins=lambda: len(upstream.deliveries) >= 3)
    people = {f"person{number}@example.org" for number in range(60)}
    reply = house.send(NEWS, sorted(people), message(sender=NEWS))
    reached = [delivery.recipients[0] for delivery in upstream.deliveries if delivery.recipients != [NEWS]]
    assert len(reached) == len(set(reached)) >= 3
    assert people > set(reached)
    assert reply.code == 250, str(reply)
    assert f"{len(reached)} delivered, " in str(reply)
    assert f" {60 - len(reached)} left out" in str(reply)
    assert told(house)[1] == (Kind.JUDGED, strict.hash, ["reject"] * (60 - len(reached)))


def test_a_message_that_is_overtaken_again_and_again_waits_with_its_client(house, upstream, monkeypatch):
    sets = sets_of(house, *(word_rule(f"nobody says {number}", "no-such-words") for number in range(3)))
    Overtaking(house, monkeypatch, *sets)
    reply = house.send(NEWS, ["ada@example.org"], message(sender=NEWS))
    assert reply == replies.POLICY_UNUSABLE
    assert upstream.deliveries == []
    assert [kind for kind, _, _ in told(house)] == [Kind.RECEIVED, Kind.JUDGED, Kind.FINISHED]
    monkeypatch.undo()
    assert house.send(NEWS, ["ada@example.org"], message(sender=NEWS)).code == 250
    assert len(upstream.deliveries) == 1


@pytest.mark.parametrize("way", ["store", "records"])
def test_without_the_facts_or_the_record_of_the_new_ruling_nothing_leaves(house, upstream, monkeypatch, way):
    (other,) = sets_of(house, word_rule("nobody says this", "no-such-words"))
    overtaking = Overtaking(house, monkeypatch, other)

    async def down(*_, **__):
        raise StoreUnavailable("unreachable", "down") if way == "store" else RecordsUnavailable("full")

    async def ready(*arguments, **options):
        monkeypatch.setattr(*((house.line.store, "look_up") if way == "store" else (house.line.records, "append")), down)
        return await overtaking.ready(*arguments, **options)

    monkeypatch.setattr(house.line.dispatcher.renderer, "ready", ready)
    reply = house.send(NEWS, ["ada@example.org"], message(sender=NEWS))
    assert reply == (replies.STORE_UNAVAILABLE if way == "store" else replies.RECORDS_UNAVAILABLE)
    assert upstream.deliveries == []
