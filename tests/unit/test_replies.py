"""Every reply obeys RFC 5321, RFC 3463 and what the policy page needs."""

import re

import pytest

from relay.mail import replies
from relay.mail.reply import Reply

CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
MADE = {
    "greeting": replies.greeting("relay.example.com"),
    "helo": replies.helo("relay.example.com"),
    "ehlo": replies.ehlo("relay.example.com", "PIPELINING", "8BITMIME"),
    "challenge": replies.challenge("VXNlcm5hbWU6"),
    "authentication_refused": replies.authentication_refused("535 no"),
    "refused": replies.refused("base/suppression", "Unsubscribed", "http://relay.lan:8027/r/01J"),
    "deferred": replies.deferred("base/hours", "Not now", seconds=60),
    "over_limit": replies.over_limit("identity 60/minute", 12),
    "upstream_said": replies.upstream_said(550, "1.1", "User unknown"),
    "delivered": replies.delivered("01J", 3, 2, 1),
    "unfinished": replies.unfinished("01J", 3, 2, 1, "later"),
    "refused_for_several_reasons": replies.refused_for_several_reasons(replies.upstream_said(550, "1.1", "User unknown")),
    "report_waiting": replies.report_waiting("01J", 3, 2, 1),
    "report_refused": replies.report_refused("01J", 3, 2, 1),
}
WITHOUT_ENHANCED_CODE = {"greeting", "helo", "ehlo", "challenge", "START_DATA"}  # RFC 2034 section 4, RFC 5321 section 4.3.2


@pytest.mark.parametrize(("name", "reply"), [*CONSTANTS.items(), *MADE.items()])
def test_every_line_fits_and_is_printable_ascii(name, reply):
    for line in reply.lines():
        assert len(line) <= 510
        assert re.fullmatch(r"[2-5][0-9]{2}[ -][ -~]*", line)


@pytest.mark.parametrize(("name", "reply"), [*CONSTANTS.items(), *MADE.items()])
def test_every_line_carries_the_enhanced_code_of_its_class(name, reply):
    if name in WITHOUT_ENHANCED_CODE:
        assert reply.status == ""
        return
    for line in reply.lines():
        assert re.match(rf"{reply.code}[ -]{reply.code // 100}\.\d{{1,3}}\.\d{{1,3}} \S", line)


def test_faults_of_ours_are_never_permanent():
    for name in (
        "INTERNAL",
        "STORE_UNAVAILABLE",
        "RECORDS_UNAVAILABLE",
        "POLICY_UNUSABLE",
        "NO_SPACE",
        "NO_MEMORY",
        "NO_ACCOUNT",
    ):
        assert CONSTANTS[name].is_transient


def test_a_refusal_names_its_rule_and_its_page():
    assert replies.refused("cn-marketing/consent", "No recorded consent", "http://relay.lan:8027/r/01J").lines() == [
        "550-5.7.1 [cn-marketing/consent] No recorded consent",
        "550 5.7.1 http://relay.lan:8027/r/01J",
    ]


def test_a_refusal_without_a_page_is_one_line():
    assert replies.refused("base/suppression", "Unsubscribed").lines() == ["550 5.7.1 [base/suppression] Unsubscribed"]


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ("base/header-structure", "554 5.6.0"),
        ("base/line-ends", "554 5.6.11"),
        ("base/encoding", "554 5.6.3"),
        ("base/smtputf8", "554 5.6.9"),
        ("base/loop", "554 5.4.6"),
        ("base/size", "552 5.3.4"),
        ("base/signature", "550 5.7.20"),
        ("newsletter/own-rule", "550 5.7.1"),
    ],
)
def test_the_code_follows_from_the_rule(rule, status):
    assert str(replies.refused(rule, "text")).startswith(f"{status} [{rule}]")


def test_a_rule_may_bring_its_own_code():
    assert replies.refused("base/signature", "text", code=554, detail="7.1").lines() == ["554 5.7.1 [base/signature] text"]


def test_a_limit_says_how_long_to_wait():
    assert replies.over_limit("identity 60/minute", 12).lines() == [
        "450 4.7.1 [limit] identity 60/minute reached, try again in 12 s"
    ]


def test_a_deferral_without_a_time_says_later():
    assert replies.deferred("base/hours", "Not now").lines() == ["451 4.7.1 [base/hours] Not now, try again later"]


def test_the_promise_names_id_and_numbers():
    assert replies.delivered("01JD", 3, 2, 1).lines() == ["250 2.0.0 01JD, 3 delivered, 2 held, 1 left out"]
    assert replies.delivered("01JD", 3).lines() == ["250 2.0.0 01JD, 3 delivered, 0 held, 0 left out"]


def test_ehlo_lists_one_extension_a_line():
    assert replies.ehlo("relay.example.com", "PIPELINING", "8BITMIME").wire() == (
        b"250-relay.example.com\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
    )
