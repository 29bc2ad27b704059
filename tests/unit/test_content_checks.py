"""Checks of what people see: each objects to what it is for, and to nothing beside it."""

import base64

import pytest

from relay.policy.case import Phase
from relay.policy.checks import CHECKS
from relay.policy.decide import decide
from relay.policy.detectors import PERSONAL, SECRETS
from tests.support.policies import a_case, newsletter
from tests.unit.test_decide import NOW

PERSON = 'check = "personal-data"\ntypes = ["cn-id", "bank-card", "cn-mobile", "us-ssn"]\n'
ID = "11010519491231002X"
FILE = "Content-Disposition: attachment; filename=a.csv"


def letter(*parts: tuple[str, str], subject: str = "Spring") -> bytes:
    """A multipart/mixed of (media type, text), each with further header lines after its type."""
    head = f"From: news@example.com\r\nTo: ada@mail.example.org\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    body = "".join(
        f"--b\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n" for media_type, text in parts
    )
    return f"{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}--b--\r\n".encode()


def plain(text: str, subject: str = "Spring") -> bytes:
    return letter(("text/plain; charset=utf-8", text), subject=subject)


def html(body: str, head: str = "") -> bytes:
    return letter(("text/html; charset=utf-8", f"<html><head>{head}</head><body>{body}</body></html>"))


def details(rule: str, raw: bytes, to: str = "ada@mail.example.org") -> list[str]:
    return [objection.detail for objection in objections(rule, raw, to)]


def objections(rule: str, raw: bytes, to: str = "ada@mail.example.org"):
    policy = newsletter(f'[[rule]]\nid = "mine"\n{rule}\n')
    ruling = decide(policy, policy.stream("newsletter"), a_case(raw, to=to), Phase.DATA, NOW)
    return [one for one in ruling.objections if one.rule == "newsletter/mine"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"身份证 {ID}", ["cn-id 1 (110***********002X) in text part 1"]),
        (
            f"身份证 {ID}, again {ID}; 手机 １３８１２３４５６７８",
            ["cn-id 1 (110***********002X), cn-mobile 1 (138******78) in text part 1"],
        ),
        ("身份证 1101051949\u200b1231002X", ["cn-id 1 (110***********002X) in text part 1"]),
        ("手机 13812345678", ["cn-mobile 1 (138******78) in text part 1"]),
        ("order 13812345678", []),
        ("nothing", []),
    ],
)
def test_personal_data_is_counted_and_masked(text, found):
    assert details(PERSON, plain(text)) == found


def test_personal_data_counts_different_numbers_of_its_types_only():
    numbers = "电话 13812345678 13912345678 13912345678, SSN 123-45-6789"
    assert details('check = "personal-data"\ntypes = ["cn-mobile"]\nat_least = 2', plain(numbers)) == [
        "cn-mobile 2 (138******78) in text part 1"
    ]
    assert details('check = "personal-data"\ntypes = ["cn-mobile"]\nat_least = 3', plain(numbers)) == []


def test_a_number_that_nothing_explains_counts_where_the_rule_says_so():
    list_of_ten = "\r\n".join(f"1381234567{number}" for number in range(10))
    rule = 'check = "personal-data"\ntypes = ["cn-mobile"]\nat_least = 10\n'
    assert details(rule, plain(list_of_ten)) == []
    assert details(rule + 'confidence = "low"', plain(list_of_ten)) == ["cn-mobile 10 (138******70) in text part 1"]


def test_numbers_of_the_organisation_are_no_personal_data():
    text = "热线电话 +86 138-1234-5678"
    assert details(PERSON, plain(text)) != []
    assert details(PERSON + 'allow = ["138 1234 5678"]', plain(text)) == []
    assert details(PERSON + 'allow = ["0086 13812345678"]', plain(text)) == []
    assert details(PERSON + 'allow = ["12345678"]', plain(text)) != []


@pytest.mark.parametrize(
    "raw",
    [
        plain("Hi", subject=f"身份证 {ID}"),
        html(f"<p>身份证</p><p>{ID}</p>"),
        html(f'<p>Hi</p><img src=x alt="身份证 {ID}">'),
        html(f'<p>Hi</p><p style="display:none">身份证 {ID}</p>'),
        letter(("text/plain", "Hi"), (f"text/csv; charset=utf-8\r\n{FILE}", f"姓名,身份证\r\nAda,{ID}")),
    ],
)  # fmt: skip
def test_personal_data_is_found_wherever_people_read(raw):
    assert len(details(PERSON, raw)) == 1


def test_a_place_of_personal_data_is_given_in_what_is_shown():
    (objection,) = objections(PERSON, plain("Hallo Ａda, 身份证 1101051949\u200b1231002X."))
    (spot,) = objection.spots
    assert (spot.where, "Hallo Ａda, 身份证 1101051949\u200b1231002X."[spot.start : spot.end]) == (
        "text part 1", "1101051949\u200b1231002X",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["types = []", 'types = ["passport"]', 'types = ["cn-id"]\nat_least = 0'])
def test_types_that_are_none_are_refused_with_a_list(key):
    with pytest.raises(Exception, match=r"types|at_least"):
        newsletter(f'[[rule]]\nid = "mine"\ncheck = "personal-data"\n{key}\n')


def test_the_kinds_are_the_types_of_rules():
    for check, kinds in (("personal-data", PERSONAL), ("secrets", SECRETS)):
        for kind in kinds:
            newsletter(f'[[rule]]\nid = "mine"\ncheck = "{check}"\ntypes = ["{kind}"]\n')


def test_secrets():
    key = "AKIAABCDEFGHIJKLMNOP"
    assert details('check = "secrets"', plain(f"key {key}")) == ["aws-key 1 (AKIA***) in text part 1"]
    assert details('check = "secrets"\ntypes = ["jwt"]', plain(f"key {key}")) == []
    assert details('check = "secrets"', plain("a key, a word, no secret")) == []


def people(count: int, domain: str = "people.example") -> str:
    return "\r\n".join(f"Person {number} <p{number}@{domain}>" for number in range(count))


def test_a_list_of_addresses_of_others():
    assert details('check = "address-list"', plain(people(21))) == ["21 addresses, 20 allowed"]
    assert details('check = "address-list"', plain(people(20) + people(20))) == []
    assert details('check = "address-list"\nmore_than = 2', plain(people(3).replace("p0@", "P1@"))) == []


def test_the_recipients_and_the_senders_own_addresses_are_not_others():
    rule = 'check = "address-list"\nmore_than = 2\n'
    assert details(rule, plain(people(3)), to="p1@people.example") == []
    assert details(rule, plain(people(4)), to="p1@people.example") == ["3 addresses, 2 allowed"]
    assert details(rule, plain(people(9, "example.com"))) == []
    assert details(rule + 'own_domains = ["*.people.example"]', plain(people(9, "shop.people.example"))) == []


LINKS = (
    'check = "links"\nfaults = ["look-alike", "mismatch", "login", "number", "script", "http", "shortener", "personal-data"]\n'
)


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('<a href="https://www.xn--80ak6aa92e.com/">Apple</a>', "look-alike: www.xn--80ak6aa92e.com"),
        ('<a href="https://\u0430pple.com/">Apple</a>', "look-alike: \\u0430pple.com"),
        (
            '<a href="https://evil.example/">https://bank.example.com/login</a>',
            "mismatch: shows example.com, leads to evil.example",
        ),
        ('<a href="https://evil.example/">www.bank.example</a>', "mismatch: shows bank.example, leads to evil.example"),
        ('<a href="https://evil.example/">Bank.com</a>', "mismatch: shows bank.com, leads to evil.example"),
        ('<a href="https://bank.example@evil.example/">x</a>', "login: evil.example"),
        ('<a href="https://192.0.2.7/x">x</a>', "number: 192.0.2.7"),
        ('<a href="https://3221225991/">x</a>', "number: 3221225991"),
        ('<a href=" java\nscript:alert(1)">x</a>', "script: javascript"),
        ('<a href="http://www.example.com/">x</a>', "http: www.example.com"),
        ('<a href="https://bit.ly/3x">x</a>', "shortener: bit.ly"),
        ('<a href="//t.cn/3x">x</a>', "shortener: t.cn"),
        ('<a href="https://example.com/?u=ada%40people.example">x</a>', "personal-data: an e-mail address to example.com"),
        ('<a href="https://example.com/?tel=13812345678">x</a>', "personal-data: cn-mobile to example.com"),
        ('<a href="https:\\\\bit.ly\\x">x</a>', "shortener: bit.ly"),
    ],
)
def test_a_link_with_a_fault(link, found):
    assert details(LINKS, html(link)) == [found]


@pytest.mark.parametrize(
    "link",
    [
        '<a href="https://www.example.com/a?b=c#d">Read more</a>',
        '<a href="https://shop.example.com/">www.example.com</a>',
        '<a href="https://example.com.cn/x">https://www.example.com.cn</a>',
        '<a href="https://nodejs.example/">Node.js</a>',
        '<a href="mailto:ada@people.example?subject=x">ada@people.example</a>',
        '<a href="tel:+8613812345678">138</a>',
        '<a href="#top">top</a>',
        '<a href="https://example.com/13812345678?order=1">x</a>',
        '<a href="https://münchen.example/">x</a>',
        '<a href="https://[x">x</a>',
        "https://www.example.com/",
    ],
)
def test_a_link_without_one(link):
    assert details(LINKS, html(link)) == []


def test_a_link_in_plain_text_is_one():
    assert details(LINKS, plain("See http://bit.ly/x now")) == ["http: bit.ly"]


def test_trusted_domains_and_chosen_faults():
    link = '<a href="https://click.esp.example/x">www.example.com</a>'
    assert details('check = "links"\nfaults = ["mismatch"]', html(link)) != []
    assert details('check = "links"\nfaults = ["mismatch"]\ntrusted = ["*.esp.example"]', html(link)) == []
    assert details('check = "links"\nfaults = ["http"]', html(link)) == []


HIDDEN = 'check = "hidden-text"\n'


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f'<p>Hi</p><div style="display:none">{"buy " * 80}</div>', ["240 letters, by display, in html part 1"]),
        (
            f'<p style="font-size:0">{"a" * 60}</p><p style="display:none">{"b" * 61}</p>',
            ["60 letters, by font-size, in html part 1"],
        ),
        (f'<div style="display:none">{"s" * 200}</div><p>Hi</p>', []),
        (f'<div style="display:none">{"s" * 201}</div><p>Hi</p>', ["201 letters, by display, in html part 1"]),
        ('<div style="display:none">Summary of today</div><p style="display:none">x</p>', []),
        ('<p>Order your book today</p><p style="display:none">Order your book today</p>' * 9, []),
        ("<p>Hi</p><!-- a comment of many letters, as many as one likes to write here -->", []),
    ],
)
def test_hidden_text(body, found):
    assert details(HIDDEN, html(body)) == found


def test_how_much_may_be_hidden_is_the_rules_to_say():
    body = html(f'<p style="display:none">{"a" * 30}</p><p style="display:none">{"b" * 30}</p>')
    assert details(HIDDEN, body) == ["30 letters, by display, in html part 1"]
    assert details(HIDDEN + "more_than = 30", body) == []
    assert details(HIDDEN + "preheader = 0", body) == ["60 letters, by display, in html part 1"]


def test_placeholders():
    rule = 'check = "placeholders"\n'
    assert details(rule, plain("Hello {{ name }}")) == ["{{ name }} in text part 1"]
    assert details(rule, plain("Hi", subject="For *|FNAME|*")) == ["*|FNAME|* in subject"]
    assert details(rule, html('<a href="https://example.com/${id}">x</a>')) == ["${id} in a link of html part 1"]
    assert details(rule, html("<p>尊敬的，</p>")) == ["尊敬的， in html part 1"]
    assert details(rule + 'allow = ["{{ name }}"]', plain("Hello {{ name }}")) == []
    assert details(rule, plain("Hello Ada")) == []


WAY_OUT = 'check = "unsubscribe-link"\n'
FAINT = "an unsubscribe link with a contrast"
LINK = '<a href="https://example.com/out" style="{}">{}</a>'


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (LINK.format("", "Unsubscribe"), []),
        (LINK.format("color:#333", "点此退订"), []),
        ('<a href="https://example.com/unsubscribe?x=1">Leave us</a>', []),
        ("To unsubscribe, <a href='https://example.com/x'>click here</a>.", []),
        (LINK.format("font-size:8px", "配信停止"), []),
        (LINK.format("font-size:7px", "수신거부"), ["an unsubscribe link of 7 px in html part 1"]),
        ('<div style="font-size:3pt">' + LINK.format("", "Abmelden") + "</div>", ["an unsubscribe link of 4 px in html part 1"]),
        (LINK.format("color:#ddd", "Unsubscribe"), [f"{FAINT} of 1.4 in html part 1"]),
        (LINK.format("", '<span style="color:#eee">Unsubscribe</span>'), [f"{FAINT} of 1.2 in html part 1"]),
        (f'<div bgcolor="#000080">{LINK.format("color:#0000ee", "Unsubscribe")}</div>', [f"{FAINT} of 1.7 in html part 1"]),
        (LINK.format("display:none", "Unsubscribe"), ["an unsubscribe link hidden by display in html part 1"]),
        (
            '<a href="https://example.com/unsubscribe"><img src=x alt="Unsubscribe"></a>',
            ["an unsubscribe link without visible text in html part 1"],
        ),
        ("<!-- " + LINK.format("", "Unsubscribe") + " --><p>Hi</p>", ["no unsubscribe link in html part 1"]),
        ("<p>Unsubscribe by telephone</p>" + LINK.format("", "Our shop"), ["no unsubscribe link in html part 1"]),
        (LINK.format("display:none", "Unsubscribe") + LINK.format("", "Unsubscribe"), []),
        ("<p>Hi</p>", ["no unsubscribe link in html part 1"]),
    ],
)  # fmt: skip
def test_the_way_out_is_in_sight(body, found):
    assert details(WAY_OUT, html(body)) == found


def test_the_way_out_is_in_every_form_of_the_message():
    page = "<html><body>" + LINK.format("", "Unsubscribe") + "</body></html>"
    both = letter(("text/plain; charset=utf-8", "Hello"), ("text/html", page))
    assert details(WAY_OUT, both) == ["no unsubscribe link in text part 1"]
    assert details(WAY_OUT, letter(("text/plain", "Unsubscribe: https://example.com/x"), ("text/html", page))) == []
    assert details(WAY_OUT, plain("退订请发邮件至 unsubscribe@example.com")) == []
    assert details(WAY_OUT, plain("退订请来电")) == ["no unsubscribe link in text part 1"]
    assert details(WAY_OUT, letter(("application/pdf", "%PDF"))) == ["no text"]


def test_the_size_and_contrast_of_the_way_out_are_the_rules_to_say():
    body = html(LINK.format("font-size:11px;color:#767676", "Unsubscribe"))
    assert details(WAY_OUT + "min_font_px = 12", body) == ["an unsubscribe link of 11 px in html part 1"]
    assert details(WAY_OUT + "min_contrast = 7", body) == ["an unsubscribe link with a contrast of 4.5 in html part 1"]
    assert details(WAY_OUT + "min_font_px = 11\nmin_contrast = 4.5", body) == []


def test_a_mail_of_pictures_only():
    rule = 'check = "image-only"\n'
    picture = '<img src="https://example.com/a.png" width=600 height=900>'
    assert details(rule, html(picture + "<p>See it online</p>")) == ["11 letters in html part 1"]
    assert details(rule, html(picture + "<p>Twenty letters are in this</p>")) == []
    assert details(rule, html("<p>Hi</p>")) == []
    assert details(rule, html('<p>Hi</p><img src="https://example.com/p" width=1 height=1>')) == []
    assert details(rule + "fewer_than = 11", html(picture + "<p>See it online</p>")) == []


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        ('<img src="https://t.example/p?u=1" width="1" height="1">', ["1, from t.example"]),
        ('<img src="http://t.example/p" style="width:1px;height:1px">', ["1, from t.example"]),
        ('<img src="https://t.example/p" style="display:none">', ["1, from t.example"]),
        ('<img src="//t.example/p" width=0>', ["1, from t.example"]),
        ('<div style="display:none"><img src="https://t.example/p"></div>', ["1, from t.example"]),
        ('<img src="https://t.example/line.png" width="600" height="1">', []),
        ('<img src="https://t.example/p">', []),
        ('<img src="cid:a" width=1 height=1>', []),
        ('<img src="data:image/gif;base64,R0" width=1 height=1>', []),
    ],
)
def test_a_picture_that_only_tells_who_reads(picture, found):
    assert details('check = "tracking-pixel"', html(picture)) == found


def test_trusted_pixels():
    picture = html('<img src="https://t.example/p" width="1" height="1">')
    assert details('check = "tracking-pixel"\ntrusted = ["t.example"]', picture) == []


@pytest.mark.parametrize(
    "check",
    [
        PERSON,
        'check = "secrets"',
        'check = "address-list"',
        LINKS,
        HIDDEN,
        'check = "placeholders"',
        WAY_OUT,
        'check = "image-only"',
        'check = "tracking-pixel"',
    ],
)
def test_what_cannot_be_read_to_the_end_is_not_taken_for_harmless(check):
    way_out = "Unsubscribe: https://example.com/x"
    hidden_in = letter(("text/plain", way_out), ("text/plain; charset=utf-8\r\nContent-Transfer-Encoding: x-uuencode", "Hi"))
    assert details(check, hidden_in) == ["its parts cannot all be read"]
    assert details(check, plain(way_out)) == []


def test_correspondence_is_never_looked_at():
    policy = newsletter()
    asked = decide(policy, policy.stream("correspondence"), a_case(plain(f"身份证 {ID}")), Phase.DATA, NOW).asked
    assert {one.rule for one in asked if one.asked} <= {
        "base/suppression",
        "base/one-from",
        "base/header-structure",
        "base/ownership",
    }
    assert all(CHECKS[name].inspects for name in NAMES)


NAMES = (
    "personal-data",
    "secrets",
    "address-list",
    "links",
    "hidden-text",
    "placeholders",
    "unsubscribe-link",
    "image-only",
    "tracking-pixel",
)


def test_base64_hides_nothing():
    encoded = base64.b64encode(f"身份证 {ID}".encode()).decode()
    raw = letter(("text/plain; charset=utf-8", "")).replace(b"8bit\r\n\r\n", f"base64\r\n\r\n{encoded}".encode())
    assert details(PERSON, raw) == ["cn-id 1 (110***********002X) in text part 1"]
