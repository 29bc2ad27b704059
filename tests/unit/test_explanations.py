"""The help page: what happened, which rule, what to do, in both languages; masked, for 30 days."""

from dataclasses import replace
from datetime import date

import pytest

from relay.answer import ReportFate, Result, Standing
from relay.mail.mailbox import Mailbox
from relay.mail.replies import NO_ACCOUNT
from relay.mail.reply import reply
from relay.policy.cases.case import Action, Phase, Ruling
from relay.policy.cases.jurisdiction import jurisdictions_of
from relay.policy.consents.residence import Residence, countries_of
from relay.policy.deciding.decide import decide
from relay.policy.suppressions.suppression import Reason
from relay.records.explanations import SHOWN_SECONDS, explain_record, explanation
from relay.records.facts import finished_record, late_record, received_record, refused_record
from relay.records.judged import judged_record
from relay.records.kinds import Kind
from relay.records.wording import OWN_RULES
from tests.support.policies import PLAIN, a_case, a_policy, noon, word_rule
from tests.support.records import (
    CLIENT,
    GONE,
    KEYS,
    NOW,
    a_first_try,
    a_message,
    a_record,
    a_submission,
    an_id,
    permitted,
    rejected,
)

OK = reply(250, "0.0", "OK")


def explained(records, *found, now=NOW):
    return explanation(found, records.reader.reveal, now)


def received(records, submission, rulings):
    return received_record(submission, a_message(), rulings, "cafe", a_first_try(submission), records.person)


async def test_a_refused_recipient_reads_rule_remedy_and_law_in_both_languages(records):
    submission = a_submission(1, ["ada@example.org", "bob@example.org"])
    ada, bob = submission.recipients
    await records.append(received(records, submission, [permitted(ada), rejected(bob)]))
    found = explain_record(records.path, KEYS, submission.id, NOW + 60)
    assert found is not None
    assert (found.id, found.at, found.stream, found.sender) == (submission.id, NOW, "newsletter", "news@example.com")
    refused, judged = found.fates
    assert (refused.state, refused.people, refused.count) == ("refused by rule", ("b***@example.org",), 1)
    [reason] = refused.reasons
    assert (reason.rule, reason.cite) == ("base/suppression", "15 USC 7704(a)(4)")
    assert reason.text == {"zh": "收件人已退订", "en": "This recipient has unsubscribed"}
    assert reason.fix == {"zh": "请删除该地址", "en": "Remove the address"}
    assert reason.weight == {"zh": "拒绝", "en": "reject"}
    assert (judged.state, judged.people) == ("judged", ("a***@example.org",))
    assert all(fate.sentence["zh"] and fate.sentence["en"] for fate in found.fates)


def test_outcomes_say_what_the_upstream_said_and_late_answers_correct_them(records):
    submission = a_submission(1, ["ada@example.org", "bob@example.org", "eve@example.org"])
    ada, bob, eve = submission.recipients
    outcomes = [
        Result(ada, Standing.INDETERMINATE, reply(451, "4.2", "lost")),
        Result(bob, Standing.REFUSED, reply(550, "1.1", "No such user"), upstream="netease", upstream_text="550 no such user"),
        Result(eve, Standing.TRANSIENT, reply(451, "4.1", "The upstream server cannot be reached")),
    ]
    opening = received(records, submission, [permitted(r) for r in submission.recipients])
    finished = finished_record(submission, outcomes, ReportFate.NOT_NEEDED, OK, NOW + 1, records.person)
    found = explained(records, opening, *finished)
    assert [(fate.state, fate.upstream_text) for fate in found.fates] == [
        ("indeterminate", "451 4.4.2 lost"),
        ("refused", "550 no such user"),
        ("transient", "451 4.4.1 The upstream server cannot be reached"),
    ]
    late = late_record(submission.id, [Result(ada, Standing.DELIVERED, OK, cleared=7)], NOW + 90, records.person)
    found = explained(records, opening, *finished, late)
    assert [(fate.state, fate.cleared) for fate in found.fates] == [
        ("refused", (0, 0)), ("transient", (0, 0)), ("delivered", (7, 7)),
    ]  # fmt: skip
    both = [Result(ada, Standing.DELIVERED, OK, cleared=9), Result(bob, Standing.DELIVERED, OK, cleared=4)]
    found = explained(records, opening, *finished, late_record(submission.id, both, NOW + 90, records.person))
    assert [fate.cleared for fate in found.fates if fate.state == "delivered"] == [(4, 9)]


@pytest.mark.parametrize(
    ("rule", "standing", "state"),
    [
        ("limit", Standing.TRANSIENT, "transient by rule"),
        ("base/suppression", Standing.REFUSED, "refused by rule"),
        ("base/signature", Standing.REFUSED, "refused by rule"),
    ],
)
def test_a_rule_that_spoke_after_the_ruling_is_explained_too(records, rule, standing, state):
    submission = a_submission()
    [ada] = submission.recipients
    outcome = Result(ada, standing, reply(450, "7.1", f"[{rule}] said so"), rule=rule)
    finished = finished_record(submission, [outcome], ReportFate.NOT_NEEDED, OK, NOW, records.person)
    found = explained(records, received(records, submission, [permitted(ada)]), *finished)
    [fate] = found.fates
    assert (fate.state, fate.reasons[0].rule) == (state, rule)
    assert all(fate.reasons[0].text.values())
    assert all(fate.reasons[0].fix.values())


def test_recipients_with_the_same_fate_are_one_group_of_bounded_length(records):
    submission = a_submission(1, [f"person{n}@example.org" for n in range(500)])
    found = explained(records, received(records, submission, [rejected(r) for r in submission.recipients]))
    [fate] = found.fates
    assert fate.count == 500
    assert len(fate.people) == 20


def test_what_was_only_observed_says_so(records):
    submission = a_submission()
    [ada] = submission.recipients
    observed = replace(GONE, action=Action.WARN, observed="shadow", text_zh="")
    found = explained(records, received(records, submission, [Ruling(ada, Action.WARN, (observed,))]))
    [reason] = found.fates[0].reasons
    assert reason.weight == {"zh": "提醒（仅观察，不生效）", "en": "warn (only observed)"}
    assert reason.text["zh"] == reason.text["en"] == "This recipient has unsubscribed"


def test_refusals_before_there_was_a_message_are_explained(records):
    author = Mailbox.parse("news@example.com")
    [ada] = a_submission().recipients
    no = reply(553, "7.1", "[base/ownership] This sender is not yours", "http://127.0.0.1:8027/r/1")
    at_mail = refused_record(an_id(1), NOW, CLIENT, author.key, author, None, no, (), "cafe", records.person)
    [fate] = explained(records, at_mail).fates
    assert (fate.state, fate.people, fate.upstream_text) == ("session", (), "")
    [reason] = fate.reasons
    assert (reason.rule, reason.weight["en"]) == ("base/ownership", "reject")
    assert (reason.text, reason.fix) == OWN_RULES["base/ownership"]
    utf8 = reply(553, "6.7", "[base/smtputf8] This mailbox has non-ASCII characters")
    at_rcpt = refused_record(an_id(3), NOW, CLIENT, author.key, author, ada, utf8, (), "cafe", records.person)
    [fate] = explained(records, at_rcpt).fates
    assert (fate.state, fate.people, fate.reasons[0].rule) == ("refused by rule", ("a***@example.org",), "base/smtputf8")
    later = refused_record(an_id(4), NOW, CLIENT, author.key, author, None, NO_ACCOUNT, (), "cafe", records.person)
    assert explained(records, later).fates[0].reasons[0].weight["en"] == "defer"
    at_rcpt = refused_record(an_id(2), NOW, CLIENT, author.key, author, ada, no, [rejected(ada)], "cafe", records.person)
    [fate] = explained(records, at_rcpt).fates
    assert (fate.state, fate.people) == ("refused by rule", ("a***@example.org",))


def test_a_page_ends_after_30_days_and_is_about_sending_only(records):
    submission = a_submission()
    opening = received(records, submission, [rejected(r) for r in submission.recipients])
    assert explained(records, opening, now=NOW + SHOWN_SECONDS) is not None
    assert explained(records, opening, now=NOW + SHOWN_SECONDS + 1) is None
    assert explained(records) is None
    assert explained(records, a_record(1, Kind.POLICY)) is None
    assert explain_record(records.path, KEYS, an_id(99), NOW) is None


POLICY = a_policy(
    changes={"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "kr", "law"]')},
    law='[pack]\nversion = "1"\nexpires_on = 2020-01-01\n[applies]\nany = [{ recipient = "US" }]\n' + word_rule("Spring"),
)


def told(record, records, find=lambda _: POLICY):
    return explanation([record], records.reader.reveal, NOW, find)


def judged(address: str, phase=Phase.DATA, residence=None):
    """A ruling by the set, with all that was asked for it."""
    domain = address.partition("@")[2]
    known = jurisdictions_of(domain, frozenset({"CN"}), countries_of(residence))
    case = a_case(PLAIN if phase is Phase.DATA else None, to=address, jurisdictions=known, suppressed=Reason.UNSUBSCRIBE)
    case = replace(case, residence=residence)
    return decide(POLICY, POLICY.stream("newsletter"), case, phase, noon(date(2026, 11, 18)))


@pytest.mark.parametrize("address", ["ada@example.org", "kim@example.kr", "joe@example.us"])
@pytest.mark.parametrize("phase", Phase)
def test_every_rule_of_the_time_is_told_with_its_answer(records, address, phase):
    """As `relay explain FILE` says it: asked or not and why, what it said, and what it rests on."""
    ruling, submission = judged(address, phase), a_submission(1, [address])
    if phase is Phase.DATA:
        record = received(records, submission, [ruling])
    else:
        author = Mailbox.parse("news@example.com")
        no = reply(550, "7.1", "[base/suppression] gone")
        record = refused_record(
            an_id(1), NOW, CLIENT, author.key, author, ruling.recipient, no, [ruling], "cafe", records.person, stream="newsletter"
        )
    [fate] = told(record, records).fates
    rules = {rule.name for rule in POLICY.stream("newsletter").rules}
    asked = [one for one in ruling.asked if one.rule in rules or one.objection]
    assert [(one.rule, one.asked) for one in fate.answers] == [(one.rule, one.asked) for one in asked]
    answers = {one.rule: one for one in fate.answers}
    for one in asked:
        answer = answers[one.rule].answer
        if one.objection:
            assert answer["en"] == one.objection.action.word
        elif one.asked:
            assert answer == {"zh": "无异议", "en": "no objection"}
        else:
            assert (answer["en"], answer["zh"]) == (one.why, one.why_zh)
    assert all(one.cite for one in fate.answers if one.rule != "law/no-word")
    assert answers["base/suppression"].answer["zh"] == "拒绝"
    assert ("law/expired" in answers) is address.endswith(".us")


def test_whose_law_it_was_is_told_with_who_told_it(records):
    """By what the ledger knew then, which the record has."""
    submission = a_submission(1, ["ada@example.org", "kim@example.kr", "lee@example.org", "jun@example.de"])
    where = [None, None, Residence(frozenset({"KR"}), NOW), Residence(frozenset({"KR"}), NOW)]
    people = zip(submission.recipients, where, strict=True)
    rulings = [judged(recipient.mailbox.wire, residence=residence) for recipient, residence in people]
    record = received(records, submission, rulings)
    found = {fate.people[0]: fate for fate in told(record, records).fates}
    day = "consent of 2026-11-18"
    assert {who: fate.law["en"] for who, fate in found.items()} == {
        "a***@example.org": "CN (nobody said it: organisation default)", "k***@example.kr": "KR (the address)",
        "l***@example.org": f"KR ({day})", "j***@example.de": f"DE (the address); KR ({day})",
    }  # fmt: skip
    for (who, fate), ruling in zip(found.items(), rulings, strict=True):
        asked = {one.rule: one.asked for one in fate.answers}
        assert asked["kr/consent"] is (who != "a***@example.org")
        assert {one.rule for one in ruling.asked if one.asked} <= {name for name, is_asked in asked.items() if is_asked}
    assert all(fate.law is None for fate in explained(records, record).fates)


def test_two_recipients_under_two_laws_are_told_apart(records):
    submission = a_submission(1, ["ada@example.org", "kim@example.kr", "lee@example.kr"])
    rulings = [judged(recipient.mailbox.wire) for recipient in submission.recipients]
    record = received(records, submission, rulings)
    one, two = told(record, records).fates
    assert (one.count, two.count) == (1, 2)
    assert {answer.rule: answer.asked for answer in one.answers} != {answer.rule: answer.asked for answer in two.answers}
    assert all(fate.answers == () for fate in explained(records, record).fates)


@pytest.mark.parametrize(
    ("find", "reveal", "why"),
    [
        (lambda _: None, None, "The policy set of the time cannot be read"),
        (lambda _: POLICY, lambda _: "", "The addresses of some recipients are erased"),
    ],
)
def test_what_cannot_be_told_is_said(records, find, reveal, why):
    record = received(records, a_submission(1, ["ada@example.org"]), [judged("ada@example.org")])
    found = explanation([record], reveal or records.reader.reveal, NOW, find)
    assert found is not None
    assert [fate.answers for fate in found.fates] == [()]
    assert found.untold["en"].startswith(why)
    assert found.untold["zh"]


def test_before_any_rule_was_asked_none_is_told(records):
    author = Mailbox.parse("news@example.com")
    no = reply(553, "7.1", "[base/ownership] This sender is not yours")
    at_mail = refused_record(an_id(1), NOW, CLIENT, author.key, author, None, no, (), "cafe", records.person)
    [ada] = a_submission().recipients
    broken = refused_record(
        an_id(2), NOW, CLIENT, author.key, author, None, no, [rejected(ada)], "cafe", records.person, stream="newsletter"
    )
    for record in (at_mail, broken):
        found = told(record, records)
        assert found.untold["en"] == "It was refused before any rule was asked."
        assert [fate.answers for fate in found.fates] == [()]


def test_of_held_mail_the_last_ruling_counts_and_only_for_whom_it_was_made(records):
    submission = a_submission(1, ["ada@example.org", "bob@example.org"])
    ada, bob = submission.recipients
    again = judged_record(replace(submission, recipients=(ada,)), [rejected(ada)], "beef", NOW + 3600, records.person)
    page = explained(records, received(records, submission, [permitted(ada), permitted(bob)]), again, now=NOW + 3700)
    refused, judged = page.fates
    assert (refused.state, refused.people) == ("refused by rule", ("a***@example.org",))
    assert [reason.rule for reason in refused.reasons] == ["base/suppression"]
    assert (judged.state, judged.people, judged.reasons) == ("judged", ("b***@example.org",), ())
