"""Reports: RFC 3464 to the letter, in two languages, 7-bit, and never about a report."""

import email
import email.message
import email.policy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.envelope import Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message, MessageError
from relay.mail.reply import Reply, reply
from relay.render.copy import render_copy
from relay.render.report import RELAYED, Heading, Named, build_report, is_reportable
from tests.support.signing import SUBMISSION_ID, a_client, a_message, octets, prepared, recipient

ADA = Mailbox.parse("ada@example.com")
REFUSAL = Reply(550, "7.1", ("[base/suppression] Recipient has unsubscribed", "http://127.0.0.1:8027/r/01J"))
SUBMISSION = Submission(
    SUBMISSION_ID,
    1_700_000_000.0,
    a_client(),
    Identity("ada@example.com", IdentityKind.USER, frozenset()),
    ADA,
    "newsletter",
    "0" * 16,
)
HEADING = Heading(
    "relay.example.com", None, "Wed, 15 Nov 2023 06:13:21 +0800", "<r@relay.example.com>", "Wed, 15 Nov 2023 06:13:20 +0800"
)
MESSAGE = a_message("Subject: News", "Message-ID: <1@example.com>", "To: bob@example.net", body=b"Hello\r\n")


def a_failure(
    address: str = "bob@example.net", *, given: Reply = REFUSAL, remote_mta: str = "", orcpt: str | None = None
) -> Named:
    return Named(
        Recipient(Mailbox.parse(address), orcpt=orcpt), given, "收件人已退订", "The recipient has unsubscribed", remote_mta
    )


def a_report(*failures: Named, submission: Submission = SUBMISSION, message: Message = MESSAGE, **options) -> bytes:
    return build_report(submission, message, failures or (a_failure(),), HEADING, **options)


def parsed(report: bytes) -> email.message.EmailMessage:
    found = email.message_from_bytes(report, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    assert not found.defects
    return found


def machine_part(report: bytes) -> list[dict[str, str]]:
    """The groups of fields in message/delivery-status."""
    _, part, _ = parsed(report).iter_parts()
    groups = part.get_payload()
    assert isinstance(groups, list)
    return [dict(group.items()) for group in groups if isinstance(group, email.message.Message)]


def human_part(report: bytes) -> str:
    content = next(iter(parsed(report).iter_parts())).get_content()
    assert isinstance(content, str)
    return content


def test_the_header_says_that_a_program_wrote_it():
    report = parsed(a_report())
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@relay.example.com>"
    assert report["To"] == "<ada@example.com>" or report["To"] == "ada@example.com"
    assert report["Subject"] == "未送达 1 位收件人 / Not delivered to 1 recipient"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["Message-ID"] == "<r@relay.example.com>"
    assert report["Date"] == "Wed, 15 Nov 2023 06:13:21 +0800"
    assert report["MIME-Version"] == "1.0"
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"


def test_it_comes_from_the_account_where_the_provider_wants_that():
    report = build_report(SUBMISSION, MESSAGE, [a_failure()], replace(HEADING, sender=ADA))
    assert parsed(report)["From"] == "Mail Delivery System <ada@example.com>"


def test_people_read_it_in_both_languages():
    text = human_part(a_report(a_failure(), a_failure("carol@example.org"), delivered=3))
    chinese, english = text.split("-" * 60)
    for part, reason in ((chinese, "收件人已退订"), (english, "The recipient has unsubscribed")):
        assert part.count(reason) == 2
        assert part.count("550 5.7.1 http://127.0.0.1:8027/r/01J") == 2
        assert all(word in part for word in ("bob@example.net", "carol@example.org", SUBMISSION_ID, HEADING.arrival_date))
    assert "其余 3 位收件人已收到" in chinese
    assert "The other 3 have it" in english


def test_nothing_is_said_of_others_when_there_are_none():
    assert "其余" not in human_part(a_report())
    assert "The other" not in human_part(a_report())


def test_machines_read_every_field():
    submission = replace(SUBMISSION, envid="QQ314159+2B")
    failure = a_failure(orcpt="rfc822;Bob+2Bnews@example.net")
    message, group = machine_part(a_report(failure, submission=submission))
    assert message == {
        "Reporting-MTA": "dns; relay.example.com",
        "Original-Envelope-Id": "QQ314159+",
        "Arrival-Date": "Wed, 15 Nov 2023 06:13:20 +0800",
    }
    assert group == {
        "Original-Recipient": "rfc822; Bob+news@example.net",
        "Final-Recipient": "rfc822; bob@example.net",
        "Action": "failed",
        "Status": "5.7.1",
        "Diagnostic-Code": f"smtp; {REFUSAL}",
    }


def test_the_upstream_is_named_when_it_refused():
    failure = a_failure(given=reply(550, "", "User unknown"), remote_mta="smtp.qiye.163.com")
    _, group = machine_part(a_report(failure))
    assert group["Remote-MTA"] == "dns; smtp.qiye.163.com"
    assert group["Diagnostic-Code"] == "smtp; 550 User unknown"
    assert group["Status"] == "5.0.0"


def test_each_recipient_has_a_group():
    groups = machine_part(a_report(a_failure(), a_failure("carol@example.org"), a_failure("dan@example.org")))
    assert [group["Final-Recipient"] for group in groups[1:]] == [
        "rfc822; bob@example.net", "rfc822; carol@example.org", "rfc822; dan@example.org",
    ]  # fmt: skip


def test_a_non_ascii_mailbox_is_written_in_7_bit():
    _, group = machine_part(a_report(a_failure("鲍勃@example.net")))
    assert group["Final-Recipient"] == r"utf-8; \x{9C8D}\x{52C3}@example.net"


def returned(report: bytes) -> bytes:
    """The third part as it stands."""
    boundary = parsed(report).get_boundary()
    assert boundary
    return report.split(f"--{boundary}".encode())[3].removeprefix(b"\r\n").removesuffix(b"\r\n")


@pytest.mark.parametrize("ret", [None, "HDRS"])
def test_the_header_section_comes_back(ret):
    assert returned(a_report(submission=replace(SUBMISSION, ret=ret))) == (
        b"Content-Type: text/rfc822-headers\r\n\r\n" + MESSAGE.header
    )


def test_the_whole_message_comes_back_where_asked():
    report = a_report(submission=replace(SUBMISSION, ret="FULL"))
    assert returned(report) == b"Content-Type: message/rfc822\r\n\r\n" + MESSAGE.header + b"\r\n" + MESSAGE.body


@pytest.mark.parametrize("body", [b"x" * 70 + b"\r\n", b"\xff\r\n", b"x" * 999 + b"\r\n"], ids=["large", "8-bit", "long-lines"])
def test_what_cannot_come_back_whole_comes_back_as_header(body):
    message = a_message("Subject: News", body=body * (16_000 if len(body) == 72 else 1))
    report = a_report(submission=replace(SUBMISSION, ret="FULL"), message=message)
    assert returned(report) == b"Content-Type: text/rfc822-headers\r\n\r\n" + message.header


@pytest.mark.parametrize("subject", ["主题", "x" * 2000, "a = b =20"])
def test_a_header_that_is_not_7_bit_is_encoded(subject):
    message = a_message(f"Subject: {subject}")
    report = a_report(message=message)
    *_, part = parsed(report).iter_parts()
    assert part.get_content_type() == "text/rfc822-headers"
    decoded = part.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    assert decoded.replace(b"\r\n", b"\n").rstrip() == message.header.replace(b"\r\n", b"\n").rstrip()
    assert max(map(len, report.split(b"\r\n"))) <= 998


@given(
    st.binary(max_size=300).map(lambda octets: octets.replace(b"\0", b"")),
    st.text(max_size=80),
    st.sampled_from([None, "HDRS", "FULL"]),
)
def test_every_report_is_7_bit_and_has_three_parts(body, subject, ret):
    try:
        message = a_message(f"Subject: {subject}", body=body)
    except MessageError:
        return
    submission = replace(SUBMISSION, ret=ret, envid=subject[:20] or None)
    report = a_report(
        a_failure(given=reply(550, "7.1", subject), orcpt=f"rfc822;{subject}"), submission=submission, message=message
    )
    assert report.isascii()
    assert report.replace(b"\r\n", b"").count(b"\n") == report.replace(b"\r\n", b"").count(b"\r") == 0
    assert [part.get_content_type() for part in parsed(report).iter_parts()][:2] == ["text/plain", "message/delivery-status"]
    assert len(machine_part(report)) == 2


def test_who_asked_to_hear_of_success_hears_that_the_message_was_handed_on():
    report = a_report(a_failure(given=reply(250, "0.0", "The upstream server said: queued")), notice=RELAYED)
    _, group = machine_part(report)
    assert (group["Action"], group["Status"]) == ("relayed", "2.0.0")
    text = human_part(report)
    assert "已转交" in text
    assert "was handed on" in text
    assert "没有收到" not in text


def test_the_same_failures_give_the_same_octets():
    assert a_report() == a_report()


def test_a_report_is_a_message_that_leaves_like_any_other():
    report = Message.parse(build_report(SUBMISSION, MESSAGE, [a_failure()], replace(HEADING, sender=ADA)))
    copy = render_copy(prepared(report), [recipient("ada@example.com")])
    assert octets(copy).endswith(report.header + b"\r\n" + report.body)
    assert not report.defects


def test_nobody_can_be_told_without_a_reverse_path():
    with pytest.raises(ValueError, match="null"):
        a_report(submission=replace(SUBMISSION, reverse_path=None))


@pytest.mark.parametrize(
    ("lines", "reportable"),
    [
        ([], True),
        (["Auto-Submitted: no"], True),
        (["Auto-Submitted: auto-generated"], True),
        (["Auto-Submitted: auto-replied; x=y"], True),
        (["Content-Type: Multipart/Report; boundary=x"], False),
        (["Content-Type: multipart/mixed; boundary=x"], True),
    ],
)
def test_everything_but_a_report_is_reported_on(lines, reportable):
    assert is_reportable(a_message(*lines), ADA) == reportable


def test_a_null_reverse_path_is_not_reported_to():
    assert not is_reportable(a_message(), None)


def test_a_report_is_not_reported_on():
    assert not is_reportable(Message.parse(a_report()), ADA)
