"""Checks of what people see: each objects to what it is for, and to nothing beside it."""

import base64

import pytest

from relay.policy.cases.case import Phase
from relay.policy.checks import CHECKS
from relay.policy.deciding.decide import decide
from relay.policy.detectors import PERSONAL, SECRETS
from relay.policy.telling.finding_words import finding_zh
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
    """What the rule saw; each check's words are there in Chinese too."""
    seen = [objection.detail for objection in objections(rule, raw, to)]
    assert all(finding_zh(detail) and not finding_zh(detail).isascii() for detail in seen), seen
    return seen


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
        letter((f"application/pdf\r\nContent-Disposition: attachment; filename=身份证{ID}.pdf", "%PDF")),
    ],
)  # fmt: skip
def test_personal_data_is_found_wherever_people_read(raw):
    assert len(details(PERSON, raw)) == 1


@pytest.mark.parametrize(
    ("names", "rule", "found"),
    [
        ((f"身份证{ID}.pdf", "a.pdf"), PERSON, "cn-id 1 (110***********002X) in attachment 1, name"),
        (("a.pdf", f"=?utf-8?B?6Lqr?= =?utf-8?B?5Lu96K+B?= {ID}"), PERSON, "cn-id 1 (110***********002X) in attachment 1, name"),
        (("a.pdf", "手机 １３８１２３４５６７８.pdf"), PERSON, "cn-mobile 1 (138******78) in attachment 1, name"),
        (("AKIAABCDEFGHIJKLMNOP.txt", "a.pdf"), 'check = "secrets"', "aws-key 1 (AKIA***) in attachment 1, name"),
        (("a.pdf", "全国最_佳.pdf"), 'check = "absolute-terms"\ntiers = ["block"]', "最佳"),
        (("a.pdf", "offer for {{name}}.pdf"), 'check = "placeholders"', "{{...}} in attachment 1, name"),
    ],
)
def test_the_names_of_attachments_are_searched(names, rule, found):
    first, second = (f'"{name}"' for name in names)
    file = f"application/pdf; name={first}\r\nContent-Disposition: attachment; filename={second}"
    seen = [objection.detail for objection in objections(rule, letter(("text/plain", "Hi"), (file, "%PDF")))]
    assert seen == [found]
    assert found == "最佳" or "附件 1的文件名" in finding_zh(found)


def test_ordinary_names_of_files_are_left_alone():
    names = (
        "IMG_20261122_103000.jpg", "微信图片_20261122103000.png", "mmexport1795314600123.jpg", "发票_24312000000012345678.pdf",
        "Report Q3 2026 (final).docx", "order-4111111111111111.csv", "价格表 2026-11.xlsx", "scan0001.pdf",
    )  # fmt: skip
    files = [(f'application/pdf\r\nContent-Disposition: attachment; filename="{name}"', "%PDF") for name in names]
    raw = letter(("text/plain", "Hi"), *files)
    words = 'check = "absolute-terms"\ntiers = ["block", "evidence"]'
    assert [details(rule, raw) for rule in (PERSON, 'check = "secrets"', words, 'check = "placeholders"')] == [[]] * 4


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


ZERO_WIDTH = "\u200b"
MATHEMATICAL = {**{ord("A") + n: 0x1D400 + n for n in range(26)}, **{ord("a") + n: 0x1D41A + n for n in range(26)}}


@pytest.mark.parametrize(
    ("text", "found", "seen"),
    [
        (f"AKIA{ZERO_WIDTH}ABCDEFGHIJKLMNOP", "aws-key 1 (AKIA***)", f"AKIA{ZERO_WIDTH}ABCDEFGHIJKLMNOP"),
        ("key ＡＫＩＡＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰ。", "aws-key 1 (AKIA***)", "ＡＫＩＡＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰ"),
        (f"AKIAABCDEFGHIJKLMNOP{ZERO_WIDTH}x", "aws-key 1 (AKIA***)", "AKIAABCDEFGHIJKLMNOP"),  # it ends where that stands
        ("AKIAABCDEFGHIJKLMNOP".translate(MATHEMATICAL), "aws-key 1 (AKIA***)", "AKIAABCDEFGHIJKLMNOP".translate(MATHEMATICAL)),
        ("-----BEGIN\u2060 RSA PRIVATE KEY-----", "private-key 1 (-----BEGIN***)", "-----BEGIN\u2060 RSA PRIVATE KEY"),
        ("g\u00adhp_" + "a1" * 18, "github-token 1 (ghp_***)", "g\u00adhp_" + "a1" * 18),
        ("pass\ufe0fword: hunter22", "password 1 (***)", "hunter22"),
        ("密码：ｈunter２２", "password 1 (***)", "ｈunter２２"),
        ("sk_live_" + "a1" * 6 + ZERO_WIDTH + "b2", "stripe-key 1 (sk_***)", "sk_live_" + "a1" * 6),  # both are one key
    ],
)
def test_nothing_disguises_a_secret(text, found, seen):
    (objection,) = objections('check = "secrets"', plain(text))
    (spot,) = objection.spots
    assert (objection.detail, text[spot.start : spot.end]) == (f"{found} in text part 1", seen)


@pytest.mark.parametrize(
    "text", ["ＡＫＩＡ is how they begin", f"the{ZERO_WIDTH} password: \u2022\u2022\u2022", "密码：\u200b请登录后设置"]
)
def test_what_is_disguised_and_no_secret_is_none(text):
    assert details('check = "secrets"', plain(text)) == []


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
        ('<a href="https://evil.example/">visit <b>www.bank</b>.com now</a>', "mismatch: shows bank.com, leads to evil.example"),
        ('<a href="https://bank.example@evil.example/">x</a>', "login: evil.example"),
        ('<a href="https://192.0.2.7/x">x</a>', "number: 192.0.2.7"),
        ('<a href="https://3221225991/">x</a>', "number: 3221225991"),
        ('<a href=" java\nscript:alert(1)">x</a>', "script: javascript"),
        ('<a href="http://www.example.com/">x</a>', "http: www.example.com"),
        ('<a href="https://bit.ly/3x">x</a>', "shortener: bit.ly"),
        ('<a href="//t.cn/3x">x</a>', "shortener: t.cn"),
        ('<a href="https://example.com/?u=ada%40people.example">x</a>', "personal-data: an e-mail address to example.com"),
        ('<a href="https://example.com/?tel=13812345678">x</a>', "personal-data: cn-mobile to example.com"),
        ('<a href="https://example.com/u/13812345678">x</a>', "personal-data: cn-mobile to example.com"),
        ('<a href="https://example.com/u/ada@people.example">x</a>', "personal-data: an e-mail address to example.com"),
        ('<a href="https://example.com/#e=ada@people.example">x</a>', "personal-data: an e-mail address to example.com"),
        (f'<a href="https:\\\\example.com\\{ID}">x</a>', "personal-data: cn-id to example.com"),
        ('<a href="https://example.com/?card=6222021234567890128">x</a>', "personal-data: bank-card to example.com"),
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
        '<a href="https://shop.example.com/">visit www.example.com or www.example.org now</a>',
        '<a href="https://shop.example.com/">Rooms at Booking.com</a>',
        '<a href="https://example.com.cn/x">https://www.example.com.cn</a>',
        '<a href="https://nodejs.example/">Node.js</a>',
        '<a href="mailto:ada@people.example?subject=x">ada@people.example</a>',
        '<a href="mailto:ada@people.example?cc=bob@people.example">ada@people.example</a>',
        '<a href="https://example.com/out?email=Ada%40mail.example.org">x</a>',  # to whom the mail is addressed
        '<a href="https://example.com/write?to=help@example.com">x</a>',  # the sender's own
        '<a href="https://example.com/?id=6222021234567890128&order=13812345678">x</a>',
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


def test_who_reads_the_address_of_another_in_a_link():
    link = '<a href="https://example.com/out?email=ada%40mail.example.org">x</a>'
    given_away = ["personal-data: an e-mail address to example.com"]
    assert details(LINKS, html(link).replace(b"To: ada@", b"To: bob@people.example, ada@")) == given_away
    assert details(LINKS, html(link).replace(b"To: ada@mail.example.org\r\n", b"")) == given_away
    assert details(LINKS, html(link.replace("ada", "ada%40mail.example.org,bob", 1))) == given_away


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
    assert details(rule, plain("Hello {{ name }}")) == ["{{...}} in text part 1"]
    assert details(rule, plain("Hi", subject="For *|FNAME|*")) == ["*|...|* in subject"]
    assert details(rule, html('<a href="https://example.com/${id}">x</a>')) == ["${...} in a link of html part 1"]
    assert details(rule, html("<p>尊敬的，</p>")) == ["a greeting without a name in html part 1"]
    assert details(rule + 'allow = ["{{ name }}"]', plain("Hello {{ name }}")) == []
    assert details(rule, plain("Hello Ada")) == []


NAMED = "Ada Lovelace 13800138000"
LONG_NAME = f"{NAMED} " + "x" * 50_000
CARRIERS = {
    "placeholder": ('check = "placeholders"\n', plain(f"Hello {{{{customer {NAMED}}}}}")),
    "file of numbers": (
        PERSON,
        letter((f'text/csv; charset=utf-8\r\nContent-Disposition: attachment; filename="{LONG_NAME}.csv"', f"身份证 {ID}")),
    ),
    "placeholder in a file": (
        'check = "placeholders"\n',
        letter((f'text/csv; charset=utf-8\r\nContent-Disposition: attachment; filename="{LONG_NAME}.csv"', "{{x}}")),
    ),
    "hidden text in a file": (
        'check = "hidden-text"\n',
        letter((f'text/html\r\nContent-Disposition: attachment; filename="{NAMED}.html"', "<p hidden>" + "buy " * 80)),
    ),
    "pictures in a file": (
        'check = "image-only"\n',
        letter((f'text/html\r\nContent-Disposition: attachment; filename="{NAMED}.html"', "<img src=x width=600 height=900>x")),
    ),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_detail_repeats_what_people_wrote(carrier):
    rule, raw = CARRIERS[carrier]
    (detail,) = details(rule, raw)
    assert "Ada" not in detail
    assert "13800138000" not in detail
    assert len(detail) < 100


def test_no_detail_is_longer_than_a_line():
    family = 'check = "attachment-types"\nmedia_types = ["application/*"]\n'
    (one,) = objections(family, letter((f"application/{'x' * 50_000}", "x")))
    assert one.detail == f"application/{'x' * 285}..."


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
        ('<a href="#">Unsubscribe</a>', ["an unsubscribe link that leads nowhere in html part 1"]),
        ('<a href="JavaScript:void(0)">Unsubscribe</a>', ["an unsubscribe link that leads nowhere in html part 1"]),
        ('<a href=" mailto:?subject=unsubscribe">Unsubscribe</a>', ["an unsubscribe link that leads nowhere in html part 1"]),
        ('To unsubscribe, <a href="#top">click here</a>.', ["an unsubscribe link that leads nowhere in html part 1"]),
        ('<a href="mailto:out@example.com?subject=unsubscribe">Unsubscribe</a>', []),
    ],
)  # fmt: skip
def test_the_way_out_is_in_sight(body, found):
    assert details(WAY_OUT, html(body)) == found


def test_what_outlook_alone_shows_is_no_form_of_its_own_and_no_way_out_for_others():
    outlook = "<!--[if mso]><p>See it here</p><![endif]-->"
    assert details(WAY_OUT, html(outlook + LINK.format("", "Unsubscribe"))) == []
    assert details(WAY_OUT, html(f"<p>Hi</p><!--[if mso]>{LINK.format('', 'Unsubscribe')}<![endif]-->")) == [
        "no unsubscribe link in html part 1"
    ]


@pytest.mark.parametrize(
    ("rule", "inside", "found"),
    [
        (PERSON, f"身份证 {ID}", "cn-id 1 (110***********002X) in html part 1, Outlook"),
        ('check = "secrets"', "AKIAABCDEFGHIJKLMNOP", "aws-key 1 (AKIA***) in html part 1, Outlook"),
        ('check = "placeholders"', "Hi {{name}}", "{{...}} in html part 1, Outlook"),
        (LINKS, '<a href="https://evil.example/">www.bank.example</a>', "mismatch: shows bank.example, leads to evil.example"),
    ],
)
def test_what_outlook_alone_shows_is_searched(rule, inside, found):
    assert details(rule, html(f"<p>Hi</p><!--[if mso]><table><tr><td>{inside}</td></tr></table><![endif]-->")) == [found]
    assert "Outlook" not in found or "仅 Outlook" in finding_zh(found)


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
        ('<img src="https://t.example/p" width="3" height="2">', ["1, from t.example"]),
        ('<img src="https://t.example/p" width="4" height="4">', []),
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
