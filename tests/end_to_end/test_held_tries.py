"""Several tries of one message at a time, and a pause in the middle of one, by the real line: nothing lost, nothing twice."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.errors import StoreUnavailable
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import Reply
from relay.records import kinds
from relay.records.search import Query, search
from relay.stores.adaptations import NEVER, Adaptation, Kind, Scope, adaptation_key
from relay.stores.held import Why
from relay.tasks import spawn
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.line import LineHouse
from tests.support.service import NEWS, OFFICE, message
from tests.support.waiting import wait_until

DATA = message(sender=OFFICE, extra="Message-ID: <one@example.com>\r\n")
upstream = an_upstream()
house = a_courier_house()


async def submitted(
    house, people: Sequence[str], later: float = 0.0, *, goes_on: bool = True, began: float | None = None
) -> Reply:
    """The same message to these people, from a connection of its own."""
    await asyncio.sleep(later)
    submission = await house.begin(OFFICE, list(people))
    wanted = tuple(Recipient(Mailbox.parse(one)) for one in people)
    reply = await house.line.submit(replace(submission, recipients=wanted), DATA, began)
    if goes_on:
        await house.line.concluded(submission)
    return reply


def test_a_message_handed_in_by_parts_while_the_upstream_is_away_is_held_part_by_part(house, upstream):
    upstream.fault("CONNECT", "421 4.3.2 not now", delay=2.0, close=True, times=1)
    upstream.fault("CONNECT", "421 4.3.2 not now", close=True)

    async def parts():
        return await asyncio.gather(submitted(house, ["ada@example.org"]), submitted(house, ["bob@example.net"], 0.5))

    assert [reply.code for reply in house.run(parts())] == [250, 250]
    assert house.whys() == {Why.UPSTREAM: 2}


def test_a_late_refusal_for_now_frees_nothing_whose_holding_was_carried_out_unheard(tmp_path, upstream, monkeypatch):
    """The store's answer got lost, so the client hears 451; its resend must find what is held."""
    short = 'patience = "5s"\npast_dot = "1s"\n'
    with LineHouse(tmp_path, upstream, holds=True, delivery=short) as house:
        too_late = threading.Event()
        upstream.fault("DOT", "451 4.3.0 no", until=too_late, times=1)
        hold = house.line.store.hold

        async def lost(*facts, **more):
            await hold(*facts, **more)
            raise StoreUnavailable("timeout", "no answer in time")

        with monkeypatch.context() as patched:
            patched.setattr(house.line.store, "hold", lost)
            assert house.run(submitted(house, ["ada@example.org"], goes_on=False)).is_transient
        (held,) = house.run(house.line.store.held_copies(None, 10))
        too_late.set()
        wait_until(lambda: not any("late reply" in task.get_name() for task in asyncio.all_tasks(house.loop)))
        assert house.run(submitted(house, ["ada@example.org"])).text[0].endswith("0 delivered, 1 held, 0 left out")
        assert house.run(house.line.store.held_copies(None, 10)) == [held]
        assert not upstream.accepted


class Gate:
    """Lets the first try that makes copies wait before it asks for leave; the others pass."""

    def __init__(self, house, monkeypatch) -> None:
        self._is_reached, self._may_pass = asyncio.Event(), asyncio.Event()
        self._slow = ""
        self._original = house.line.dispatcher.renderer.ready
        monkeypatch.setattr(house.line.dispatcher.renderer, "ready", self._ready)

    async def _ready(self, consignment, *arguments, **options):
        if not self._is_reached.is_set():
            self._is_reached.set()
            self._slow = consignment.submission.id
        if consignment.submission.id == self._slow:
            await self._may_pass.wait()
        return await self._original(consignment, *arguments, **options)

    async def overtaken(self, slow, *others):
        """The replies of the slow one and of the others, which came while it waited."""
        waiting = spawn(slow, "the slow try")
        await self._is_reached.wait()
        replies = [await other for other in others]
        self._may_pass.set()
        return [await waiting, *replies]


def arrived(upstream) -> Counter[str]:
    return Counter(person for delivery in upstream.accepted for person in delivery.recipients)


@pytest.mark.parametrize("is_up", [True, False])
def test_a_try_that_its_client_gave_up_sends_nothing_after_the_resend_was_answered(house, upstream, monkeypatch, is_up):
    """The client has had its 250 and went on, so the ledger has forgotten whom the resend settled; the first try must not."""
    people = [f"r{number}@example.org" for number in range(120)]
    if not is_up:
        upstream.fault("MAIL", "450 4.2.1 later", times=2)  # the resend has two copies
    gate = Gate(house, monkeypatch)
    given_up, answered = submitted(house, people, goes_on=False), submitted(house, people)
    replies = house.run(gate.overtaken(given_up, answered))
    assert [reply.code for reply in replies] == [250, 250]
    assert arrived(upstream) == (Counter(people) if is_up else Counter())
    assert house.whys() == ({} if is_up else {Why.UPSTREAM: 120})
    house.turn(400)
    house.wait_empty()
    assert arrived(upstream) == Counter(people)


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_try_that_comes_to_the_ledger_after_the_resend_was_answered_sends_to_nobody_of_those(house, upstream, is_up, goes_on):
    began = house.clock.now
    house.clock.pass_(40)
    if not is_up:
        upstream.fault("MAIL", "450 4.2.1 later", times=1)
    assert house.run(submitted(house, ["ada@example.org"], began=began + 35)).code == 250
    late = house.run(submitted(house, ["ada@example.org", "eve@example.net"], goes_on=goes_on, began=began))
    assert late.text[0].partition(", ")[2] == ("2 delivered, 0 held, 0 left out" if is_up else "1 delivered, 1 held, 0 left out")
    assert arrived(upstream) == Counter(["eve@example.net"] + ["ada@example.org"] * is_up)
    house.turn(400)
    house.wait_empty()
    assert arrived(upstream) == {"ada@example.org": 1, "eve@example.net": 1}
    assert house.run(submitted(house, ["ada@example.org"], began=house.clock.now - 5)).code == 250
    assert arrived(upstream)["ada@example.org"] == 2  # a new message


def test_a_try_that_comes_so_late_that_nobody_may_know_what_was_answered_is_not_sent(house, upstream):
    for seconds, code in [(901, 451), (899, 250)]:
        assert house.run(submitted(house, ["ada@example.org"], began=house.clock.now - seconds)).code == code
        assert len(upstream.accepted) == (code == 250)


def test_whom_another_try_may_have_reached_meanwhile_is_sent_to_by_one_that_says_so(tmp_path, upstream, monkeypatch):
    """Both were there before the reply to the dot got lost; that it may come twice is on record before it does."""
    with LineHouse(tmp_path, upstream) as house:
        upstream.fault("DOT", lose=True, times=1)
        gate = Gate(house, monkeypatch)
        replies = house.run(gate.overtaken(submitted(house, ["ada@example.org"]), submitted(house, ["ada@example.org"])))
        assert [reply.code for reply in replies] == [451, 451]
        assert arrived(upstream) == {"ada@example.org": 1}
        assert again(house) == 0
        assert house.run(submitted(house, ["ada@example.org"])).code == 250
        assert arrived(upstream) == {"ada@example.org": 2}
        assert again(house) == 1


def again(house: LineHouse) -> int:
    """How often the records say that the next try may be a second copy."""
    found = search(house.line.records.reader, Query(kinds=frozenset({kinds.Kind.RECEIVED})))
    return sum(len(entry.record.facts["again"]) for entry in found)


def paused(house: LineHouse, domain: str) -> Adaptation:
    """Marketing to this domain waits for a person, as after a content reply of QQ."""
    digest = house.line.keys.addresses.lasting_digest
    key = adaptation_key(digest, Kind.PAUSE, "up", Scope.DOMAIN, domain)
    return Adaptation(key, Kind.PAUSE, "up", Scope.DOMAIN, b"", time.time(), NEVER, reply_class="content", said="554 spam")


def test_marketing_under_a_pause_of_one_domain_is_held_and_leaves_when_somebody_resumes_it(house, upstream):
    pause = paused(house, "qq.com")
    assert house.run(house.store.adapt(pause))
    house.run(house._assembly.mend())
    fault = upstream.fault("RCPT", "450 4.2.1 later", matching="bob@")
    reply = house.send(NEWS, ["ada@example.org", "bob@example.org", "1@qq.com"], message(sender=NEWS))
    assert reply.text[0].endswith("1 delivered, 2 held, 0 left out")
    house.settled(1)
    assert house.whys() == {Why.PAUSED: 1, Why.UPSTREAM: 1}
    upstream.faults.remove(fault)
    house.settled(400)
    assert house.whys() == {Why.PAUSED: 1}
    assert house.run(house.store.end_adaptation(pause.key)) is not None
    house.run(house._assembly.mend())
    house.turn(400)
    house.wait_empty()
    assert sorted(r for one in upstream.accepted for r in one.recipients) == ["1@qq.com", "ada@example.org", "bob@example.org"]


def test_where_nothing_is_held_for_an_upstream_such_a_pause_is_the_clients_matter(tmp_path, upstream):
    with LineHouse(tmp_path, upstream) as house:
        assert house.run(house.line.store.adapt(paused(house, "qq.com")))
        house.run(house._assembly.mend())
        assert house.send(NEWS, ["1@qq.com"], message(sender=NEWS)).rule == "upstream-paused"
        assert house.run(house.line.store.held_copies(None, 10)) == []
