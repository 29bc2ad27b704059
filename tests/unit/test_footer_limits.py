"""Where a footer cannot stand, in which language it is, what is not said twice, and what the hash of the body is."""

from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import RenderingImpossible
from relay.mail.message import Message
from relay.mail.text import text_of_part
from relay.render.body import Body
from relay.render.copy import Copy, render_copy
from relay.render.shown import shown_texts
from relay.render.signing import body_hash
from relay.render.splice import Slot
from tests.support.duties import CHINA, a_letterhead, duty, treatment
from tests.support.htmlpage import Page
from tests.support.signing import URL, a_message, octets, prepared, recipient

FOOTER = duty("footer", "law/footer")
MULTIPART = 'Content-Type: multipart/{}; boundary="b"'


def footed(message: Message, *duties, countries=CHINA, letterhead=None, may_skip=False, link=URL, **options) -> Copy:
    done = treatment(*(duties or (FOOTER,)), countries=countries, may_skip=may_skip, subject=message.subject)
    ready = prepared(message, treatment=done, letterhead=letterhead or a_letterhead(), sets_unsubscribe=True, **options)
    return render_copy(ready, [recipient()], link)


def texts(copy: Copy) -> list[str]:
    read = Message.parse(octets(copy))
    return [text_of_part(read, part) for part in shown_texts(read.structure)]


def plain(text: str, charset: str = "utf-8", encoding: str = "8bit", subject: str = "s") -> Message:
    lines = [f"Content-Type: text/plain; charset={charset}", f"Content-Transfer-Encoding: {encoding}", f"Subject: {subject}"]
    return a_message("MIME-Version: 1.0", *lines, body=text.encode(charset))


def page(body: str) -> Message:
    return a_message("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: 8bit", body=body.encode())


def parts(kind: str, *bodies: str) -> Message:
    inner = "".join(f"--b\r\n{body}\r\n" for body in bodies)
    return a_message(MULTIPART.format(kind), body=f"{inner}--b--\r\n".encode())


IMPOSSIBLE = {
    "signed or encrypted": parts(
        "signed", "Content-Type: text/plain\r\n\r\nx", "Content-Type: application/pgp-signature\r\n\r\ny"
    ),
    "cannot all be read": a_message("Content-Type: multipart/mixed", body=b"no boundary\r\n"),
    "no text that could": a_message("Content-Type: application/pdf", body=b"%PDF\r\n"),
    "in AMP": parts("alternative", "Content-Type: text/plain\r\n\r\nx", "Content-Type: text/x-amp-html\r\n\r\n<html>"),
    "charset utf-16": a_message("Content-Type: text/plain; charset=utf-16", body=b"x\r\n"),
    "Content-Transfer-Encoding that nobody knows": a_message("Content-Transfer-Encoding: x-uuencode", body=b"x\r\n"),
    "base64 that": a_message("Content-Transfer-Encoding: base64", body=b"QUJD\r\nQ\r\nQUJD\r\n"),
    "hides what stands at its end": page("<html><body><p>Hello</p><div style='display:none'>x"),
    "nested too deeply": page("<html><frameset><frame src=x></frameset></html>"),
}


@pytest.mark.parametrize(("why", "message"), IMPOSSIBLE.items(), ids=list(IMPOSSIBLE))
def test_where_no_footer_can_stand_the_copy_does_not_leave(why, message):
    with pytest.raises(RenderingImpossible, match=why) as fault:
        footed(message)
    assert fault.value.rule == "law/footer"


@pytest.mark.parametrize(("why", "message"), IMPOSSIBLE.items(), ids=list(IMPOSSIBLE))
def test_a_duty_that_may_be_left_out_is_named(why, message):
    for copy in (footed(message, duty("footer", "law/f", if_impossible="warn")), footed(message, may_skip=True)):
        assert copy.body == message.body
        ((_, said),) = copy.skipped
        assert why in said
        assert copy.duties == ()


def test_of_two_packs_the_one_that_insists_stops_the_copy():
    lenient, strict = duty("footer", "a/f", if_impossible="warn"), duty("footer", "b/f", show=["identity"])
    with pytest.raises(RenderingImpossible) as fault:
        footed(IMPOSSIBLE["in AMP"], lenient, strict)
    assert fault.value.rule == "b/f"


@pytest.mark.parametrize(
    ("fact", "where"),
    [
        ({"legal_name": {"zh": "", "en": ""}}, "legal_name in organisation.toml"),
        ({"privacy_url": ""}, "privacy_url in organisation.toml"),
        ({"has_link": False}, r"\[unsubscribe\] one_click in streams/newsletter.toml"),
    ],
)
def test_a_fact_that_nobody_wrote_is_asked_for(fact, where):
    with pytest.raises(RenderingImpossible, match=f"the footer lacks {where}"):
        footed(plain("Hello\r\n"), letterhead=a_letterhead(**fact))


# Language ---------------------------------------------------------------------------------------------------------------

ZH, EN = "退订", "Unsubscribe"


@pytest.mark.parametrize(
    ("countries", "subject", "word"),
    [
        ({"CN"}, "Hello", ZH), ({"TW"}, "Hello", ZH), ({"HK"}, "Hello", ZH), ({"DE"}, "你好", EN), ({"JP"}, "新年", EN),
        (set(), "你好", ZH), (set(), "Hello", EN), (set(), "新年のご挨拶", EN),
    ],
)  # fmt: skip
def test_the_footer_is_in_the_recipients_language_and_else_in_the_subjects(countries, subject, word):
    (text,) = texts(footed(plain("Hello\r\n", subject=subject), countries=frozenset(countries)))
    assert word in text


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (plain("Hello\r\n", "utf-8", "7bit"), EN),
        (plain("Grüße\r\n", "iso-8859-1"), EN),
        (plain("こんにちは\r\n", "iso-2022-jp", "7bit"), EN),
        (plain("你好\r\n", "gb2312"), ZH),
        (plain("你好\r\n", "big5"), EN),  # no simplified characters
        (a_message(body=b"Hello\r\n"), EN),
        (a_message(body="你好\r\n".encode()), ZH),
        (a_message(body="你好\r\n".encode("gb18030")), ZH),
    ],
)
def test_a_text_that_cannot_have_chinese_gets_the_english_footer(message, word):
    (text,) = texts(footed(message))
    assert word in text
    assert "�" not in text


def test_what_is_in_neither_is_refused():
    chinese = a_letterhead(legal_name={"zh": "云杉", "en": ""})
    with pytest.raises(RenderingImpossible, match="cannot be written in the charset"):
        footed(plain("Hello\r\n", "us-ascii", "7bit"), letterhead=chinese)
    assert ZH in texts(footed(plain("Hello\r\n", "utf-8"), letterhead=chinese))[0]


def test_no_8bit_octets_come_into_a_body_for_an_upstream_without_8bitmime():
    message = plain("Hello\r\n", "utf-8", "8bit")
    assert footed(message).needs_8bit
    encoded = footed(message, eight_bit=False)
    assert not encoded.needs_8bit
    assert encoded.body.isascii()
    assert EN in texts(encoded)[0]


# Not twice --------------------------------------------------------------------------------------------------------------

OWN = "云杉科技\r\n有限公司 上海市杉树路7号 REFUSE@example.com https://www.example.com/privacy"


def test_what_a_text_says_already_is_not_said_again():
    (text,) = texts(footed(plain(OWN + "\r\n")))
    added = text.removeprefix(OWN)
    assert [word in added for word in ("发件单位", "通信地址", "拒收邮件", "隐私政策")] == [False] * 4
    assert URL in added


def test_what_html_says_where_nobody_sees_it_is_said_again():
    seen = "<p>云杉科技<b>有限公司</b></p><p>上海市杉树路&nbsp;7&#32;号</p><a href='https://www.example.com/privacy'>x</a>"
    (html,) = texts(footed(page(f"<body>{seen}</body>")))
    shown = Page.of(html).footer.text
    assert ["发件单位" in shown, "通信地址" in shown, "隐私政策" in shown, "拒收邮件" in shown] == [False, False, False, True]
    (html,) = texts(footed(page(f"<body><p>x</p><div style='display:none'>{seen}</div></body>")))
    shown = Page.of(html).footer.text
    assert ["发件单位" in shown, "通信地址" in shown, "隐私政策" in shown] == [True] * 3


def test_nothing_is_added_where_all_is_said_and_no_link_is_wanted():
    message = plain(OWN + "\r\n")
    copy = footed(message, duty("footer", "law/f", show=["identity", "address", "privacy"]))
    assert copy.body == message.body


def test_a_footer_that_came_back_is_not_taken_for_the_recipients_own():
    first = footed(page("<body><p>x</p></body>"))
    other = URL.replace("x" * 75, "y" * 75)
    (html,) = texts(footed(Message.parse(octets(first)), link=other))
    assert html.count(other) == html.count(URL) == 1
    assert unescape(html).count("发件单位") == 1


def test_the_footers_of_several_packs_are_one():
    one = duty("footer", "a/f", show=["unsubscribe", "identity"], reason="Because", reason_zh="原因如下")
    two = duty("footer", "b/f", show=["reason", "advertisement", "identity"])
    (text,) = texts(footed(plain("Hello\r\n"), one, two))
    said = [line for line in text.split("\r\n") if line]
    assert said == [
        "Hello", "-" * 40, "本邮件为广告。", "原因如下", "退订（免费，立即生效）：", URL, "发件单位：云杉科技有限公司",
    ]  # fmt: skip


def test_facts_are_no_markup():
    hostile = a_letterhead(legal_name={"zh": '<b onclick="x">&', "en": "x"})
    (html,) = texts(footed(page("<body></body>"), letterhead=hostile))
    assert "&lt;b onclick=&quot;x&quot;&gt;&amp;" in html


# The hash ---------------------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from([b"a line \t of text  \r\n", b"\r\n", b" \t\r\n", b"\xe4\xbd\xa0\r\n", b"x" * 80 + b"\r\n"]), max_size=8
)
STATIC = LINES.map(b"".join)
SLOTS = st.builds(
    Slot,
    st.sampled_from(["", "base64", "quoted-printable"]),
    st.sampled_from([b"", b"before "]),
    st.sampled_from([(b"\r\n<", b">\r\n"), (b"no link\r\n",), (b"", b" and ", b"\r\n")]),
    st.sampled_from([b"", b"after"]),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None)  # a busy machine takes what it takes
@given(STATIC, st.lists(st.tuples(SLOTS, STATIC), max_size=3), st.sampled_from([b"", b"the end"]))
def test_the_hash_of_the_pieces_is_that_of_the_body(head, rest, end):
    pieces = [head, *(piece for pair in rest for piece in pair)]
    pieces[-1] += end
    body = Body(tuple(pieces))
    for link in ("https://a.example/u/1", "https://a.example/u/22&x"):
        assert body.digest(link) == body_hash(body.octets(link))


def test_the_link_differs_and_all_else_is_shared():
    message = page("<body>" + "<p>Hello</p>\r\n" * 50 + "</body>")
    done = treatment(FOOTER, countries=CHINA)
    ready = prepared(message, treatment=done, letterhead=a_letterhead(), sets_unsubscribe=True)
    first, second = (render_copy(ready, [recipient()], f"{URL[:-1]}{number}") for number in (1, 2))
    assert first.body != second.body
    assert first.body.replace(URL[:-1].encode() + b"1", b"") == second.body.replace(URL[:-1].encode() + b"2", b"")
