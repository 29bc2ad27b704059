"""As test_explain_agrees.py, with the packs of the law in force: explain, `send --dry-run` and the line agree.

Who gets which label, which footer in which language, whose pixels are removed, who agreed to mail and whose data may go abroad.
"""

import re
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.mail.message import Message
from relay.policy.rehearsing.compose import compose
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from tests.end_to_end.test_duties import GRANT
from tests.end_to_end.test_explain_agrees import bare, check_replies, dry_run, foretold, how_many, objections, recorded, said_of
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import LineHouse
from tests.support.policies import shipped_files
from tests.support.service import NEWS, OFFICE, SHOP

upstream = an_upstream(scope="module")

# Only the Chinese reason can be written in the charset of the message below.
WORDED = """[pack]
version = "1"
[[duty]]
id = "footer"
do = "footer"
show = ["reason"]
reason = "You asked for the letter of the cafe \u0142"
reason_zh = "您订阅了本通讯"
"""
GB2312 = (
    f"From: Example <{NEWS}>\r\nTo: x@abc.cn\r\nSubject: Spring offers\r\nDate: Mon, 01 Jun 2026 10:00:00 +0800\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=gb2312\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\nHello\r\n"
).encode()


@pytest.mark.parametrize("people", [["x@abc.cn", "y@gmail.com"], ["y@gmail.com", "x@abc.cn"]], ids=["cn first", "cn last"])
def test_who_is_under_one_law_may_still_be_written_to_in_two_languages(upstream, tmp_path, people):
    """Where nobody knows the country the organisation's law is assumed, and the footer has the subject's language."""
    house = LineHouse(tmp_path, upstream, policy={"streams/newsletter.toml": [(r"(?m)^packs = .*", 'packs = ["base", "mine"]')]})
    house.relay.write_policy("packs/mine.toml", WORDED)
    with house:
        expected = foretold(house, NEWS, GB2312, people)
        assert {one.case.jurisdictions for one in expected.values()} == {frozenset({"CN"})}
        assert {address: one.verdict.word for address, one in expected.items()} == {"x@abc.cn": "permit", "y@gmail.com": "reject"}
        assert dry_run(house, NEWS, people, GB2312) == {address: said_of(one) for address, one in expected.items()}
        before = len(upstream.accepted)
        house.send(NEWS, people, GB2312)
        assert [one.recipients for one in upstream.accepted[before:] if one.reverse_path] == [["x@abc.cn"]]


# All packs of the law together ------------------------------------------------------------------------------------------

AGREED = [
    "min@books.cn", "ji@books.co.kr", "tan@books.sg", "eve@books.fr", "max@books.de", "joe@books.us", "amy@books.ca",
    "pat@books.co.uk", "sue@books.com.au", "ken@books.jp", "ana@books.com.br", "lau@books.hk", "any@gmail.com", "kiri@books.nz",
]  # fmt: skip
STRANGERS = ["stranger@books.cn", "stranger@books.fr"]
UNASKED = "lim@books.sg"
"""Never agreed, and is written to all the same: an exemption lets the rules on consent only observe."""
GONE = "gone@books.us"
RECORDED = {
    "soo@gmail.com": "KR", "uwe@gmail.com": "DE", "lin@gmail.com": "CN", "tim@outlook.com": "SG", "bea@books.io": "FR",
    "jun@books.de": "KR", "mia@books.us": "FR", "zoe@gmail.com": "NZ", "ida@books.cn": "CN",
}  # fmt: skip
"""Of whom the consent ledger knows the country; the addresses tell another one, or none."""
PEOPLE = [*AGREED, *RECORDED, *STRANGERS, UNASKED, GONE]
FAR = "far@example.com"
"""Its mail leaves by a server in a country for which nobody recorded a ground."""

LATE = "late@example.com"
"""Its mail is sexually explicit."""

OLD = '[pack]\nversion = "1"\nexpires_on = 2020-01-01\n[applies]\nany = [{ recipient = "NZ" }]\n'
FAR_STREAM = (
    f'purpose = "marketing"\npacks = ["base", "cn-marketing"]\nmatch = {{ identities = ["{FAR}"] }}\nupstream = ["far"]\n'
    "[unsubscribe]\none_click = true\n"
)
LATE_STREAM = (
    f'purpose = "marketing"\npacks = ["base", "us-can-spam", "sg"]\nmatch = {{ identities = ["{LATE}"] }}\nupstream = ["home"]\n'
    "adult = true\n[unsubscribe]\none_click = true\n"
)
PACKS = sorted(name[6:-5] for name in shipped_files() if name.startswith("packs/"))
MARKETING = [pack for pack in PACKS if pack not in ("base", "notice", "service")]
LAWS = {
    "streams/newsletter.toml": [
        (r"(?m)^packs = .*", f"packs = {['base', *MARKETING, 'old']}".replace("'", '"')),
        (r"(?m)^upstream = .*", 'upstream = ["home"]'),
    ],
    "streams/receipts.toml": [
        (r"(?m)^packs = .*", 'packs = ["base", "service", "content", "us-can-spam", "ca-casl"]'),
        (r"(?m)^upstream = .*", 'upstream = ["abroad"]'),
    ],
    "organisation.toml": [
        (r"(?m)^streams = .*", 'streams = ["far", "late", "newsletter", "receipts", "correspondence"]'),
        (r"(?m)^legal_name = .*", 'legal_name = { zh = "云杉科技", en = "Spruce Technology" }'),
        (r"(?m)^contact = .*", 'contact = "+86 21 5555 0100"'),
        (
            r"\Z",
            '\n[[transfer]]\nto = ["US"]\nbasis = "standard-contract"\nreference = "1"\nuntil = 2099-01-01\n',
        ),
        (
            r"\Z",
            f'\n[[exempt]]\nrecipients = ["{UNASKED}"]\nrules = ["*/consent"]\nreason = "x"\nby = "x"\nuntil = 2099-01-01\n',
        ),
    ],
}
numbers = count()


@pytest.fixture(scope="module")
def lawful(upstream, tmp_path_factory):
    tables = "".join(
        f'[[upstream]]\nname = "{name}"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "none"\ncountry = "{country}"\n'
        for name, country in (("home", "CN"), ("abroad", "US"), ("far", "VN"))
    )
    folder = tmp_path_factory.mktemp("lawful")
    house = LineHouse(folder, upstream, policy=LAWS, upstreams=tables)
    house.relay.write_policy("packs/old.toml", OLD)
    house.relay.write_policy("streams/far.toml", FAR_STREAM)
    house.relay.write_policy("streams/late.toml", LATE_STREAM)
    words = folder / "words.txt"
    words.write_text("I agree to receive the newsletter.", "utf-8")
    with house:
        options = [*(part for pair in GRANT.items() for part in pair), "--text", str(words)]
        done = house.relay.command("consent", "add", *options, *AGREED, GONE)
        assert done.returncode == 0, done.stdout + done.stderr
        for country in sorted(set(RECORDED.values())):
            people = [address for address, code in RECORDED.items() if code == country]
            done = house.relay.command("consent", "add", *options, "--country", country, *people)
            assert done.returncode == 0, done.stdout + done.stderr
        refusal = Suppression(house.line.keys.addresses.digest(GONE), ORGANISATION, Reason.UNSUBSCRIBE, "test", 1.0)
        house.run(house.line.store.suppress(refusal))
        yield house


DOUBTFUL = '<p style="display:none">x</p><a href="https://a.example">b.example</a>'
PIXEL = '<img src="https://t.example.org/o.gif?u=1" width="1" height="1">'


def letter(login: str, subject: str, text: str, html: str = "", *, signed: bool = False) -> bytes:
    fields = [("From", f"Example <{login}>"), ("To", "readers@example.com"), ("Subject", subject)]
    fields += [("Date", "Mon, 01 Jun 2026 10:00:00 +0800"), ("Message-ID", f"<{next(numbers)}@example.com>")]
    if not signed:
        return compose(fields, text, html, [])
    whole = compose(fields, text, html, [])
    header, _, body = whole.partition(b"\r\n\r\n")
    kept: list[bytes] = []
    inner: list[bytes] = []
    for field in re.findall(rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", header + b"\r\n"):
        (inner if field.lower().startswith((b"content-", b"mime-")) else kept).append(field)
    protocol = b'MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary="s"; protocol="application/pkcs7-signature"\r\n'
    parts = b"--s\r\n" + b"".join(inner) + b"\r\n" + body + b"\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nMAo="
    return b"".join(kept) + protocol + b"\r\n" + parts + b"\r\n--s--\r\n"


def seen_by_readers(data: bytes) -> tuple[object, ...]:
    """The header, and what is shown of the body; each submission has links of its own."""
    content = Message.parse(data).content
    own = re.compile(r"/u/[\w.~-]+")
    texts = [(text.where, own.sub("/u/", text.shown)) for text in content.texts]
    links = [own.sub("/u/", link.href) for link in content.links]
    return bare(data)[0], texts, links, [image.src for image in content.images]


def check_all_three(house, upstream, login: str, people: list[str], data: bytes):
    """Explain, dry run and line agree on every recipient; returns what explain says."""
    expected = foretold(house, login, data, people)
    assert dry_run(house, login, people, data) == {address: said_of(one) for address, one in expected.items()}
    before, known = len(upstream.accepted), how_many(house)
    house.send(login, people, data)
    delivered = {address: one.data for one in upstream.accepted[before:] if one.reverse_path for address in one.recipients}
    assert sorted(delivered) == sorted(address for address, one in expected.items() if one.copy)
    for address, copy in delivered.items():
        foreseen = expected[address].copy
        assert seen_by_readers(copy) == seen_by_readers(foreseen.header + foreseen.body), address
    written = records(house.relay)[known:]
    assert recorded(written) == {address: (one.ruling.action.word, objections(one.ruling)) for address, one in expected.items()}
    check_replies(written, expected)
    assert residences(written) == {
        address: sorted(one.case.residence.countries) if one.case.residence else None for address, one in expected.items()
    }
    return expected


def residences(written) -> dict[str, list[str] | None]:
    """Per recipient where the records say that the ledger had them."""
    return {
        record["people"][ruling["person"]]: ruling["residence"]["countries"] if "residence" in ruling else None
        for record in written
        if record["kind"] in ("received", "refused")
        for ruling in record["rulings"]
    }


def test_all_three_agree_on_every_reader(lawful, upstream):
    """And the laws make a difference, without which the property below says little."""
    expected = check_all_three(lawful, upstream, NEWS, PEOPLE, letter(NEWS, "Spring news", "Hello", f"<p>Hello</p>{PIXEL}"))
    copies = {address: one.copy for address, one in expected.items() if one.copy}
    read = {address: Message.parse(copy.header + copy.body) for address, copy in copies.items()}
    assert {"min@books.cn", "ji@books.co.kr", "tan@books.sg", "eve@books.fr", "joe@books.us", "any@gmail.com"} <= copies.keys()
    assert read["ji@books.co.kr"].subject.startswith("(광고)")
    assert read["tan@books.sg"].subject == "[AD] Spring news"
    assert read[UNASKED].subject == "<ADV> [AD] Spring news"
    assert read["joe@books.us"].subject.startswith("[AD]")
    shown = {address: " ".join(text.shown for text in message.content.texts) for address, message in read.items()}
    in_chinese = {"min@books.cn", "lau@books.hk", "lin@gmail.com", "ida@books.cn"}
    assert {address for address, text in shown.items() if "退订" in text} == in_chinese & copies.keys()
    in_france = {"eve@books.fr", "bea@books.io", "mia@books.us"}
    assert {address for address, message in read.items() if not message.content.images} == in_france
    assert {address: sorted(one.case.jurisdictions) for address, one in expected.items() if address in RECORDED} == {
        "soo@gmail.com": ["KR"], "uwe@gmail.com": ["DE"], "lin@gmail.com": ["CN"], "tim@outlook.com": ["SG"],
        "bea@books.io": ["FR"], "jun@books.de": ["DE", "KR"], "mia@books.us": ["FR", "US"], "zoe@gmail.com": ["NZ"],
        "ida@books.cn": ["CN"],
    }  # fmt: skip
    assert read["soo@gmail.com"].subject.startswith("(광고)")
    assert read["jun@books.de"].subject.startswith("(광고)")  # under both laws
    assert read["tim@outlook.com"].subject == "[AD] Spring news"
    assert "수신거부" in shown["soo@gmail.com"]
    assert expected["zoe@gmail.com"].rule == "old/expired"
    rules = {address: one.rule for address, one in expected.items() if not one.copy}
    assert rules["kiri@books.nz"] == "old/expired"
    assert rules[GONE] == "base/suppression"
    assert rules["stranger@books.fr"].endswith("/consent")
    assert {address for address, one in expected.items() if one.copy and not one.ruling.grounds} == {UNASKED}


def test_all_three_agree_where_data_may_not_go_and_where_it_may(lawful, upstream):
    far = check_all_three(lawful, upstream, FAR, AGREED[:2], letter(FAR, "Spring news", "Hello"))
    assert {one.rule for one in far.values()} == {"cn-marketing/transfer"}
    near = check_all_three(lawful, upstream, SHOP, AGREED[:2], letter(SHOP, "Your order", "It is on its way."))
    assert all(one.copy for one in near.values())


@pytest.mark.parametrize(
    ("address", "plain", "labelled"),
    [
        ("joe@books.us", "Tonight", "SEXUALLY-EXPLICIT: tonight"),
        ("roy@books.us", None, "SEXUALLY-EXPLICIT: tonight"),
        ("ken@books.jp", "Tonight", "SEXUALLY-EXPLICIT: tonight"),
        (UNASKED, "<ADV> Tonight", "<ADV> SEXUALLY-EXPLICIT: tonight"),
    ],
)
def test_all_three_agree_on_explicit_mail_and_on_who_agreed_to_it(lawful, upstream, address, plain, labelled):
    for subject, sent in (("Tonight", plain), ("SEXUALLY-EXPLICIT: tonight", labelled)):
        (one,) = check_all_three(lawful, upstream, LATE, [address], letter(LATE, subject, "Hello")).values()
        assert one.rule == ("" if sent else "us-can-spam/sexually-explicit")
        assert (one.copy and Message.parse(one.copy.header + one.copy.body).subject) == sent


def test_all_three_agree_that_no_copy_can_be_made(lawful, upstream):
    expected = check_all_three(lawful, upstream, NEWS, ["eve@books.fr"], letter(NEWS, "Spring", "Hello", PIXEL, signed=True))
    assert "signed or encrypted" in expected["eve@books.fr"].impossible


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    login=st.sampled_from([NEWS, NEWS, NEWS, SHOP, OFFICE, FAR, LATE]),
    people=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=5, unique=True),
    subject=st.sampled_from(
        ["Spring news", "春季新品", "(광고) Spring", "【广告】 offers", "Re: Spring", "<ADV> 全国第一", "SEXUALLY-EXPLICIT: 春季"]
    ),
    text=st.sampled_from(["Hello", "春季新品上市", "全国第一的品牌", "Caf\u0142", "Card 4111 1111 1111 1111"]),
    html=st.sampled_from(["", "<p>Hello</p>", f"<p>春季</p>{PIXEL}", DOUBTFUL]),
    signed=st.booleans(),
)
def test_all_three_agree_on_mail_at_random_under_every_law(lawful, upstream, login, people, subject, text, html, signed):
    check_all_three(lawful, upstream, login, people, letter(login, subject, text, html, signed=signed))
