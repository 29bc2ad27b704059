"""Labels: whose law asks for which, what counts as one, and that only the subject changes."""

from base64 import b64encode
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.message import Message
from relay.policy.labels import LABELS, labels_of, without_labels, written
from relay.policy.sets import PolicySet
from relay.render.copy import render_copy
from relay.render.label import labelled
from tests.support.duties import a_letterhead, treatment
from tests.support.policies import a_policy
from tests.support.signing import a_message, octets, prepared, recipient

LAWS = {"CN": "CN", "SG": "SG", "KR": "KR", "US": None, "JP": None, "DE": None}
"""Countries of organisations and recipients, and the label that their law wants."""

PACK = """[pack]
version = "1"
[applies]
purpose = ["marketing"]
any = [{{ organisation = "{0}" }}, {{ recipient = "{0}" }}]
[[duty]]
id = "label"
do = "label"
label = "{0}"
"""
CHINESE, ENGLISH, KOREAN = "春季新品上市", "Spring offers", "봄 세일"
FRONTS = {"SG": "<ADV> ", "KR": "(광고) "}


def front(country: str, subject: str) -> str:
    if country == "CN":
        return "【广告】" if subject == CHINESE else "[AD] "
    return FRONTS.get(LAWS[country] or "", "")


def policy_of(organisation: str) -> PolicySet:
    packs = {name: PACK.format(country) for name, country in (("china", "CN"), ("singapore", "SG"), ("korea", "KR"))}
    changes = {
        "organisation.toml": ('country = "CN"', f'country = "{organisation}"'),
        "streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "china", "singapore", "korea"]'),
    }
    return a_policy(changes=changes, **packs)  # type: ignore[arg-type]  # packs only


def subject_sent(message: Message, organisation: str, country: str) -> str:
    stream = policy_of(organisation).stream("newsletter")
    duties = stream.duties_for(frozenset({country}), frozenset())
    copy = render_copy(prepared(message, treatment=treatment(*duties), letterhead=a_letterhead()), [recipient()])
    return Message.parse(octets(copy)).subject


@pytest.mark.parametrize("subject", [CHINESE, ENGLISH, KOREAN])
@pytest.mark.parametrize(("organisation", "country"), list(product(LAWS, LAWS)))
def test_the_recipients_law_labels_first_and_then_the_organisations(organisation, country, subject):
    word = f"=?utf-8?B?{b64encode(subject.encode()).decode()}?="
    own = front(organisation, subject) if organisation != country else ""
    expected = front(country, subject) + own + subject
    sent = subject_sent(a_message(f"Subject: {word}"), organisation, country)
    assert sent == expected
    assert subject_sent(a_message(f"Subject: =?utf-8?B?{b64encode(sent.encode()).decode()}?="), organisation, country) == expected


ACCEPTED = [
    "【广告】春季促销", "[广告]春季促销", "「广告」x", "〔广 告〕x", "（广告）x", "<广告>x", "《广告》x",
    "[ 广告 ] x", "【廣告】x", "【AD】x",
    "[AD] Spring", "[AD]Spring", "(AD) x", "［ＡＤ］x", "AD: x", "AD : x", "AD| x", "ＡＤ：x", "A\u200bD: x", "\u202a【广告】x",
    "广告 新品", "广告：新品", "广告|x", "廣告-x", "广告·x", "广告—x",
    "(광고)【广告】x", "<ADV> [AD] x", "(광고) <ADV> 广告：x",
]  # fmt: skip
REJECTED = [
    "ADIDAS 新款", "Adobe", "Ad hoc meeting", "AD-HOC meeting", "AD 2026 kickoff", "AD spring", "ad: x", "[ad] x",
    "广告学会年会", "广告公司合作", "促销【广告】", "Re: 【广告】x", "春季 [AD]", "(광고) AD 2026", "", "AD",
]  # fmt: skip


@pytest.mark.parametrize("subject", ACCEPTED)
def test_a_chinese_label_is_known_in_every_spelling_and_behind_other_labels(subject):
    assert "CN" in labels_of(subject)


@pytest.mark.parametrize("subject", REJECTED)
def test_what_only_looks_like_a_chinese_label_is_none(subject):
    assert "CN" not in labels_of(subject)
    assert labels_of(written(["CN"], subject) + subject)[0] == "CN"


@pytest.mark.parametrize(
    ("subject", "labels"),
    [
        ("<ADV> x", ("SG",)), ("<ADV>x", ()), ("<adv> x", ()), ("ADV x", ()), (" <ADV> x", ()),
        ("(광고) 봄", ("KR",)), ("(광고)봄", ("KR",)), ("(광 고) 봄", ()), ("[광고] 봄", ()),
        ("(대출광고) 봄", ()), ("（광고）봄", ()), ("봄 (광고)", ()), ("【广告】(광고) <ADV> x", ("CN", "KR", "SG")),
        ("[AD] [AD] x", ("CN",)),
    ],
)  # fmt: skip
def test_the_labels_of_singapore_and_korea_have_one_spelling(subject, labels):
    assert labels_of(subject) == labels


def raw_subject(message: Message) -> bytes:
    (field,) = message.all("Subject")
    return field.raw


def of(*lines: str) -> Message:
    return a_message(*lines)


@pytest.mark.parametrize(
    ("line", "labels", "octets_sent"),
    [
        ("Subject: Hello", ["CN"], b"Subject: [AD] Hello\r\n"),
        ("Subject: Hello", ["SG"], b"Subject: <ADV> Hello\r\n"),
        ("SUBJECT:Hello\r\n  again", ["CN"], b"Subject: [AD] Hello\r\n  again\r\n"),
        ("Subject: =?gb2312?B?xOO6ww==?=", ["CN"], b"Subject: =?gb2312?B?ob6547jmob8=?= =?gb2312?B?xOO6ww==?=\r\n"),
        ("Subject: =?GB18030?Q?=C4=E3?=", ["CN"], b"Subject: =?gb18030?B?ob6547jmob8=?= =?GB18030?Q?=C4=E3?=\r\n"),
        ("Subject: =?utf-8?Q?=C3=A4?=", ["CN"], b"Subject: [AD] =?utf-8?Q?=C3=A4?=\r\n"),
        ("Subject: =?iso-8859-1?Q?=E4?=", ["KR"], b"Subject: =?utf-8?B?KOq0keqzoCkg?= =?iso-8859-1?Q?=E4?=\r\n"),
        ("Subject: =?euc-kr?B?urg=?=", ["KR"], b"Subject: =?euc-kr?B?KLGksO0pIA==?= =?euc-kr?B?urg=?=\r\n"),
        ("Subject:", ["CN"], b"Subject: [AD]\r\n"),
        ("X-Other: 1", ["CN"], b"Subject: [AD]\r\n"),
    ],
)
def test_the_octets_of_the_subject_stay_and_the_label_has_their_charset(line, labels, octets_sent):
    message = of(line)
    fields = labelled(message.fields, labels)
    assert [field.raw for field in fields if field.name == b"subject"] == [octets_sent]
    assert [field for field in fields if field.name != b"subject"] == [f for f in message.fields if f.name != b"subject"]


def test_a_missing_label_is_put_behind_the_one_that_must_stand_before_it():
    message = of("Subject: =?utf-8?B?" + b64encode("(광고) 봄".encode()).decode() + "?=")
    fields = labelled(message.fields, ["KR", "CN"])
    assert Message(fields, b"").subject == "(광고) [AD] 봄"


PIECES = st.sampled_from(
    ["【广告】", "[AD] ", "<ADV> ", "(광고) ", "AD", "广告", " ", "\u200b", "x" * 70, "春季", "セール", "봄", "é", "[", ":"]
)


@settings(deadline=None)  # a busy machine takes what it takes
@given(
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(st.sampled_from(LABELS), unique=True, min_size=1),
    st.sampled_from(["utf-8", "gb18030", "gb2312", "iso-2022-jp", "iso-8859-1", ""]),
)
def test_no_label_is_written_twice_and_all_are_there(subject, labels, charset):
    try:
        value = f"=?{charset}?B?{b64encode(subject.encode(charset)).decode()}?=" if charset else subject
    except UnicodeEncodeError:
        return
    message = of(f"Subject: {value}")
    once = labelled(message.fields, labels)
    sent = Message(once, b"").subject
    assert set(labels) <= set(labels_of(sent))
    assert labelled(once, labels) == once
    assert without_labels(sent).split() == without_labels(message.subject).split()
    assert all(len(line) <= 998 for field in once for line in field.raw.split(b"\r\n"))
