"""Some got it, some never will: the report leaves before the reply, and a 250 leaves nobody uninformed."""

from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest

from tests.support.journey import Client, Journey, records, submission_id
from tests.support.service import NEWS

GONE = "550 5.1.1 no such user"


def mixed(upstream, **how) -> Journey:
    """A message that Ada gets, and that the upstream refuses for Bob."""
    journey = Journey(upstream, "ada", "bob", **how)
    upstream.fault("RCPT", GONE, matching=journey.recipients[1])
    return journey


def parts_of(part: Any) -> list[Message]:
    """The parts of a report, or the groups of one of them."""
    parts: Any = (part if isinstance(part, Message) else message_from_bytes(part.data)).get_payload()
    return list(parts)


def about(report) -> dict[str, str]:
    """What the report says to machines of its one recipient."""
    _, recipient = parts_of(parts_of(report)[1])
    return dict(recipient.items())


def text_of(report) -> str:
    text: Any = parts_of(report)[0].get_payload(decode=True)
    return str(text, "utf-8")


def test_the_report_is_delivered_before_the_250(relay, upstream):
    journey = mixed(upstream)
    client = Client(relay)
    client.hand_over(journey)
    code, text = client.reply()
    (report,) = journey.reports
    assert (code, journey.arrived) == (250, ["ada"])
    assert "1 delivered, 0 held, 1 left out" in text
    assert (report.reverse_path, report.recipients, report.identity) == ("", [NEWS], NEWS)
    assert about(report)["Final-Recipient"] == f"rfc822; {journey.recipients[1]}"
    assert (about(report)["Action"], about(report)["Status"]) == ("failed", "5.1.1")
    assert journey.recipients[1] in text_of(report)
    assert journey.recipients[0] not in text_of(report)
    (reported,) = records(relay, journey.recipients[1], "reported")
    assert (reported["id"], reported["people"]) == (submission_id(text), [NEWS, journey.recipients[1]])
    client.quit()


def test_a_suppressed_recipient_is_named_with_the_rule_and_the_remedy_in_both_languages(relay, upstream):
    first = Journey(upstream, "bob")
    client = Client(relay)
    assert client.send(first)[0] == 250
    assert relay.unsubscribe(first.deliveries[0].data) == 200
    second = Journey(upstream, "ada")
    second.recipients.append(first.recipients[0])
    assert client.send(second)[0] == 250
    client.quit()
    (report,) = second.reports
    assert second.arrived == ["ada"]
    assert about(report)["Status"] == "5.7.1"
    assert "[base/suppression]" in about(report)["Diagnostic-Code"]
    assert "退订" in text_of(report)
    assert "unsubscribed" in text_of(report)


def test_while_the_report_is_not_taken_a_retry_sends_the_report_only(relay, upstream):
    journey = mixed(upstream)
    upstream.fault("RCPT", "451 4.3.0 later", matching=f"<{NEWS}>", times=1)
    client = Client(relay)
    code, text = client.send(journey)
    assert (code, journey.arrived, journey.reports) == (451, ["ada"], [])
    assert "the report is not delivered yet" in text
    sessions = len(upstream.deliveries)
    assert client.send(journey)[0] == 250
    client.quit()
    assert (journey.arrived, len(journey.reports)) == (["ada"], 1)
    assert len(upstream.deliveries) == sessions + 1


def test_a_report_that_is_refused_for_good_is_no_250(relay, upstream):
    journey = mixed(upstream)
    upstream.fault("RCPT", "550 5.1.1 the sender does not exist", matching=f"<{NEWS}>")
    client = Client(relay)
    code, text = client.send(journey)
    assert code == 554
    assert "1 delivered, 0 held, 1 refused" in text
    client.quit()


def test_a_lost_250_and_a_retry_report_once(relay, upstream):
    journey = mixed(upstream)
    client = Client(relay)
    assert client.send(journey)[0] == 250
    client.vanish()
    retry = Client(relay)
    assert retry.send(journey)[0] == 250
    retry.quit()
    assert (journey.arrived, len(journey.reports)) == (["ada"], 1)


def test_another_refusal_of_the_same_message_gets_a_report_of_its_own(relay, upstream):
    journey = Journey(upstream, "ada", "bob", "eve")
    for refused in journey.recipients[1:]:
        upstream.fault("RCPT", GONE, matching=refused)
    client = Client(relay)
    assert client.send(journey, journey.recipients[:2])[0] == 250
    client.vanish()
    retry = Client(relay)
    assert retry.send(journey, [journey.recipients[0], journey.recipients[2]])[0] == 250
    retry.quit()
    named = [about(report)["Final-Recipient"].split("; ")[1] for report in journey.reports]
    assert named == journey.recipients[1:]
    assert journey.arrived == ["ada"]


def test_notify_never_is_obeyed_and_recorded(relay, upstream):
    journey = mixed(upstream)
    client = Client(relay)
    code, text = client.send(journey, rcpt="NOTIFY=NEVER")
    client.quit()
    assert (code, journey.reports) == (250, [])
    (untold,) = records(relay, journey.recipients[1], "unreported")
    assert (untold["id"], untold["why"]) == (submission_id(text), "notify")


@pytest.mark.parametrize(("ret", "returned"), [("FULL", "message/rfc822"), ("HDRS", "text/rfc822-headers")])
def test_what_the_client_asked_of_a_report_is_in_it(relay, upstream, ret, returned):
    journey = mixed(upstream)
    client = Client(relay)
    rcpt = "NOTIFY=FAILURE,DELAY ORCPT=rfc822;Some+2BOne@example.org"
    assert client.send(journey, mail=f"RET={ret} ENVID=order+2B7", rcpt=rcpt)[0] == 250
    client.quit()
    (report,) = journey.reports
    assert about(report)["Original-Recipient"] == "rfc822; Some+One@example.org"
    assert parts_of(parts_of(report)[1])[0]["Original-Envelope-Id"] == "order+7"
    assert parts_of(report)[2].get_content_type() == returned
    assert (b"\r\nHello\r\n" in report.data) == (ret == "FULL")
    assert report.rcpt_parameters == [[]]
    (delivery,) = journey.deliveries
    assert {f"RET={ret}", "ENVID=order+2B7"} <= set(delivery.mail_parameters)
    assert set(delivery.rcpt_parameters[0]) == {"NOTIFY=DELAY,FAILURE", "ORCPT=rfc822;Some+2BOne@example.org"}


def test_where_the_provider_forbids_null_the_report_goes_from_the_identity_to_itself(relay, upstream):
    journey = mixed(upstream)
    client = Client(relay, listener="netease")
    assert client.send(journey)[0] == 250
    client.quit()
    (report,) = journey.reports
    assert (report.reverse_path, report.recipients, report.identity) == (NEWS, [NEWS], NEWS)
    assert message_from_bytes(report.data)["From"].endswith(f"<{NEWS}>")


def test_what_a_program_sent_is_reported_on_too(relay, upstream):
    journey = mixed(upstream, extra="Auto-Submitted: auto-generated\r\n")
    client = Client(relay)
    assert client.send(journey)[0] == 250
    client.quit()
    assert len(journey.reports) == 1


def test_who_asked_to_hear_of_success_is_told_where_the_upstream_will_not(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    client = Client(relay)
    assert client.send(journey, rcpt="NOTIFY=SUCCESS")[0] == 250
    assert journey.reports == []  # this upstream offers DSN and tells by itself
    offered, upstream.extensions = upstream.extensions, tuple(e for e in upstream.extensions if e != "DSN")
    upstream.drop_connections()
    try:
        again = Journey(upstream, "ada", "bob")
        assert client.send(again, mail="RET=FULL", rcpt="NOTIFY=SUCCESS")[0] == 250
        (report,) = again.reports
        groups = parts_of(parts_of(report)[1])[1:]
        assert [group["Action"] for group in groups] == ["relayed", "relayed"]
        assert parts_of(report)[2].get_content_type() == "text/rfc822-headers"
        (reported,) = records(relay, again.recipients[0], "reported")
        assert reported["people"] == [NEWS, *again.recipients]
        silent = Journey(upstream, "ada")
        assert client.send(silent)[0] == 250
        assert silent.reports == []
    finally:
        upstream.extensions = offered
        upstream.drop_connections()
    client.quit()
