"""What a month of records adds up to, each kind by hand, in bounded memory."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.answer import ReportFate, Result, Standing
from relay.mail import replies
from relay.mail.reply import reply
from relay.policy.cases.case import Action, Objection, Ruling
from relay.policy.consents.consent import EventKind
from relay.policy.suppressions.suppression import Reason
from relay.records.facts import finished_record, late_record, received_record
from relay.records.kinds import Kind, Record
from relay.records.monthly.counts import MOST_NAMES, OTHERS, Fate, Month, month_bounds
from relay.records.reference import examples
from relay.records.suppressed import suppressed_record
from relay.records.wording import CONSENTS
from relay.stores.held import Why
from relay.stores.ledger import FirstTry
from tests.support.months import OBSERVED, WARNED, Writer
from tests.support.records import GONE, KEYS, NOW, a_message, a_refusal, a_submission, an_id

ZONE = ZoneInfo("Asia/Shanghai")
OK = reply(250, "0.0", "OK")
WRITER = Writer(KEYS)


def counted(*records):
    month = Month(ZONE)
    for number, record in enumerate(records, 5):
        month.add(record, number)
    return month


def received(submission, *rulings, first_try=""):
    first = FirstTry(first_try or submission.id, NOW, "", "")
    return received_record(submission, a_message(), rulings, "0123456789abcdef", first, WRITER.person)


def finished(submission, *results, at=NOW):
    return finished_record(submission, results, ReportFate.NOT_NEEDED, OK, at, WRITER.person)[0]


def people(number):
    submission = a_submission(1, [f"person{one}@example.org" for one in range(number)])
    return submission, submission.recipients


def held(submission, *recipients, at=NOW):
    return finished(submission, *(Result(one, Standing.HELD, OK, why=Why.LIMIT) for one in recipients), at=at)


def late(submission, *results, at=NOW):
    return late_record(submission.id, results, at, WRITER.person)


def test_what_became_of_held_mail_takes_the_place_of_held_on_its_stream_and_day():
    submission, (a, b, c, d) = people(4)
    month = counted(
        received(submission),
        held(submission, a, b, c, d),
        late(submission, Result(a, Standing.DELIVERED, OK), at=NOW + 2 * 86400),
        late(submission, Result(b, Standing.REFUSED, reply(550, "1.1", "Unknown")), Result(c, Standing.INDETERMINATE, OK)),
        late(submission, Result(c, Standing.DELIVERED, OK)),
    )
    expected = {Fate.DELIVERED: 2, Fate.SERVER: 1, Fate.HELD: 1}
    assert +month.fates["newsletter"] == expected
    assert {day: +counter for day, counter in month.days.items()} == {date(2026, 11, 18): expected}
    assert month.late == {}


def test_held_mail_of_an_earlier_month_and_a_late_answer_count_apart():
    submission, (a, b) = people(2)
    month = counted(
        received(submission),
        finished(submission, Result(a, Standing.INDETERMINATE, OK)),
        late(submission, Result(a, Standing.DELIVERED, OK), Result(b, Standing.DELIVERED, OK)),
    )
    assert month.fates == {"newsletter": {Fate.UNKNOWN: 1}}
    assert month.late == {"delivered": 2}


def test_every_outcome_counts_under_its_stream_and_day():
    submission, (a, b, c, d, e, f, g) = people(7)
    month = counted(
        received(submission),
        finished(
            submission,
            Result(a, Standing.DELIVERED, OK),
            Result(b, Standing.REFUSED, replies.refused(GONE.rule, GONE.text), rule=GONE.rule),
            Result(c, Standing.REFUSED, reply(550, "1.1", "Unknown")),
            Result(d, Standing.TRANSIENT, replies.over_limit("newsletter: identity 60/minute", 9), rule="limit"),
            Result(e, Standing.TRANSIENT, reply(451, "4.1", "Later")),
            Result(f, Standing.INDETERMINATE, reply(451, "4.7", "Late")),
            Result(g, Standing.HELD, reply(451, "4.1", "Later"), why=Why.UPSTREAM),
        ),
    )
    assert month.fates == {"newsletter": dict.fromkeys(Fate, 1)}
    assert month.days == {date(2026, 11, 18): dict.fromkeys(Fate, 1)}
    assert month.messages == {"newsletter": 1}
    assert {name: (rule.refused, rule.deferred) for name, rule in month.rules.items()} == {GONE.rule: (1, 0), "limit": (0, 1)}
    assert month.limits == {"newsletter: identity 60/minute": 1}
    assert (month.first_seq, month.last_seq, month.open) == (5, 6, set())
    assert month.rules["limit"].text["zh"] == "已达到发送限额"


def test_whoever_an_earlier_try_settled_does_not_count_again_nor_do_its_warnings():
    submission, (a, b) = people(2)
    again = replace(submission, id=an_id(2))
    rulings = [Ruling(a, Action.WARN, (OBSERVED,)), Ruling(b, Action.WARN, (WARNED,))]
    delivered = Result(a, Standing.DELIVERED, OK)
    month = counted(
        received(submission, *rulings),
        finished(submission, delivered, Result(b, Standing.TRANSIENT, reply(451, "4.1", "Later"))),
        received(again, *rulings, first_try=submission.id),
        finished(again, replace(delivered, earlier=True), Result(b, Standing.DELIVERED, OK)),
    )
    assert month.fates["newsletter"] == {Fate.DELIVERED: 2, Fate.TRANSIENT: 1}
    assert month.messages == {"newsletter": 1}
    assert month.warned == {"newsletter": 2}
    assert month.observed == {("newsletter", "base/attachment-types", "override"): 1}
    assert month.rules["base/subject-words"].warned == 1


def test_a_refusal_at_rcpt_counts_in_its_stream_one_at_mail_has_no_recipient():
    older = WRITER.rcpt_refusal(NOW, "0123456789abcdef")
    month = counted(
        WRITER.rcpt_refusal(NOW, "0123456789abcdef"),
        WRITER.sender_refusal(NOW, "0123456789abcdef"),
        replace(older, facts={key: value for key, value in older.facts.items() if key != "stream"}),  # an earlier version
    )
    assert month.fates == {"receipts": {Fate.RULE: 1}, "": {Fate.RULE: 1}}
    assert month.rules[GONE.rule].refused == 2
    assert month.streams == ["receipts", ""]
    assert month.senders_refused == 1
    assert month.rules["base/ownership"].refused == 1
    assert month.rules[GONE.rule].cite == GONE.cite


def test_a_message_that_is_refused_whole_counts_for_each_of_its_recipients():
    whole = WRITER.rcpt_refusal(NOW, "0123456789abcdef")
    facts = {**whole.facts, "recipient": None, "rulings": [whole.facts["rulings"][0]] * 3}
    month = counted(replace(whole, facts=facts))
    assert month.fates == {"receipts": {Fate.RULE: 3}}
    assert (month.rules[GONE.rule].refused, month.senders_refused) == (3, 0)


@pytest.mark.parametrize(("seconds", "place"), [(0, 0), (3600, 0), (3601, 1), (3 * 86400, 2), (29 * 86400, 4), (90 * 86400, 5)])
def test_the_age_of_a_refused_mail_is_in_its_id(seconds, place):
    mail = an_id(1, NOW - seconds)
    month = counted(suppressed_record(an_id(2), NOW, a_refusal(), "recipient", mail))
    assert month.ages[place] == 1
    assert month.refusals == {("one_click", "unsubscribe"): 1}


def test_entries_by_hand_are_no_refusals_and_a_refusal_may_answer_no_mail():
    by_hand = suppressed_record(an_id(1), NOW, a_refusal(reason=Reason.MANUAL, origin="cli"), "Wang Min")
    alone = suppressed_record(an_id(2), NOW, a_refusal(), "recipient")
    old = replace(alone, facts={key: value for key, value in alone.facts.items() if key != "submission"})
    month = counted(by_hand, alone, old)
    assert month.entered == {"manual": 1}
    assert (sum(month.ages), month.ages_unknown) == (0, 2)


def test_bounces_and_complaints_count_as_the_thresholds_count_them():
    submission, (a, b) = people(2)
    mail = received(submission, Ruling(a, Action.PERMIT), Ruling(b, Action.PERMIT))
    results = [Result(a, Standing.DELIVERED, OK), Result(b, Standing.REFUSED, reply(550, "1.1", "Unknown"), gone="5.1.1")]
    outcome = finished_record(submission, results, ReportFate.NOT_NEEDED, OK, NOW, WRITER.person, (b"of b",))[0]
    twice = [WRITER.returned(mail, NOW + n, "bounce", gone=True) for n in range(2)]
    complaints = [WRITER.returned(mail, NOW + n, "complaint") for n in range(2)]
    opt_out = WRITER.returned(mail, NOW, "complaint")
    opt_out.facts["effect"] = "unsubscribe"
    month = counted(mail, outcome, opt_out, *twice, *complaints)
    assert (month.bounces, month.gone, month.absent) == ({"newsletter": 2}, {"newsletter": 1}, {"newsletter": 1})
    assert month.complaints == {"newsletter": 1}
    assert month.dead_addresses("newsletter") == month.dead_addresses(None) == 1.0  # one taken and back, one not taken


def test_a_message_without_an_outcome_stays_open():
    submission, (a,) = people(1)
    assert counted(received(submission, Ruling(a, Action.PERMIT))).open == {submission.id}


def test_every_kind_of_record_can_be_counted():
    records = [record for kind in examples().values() for record in kind]
    month = counted(*records)
    assert month.records == Counter(record.kind for record in records)
    assert set(month.records) == set(Kind)
    assert [event.kind for event in month.events] == [Kind.POLICY, Kind.KEYS, Kind.OPENED]
    assert [event.kind for event in month.pauses] == [Kind.PAUSED, Kind.RESUMED]
    assert [event.facts["share"] for event in month.thresholds] == ["80 %"]
    assert (month.bounces, month.gone) == ({"newsletter": 1}, {"newsletter": 1})
    assert sum(month.consents.values()) >= len(month.consents) > 0
    assert (month.imported, month.lifted, month.late) == (11874, {"unsubscribe": 1}, {"delivered": 1})


def test_every_event_of_the_consent_ledger_has_words():
    assert set(CONSENTS) == {kind.value for kind in EventKind}


def test_a_kind_that_the_report_does_not_know_is_not_counted_silently():
    (known,) = examples()[Kind.KEYS]
    later: Any = "archived"  # a kind that a later version may write
    with pytest.raises(ValueError, match="archived"):
        counted(replace(known, kind=later))


def test_names_that_clients_choose_do_not_grow_without_bound():
    submission, (a,) = people(1)
    month = Month(ZONE)
    for number in range(MOST_NAMES + 50):
        over = replies.over_limit(f"newsletter: recipient domain d{number}.example 20/minute", 9)
        month.add(finished(submission, Result(a, Standing.TRANSIENT, over, rule="limit")))
    assert len(month.limits) == MOST_NAMES + 1
    assert month.limits[OTHERS] == 50


def test_a_hundred_thousand_records_need_no_more_memory_than_a_thousand():
    submission, three = people(3)
    record = finished(submission, *(Result(one, Standing.DELIVERED, OK) for one in three))
    arrived = received(submission)
    numbers = count()

    def some(how_many):
        month = Month(ZONE)
        tracemalloc.start()
        for _ in range(how_many):
            number = next(numbers)
            here = Record(Kind.RECEIVED, str(number), NOW, (), {**arrived.facts, "first_try": str(number)})
            month.add(here, number)
            month.add(replace(record, id=here.id), number)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert month.fates["newsletter"][Fate.DELIVERED] == 3 * how_many
        return peak

    assert some(50_000) < some(500) + 200_000


def test_a_month_is_one_of_the_organisations_zone():
    since, until = month_bounds(2026, 12, ZONE)
    assert datetime.fromtimestamp(since, UTC) == datetime(2026, 11, 30, 16, tzinfo=UTC)
    assert datetime.fromtimestamp(until, ZONE) == datetime(2027, 1, 1, tzinfo=ZONE)
    since, until = month_bounds(2026, 3, ZoneInfo("America/New_York"))  # an hour is lost in it
    assert until - since == 31 * 86400 - 3600


def test_objections_of_the_ruling_give_a_rule_its_words_in_both_languages():
    submission, (a,) = people(1)
    only_chinese = Objection("own/rule", Action.REJECT, "", "不行", "", "", cite="Art 1")
    month = counted(received(submission, Ruling(a, Action.REJECT, (only_chinese,))))
    assert (month.rules["own/rule"].text, month.rules["own/rule"].cite) == ({"zh": "不行", "en": "不行"}, "Art 1")
    assert Counter(month.records) == {Kind.RECEIVED: 1}
