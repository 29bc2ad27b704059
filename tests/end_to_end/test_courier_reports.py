"""Who was refused or given up while held is told of, once, or is on record as untold; by the real line and courier."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from relay.carrying import resumption as carrying
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.holding.codec import held_key, lane_of
from relay.holding.intervention import Deed, HeldMail, Intervention, Wanted
from relay.keys import Key, Ring
from relay.policy.suppressions.suppression import Purpose
from relay.records.kinds import Kind
from relay.stores.held import HeldUpdate, Why
from relay.stores.ledger import ClearRequest, RowState, Settlement
from tests.support.courier import report_parts
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.service import OFFICE, message

HOUR = 3600.0
DAY = 24 * HOUR
ANOTHER = Ring("held", (Key(9, b"x" * 64, date(2026, 1, 1)),))
upstream = an_upstream()
house = a_courier_house()


def reports(upstream):
    return [delivery for delivery in upstream.accepted if delivery.recipients == [OFFICE]]


def hold(house, upstream, *people: str, **declared) -> str:
    """Hold a mail to these people, which the upstream will take at the next try; its id."""
    fault = upstream.fault("MAIL", "450 4.2.1 try later")
    reply = house.send(OFFICE, people, message(sender=OFFICE), **declared)
    assert ", 0 delivered, " in reply.text[0]
    upstream.faults.remove(fault)
    return reply.text[0][:26]


def test_one_report_names_all_who_were_refused_as_soon_as_nobody_else_is_open(house, upstream):
    message_id = hold(house, upstream, "ada@example.org", "bob@example.org", "eve@example.org")
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="ada@")
    upstream.fault("RCPT", "450 4.2.1 greylisted", matching="bob@", times=1)
    house.settled(90)
    assert {copy.why for copy in house.held()} == {Why.REPORT, Why.UPSTREAM}
    assert not reports(upstream)  # bob may be refused too
    upstream.fault("RCPT", "550 5.7.1 go away", matching="bob@")
    house.settled(150)  # within the ten minutes
    house.wait_empty()
    (report,) = reports(upstream)
    _, machines = report_parts(report.data)
    assert sorted(line for line in machines.splitlines() if line.startswith("Status:")) == ["Status: 5.1.1", "Status: 5.7.1"]
    (reported,) = house.records(Kind.REPORTED)
    assert reported.id == message_id


def test_however_many_are_refused_one_report_leaves_as_soon_as_nobody_else_is_open(house, upstream):
    people = [f"r{number}@example.org" for number in range(150)]
    hold(house, upstream, *people, "ada@example.net")
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="@example.org")
    upstream.fault("RCPT", "450 4.2.1 greylisted", matching="ada@", times=1)
    house.settled(90)
    assert house.whys() == {Why.REPORT: 150, Why.UPSTREAM: 1}
    assert not reports(upstream)
    house.settled(150)  # within the ten minutes
    house.wait_empty()
    (report,) = reports(upstream)
    _, machines = report_parts(report.data)
    assert machines.count("Status: 5.1.1") == len(people)


def test_the_refused_are_told_of_after_ten_minutes_though_others_are_open(house, upstream):
    hold(house, upstream, "ada@example.org", "bob@example.org")
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="ada@")
    upstream.fault("RCPT", "450 4.2.1 greylisted", matching="bob@")
    for _ in range(5):
        house.settled(200)
    (report,) = reports(upstream)
    assert "bob@" not in report_parts(report.data)[0]
    assert house.whys() == {Why.UPSTREAM: 1}


def test_without_a_reverse_path_nobody_is_told_and_that_is_on_record(house, upstream):
    hold(house, upstream, "ada@example.org", sender="")
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="ada@")
    house.settled(90)
    house.wait_empty()
    (record,) = house.records(Kind.UNREPORTED)
    assert record.facts["why"] == "null reverse-path"
    assert not upstream.accepted


def test_a_report_that_is_refused_for_good_is_on_record(house, upstream):
    hold(house, upstream, "ada@example.org")
    upstream.fault("RCPT", "550 5.1.1 no such user")
    house.settled(90)
    house.wait_empty()
    (record,) = house.records(Kind.UNREPORTED)
    assert record.facts["why"] == "refused"


def test_a_report_is_tried_for_five_days_and_then_given_up(house, upstream):
    hold(house, upstream, "ada@example.org")
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="ada@")
    upstream.fault("MAIL", "450 4.2.1 try later", matching="FROM:<>")
    house.settled(90)
    begun = house.clock.now
    assert house.whys() == {Why.REPORT: 1}
    while house.whys():
        before = len(house.claims)
        house.settled(HOUR)
        assert len(house.claims) - before <= 2  # expired or not: an hour apart at last
    assert 5 * DAY <= house.clock.now - begun <= 5 * DAY + 2 * HOUR
    (record,) = house.records(Kind.UNREPORTED)
    assert record.facts["why"] == "undeliverable"


def test_what_cannot_be_opened_any_more_is_kept_for_its_time_and_then_on_record(house, upstream):
    hold(house, upstream, "ada@example.org")
    ring, house.line.keys.held = house.line.keys.held, ANOTHER
    house.settled(90)
    (copy,) = house.held()
    assert copy.due_at == house.clock.now + 60  # the next process may have had the key a moment sooner
    for minutes in (1, 2, 4, 8, 16, 32, 60):
        house.settled(60 * minutes)
    (copy,) = house.held()
    assert copy.due_at == house.clock.now + HOUR
    house.settled(6 * DAY)
    assert len(house.held()) == 1
    house.line.keys.held = ring  # the key came back
    house.settled(HOUR)
    house.wait_empty()
    (report,) = reports(upstream)
    assert "4.4.7" in report_parts(report.data)[1]
    assert not house.records(Kind.UNREPORTED)


def test_what_cannot_be_opened_stands_behind_everything_that_may_leave(house, upstream):
    """And when it can be opened again it is where it was."""
    hold(house, upstream, "ada@example.org")
    (before,) = house.held()
    ring, house.line.keys.held = house.line.keys.held, ANOTHER
    house.settled(90)
    (copy,) = house.held()
    assert copy.lane.priority > max(lane_of(house.line.keys, purpose, "", "").priority for purpose in Purpose)
    house.line.keys.held = ring
    upstream.fault("RCPT", "450 4.2.1 greylisted", times=1)
    house.settled(90)
    (copy,) = house.held()
    assert (copy.lane, copy.why) == (before.lane, Why.UPSTREAM)


def test_one_recipient_that_cannot_be_opened_keeps_no_other_back(house, upstream):
    hold(house, upstream, "ada@example.org", "bob@example.org")
    damaged, _ = house.held()
    changed = HeldUpdate(damaged, replace(damaged, sealed=b"\1" + bytes(40)))
    assert house.run(house.store.update_held([changed])) == 1
    house.settled(90)
    assert [copy.recipient for copy in house.held()] == [damaged.recipient]
    (delivery,) = upstream.accepted
    assert len(delivery.recipients) == 1


class _Died(Exception):
    pass


def drop(house, *, dies: bool) -> None:
    """Drop everything that is held; who dies does so when the store has heard of it, and before its outcome is on record."""
    records: Any = house.line.records
    append_many = records.append_many

    async def dying(given):
        if any(record.kind is Kind.LATE for record in given):
            raise _Died
        await append_many(given)

    async def do():
        ((*page,),) = [page async for page in HeldMail(house.store, house.line.keys, house.clock).pages(Wanted())]
        one = Intervention(house.store, records, house.line.keys, house.clock, by="Wang Min", reason="wrong list")
        await one.do(Deed.DROP, page)

    if not dies:
        house.run(do())
        return
    records.append_many = dying
    with pytest.raises(_Died):
        house.run(do())
    records.append_many = append_many


@pytest.mark.parametrize("dies", [False, True])
def test_what_a_person_dropped_is_on_record_whoever_died_in_between(house, upstream, dies):
    message_id = hold(house, upstream, "ada@example.org", "bob@example.org")
    drop(house, dies=dies)
    assert len(house.records(Kind.LATE)) == (not dies)
    assert not upstream.accepted
    house.turn(61)
    house.wait_empty()
    (late,) = house.records(Kind.LATE)
    assert late.id == message_id
    assert [(one["state"], one["rule"]) for one in late.facts["outcomes"]] == [("refused", "dropped")] * 2
    (report,) = reports(upstream)
    assert "wrong list" in report_parts(report.data)[0]
    assert [delivery.recipients for delivery in upstream.accepted] == [[OFFICE]]


def test_what_a_turn_before_is_still_sending_is_not_given_up(house, upstream):
    """Its time ended meanwhile; it may be delivered in this moment, and then its sender must not hear that it was not."""
    message_id = hold(house, upstream, "ada@example.org")
    (copy,) = house.held()
    key, attempt = held_key(house.line.keys, message_id), "01JATTEMPT0000000000000000"
    house.clock.pass_(5 * DAY)  # the courier does not look yet
    asked = ClearRequest(copy.recipient, (), (), frozenset())
    house.run(house.store.clear(key, attempt, [asked], 300.0, DAY))
    house.settled(HOUR / 60)
    assert house.whys() == {Why.UPSTREAM: 1}
    assert not upstream.accepted
    before = len(house.claims)
    house.settled(HOUR / 60)
    assert len(house.claims) == before  # it is not looked at again and again
    house.run(house.store.finish(key, [Settlement(copy.recipient, RowState.DELIVERED, "250 ok", submission_id=attempt)]))
    house.turn(300)
    house.wait_empty()
    assert not upstream.accepted
    (late,) = house.records(Kind.LATE)
    assert [one["state"] for one in late.facts["outcomes"]] == ["delivered"]


@pytest.mark.parametrize(
    "fault", [RecordsUnavailable("full"), StoreUnavailable("timeout", "no answer")], ids=["records", "store"]
)
def test_what_a_turn_before_may_have_delivered_is_announced_whatever_went_away_meanwhile(house, upstream, monkeypatch, fault):
    """One worker died after the dot, the next one's turn failed before it could say so on record; the third one must."""
    message_id = hold(house, upstream, "ada@example.org")
    (copy,) = house.held()
    asked = ClearRequest(copy.recipient, (), (), frozenset())
    house.run(house.store.clear(held_key(house.line.keys, message_id), "01JATTEMPT0000000000000000", [asked], 30.0, DAY))
    with monkeypatch.context() as away:

        async def nothing(*_: object) -> None:
            raise fault

        away.setattr(house.line.records, "append", nothing)  # of what is judged, when its rows are this turn's already
        house.settled(90)
    assert not upstream.accepted
    house.settled(90)
    house.wait_empty()
    assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org"]]
    assert [len(record.facts["again"]) for record in house.records(Kind.JUDGED)] == [1]


def test_what_stays_closed_for_good_is_given_up(house, upstream):
    message_id = hold(house, upstream, "ada@example.org")
    house.line.keys.held = ANOTHER
    house.settled(11 * DAY)
    house.wait_empty()
    (record,) = house.records(Kind.UNREPORTED)
    assert (record.id, record.facts["why"]) == (message_id, "unreadable")


def test_the_report_on_mail_that_waited_its_whole_time_is_tried_for_five_days_too(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    assert house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE)).is_positive
    house.settled(5 * DAY + HOUR)  # nothing leaves for all the time that such mail is held
    assert house.whys() == {Why.REPORT: 1}
    house.settled(2 * HOUR)
    assert house.whys() == {Why.REPORT: 1}
    assert not house.records(Kind.UNREPORTED)
    upstream.faults.clear()
    house.turn(2 * HOUR)
    house.wait_empty()
    assert [delivery.recipients for delivery in upstream.accepted] == [[OFFICE]]


def test_a_report_on_thousands_keeps_nobody_else_waiting(house, upstream, monkeypatch):
    """Opening a copy takes a tenth of a millisecond, and what is due of one report comes whole."""
    people = [f"r{number}@example.org" for number in range(1000)]
    hold(house, upstream, *people)
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="r")
    resumption = house.courier._resume.__self__
    passes: list[None] = []
    opened: list[int] = []
    detail = resumption._codec.detail_of

    def noted(copy):
        opened.append(len(passes))
        return detail(copy)

    async def count():
        while True:
            passes.append(None)
            await asyncio.sleep(0)

    monkeypatch.setattr(resumption._codec, "detail_of", noted)
    beside: dict[str, bool] = {}
    for place, name in ((house.line.dispatcher.renderer, "report"), (carrying, "report_records")):
        monkeypatch.setattr(place, name, noting_its_thread(getattr(place, name), house, name, beside))
    counting = asyncio.run_coroutine_threadsafe(count(), house.loop)
    house.turn(90)  # no ten minutes more: nobody else is open
    house.wait_empty()
    counting.cancel()
    assert len(opened) >= 2 * len(people)  # to be sent, and for the report
    assert max(Counter(opened).values()) <= 50
    assert beside == {"report": True, "report_records": True}
    (reported,) = house.records(Kind.REPORTED)
    assert len(reported.people) == len(people) + 1


def noting_its_thread(work, house, name, beside):
    def noted(*arguments, **options):
        beside[name] = threading.current_thread() is not house._thread
        return work(*arguments, **options)

    return noted
