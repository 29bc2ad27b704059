"""The pages: in the reader's language, whole without anything loaded, every fact escaped, nothing said that is not known."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.doors.background import Background
from relay.doors.pages import HEADERS, language, page
from relay.doors.preferences import facts
from relay.doors.refusals import Offer
from relay.policy.consents.consent import ConsentEvent
from relay.policy.sets.parse import parse_policies
from relay.policy.suppressions.suppression import stream_scope
from relay.render.token import UnsubscribeToken
from tests.support.policies import a_policy, shipped_files

EVIL = "<script>alert('1')</script>&\"'{{ 7*7 }}"
POLICY = a_policy()
SHIPPED = shipped_files()["organisation.toml"].decode()
TOKEN = UnsubscribeToken(bytes(16), 1, bytes(4), True, "01JD6Z4M0Q8V7KX3T5N2C9R1BF")
RECEIPTS_AND_LETTERS = ("streams/receipts.toml", "streams/correspondence.toml")
NOW = 1_795_000_000.0  # 18 November 2026 in Shanghai
CONSENT = ConsentEvent("1", b"", b"", "granted", NOW - 86400, NOW, "web form, double opt-in", "Wang Min")


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9", "en"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("en;q=0, zh;q=0", "zh"),
        ("de-DE,de", "en"),
        ("de;q=0", "zh"),
        ("de,zh;q=0.1", "zh"),
        ("de,en;q=0.3", "en"),
        ("EN", "en"),
        ("english", "en"),
        ("en;q=nonsense", "en"),
        (",;,;q=,=", "zh"),
        ("en" * 5000, "en"),
    ],
)
def test_the_readers_language(accepted, chosen):
    assert language("", accepted) == chosen
    assert language("zh", accepted) == "zh"
    assert language("en", accepted) == "en"


@given(st.text(), st.text())
def test_any_wish_gets_one_of_the_two(wanted, accepted):
    assert language(wanted, accepted) in ("en", "zh")


def said(template, reader, policy=POLICY, *, own="organisation", stream="newsletter", just_now="", **known):
    """A page as the door renders it, of what is known of the mail and its recipient."""
    found = policy.stream(stream) if stream else None
    background = replace(Background(NOW, "a***@example.org", "news@example.com"), **known)
    scope = stream_scope(stream) if own == "stream" else own
    return page(template, reader, **facts(Offer(TOKEN, scope, found, policy), background, just_now))


def words(text):
    """What a reader sees, in one line."""
    return " ".join(re.sub("<[^>]*>", "\n", text.partition("</head>")[2]).split())


class _Outline(HTMLParser):
    """The elements that are open when the document ends, and all there were."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text):
    parser = _Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.seen


PAGES = [
    ("unsubscribe.html", {}),
    ("unsubscribe.html", {"own": "stream"}),
    ("unsubscribe.html", {"stream": None}),
    ("unsubscribe.html", {"recipient": "", "sender": "", "consent": CONSENT}),
    ("unsubscribed.html", {"just_now": "organisation"}),
    ("unsubscribed.html", {"just_now": "stream:newsletter"}),
    ("unsubscribed.html", {"refused": {"organisation": NOW}}),
]


@pytest.mark.parametrize("reader", ["zh", "en"])
@pytest.mark.parametrize(("template", "known"), PAGES)
def test_pages_are_well_formed_and_whole_without_anything_loaded(template, known, reader):
    text = said(template, reader, **known)
    elements = outline(text)
    assert elements[0] == ("html", {"lang": {"zh": "zh-CN", "en": "en"}[reader]})
    assert {tag for tag, _ in elements}.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert all("onclick" not in given and "onload" not in given and "style" not in given for _, given in elements)
    names = [given["id"] for _, given in elements if "id" in given]
    assert len(names) == len(set(names))
    assert not re.search(r"[.。]\s*[.。]", words(text))


def test_the_policy_of_the_page_allows_its_own_style_and_no_other():
    style = re.search(r"<style>(.*?)</style>", said("unsubscribe.html", "zh"), re.DOTALL)
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("own", ["stream", "organisation"])
def test_the_form_posts_the_pair_and_the_choice_to_where_it_came_from(own):
    elements = outline(said("unsubscribe.html", "en", own=own))
    assert [given for tag, given in elements if tag == "form"] == [{"method": "post", "action": "?lang=en"}]
    inputs = [given for tag, given in elements if tag == "input"]
    assert [(given["type"], given["name"], given["value"]) for given in inputs] == [
        ("hidden", "List-Unsubscribe", "One-Click"),
        ("hidden", "via", "page"),
        ("radio", "scope", "stream"),
        ("radio", "scope", "organisation"),
    ]
    assert [given["value"] for given in inputs if "checked" in given] == [own]  # what one click would refuse


def test_without_its_stream_there_is_nothing_to_choose():
    text = said("unsubscribe.html", "zh", stream=None)
    assert 'name="scope"' not in text
    assert "a***@example.org 不再收到“示例公司”的任何营销邮件" in words(text)


def test_a_page_says_what_was_refused_and_what_goes_on():
    whole = words(said("unsubscribed.html", "en", just_now="organisation"))
    assert "Example Company Ltd. sends a***@example.org no more marketing mail. It holds from the next mail on" in whole
    assert "receipts and password resets" in whole
    assert "Other marketing mail" not in whole
    narrow = words(said("unsubscribed.html", "zh", just_now="stream:newsletter"))
    assert "a***@example.org 不再收到“示例公司”的“新闻邮件”。从下一封邮件起生效" in narrow
    assert "今后可能新增的其他营销邮件" in narrow
    assert "收据" in narrow


def test_an_earlier_refusal_is_dated_and_the_wider_one_counts():
    text = words(said("unsubscribed.html", "en", refused={"stream:newsletter": NOW - 864_000, "organisation": NOW}))
    assert "Since 18 November 2026, Example Company Ltd. sends a***@example.org no more marketing mail." in text


def test_nothing_is_undone_on_the_page():
    text = said("unsubscribed.html", "en", just_now="organisation")
    assert "cannot be undone here, only by a new consent" in words(text)
    assert "<form" not in text


def test_what_goes_on_is_what_the_policy_has_streams_for():
    files = {name: octets for name, octets in shipped_files().items() if name not in RECEIPTS_AND_LETTERS}
    names = b'["newsletter", "receipts", "correspondence"]'
    only = parse_policies(files | {"organisation.toml": files["organisation.toml"].replace(names, b'["newsletter"]')})
    assert "仍会收到" not in said("unsubscribe.html", "zh", only)
    assert "What you will still get" not in said("unsubscribed.html", "en", only, just_now="organisation")


def test_the_other_marketing_streams_are_named():
    offers = 'purpose = "marketing"\ntitle = { en = "Offers <b>" }'
    policy = a_policy(changes={"streams/receipts.toml": ('purpose = "service"', offers)})
    text = said("unsubscribed.html", "zh", policy, just_now="stream:newsletter")
    assert "其他营销邮件：“Offers &lt;b&gt;”" in text  # a title in one language is shown in both
    assert "收据" not in text


def test_why_the_mail_came():
    text = words(said("unsubscribe.html", "en", consent=CONSENT))
    assert "The mail “Newsletter”, sent on 18 November 2026 Sent from news@example.com Sent to a***@example.org" in text
    assert "17 November 2026: web form, double opt-in" in text
    assert "Wang Min" not in text
    assert "“新闻邮件”，2026年11月18日发送" in words(said("unsubscribe.html", "zh"))


def test_what_is_not_known_is_not_claimed():
    text = words(said("unsubscribe.html", "en", recipient="", sender=""))
    assert "This system has no record of a consent of yours" in text
    assert "Sent from" not in text
    assert "Sent to" not in text
    assert "I no longer want:" in text


@pytest.mark.parametrize("reader", ["zh", "en"])
@pytest.mark.parametrize("template", ["unsubscribe.html", "unsubscribed.html"])
def test_the_sender_is_named_on_every_page(template, reader):
    text = said(template, reader, just_now="organisation")
    for fact in (*{"zh": ("示例公司", "示例路 1 号"), "en": ("Example Company Ltd.", "1 Example Road")}[reader],):
        assert fact in text
    assert '<a href="mailto:unsubscribe@example.com">' in text
    assert '<a href="https://www.example.com/privacy" rel="noreferrer">' in text


@pytest.mark.parametrize(
    ("reader", "kept", "more"),
    [
        ("zh", "您的退订会被保存下来，以便不再向您发送。", "详情见下方的隐私政策。"),
        ("en", "Your refusal is kept so that you are not written to again.", "More in the privacy notice below."),
    ],
)
def test_what_is_kept_is_promised_no_further_than_the_privacy_notice_goes(reader, kept, more):
    """More is kept than the refusal: docs/data.md says what, and the organisation's own notice."""
    without = a_policy(changes={"organisation.toml": (SHIPPED, re.sub("^privacy_url .*$", "", SHIPPED, flags=re.MULTILINE))})
    promised = words(said("unsubscribed.html", reader, just_now="organisation"))
    assert f"{kept}{'' if reader == 'zh' else ' '}{more}" in promised
    alone = words(said("unsubscribed.html", reader, without, just_now="organisation"))
    assert kept in alone
    assert more not in alone


@pytest.mark.parametrize(("template", "known"), PAGES)
def test_an_organisation_without_facts_gets_pages_without_gaps(template, known):
    file = re.sub("^(legal_name|postal_address|refusal_mailbox|privacy_url) .*$", "", SHIPPED, flags=re.MULTILINE)
    policy = a_policy(changes={"organisation.toml": (SHIPPED, file)})
    text = said(template, "en", policy, **known)
    assert "<footer>\n</footer>" in text
    assert [given["href"] for tag, given in outline(text) if tag == "a"] == ["?lang=zh"]
    assert "· <" not in text


@pytest.mark.parametrize("template", ["unsubscribe.html", "unsubscribed.html"])
def test_facts_are_escaped(template):
    consent = ConsentEvent("1", b"", b"", "granted", NOW, NOW, EVIL, "")
    text = said(template, "zh", just_now="organisation", recipient=EVIL, sender=EVIL, consent=consent)
    assert "<script" not in text
    assert text.count("{{ 7*7 }}") >= 3
    outline(text)


def test_a_fact_that_is_missing_is_a_fault_not_a_gap():
    with pytest.raises(Exception, match="legal_name"):
        page("unsubscribe.html", "zh")
