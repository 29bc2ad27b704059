"""The checks, one by one: what each sees, and what hides nothing from it."""

import pytest

from relay.policy.cases.case import Action, Phase
from relay.policy.checks import CHECKS, PROTECTED
from relay.policy.deciding.decide import decide
from tests.support.policies import PLAIN, a_case, an_identity, nested, newsletter
from tests.unit.test_decide import NOW


def details(rule: str, case, phase=Phase.DATA) -> list[str]:
    """What the rule "mine" found in a newsletter."""
    policy = newsletter(f'[[rule]]\nid = "mine"\n{rule}\n')
    ruling = decide(policy, policy.stream("newsletter"), case, phase, NOW)
    return [o.detail for o in ruling.objections if o.rule == "newsletter/mine"]


def base(case) -> list[tuple[str, str]]:
    policy = newsletter()
    ruling = decide(policy, policy.stream("newsletter"), case, Phase.DATA, NOW)
    return [(o.rule, o.detail) for o in ruling.objections]


def with_subject(subject: str):
    return a_case(PLAIN.replace(b"Subject: Spring", f"Subject: {subject}".encode()))


def with_attachment(filename: str, media_type: str = "application/octet-stream"):
    fields = f'Content-Type: {media_type}\r\nContent-Disposition: attachment; filename="{filename}"\r\n'
    return a_case(PLAIN.replace(b"Subject", fields.encode() + b"MIME-Version: 1.0\r\nSubject", 1))


def test_four_checks_are_protected():
    assert set(PROTECTED) == {"suppression", "ownership", "one-from", "header-structure"}


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
def test_a_check_speaks_both_languages_and_ascii_on_the_wire(check):
    for text, text_zh in ((check.text, check.text_zh), (check.fix, check.fix_zh), (check.summary, check.summary_zh)):
        assert text.isascii()
        assert text
        assert not text_zh.isascii()


@pytest.mark.parametrize(
    ("header", "owns", "found"),
    [
        (b"From: news@example.com", "@example.com", []),
        (b"From: News <NEWS@Example.com>", "news@example.com", []),
        (b"From: news@example.com\r\nSender: robot@example.com", "@example.com", []),
        (b"From: news@example.com\r\nSender: robot@example.com", "news@example.com", [("base/ownership", "Sender")]),
        (b"From: boss@example.com", "news@example.com", [("base/ownership", "From")]),
        (b"From: news@sub.example.com", "@example.com", [("base/ownership", "From")]),
        (
            b"From: news@example.com, boss@example.net",
            "@example.com",
            [("base/one-from", "2 authors"), ("base/ownership", "From")],
        ),
    ],
)
def test_from_and_sender_belong_to_the_identity(header, owns, found):
    case = a_case(PLAIN.replace(b"From: news@example.com", header), identity=an_identity("news@example.com", owns))
    assert [one for one in base(case) if one[0] in ("base/ownership", "base/one-from")] == found


def test_a_from_that_cannot_be_read_is_nobodys():
    found = dict(base(a_case(PLAIN.replace(b"From: news@example.com", b"From: news@example.com <"))))
    assert found["base/ownership"] == found["base/one-from"] == "From cannot be read"


@pytest.mark.parametrize(
    ("header", "leading"),
    [
        (b"From: news@example.com\r\nFrom: news@example.com", ("base/one-from", "2 From fields")),
        (b"X-From: news@example.com", ("base/one-from", "0 From fields")),
        (b"From: news@example.com <", ("base/one-from", "From cannot be read")),
        (b"From: news@example.com, boss@example.net", ("base/one-from", "2 authors")),
        (b"From : news@example.com", ("base/header-structure", "obsolete-colon-space")),
        (b"From : boss@example.net", ("base/header-structure", "obsolete-colon-space")),
        (b"From: news@example.com\r\nSender: news", ("base/header-structure", "unreadable-sender")),
        (b"From: news@example.com\r\nSubject: Two", ("base/header-structure", "duplicate-subject")),
        (b"From: boss@example.net", ("base/ownership", "From")),
    ],
)
def test_a_fault_of_the_header_is_named_before_the_doubt_that_it_causes(header, leading):
    case = a_case(PLAIN.replace(b"From: news@example.com", header), identity=an_identity("news@example.com", "@example.com"))
    assert base(case)[0] == leading


@pytest.mark.parametrize(
    ("to", "found"),
    [(b"a@x.example", []), (b"a@x.example, A@x.example", []), (b"a@x.example, b@x.example", ["2 shown, 1 allowed"])],
)
def test_recipients_of_marketing_do_not_see_each_other(to, found):
    case = a_case(PLAIN.replace(b"ada@mail.example.org", to))
    assert [detail for rule, detail in base(case) if rule == "base/mass-disclosure"] == found


def test_size_counts_the_whole_message():
    over = a_case(PLAIN + b"x" * 1024 * 1024)
    assert details('check = "size"\nabove_mb = 1', over) == ["1.0 MB"]
    assert details('check = "size"\nabove_mb = 1.5', over) == []


@pytest.mark.parametrize(
    ("lists", "refused"),
    [
        ('deny = ["qq.com"]', {"a@qq.com"}),
        ('deny = ["*.qq.com"]', {"a@vip.qq.com"}),
        ('allow = ["qq.com", "*.qq.com"]', {"a@163.com", "a@myqq.com"}),
        ('allow = ["*.qq.com"]\ndeny = ["vip.qq.com"]', {"a@qq.com", "a@vip.qq.com", "a@163.com", "a@myqq.com"}),
    ],
)
def test_domains_allow_and_deny(lists, refused):
    everybody = {"a@qq.com", "a@vip.qq.com", "a@163.com", "a@myqq.com"}
    assert {to for to in everybody if details(f'check = "domains"\n{lists}', a_case(None, to=to), Phase.RCPT)} == refused


def test_a_chinese_domain_is_one_domain_in_both_spellings():
    rule = 'check = "domains"\ndeny = ["例子.中国"]'
    assert details(rule, a_case(None, to="a@xn--fsqu00a.xn--fiqs8s"), Phase.RCPT)


@pytest.mark.parametrize(
    ("filename", "found"),
    [
        ("setup.exe", [".exe"]),
        ("SETUP.EXE", [".exe"]),
        ("offer.pdf.exe", [".exe"]),
        ("setup.exe.", [".exe"]),
        ("setup.exe ", [".exe"]),
        ("exe.pdf", []),
        ("exe", []),
    ],
)
def test_an_extension_does_not_hide(filename, found):
    assert [detail for rule, detail in base(with_attachment(filename)) if rule == "base/attachment-types"] == found


def test_marks_that_turn_letters_round_hide_nothing():
    case = with_attachment("invoice.e\u200bxe")
    assert ("base/attachment-types", ".exe") in base(case)


@pytest.mark.parametrize(
    ("listed", "found"), [("application/zip", ["application/zip"]), ("application/*", ["application/zip"]), ("image/*", [])]
)
def test_media_types_and_their_families(listed, found):
    rule = f'check = "attachment-types"\nmedia_types = ["{listed}"]'
    assert details(rule, with_attachment("a.bin", "application/zip")) == found


@pytest.mark.parametrize(("depth", "found"), [(1, ".exe"), (15, ".exe"), (30, "its parts cannot all be read")])
def test_parts_that_nobody_looked_at_are_not_taken_for_absent(depth, found):
    assert dict(base(a_case(nested(depth))))["base/attachment-types"] == found


def test_correspondence_is_not_inspected_however_deep_it_is():
    case = a_case(nested(30), stream="correspondence")
    policy = newsletter()
    assert decide(policy, policy.stream("correspondence"), case, Phase.DATA, NOW).action is Action.PERMIT


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ("Big SALE today", ["sale"]),
        ("ＳＡＬＥ", ["sale"]),
        ("S\u200bale", ["sale"]),
        ("Wholesale", []),
        ("sale2026", []),
        ("=?utf-8?b?5pil5a2j5L+D6ZSA5byA5aeL?=", ["促销"]),
        ("春季促销开始", ["促销"]),
        ("Nothing here", []),
    ],
)
def test_subject_words_are_found_as_people_read_them(subject, found):
    assert details('check = "subject-words"\nwords = ["Sale", "促销"]', with_subject(subject)) == found


def test_an_own_text_replaces_the_checks_own():
    policy = newsletter('[[rule]]\nid = "mine"\ncheck = "size"\nabove_mb = 0.00001\ntext = "Too big"\ntext_zh = "太大"\n')
    ruling = decide(policy, policy.stream("newsletter"), a_case(), Phase.DATA, NOW)
    (leading,) = ruling.objections
    assert (leading.text, leading.text_zh, leading.fix) == ("Too big", "太大", CHECKS["size"].fix)
    assert (leading.action, leading.reply_code, leading.code) == (Action.REJECT, 552, "3.4")
