"""Every store counts how a stream's mail is received, and pauses it, the same way."""

import asyncio
from functools import partial

import pytest

from relay.policy.cases.reputation import DAY, KEPT_DAYS, Feedback, Measure, Pause, SendingDays, Tally
from relay.stores.ledger import Cleared, Closing, Opening, Paused, Refused, RowState, Settlement, Taken
from relay.stores.sqlite import SQLiteStore
from tests.support.stores import ADA, BOB, EVE, META, START, digest, first_try, refusal, request

MAIL = digest("submission")
LEASE = 90.0
TTL = 5 * 86400.0
TRY = first_try(1)
PAUSE = Pause("news", START - 5, "relay", Measure.COMPLAINTS, "complaints 0.40%, over 0.3%", "投诉率 0.40%，超过 0.3%")


def asking(who=ADA, stream="news"):
    asked = request(who)
    return type(asked)(asked.recipient, asked.suppression_digests, asked.scopes, asked.reasons, asked.charges, stream)


def took(who=ADA, stream="news"):
    return Settlement(who, RowState.DELIVERED, "250 OK", "", TRY.submission_id, stream)


def gone(who=ADA, stream="news"):
    return Settlement(who, RowState.REFUSED, "550 5.1.1 gone", "", TRY.submission_id, stream, no_mailbox=True)


def complaint(number=1, at=START, stream="news", measure=Measure.COMPLAINTS, who=ADA):
    return Feedback(stream, measure, first_try(number).submission_id, who, at)


async def send(store, *settlements, key=MAIL):
    await store.open_submission(key, Opening(TRY, TTL))
    await store.clear(key, TRY.submission_id, [asking(s.recipient) for s in settlements], LEASE, TTL)
    await store.finish(key, settlements)


async def tally(store, window=7, stream="news"):
    return (await store.tallies({stream: window}))[stream]


async def test_nothing_is_counted_and_nobody_is_paused_at_first(store):
    assert await tally(store) == Tally()
    assert await store.paused() == {}


async def test_what_was_delivered_or_had_no_mailbox_counts(store):
    await send(store, took(ADA), took(BOB), gone(EVE))
    assert await tally(store) == Tally(delivered=2, refused=1)


async def test_other_ends_do_not_count(store):
    other = Settlement(ADA, RowState.REFUSED, "554 spam", "", TRY.submission_id, "news")
    await send(store, other, Settlement(BOB, None, stream="news"), Settlement(EVE, RowState.INDETERMINATE, stream="news"))
    assert await tally(store) == Tally()


async def test_an_outcome_that_is_told_twice_counts_once(store):
    await send(store, took(ADA), gone(BOB))
    await store.finish(MAIL, [took(ADA), gone(BOB)])
    assert await tally(store) == Tally(delivered=1, refused=1)


async def test_an_outcome_that_is_told_after_the_end_does_not_count_again(store):
    await send(store, took(ADA))
    await store.close(MAIL, Closing(TRY.submission_id))
    await store.finish(MAIL, [took(ADA)])
    assert await tally(store) == Tally(delivered=1)


async def test_what_was_unknown_and_arrived_after_all_counts(store):
    await send(store, Settlement(ADA, RowState.INDETERMINATE, "", "", TRY.submission_id, "news"))
    await store.finish(MAIL, [took(ADA)])
    assert (await tally(store)).delivered == 1


async def test_a_report_counts_for_nobody(store):
    await send(store, took(ADA, stream=""))
    assert await store.tallies({"": 7}) == {"": Tally()}


async def test_streams_are_counted_apart(store):
    await send(store, took(ADA, "news"), took(BOB, "offers"))
    found = await store.tallies({"news": 7, "offers": 7, "other": 7})
    assert {name: one.delivered for name, one in found.items()} == {"news": 1, "offers": 1, "other": 0}


async def test_workers_count_together(store):
    keys = [digest(n) for n in range(30)]
    await asyncio.gather(*(send(store, took(ADA), took(BOB), key=key) for key in keys))
    assert (await tally(store)).delivered == 60


async def test_complaints_and_bounces_are_kept_apart_and_each_once(store):
    bounce = complaint(measure=Measure.HARD_BOUNCES)
    await store.note([complaint(1), complaint(2), complaint(1, who=BOB), bounce])
    await store.note([complaint(1), bounce])
    assert await tally(store) == Tally(complaints=3, returned=1)


async def test_many_at_once(store):
    await store.note([complaint(number) for number in range(2500)])
    assert (await tally(store)).complaints == 2500


async def test_days_leave_the_window(store, clock):
    await send(store, took(ADA))
    await store.note([complaint(at=START)])
    clock.pass_(6 * DAY)
    assert await tally(store) == Tally(delivered=1, complaints=1)
    clock.pass_(DAY)
    assert await tally(store) == Tally()
    assert await tally(store, window=8) == Tally(delivered=1, complaints=1)


async def test_a_complaint_counts_on_the_day_its_mail_was_sent(store):
    await store.note([complaint(1, START - 8 * DAY), complaint(2, START - DAY), complaint(3, START - 40 * DAY)])
    assert (await tally(store)).complaints == 1
    assert (await tally(store, window=KEPT_DAYS)).complaints == 2


async def test_a_paused_stream_is_told_with_everything_else(store):
    assert (await store.open_submission(MAIL, Opening(TRY, TTL, stream="news"))).pause is None
    assert await store.pause(PAUSE)
    assert await store.paused() == {"news": PAUSE}
    assert (await store.open_submission(MAIL, Opening(TRY, TTL, stream="news"))).pause == PAUSE
    assert (await store.open_submission(digest("new"), Opening(TRY, TTL, stream="news"))).pause == PAUSE
    assert (await store.open_submission(MAIL, Opening(TRY, TTL, stream="offers"))).pause is None


async def test_nothing_of_a_paused_stream_is_cleared(store):
    await store.open_submission(MAIL, Opening(TRY, TTL))
    await store.pause(PAUSE)
    answers = await store.clear(MAIL, TRY.submission_id, [asking(ADA), asking(BOB, "offers"), asking(EVE, "")], LEASE, TTL)
    assert answers == [Paused(PAUSE), Cleared(), Cleared()]
    assert {row.recipient for row in await store.rows(MAIL)} == {BOB, EVE}


async def test_a_refusal_and_what_is_settled_come_before_the_pause(store):
    await send(store, took(ADA))
    await store.suppress(refusal(BOB))
    await store.pause(PAUSE)
    taken, refused = await store.clear(MAIL, TRY.submission_id, [asking(ADA), asking(BOB)], LEASE, TTL)
    assert isinstance(taken, Taken)
    assert isinstance(refused, Refused)


async def test_of_many_who_pause_one_did(store):
    answers = await asyncio.gather(*(store.pause(PAUSE) for _ in range(8)))
    assert sum(answers) == 1


async def test_the_first_pause_stays(store):
    await store.pause(PAUSE)
    assert not await store.pause(Pause("news", START, "Wang Min", Measure.MANUAL, "other", "其他"))
    assert await store.paused() == {"news": PAUSE}


async def test_resuming_ends_the_pause_and_begins_the_counts_anew(store, clock):
    await send(store, took(ADA), gone(BOB))
    await store.note([complaint(1, START - DAY), complaint(2, measure=Measure.HARD_BOUNCES)])
    await store.pause(PAUSE)
    clock.pass_(60)
    assert await store.resume("news") == PAUSE
    assert await store.resume("news") is None
    assert await store.paused() == {}
    assert await tally(store) == Tally(counted_from=START + 60)
    assert await store.clear(MAIL, TRY.submission_id, [asking(EVE)], LEASE, TTL) == [Cleared()]


async def test_after_resuming_only_new_mail_counts(store, clock):
    await store.pause(PAUSE)
    clock.pass_(60)
    await store.resume("news")
    await store.note([complaint(1, START + 59), complaint(2, START + 61), complaint(3, START + 59, "offers")])
    assert (await tally(store)).complaints == 1
    assert (await tally(store, stream="offers")).complaints == 1
    await send(store, took(ADA))
    assert (await tally(store)).delivered == 1


async def test_counts_from_before_a_resumption_do_not_pause(store, clock):
    before = await tally(store)
    await store.pause(PAUSE)
    clock.pass_(1)
    await store.resume("news")
    assert not await store.pause(PAUSE, before.counted_from)
    assert await store.pause(PAUSE, (await tally(store)).counted_from)


async def test_resuming_what_was_never_paused_changes_nothing(store):
    await send(store, took(ADA))
    assert await store.resume("news") is None
    assert await tally(store) == Tally(delivered=1)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_what_no_window_contains_is_swept(store, clock):
    await send(store, took(ADA))
    await store.note([complaint(number, START) for number in range(300)])
    clock.pass_((KEPT_DAYS + 1) * DAY)
    for number in range(3):
        await store.note([complaint(1000 + number, START + 32 * DAY)])
    assert store._reader.read(lambda db, now: db.execute("SELECT count(*) FROM sent").fetchone()) == (0,)
    assert store._reader.read(lambda db, now: db.execute("SELECT count(*) FROM feedback").fetchone()) == (3,)


def drop(table, db, now):
    db.execute(f"DROP TABLE {table}")


async def test_a_file_from_before_there_were_counts_gets_its_tables(tmp_path):
    SQLiteStore.create(tmp_path / "relay.db", META)
    old = SQLiteStore.open(tmp_path / "relay.db", META)
    for table in ("streams", "sent", "feedback"):
        await old._writer.run(partial(drop, table))
    await old.aclose()
    opened = SQLiteStore.open(tmp_path / "relay.db", META)
    try:
        assert await opened.pause(PAUSE)
        assert await opened.tallies({"news": 7}) == {"news": Tally()}
    finally:
        await opened.aclose()


# Days of sending


async def test_a_stream_that_never_sent_has_no_days(store):
    assert await store.sending_days(["news", "offers"]) == {"news": SendingDays(), "offers": SendingDays()}
    assert await store.sending_days([]) == {}


async def test_each_day_of_sending_counts_once_however_many_say_so(store):
    await asyncio.gather(*(store.note_sending("news", "2026-11-21") for _ in range(20)))
    assert await store.sending_days(["news"]) == {"news": SendingDays(1, "2026-11-21")}
    await store.note_sending("news", "2026-11-22")
    await store.note_sending("offers", "2026-11-22")
    await store.note_sending("news", "2027-01-03")
    assert await store.sending_days(["offers", "news"]) == {
        "offers": SendingDays(1, "2026-11-22"),
        "news": SendingDays(3, "2027-01-03"),
    }


async def test_a_node_whose_clock_is_behind_counts_no_day_again(store):
    await store.note_sending("news", "2026-11-22")
    await store.note_sending("news", "2026-11-21")
    assert (await store.sending_days(["news"]))["news"] == SendingDays(1, "2026-11-22")


async def test_days_of_sending_outlive_the_counts_and_a_pause(store, clock):
    await store.note_sending("news", "2026-11-21")
    await store.pause(PAUSE)
    await store.resume("news")
    clock.pass_(400 * DAY)
    await store.check()
    assert (await store.sending_days(["news"]))["news"] == SendingDays(1, "2026-11-21")
