"""Labels: whose law asks for which, what counts as one, and that only the subject changes."""

from base64 import b64encode
from itertools import product
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.message import Message
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.policy.words.labels import EXPLICIT, LABELS, in_order, labels_of, without_labels, written
from relay.render.copy import render_copy
from relay.render.label import labelled
from tests.support.duties import a_letterhead, treatment
from tests.support.policies import shipped_files
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


def policy_of(organisation: str, *, adult: bool = False) -> PolicySet:
    packs = {name: PACK.format(country) for name, country in (("china", "CN"), ("singapore", "SG"), ("korea", "KR"))}
    packs["america"] = PACK.format("US") + "adult = true\n"
    files = shipped_files() | {f"packs/{name}.toml": text.encode() for name, text in packs.items()}
    for name, old, new in (
        ("organisation.toml", 'country = "CN"', f'country = "{organisation}"'),
        ("streams/newsletter.toml", 'packs = ["base"]', 'packs = ["base", "china", "singapore", "korea", "america"]'),
        ("streams/newsletter.toml", "adult = false", f"adult = {adult}".lower()),
    ):
        assert old.encode() in files[name]
        files[name] = files[name].replace(old.encode(), new.encode())
    return parse_policies(files)


def subject_sent(message: Message, organisation: str, country: str, *, adult: bool = False) -> str:
    stream = policy_of(organisation, adult=adult).stream("newsletter")
    duties = stream.duties_for(frozenset({country}), frozenset())
    copy = render_copy(prepared(message, treatment=treatment(*duties), letterhead=a_letterhead()), [recipient()])
    return Message.parse(octets(copy)).subject


@pytest.mark.parametrize("subject", [CHINESE, ENGLISH, KOREAN])
@pytest.mark.parametrize(("organisation", "country"), list(product(LAWS, LAWS)))
def test_the_recipients_law_labels_first_and_then_the_organisations(organisation, country, subject):
    own = front(organisation, subject) if organisation != country else ""
    expected = front(country, subject) + own + subject
    sent = subject_sent(encoded(subject), organisation, country)
    assert sent == expected
    assert subject_sent(encoded(sent), organisation, country) == expected


def encoded(subject: str) -> Message:
    return a_message(f"Subject: =?utf-8?B?{b64encode(subject.encode()).decode()}?=")


@pytest.mark.parametrize("subject", [CHINESE, ENGLISH, KOREAN])
@pytest.mark.parametrize(("organisation", "country"), list(product(LAWS, LAWS)))
def test_the_label_of_explicit_mail_is_the_first_nineteen_characters_where_american_law_binds(organisation, country, subject):
    """Whose law else binds: Korea's at the beginning, Singapore's before the title, China's in front; all are met behind it."""
    labels = front(country, subject) + (front(organisation, subject) if organisation != country else "")
    is_bound = "US" in (organisation, country)
    expected = EXPLICIT + labels + subject if is_bound else labels + EXPLICIT + subject
    sent = subject_sent(encoded(EXPLICIT + subject), organisation, country, adult=True)
    assert sent == expected
    assert (len(EXPLICIT), sent[:19] == EXPLICIT) == (19, is_bound or not labels)
    assert subject_sent(encoded(sent), organisation, country, adult=True) == expected
    written_in_front = subject_sent(encoded(labels + EXPLICIT + subject), organisation, country, adult=True)
    assert written_in_front == expected


@pytest.mark.parametrize("country", LAWS)
def test_mail_of_other_streams_has_no_label_of_explicit_mail(country):
    assert subject_sent(encoded(ENGLISH), "US", country) == front(country, ENGLISH) + ENGLISH


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
        ("SEXUALLY-EXPLICIT: x", ("US",)), ("SEXUALLY-EXPLICIT:x", ()),
        ("Sexually-Explicit: x", ()),
        ("[AD] SEXUALLY EXPLICIT: x", ("CN",)), ("SEXUALLY-EXPLICIT: <ADV> x", ("US", "SG")),
        ("SEXUALLY-EXPLICIT", ()), ("A SEXUALLY-EXPLICIT: x", ()),
    ],
)  # fmt: skip
def test_the_labels_of_singapore_korea_and_america_have_one_spelling(subject, labels):
    assert labels_of(subject) == labels


def test_the_american_label_comes_before_all_and_the_others_stay_in_their_order():
    assert in_order(["KR", "CN", "US", "KR"]) == ("US", "KR", "CN")
    assert in_order(["SG", "CN"]) == ("SG", "CN")


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


@pytest.mark.parametrize(
    ("subject", "labels", "sent"),
    [
        ("【广告】(광고) 봄", ["KR", "CN"], "(광고) [AD] 봄"),
        ("【广告】(광고) 봄", ["KR"], "(광고) [AD] 봄"),
        ("【广告】<ADV> Sale", ["SG", "CN"], "<ADV> [AD] Sale"),
        ("<ADV> (광고) x", ["CN", "KR", "SG"], "[AD] (광고) <ADV> x"),
    ],
)
def test_labels_in_another_order_are_put_in_that_of_the_laws(subject, labels, sent):
    message = of("Subject: =?utf-8?B?" + b64encode(subject.encode()).decode() + "?=")
    assert Message(labelled(message.fields, labels), b"").subject == sent


@pytest.mark.parametrize(
    ("subject", "label", "sent"),
    [
        ("<adv> Sale", "SG", "<ADV> Sale"), ("<ADV>Sale", "SG", "<ADV> Sale"), ("＜ADV＞ Sale", "SG", "<ADV> Sale"),
        ("[ADV] Sale", "SG", "<ADV> Sale"), ("\u200b<ADV> Sale", "SG", "<ADV> Sale"),
        ("(광 고) 봄", "KR", "(광고) 봄"), ("[광고] 봄", "KR", "(광고) 봄"), ("（광고）봄", "KR", "(광고) 봄"),
        ("\u200b(광고) 봄", "KR", "(광고) 봄"), (normalize("NFD", "(광고) ") + "봄", "KR", "(광고) 봄"),
        ("[ad] Sale", "CN", "[AD] Sale"), ("[ad] [AD] Sale", "CN", "[AD] Sale"),
        ("【广告】【广告】春季", "CN", "【广告】春季"), ("【ad】春季", "CN", "【广告】春季"),
        ("(대출광고) 봄", "KR", "(광고) (대출광고) 봄"), ("ad: Sale", "CN", "[AD] ad: Sale"),
        ("Sexually explicit: x", "US", "SEXUALLY-EXPLICIT: x"), ("[sexually-explicit] x", "US", "SEXUALLY-EXPLICIT: x"),
        ("SEXUALLY-EXPLICIT：x", "US", "SEXUALLY-EXPLICIT: x"),
        ("Sexually explicit art, a study", "US", "SEXUALLY-EXPLICIT: Sexually explicit art, a study"),
        ("Re: 【广告】春季", "CN", "【广告】Re: 春季"), ("回复：Fwd: [ad] Spring", "CN", "【广告】回复：Fwd: Spring"),
        ("Re: [AD] (광고) Spring", "KR", "(광고) Re: [AD] Spring"), ("Re: <ADV> x", "CN", "[AD] Re: <ADV> x"),
        ("【广告】Re: 【广告】春季", "CN", "【广告】Re: 【广告】春季"), ("<adv>Re: <ADV> x", "SG", "<ADV> Re: x"),
    ],
)  # fmt: skip
def test_a_misspelled_label_gives_way_to_the_right_one(subject, label, sent):
    message = of("Subject: =?utf-8?B?" + b64encode(subject.encode()).decode() + "?=")
    assert Message(labelled(message.fields, [label]), b"").subject == sent


PIECES = st.sampled_from(
    [
        "[ad] ",
        "<adv>",
        "（광고）",
        "【广告】",
        "[AD] ",
        "<ADV> ",
        "(광고) ",
        "SEXUALLY-EXPLICIT: ",
        "sexually explicit:",
        "AD",
        "广告",
        " ",
        "\u200b",
        "x" * 70,
        "春季",
        "セール",
        "봄",
        "é",
        "[",
        ":",
    ]
)


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
