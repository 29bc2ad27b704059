"""Fields that duties add: what they say, when they may be said, and that the signature covers them."""

import re

import pytest

from relay.mail.message import Message
from relay.policy.rules.duty import DUTIES
from relay.render.copy import render_copy
from tests.support.duties import a_letterhead, duty, treatment
from tests.support.signing import SUBMISSION_ID, URL, a_message, octets, prepared, recipient

ALL = ["List-Id", "Feedback-ID", "Auto-Submitted", "CFBL-Address"]
READ = {"feedback_mailbox": "feedback@example.com", "signing_domains": frozenset({"example.com"})}
TOKEN = "t" * 75


def sent(message: Message, *, letterhead=None, each=False, token=TOKEN, **keys) -> Message:
    done = treatment(duty("add-fields", "law/fields", **{"fields": ALL, **keys}))
    ready = prepared(message, treatment=done, letterhead=letterhead or a_letterhead(**READ), sets_unsubscribe=each)
    copy = render_copy(ready, [recipient()], URL, None, token) if each else render_copy(ready, [recipient()])
    return Message.parse(octets(copy))


def signed_names(message: Message) -> list[str]:
    return re.search(r"; h=([^;]+);", message.text("DKIM-Signature") or "")[1].replace(" ", "").split(":")


def test_the_fields_say_what_the_mail_is_and_are_signed():
    read = sent(a_message("Subject: s"))
    assert {name: read.text(name) for name in (*ALL, "CFBL-Feedback-ID")} == {
        "List-Id": "<newsletter.example.com>",
        "Feedback-ID": "20231114:newsletter:marketing:examplecom",
        "Auto-Submitted": "auto-generated",
        "CFBL-Address": "feedback@example.com; report=arf",
        "CFBL-Feedback-ID": SUBMISSION_ID,
    }
    assert {"list-id", "feedback-id", "cfbl-address", "cfbl-feedback-id"} <= set(signed_names(read))


def test_a_complaint_about_a_recipients_own_copy_names_their_token():
    read = sent(a_message("Subject: s"), each=True)
    assert read.text("CFBL-Feedback-ID") == TOKEN
    names = signed_names(read)
    assert names.index("cfbl-feedback-id") < names.index("list-unsubscribe")


@pytest.mark.parametrize("name", ALL)
def test_a_field_of_the_message_stays_as_its_writer_set_it(name):
    read = sent(a_message("Subject: s", f"{name}: own"))
    assert [field.value for field in read.all(name)] == [b"own"]
    assert (read.first("CFBL-Feedback-ID") is None) is (name == "CFBL-Address")


def test_a_field_that_another_duty_removes_is_written_anew():
    removing = duty("remove-fields", "a/r", fields=["List-Id"])
    done = treatment(removing, duty("add-fields", "b/f", fields=["List-Id"]))
    copy = render_copy(prepared(a_message("List-Id: <own>"), treatment=done, letterhead=a_letterhead()), [recipient()])
    assert [field.value for field in Message.parse(octets(copy)).all("List-Id")] == [b"<newsletter.example.com>"]


@pytest.mark.parametrize(
    ("mailbox", "domains", "author", "promised"),
    [
        ("feedback@example.com", {"example.com"}, "example.com", True),
        ("feedback@example.com", {"example.com"}, "news.example.com", True),
        ("feedback@example.com", {"news.example.com"}, "news.example.com", False),
        ("feedback@other.example", {"example.com"}, "example.com", False),
        ("feedback@news.example.com", {"example.com"}, "example.com", False),
        ("", {"example.com"}, "example.com", False),
    ],
)
def test_feedback_is_asked_for_only_where_it_is_read_and_one_signature_speaks_for_both(mailbox, domains, author, promised):
    letterhead = a_letterhead(feedback_mailbox=mailbox, signing_domains=frozenset(domains))
    message = Message.parse(f"From: <ada@{author}>\r\nSubject: s\r\n\r\nx".encode())
    done = treatment(duty("add-fields", fields=["CFBL-Address"]))
    ready = prepared(message, treatment=done, letterhead=letterhead, signers=(), signing_required=False)
    read = Message.parse(octets(render_copy(ready, [recipient()])))
    assert (read.first("CFBL-Address") is not None) is (read.first("CFBL-Feedback-ID") is not None) is promised


@pytest.mark.parametrize(
    ("author", "keys", "last"),
    [
        ("ada@example.com", {}, "examplecom"),
        ("ada@a.cn", {}, "acn00"),
        ("ada@a-very-long-name.example.com", {}, "averylongnameex"),
        ("ada@example.com", {"sender_id": "Spruce-2"}, "Spruce-2"),
    ],
)
def test_a_feedback_id_ends_with_who_sends(author, keys, last):
    message = Message.parse(f"From: <{author}>\r\nSubject: s\r\n\r\nx".encode())
    done = treatment(duty("add-fields", fields=["Feedback-ID"], **keys))
    ready = prepared(message, treatment=done, letterhead=a_letterhead(), signers=(), signing_required=False)
    value = Message.parse(octets(render_copy(ready, [recipient()]))).text("Feedback-ID") or ""
    assert value.rpartition(":")[2] == last
    assert 5 <= len(last) <= 15


LAXER = [
    ("add-fields", {"fields": ["List-Id", "Feedback-ID"]}, {"fields": ["List-Id"]}, True),
    ("add-fields", {"fields": ["List-Id"]}, {"fields": ["List-Id", "Feedback-ID"]}, False),
    ("label", {"label": "CN"}, {"label": "SG"}, True),
    ("label", {"label": "CN"}, {"label": "CN", "cite": "x"}, False),
    ("label", {"label": "SG"}, {"label": "SG", "unless_consent": ["explicit"]}, True),
    ("label", {"label": "SG", "unless_consent": ["explicit"]}, {"label": "SG", "unless_consent": ["explicit", "guardian"]}, True),
    (
        "label",
        {"label": "SG", "unless_consent": ["explicit", "guardian"]},
        {"label": "SG", "unless_consent": ["explicit"]},
        False,
    ),
    ("label", {"label": "SG", "unless_consent": ["explicit"]}, {"label": "SG"}, False),
    ("label", {"label": "US"}, {"label": "US", "adult": True}, True),
    ("label", {"label": "US", "adult": True}, {"label": "US"}, False),
    ("footer", {}, {"show": ["reason"]}, True),
    ("footer", {"show": ["reason"]}, {}, False),
    ("footer", {}, {"if_impossible": "warn"}, True),
    ("footer", {"if_impossible": "warn"}, {}, False),
    ("remove-pixels", {}, {"recipient_countries": ["FR"]}, True),
    ("remove-pixels", {"recipient_countries": ["FR"]}, {"recipient_countries": ["FR", "DE"]}, False),
    ("remove-pixels", {"recipient_countries": ["FR"]}, {}, False),
    ("remove-pixels", {"recipient_countries": ["FR"]}, {"recipient_countries": ["DE"]}, True),
]


@pytest.mark.parametrize(("do", "before", "now", "laxer"), LAXER)
def test_a_duty_that_does_less_is_laxer(do, before, now, laxer):
    old, new = (DUTIES[do].model_validate({"id": "d", "do": do, **keys}) for keys in (before, now))
    assert new.is_laxer_than(old) is laxer


def test_another_kind_of_duty_is_laxer():
    one, other = (DUTIES[do].model_validate({"id": "d", "do": do}) for do in ("footer", "remove-pixels"))
    assert one.is_laxer_than(other)
