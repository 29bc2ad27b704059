"""Checks on sender, subject, route and sources: what each objects to and what it lets through."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from unicodedata import normalize

import pytest

from relay.policy.checks import CHECKS, sender, sources, subject
from relay.policy.rules.rule import Finding
from tests.support.policies import PLAIN, a_case, a_setting, a_submission, an_identity

BODY = "\r\n\r\nHello\r\n"


def raw(*fields: str, from_: str = "News <news@example.com>", subject: str = "Spring") -> bytes:
    return "\r\n".join((f"From: {from_}", "To: ada@mail.example.org", f"Subject: {subject}", *fields, "", "Hello", "")).encode()


def said(name: str, message: bytes | None, **options):
    """What the check found, None when it is silent."""
    check = CHECKS[name]
    parameters = check.parameters(id="x", **options.pop("parameters", {}))
    to = options.pop("to", "ada@mail.example.org")
    identity = options.pop("identity", None)
    found = check.ask(a_case(message, to=to, identity=identity), a_setting(**options), parameters)
    return found.detail if isinstance(found, Finding) else None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("News", None),
        ('"news@example.com"', None),
        ("Zhang Wei (sales)", None),
        ("ASP.NET Weekly", None),
        ("Example.com", None),
        ("示例公司", None),
        ("Caf\N{LATIN SMALL LETTER E WITH ACUTE} Ångström", None),
        ("Компания", None),
        ("Ελλάδα News", None),
        ("ceo@bank.example", "another address"),
        ("From: ceo@bank.example, urgent", "another address"),
        ("paypal.com", "another domain"),
        ("Service at www.icbc.com.cn", "another domain"),
        ("Anna (2)", "a counter"),
        ("Anna （2）", "a counter"),
        ("Re: your order", "a reply prefix"),
        ("回复：订单", "a reply prefix"),
        ("Bank ✔", "a badge"),
        ("Ba\u200bnk", "hidden characters"),
        ("P\N{CYRILLIC SMALL LETTER A}yPal", "letters of two scripts in one word"),
        ("=?utf-8?B?UNCweVBhbA==?=", "letters of two scripts in one word"),
    ],
)  # fmt: skip
def test_a_name_that_stands_for_somebody_else(name, found):
    shown = name if name.startswith(("=", '"')) else f'"{name}"'
    assert said("deceptive-sender", raw(from_=f"{shown} <news@example.com>")) == found


def test_a_name_in_a_comment_counts_too():
    assert said("deceptive-sender", raw(from_="news@example.com (paypal.com)")) == "another domain"
    assert said("deceptive-sender", raw(from_="news@example.com")) is None


def test_a_name_with_an_address_in_its_brackets_is_read_whole():
    encoded = "=?utf-8?B?Q0VPIDxjZW9AYmFuay5leGFtcGxlPg==?="  # CEO <ceo@bank.example>
    assert said("deceptive-sender", raw(from_=f"{encoded} <news@example.com>")) == "another address"


@pytest.mark.parametrize("facts", [{"legal_name": {"zh": "", "en": "Trip.com Ltd"}},
                                   {"mark": [{"text": "Trip.com", "number": "1", "class": 39}]}])  # fmt: skip
def test_a_domain_that_is_our_own_name_is_nobody_else_s(facts):
    message = raw(from_="Trip.com <news@example.com>")
    assert said("deceptive-sender", message) == "another domain"
    assert said("deceptive-sender", message, **facts) is None


@pytest.mark.parametrize(
    ("from_", "fields", "found"),
    [
        ("news@example.com", (), None),
        ("noreply@example.com", (), "From"),
        ("No-Reply-News@example.com", (), "From"),
        ("noreply@example.com", ("Reply-To: help@example.com",), None),
        ("news@example.com", ("Reply-To: do-not-reply@example.com",), "Reply-To"),
        ("news@example.com", ("Reply-To: help@example.com, noreply@example.com",), "Reply-To"),
        ("nobodyelse@example.com", (), "From"),
        ("norbert@example.com", (), None),
    ],
)
def test_an_address_that_nobody_reads(from_, fields, found):
    message = raw(*fields, from_=from_)
    assert said("reply-address", message) == found
    excused = {"parameters": {"or_refusal_mailbox": True}}
    assert said("reply-address", message, **excused) == found
    assert said("reply-address", message, **excused, refusal_mailbox="no@example.com") is None


def test_which_names_say_that_nobody_reads_is_a_parameter():
    message = raw(from_="robot@example.com")
    assert said("reply-address", message) is None
    assert said("reply-address", message, parameters={"local_parts": ["robot"]}) == "From"


@pytest.mark.parametrize("prefix", ["Re:", "RE :", "FW:", "回复：", "答复:", "转发：", "轉寄：", "AW:", "Re[2]:", "Re(3):"])
def test_an_answer_to_nothing(prefix):
    message = raw(subject=f"{prefix} the spring offer")
    found = normalize("NFKC", prefix).replace("\u200b", "")
    assert said("fake-reply", message) == found
    for field in ("In-Reply-To: <1@example.com>", "References: <1@example.com>"):
        assert said("fake-reply", raw(field, subject=f"{prefix} the spring offer")) is None
    assert said("fake-reply", raw("In-Reply-To: ", subject=f"{prefix} the spring offer")) == found


@pytest.mark.parametrize(
    "label", ["【广告】", "[AD] ", "<ADV> ", "(광고)", "AD: ", "广告：", "[ad] ", "<ADV>", "(광고)【广告】", "[AD] [AD] "]
)
def test_a_label_hides_no_prefix(label):
    assert said("fake-reply", raw(subject=f"{label}Re: the spring offer")) == "Re:"
    assert said("fake-reply", raw(subject=f"{label}the spring offer")) is None


@pytest.mark.parametrize("text", ["Reading list", "Regarding: you", "Fwding", "回复率 90%", "Awards: 2026", "Our Re: story", ""])
def test_what_is_no_prefix(text):
    assert said("fake-reply", raw(subject=text)) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Spring", None),
        ("春季新品", None),
        ("Família \N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}", None),
        ("می\u200cخواهم", None),
        ("\u200fשלום", None),
        ("", "empty"),
        ("  ", "empty"),
        ("Sp\u200bring", "zero width space"),
        ("广\u200b告", "zero width space"),
        ("in\u00advoice", "soft hyphen"),
        ("\u202egpj.exe", "right-to-left override"),
        ("S\u200dpring", "zero width joiner"),
        ("\ufeffSpring", "zero width no-break space"),
        ("\u200fSpring", "right-to-left mark"),
    ],
)
def test_a_subject_that_is_not_what_people_see(text, found):
    assert said("subject-visible", raw(subject=text)) == found


def test_of_an_endless_subject_what_is_shown_is_looked_at():
    """A mail client shows some hundred characters; each that is looked at holds up the mail of others."""
    endless = "Spring " * 20_000
    assert said("subject-visible", raw(subject=f"{endless[:1990]}\u200bnews {endless}")) == "zero width space"
    assert said("subject-visible", raw(subject=f"{endless}\u200bnews")) is None
    assert said("fake-reply", raw(subject=f"[AD] Re: {endless}é")) == "Re:"


def test_a_message_without_a_subject_has_an_empty_one():
    assert said("subject-visible", PLAIN.replace(b"Subject: Spring\r\n", b"")) == "empty"


RECEIVED = "Received: from app ([10.0.0.3])\r\n by {} with ESMTP id 1; Mon, 1 Jun 2026 10:00:00 +0800"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ((), None),
        ((RECEIVED.format("mail.example.com"),), None),
        ((RECEIVED.format("localhost"),), None),
        ((RECEIVED.format("app1.corp.local"),), None),
        ((RECEIVED.format("[10.0.0.7]"),), None),
        ((RECEIVED.format("app.local (kept by mx.google.com)"),), None),
        (("Received: nobody knows",), None),
        ((RECEIVED.format("mx.google.com"),), "Received"),
        ((RECEIVED.format("notexample.com"),), "Received"),
        ((RECEIVED.format("mail.example.com"), RECEIVED.format("MX.163.COM.")), "Received"),
        (("Return-Path: <news@example.com>",), None),
        (("Return-Path: <>",), None),
        (("Return-Path: <ceo@bank.example>",), "Return-Path"),
    ],
)
def test_a_route_that_the_message_did_not_take(fields, found):
    assert said("forged-route", raw(*fields), identity=an_identity()) == found


def test_servers_of_ours_are_named_in_the_rule():
    message = raw(RECEIVED.format("out.sender.example"))
    assert said("forged-route", message) == "Received"
    assert said("forged-route", message, parameters={"hosts": ["*.sender.example"]}) is None


def listed(addresses: list[str], **parameters: Any):
    check = CHECKS["generated-addresses"]
    case = replace(a_case(), submission=a_submission("newsletter", None, *addresses))
    found = check.ask(case, a_setting(), check.parameters(id="x", **parameters))
    return found.detail if isinstance(found, Finding) else None


PEOPLE = ["ada", "ben77", "cleo", "dirk1980", "eva", "fay.lee", "gus", "hui_1", "ida", "jan3", "kim", "lea99", "mo", "ned"]
PEOPLE = [f"{name}@example.org" for name in PEOPLE]


def test_addresses_that_a_program_counted():
    numbered = [f"user{number:03}@example.org" for number in range(6)]
    assert listed(PEOPLE + numbered) is None  # 30 % is not more than 30 %
    assert listed([*PEOPLE[1:], *numbered, "user006@example.org"]) == "35% of 20"
    assert listed([*PEOPLE[1:], *numbered, "user006@example.org"], above_percent=35) is None
    assert listed(numbered) is None  # too short to tell
    assert listed(numbered, from_recipients=6) == "100% of 6"


def test_numbers_that_are_not_counted_show_nothing():
    years = [f"ada{1950 + 7 * number}@example.org" for number in range(10)]
    domains = [f"ada1{number}@site{number}.example.org" for number in range(10)]
    phones = [f"1380013{number * 7919 % 9000 + 1000}@163.com" for number in range(20)]
    assert listed(years + domains) is None
    assert listed(phones) is None
    assert listed([f"{'9' * 30}{number}@163.com" for number in range(20)]) is None  # no number that a person would count


@pytest.mark.parametrize(("to", "found"), [("ada@example.org", None), ("abuse@example.org", "abuse"),
                                           ("Postmaster+x@example.org", "postmaster"), ("abused@example.org", None)])  # fmt: skip
def test_the_mailbox_of_an_office(to, found):
    assert said("role-addresses", None, to=to) == found


def test_which_offices_there_are_is_a_parameter():
    assert said("role-addresses", None, to="sales@example.org") is None
    assert said("role-addresses", None, to="sales@example.org", parameters={"local_parts": ["sales"]}) == "sales"


@pytest.mark.parametrize("name", ["deceptive-sender", "reply-address", "fake-reply", "subject-visible", "forged-route"])
def test_without_a_message_there_is_nothing_to_say(name):
    assert said(name, None) is None


def test_every_listed_word_stands_folded():
    for words in (sender.NO_REPLY, sources.ROLES):
        assert list(words) == sorted(set(words), key=words.index)
        assert all(word == word.casefold() for word in words)
    assert subject.REPLY.match("RE: x")


@pytest.mark.parametrize(
    ("country", "by", "transfers", "found"),
    [
        ("CN", {"CN"}, [], None),
        ("CN", set(), [], None),
        ("CN", {"CN", "SG"}, [], "SG"),
        ("CN", {"US", "SG"}, [("SG", "exempt", 1)], "US"),
        ("CN", {"SG"}, [("SG", "exempt", 0)], None),
        ("CN", {"SG"}, [("SG", "exempt", -1)], "SG"),
        ("CN", {"SG"}, [("SG", "adequacy", 1)], "SG"),
        ("CN", {"MO"}, [], None),
        ("DE", {"SG"}, [], None),
        ("CN", {"ZZ"}, [], "country unknown"),
        ("CN", {"ZZ", "CN"}, [("ZZ", "exempt", 1)], "country unknown"),  # no ground covers what may be anywhere
        ("CN", {"ZZ", "VN", "US"}, [("US", "exempt", 1)], "VN, country unknown"),
        ("DE", {"ZZ"}, [], None),
    ],
)
def test_data_that_leaves_the_country(country, by, transfers, found):
    check, today = CHECKS["transfer"], date(2026, 11, 21)
    parameters = check.parameters(id="x", from_countries=["CN"], free=["MO"], bases=["exempt", "standard-contract"])  # type: ignore[call-arg]
    tables = [
        {"to": [to], "basis": basis, "reference": "1", "until": today + timedelta(days=days)} for to, basis, days in transfers
    ]
    setting = a_setting(country=country, transfer=tables, today=today)
    answer = check.ask(a_case(None, upstream_countries=frozenset(by)), setting, parameters)
    assert answer is None or isinstance(answer, Finding)
    assert (answer and answer.detail) == found
