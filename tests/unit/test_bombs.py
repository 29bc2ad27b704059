"""A message that is made to be expensive costs no more than the bounds: counted in parts, octets and numbers, not in time."""

from dataclasses import replace

import pytest

from relay.mail.message import Message
from relay.mail.parts import mime
from relay.mail.parts.mime import MAX_DEPTH, MAX_LOOK_ALIKES, MAX_PARTS
from relay.mail.words import sight
from relay.mail.words.content import MAX_OCTETS, MAX_PART, MAX_TEXTS
from relay.policy.cases.case import Action, Phase
from relay.policy.checks import personal
from relay.policy.deciding.decide import decide
from relay.policy.detectors import MOST_NUMBERS
from tests.support.bombs import BOMBS, SIZE
from tests.support.policies import a_case, newsletter
from tests.unit.test_decide import NOW


class Counted:
    """What was done, by what was done it with."""

    def __init__(self, monkeypatch):
        self.parts = self.decoded = self.pages = self.numbers = 0
        self._wrap(monkeypatch, mime._Walker, "visit", lambda _: self._add("parts", 1))
        for module in (mime, sight):
            self._wrap(monkeypatch, module, "decode_transfer", lambda octets: self._add("decoded", len(octets)))
        self._wrap(monkeypatch, sight, "read_page", lambda page: self._add("pages", 1))
        self._wrap(monkeypatch, personal, "personal_data", lambda searched: self._add("numbers", searched.numbers))

    def _add(self, name, count):
        setattr(self, name, getattr(self, name) + count)

    def _wrap(self, monkeypatch, owner, name, count):
        work = getattr(owner, name)

        def wrapped(*given, **named):
            result = work(*given, **named)
            count(result)
            return result

        monkeypatch.setattr(owner, name, wrapped)


@pytest.fixture
def counted(monkeypatch) -> Counted:
    return Counted(monkeypatch)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_its_bounds(name, counted):
    octets = BOMBS[name]()
    assert SIZE * 0.9 < len(octets) <= SIZE
    policy = newsletter(packs='["base", "content"]')
    message = Message.parse(octets)
    case = replace(a_case(), message=message)
    ruling = decide(policy, policy.stream("newsletter"), case, Phase.DATA, NOW)
    assert ruling.action is Action.REJECT
    assert counted.parts <= MAX_PARTS + MAX_DEPTH
    assert counted.decoded <= MAX_OCTETS + 2 * MAX_PART
    assert counted.pages <= MAX_TEXTS
    assert counted.numbers <= MOST_NUMBERS + MAX_TEXTS
    assert max(part.depth for part in message.structure.parts) <= MAX_DEPTH
    assert not message.content.is_complete or "content/telephone-list" in {one.rule for one in ruling.objections}


def test_the_bounds_are_those_that_people_are_told():
    """The bombs above would be harmless under any bounds: these are what keeps a message cheap (docs/policies.md)."""
    assert (MAX_DEPTH, MAX_PARTS, MAX_LOOK_ALIKES) == (20, 1000, 10_000)
    assert (MAX_TEXTS, MAX_PART, MAX_OCTETS, MOST_NUMBERS) == (100, 1024**2, 4 * 1024**2, 20_000)


def test_delimiters_that_are_none_are_passed_a_bounded_number_of_times():
    walker = mime._Walker(Message.parse(BOMBS["look_alikes"]()).body)
    assert len(walker._between(b"--b", 0, len(walker.body))) <= 1
    assert walker.look_alikes == MAX_LOOK_ALIKES + 1
