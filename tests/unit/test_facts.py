"""Records hold what happened and no address; people appear as numbers."""

from collections import Counter
from dataclasses import dataclass, replace

import orjson
import pytest

from relay.answer import ReportFate, Result, Standing
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import reply
from relay.policy.cases.case import Action, Ruling
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Reason
from relay.records.facts import Roll, domain_mail, finished_record, late_record, received_record, refused_record, report_records
from relay.records.kinds import Kind, Person
from relay.records.suppressed import imported_record, lifted_record, suppressed_record
from tests.support.records import (
    CLIENT,
    GONE,
    NOW,
    a_first_try,
    a_message,
    a_refusal,
    a_submission,
    an_id,
    permitted,
    rejected,
)

OK = reply(250, "0.0", "OK")


def person(mailbox_key: str) -> Person:
    return Person(mailbox_key.encode(), b"")


def names(record):
    return [p.digest.decode() for p in record.people]


def delivered(recipient):
    return Result(recipient, Standing.DELIVERED, OK, upstream="netease", upstream_text="250 queued")


def refused(recipient):
    return Result(recipient, Standing.REFUSED, reply(550, "1.1", "No such user"), upstream="netease", upstream_text="550 no")


def test_the_people_of_a_record_are_numbered_once_each():
    roll = Roll(person)
    assert [roll.number(key) for key in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert [p.digest for p in roll.people] == [b"a", b"b", b"c"]


def test_received_keeps_who_what_and_why_but_no_address_subject_or_body():
    submission = a_submission(1, ["ada@example.org", "bob@example.org"])
    ada, bob = submission.recipients
    message = a_message("Very private words")
    record = received_record(submission, message, [permitted(ada), rejected(bob)], "cafe", a_first_try(submission), person)
    assert (record.kind, record.id, record.at) == (Kind.RECEIVED, submission.id, NOW)
    assert names(record) == ["news@example.com", "ada@example.org", "bob@example.org"]
    facts = record.facts
    assert (facts["identity"], facts["reverse_path"], facts["policy"], facts["stream"]) == (0, 0, "cafe", "newsletter")
    assert facts["client"]["address"] == "192.0.2.7"
    assert facts["message"] == {"sha256": message.received_digest.hex(), "size": message.size}
    assert facts["rulings"][0] == {"person": 1, "action": "permit", "objections": []}
    assert facts["rulings"][1]["action"] == "reject"
    [objection] = facts["rulings"][1]["objections"]
    assert (objection["rule"], objection["asked_for"], objection["text_zh"]) == ("base/suppression", "reject", "收件人已退订")
    octets = orjson.dumps(facts)
    assert b"@" not in octets
    assert b"private" not in octets
    assert b"News" not in octets


def test_a_trusted_listener_is_no_person_and_a_null_reverse_path_is_null():
    submission = a_submission()
    submission = replace(submission, reverse_path=None, identity=replace(submission.identity, name="listener:printers"))
    record = received_record(submission, a_message(), [], "cafe", a_first_try(submission), person)
    assert (record.facts["identity"], record.facts["reverse_path"], record.people) == ("listener:printers", None, ())


def test_a_helo_of_any_octets_can_be_recorded():
    client = replace(CLIENT, helo="desk\udcff\x00")
    record = refused_record(an_id(1), NOW, client, "news@example.com", None, None, reply(550, "7.1", "No"), (), "cafe", person)
    assert record.facts["client"]["helo"] == "desk??"


def test_a_refusal_at_mail_has_no_recipient_and_one_at_rcpt_its_ruling():
    [recipient] = a_submission().recipients
    author = Mailbox.parse("news@example.com")
    answer = reply(550, "7.1", "[base/suppression] gone")
    at_mail = refused_record(an_id(1), NOW, CLIENT, author.key, author, None, answer, (), "cafe", person)
    assert (at_mail.kind, at_mail.facts["recipient"], at_mail.facts["rulings"]) == (Kind.REFUSED, None, [])
    at_rcpt = refused_record(an_id(2), NOW, CLIENT, author.key, author, recipient, answer, [rejected(recipient)], "cafe", person)
    assert at_rcpt.facts["recipient"] == at_rcpt.facts["rulings"][0]["person"] == 1
    assert at_rcpt.facts["reply"] == "550 5.7.1 [base/suppression] gone"


def test_finished_keeps_every_outcome_with_the_upstreams_words():
    submission = a_submission(1, ["ada@example.org", "bob@example.org"])
    ada, bob = submission.recipients
    [record] = finished_record(
        submission, [replace(delivered(ada), cleared=41), refused(bob)], ReportFate.NOT_NEEDED, OK, NOW + 2, person
    )
    assert (record.kind, record.id, record.at) == (Kind.FINISHED, submission.id, NOW + 2)
    assert record.facts["outcomes"][0]["cleared"] == 41
    assert record.facts["outcomes"][1] == {
        "person": 1,
        "state": "refused",
        "reply": "550 5.1.1 No such user",
        "rule": "",
        "upstream": "netease",
        "upstream_text": "550 no",
        "earlier": False,
        "cleared": 0,
    }
    assert (record.facts["reply"], record.facts["report"]) == ("250 2.0.0 OK", "not needed")


def test_a_delivered_report_is_recorded_with_whom_it_told_of_whom():
    submission = a_submission(1, ["ada@example.org", "bob@example.org"])
    ada, bob = submission.recipients
    outcomes = [delivered(ada), refused(bob)]
    _, reported = finished_record(submission, outcomes, ReportFate.DELIVERED, OK, NOW, person)
    assert reported.kind is Kind.REPORTED
    assert names(reported) == ["news@example.com", "bob@example.org"]
    assert reported.facts == {"to": 0, "about": [1]}


def test_recipients_of_whom_nobody_was_told_are_recorded_with_the_reason():
    for submission, fate, why in (
        (replace(a_submission(), reverse_path=None), ReportFate.FORBIDDEN, "null reverse-path"),
        (a_submission(notify=frozenset({"NEVER"})), ReportFate.FORBIDDEN, "notify"),
        (a_submission(notify=frozenset({"NEVER"})), ReportFate.DELIVERED, "notify"),
        (a_submission(), ReportFate.FORBIDDEN, "a report"),
    ):
        [recipient] = submission.recipients
        _, untold = finished_record(submission, [refused(recipient)], fate, OK, NOW, person)
        assert untold.kind is Kind.UNREPORTED
        assert names(untold) == ["ada@example.org"]
        assert untold.facts == {"about": [0], "why": why}


def test_of_thousands_nobody_is_compared_with_all_the_others(monkeypatch):
    compared = Counter[str]()
    submission = a_submission()
    some = [replace(submission.recipients[0], mailbox=Mailbox.parse(f"r{number}@example.org")) for number in range(2000)]
    silent = [replace(one, notify=frozenset({"NEVER"})) for one in some[1000:]]
    outcomes = [refused(recipient) for recipient in (*some[:1000], *silent)]
    equals = Recipient.__eq__

    def counted(one, other):
        compared["times"] += 1
        return equals(one, other)

    monkeypatch.setattr(Recipient, "__eq__", counted)
    told, untold = report_records(submission, outcomes, "delivered", NOW, person)
    assert (len(told.facts["about"]), len(untold.facts["about"])) == (1000, 1000)
    assert compared["times"] <= 2000


@pytest.mark.parametrize("fate", [ReportFate.NOT_NEEDED, ReportFate.TRANSIENT, ReportFate.REFUSED])
def test_a_report_that_was_not_delivered_is_no_record_of_its_own(fate):
    submission = a_submission()
    records = finished_record(submission, [refused(submission.recipients[0])], fate, OK, NOW, person)
    assert [record.kind for record in records] == [Kind.FINISHED]
    assert records[0].facts["report"] == fate.value


def test_a_late_answer_is_recorded_under_its_submission():
    submission = a_submission()
    record = late_record(submission.id, [delivered(submission.recipients[0])], NOW + 60, person)
    assert (record.kind, record.id, record.facts["outcomes"][0]["state"]) == (Kind.LATE, submission.id, "delivered")


def test_a_suppression_is_recorded_under_the_digest_that_the_store_has():
    entry = a_refusal(note="by hand", expires_at=NOW + 5)
    record = suppressed_record(an_id(1), NOW + 1, entry, "Wang Min")
    assert record.people == (Person(entry.digest, entry.sealed),)
    assert (record.at, record.facts["since"], record.facts["expires_at"], record.facts["by"]) == (
        NOW + 1,
        NOW,
        NOW + 5,
        "Wang Min",
    )


def test_an_import_is_one_record():
    record = imported_record(an_id(1), NOW, origin="import:ses", file_sha256="00", rows=10, new=7, rejected=1, by="Wang Min")
    assert (record.kind, record.people, record.facts["new"]) == (Kind.SUPPRESSED, (), 7)


@pytest.mark.parametrize("with_consent", [True, False])
def test_a_lift_names_the_consent_that_it_rests_on(with_consent):
    consent = ConsentEvent(an_id(5), b"d", b"s", "granted", NOW - 9, NOW, "by phone", "Wang Min") if with_consent else None
    record = lifted_record(
        an_id(1), NOW, digest=b"d", sealed=b"s", scope="organisation", reason=Reason.UNSUBSCRIBE, by="Wang Min",
        consent=consent, note="",
    )  # fmt: skip
    expected = {"id": an_id(5), "at": NOW - 9, "evidence": "by phone"} if with_consent else None
    assert (record.facts["consent"], record.people) == (expected, (Person(b"d", b"s"),))


def test_objections_are_recorded_with_what_they_would_have_asked_for():
    @dataclass(frozen=True)
    class Shadowed:
        recipient: object
        action = GONE.action.__class__.WARN
        objections = (replace(GONE, action=GONE.action.__class__.WARN, observed="shadow"),)
        grounds = ()
        domain_mail = None
        residence = None

    submission = a_submission()
    record = received_record(
        submission, a_message(), [Shadowed(submission.recipients[0])], "cafe", a_first_try(submission), person,  # type: ignore[list-item]
    )  # fmt: skip
    [objection] = record.facts["rulings"][0]["objections"]
    assert (objection["action"], objection["asked_for"], objection["observed"]) == ("warn", "reject", "shadow")


@pytest.mark.parametrize("mail", [None, *DomainMail])
def test_what_dns_said_is_recorded_where_it_was_asked(mail):
    submission = a_submission()
    rulings = [Ruling(submission.recipients[0], Action.PERMIT, domain_mail=mail)]
    record = received_record(submission, a_message(), rulings, "cafe", a_first_try(submission), person)
    [told] = record.facts["rulings"]
    assert ("domain_mail" in told) == (mail is not None)
    assert domain_mail(told) is mail
