"""Where a footer cannot stand, in which language it is, what is not said twice, and what the hash of the body is."""

import time
from html import unescape
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RenderingImpossible
from relay.mail.incoming.text import text_of_part
from relay.mail.message import Message
from relay.policy.rules.duty import FooterPart
from relay.render.body import Body
from relay.render.copy import Copy, render_copy
from relay.render.letterhead import Language
from relay.render.shown import shown_texts
from relay.render.signing import body_hash
from relay.render.splice import Slot
from relay.render.wording import footer_lines
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
    "quoted-printable that": a_message("Content-Transfer-Encoding: quoted-printable", body=b"a= \r\nb\r\n"),
    "hides what stands at its end": page("<html><body style='display:none'><p>Hello</p>"),
    "the HTML hides": page("<html><body><p>Hello</p><template>x"),
    "or is nested too deeply to be read": page("".join(f"<p><b id={n}><!--</b>--></p>" for n in range(1500))),
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


# Where it stands --------------------------------------------------------------------------------------------------------

OPEN = [
    "<dialog>", "<details>", "<datalist>", "<select>", "<video>", "<object>", "<canvas>", "<div popover>", "<noscript>",
    "<div style='clip-path:inset(100%)'>", "<div style='transform:scale(0)'>", "<div style='filter:opacity(0)'>",
    "<div style='content-visibility:hidden'>", "<div style='position:fixed;left:-500px'>", "<div style='display:none'>",
    "<table hidden><tr><td>", "<table hidden>", "<dialog><table><tr>", "<font color=white><div>", "<p><b><i hidden>",
    "<svg><foreignObject>", "<a href='https://other.example/'>", "<x-y hidden>",
]  # fmt: skip


@pytest.mark.parametrize("end", ["", "</body></html>", "</div></dialog></body>"])
@pytest.mark.parametrize("opened", OPEN)
def test_nothing_that_the_html_leaves_open_holds_the_footer(opened, end):
    (html,) = texts(footed(page(f"<html><body><p>Hello</p>{opened}text{end}")))
    shown = Page.of(html)
    assert shown.footer.around == ["body", "html"]
    assert shown.footer.links == [URL, "mailto:refuse@example.com", "https://www.example.com/privacy"]


@pytest.mark.parametrize(
    "body",
    [
        f"<body style='{style}'>"
        for style in (
            "clip-path:inset(50% 0)", "clip-path: circle(0)", "transform:rotate(3deg) scale(0)", "scale:0",
            "filter:blur(1px) opacity(0%)", "content-visibility:hidden", "position:absolute;left:-500px", "opacity:.05",
        )
    ] + [
        "<body hidden>", "<body popover>", "<html hidden><body>", "<style>html{display:none}</style><body>",
        "<style>*{visibility:hidden}</style><body>",
    ],
)  # fmt: skip
def test_no_footer_is_put_into_a_body_that_is_not_seen(body):
    with pytest.raises(RenderingImpossible, match="the HTML hides"):
        footed(page(f"{body}<p>Hello</p>"))


@pytest.mark.parametrize(
    "style",
    ["clip-path:inset(5%)", "transform:scale(0.9)", "filter:opacity(0.9)", "left:-20px", "clip-path:circle(50%)"],
)
def test_a_body_that_is_seen_is_not_taken_for_hidden(style):
    assert URL in texts(footed(page(f"<body style='{style}'><p>Hello</p>")))[0]


# Language ---------------------------------------------------------------------------------------------------------------

ZH, EN, JA, DE, FR = "退订", "Unsubscribe", "配信停止", "Abbestellen", "désinscrire"
KO_EN, ZH_EN = "수신거부(무료, 즉시 처리) / Unsubscribe (free, takes effect at once):", "立即生效） / Unsubscribe (free"


@pytest.mark.parametrize(
    ("countries", "subject", "word"),
    [
        ({"CN"}, "Hello", ZH), ({"TW"}, "Hello", ZH), ({"HK"}, "Hello", ZH_EN), ({"DE"}, "你好", DE), ({"JP"}, "新年", JA),
        ({"KR"}, "Hello", KO_EN), ({"CN", "US"}, "Hello", ZH_EN), ({"HK", "CN"}, "Hello", ZH_EN),
        ({"CN", "DE"}, "Hello", "退订（免费，立即生效） / Abbestellen"),
        ({"KR", "JP"}, "Hello", f"수신거부(무료, 즉시 처리) / {JA}"),
        (set(), "你好", ZH), (set(), "Hello", EN), (set(), "新年のご挨拶", JA), (set(), "봄 세일", KO_EN),
        ({"FR"}, "Hello", FR), ({"RE", "FR"}, "Hello", FR), ({"BR"}, "Hello", "Cancelar"), ({"MX"}, "Hello", "Darse de baja"),
        ({"CH"}, "Hello", EN), ({"DE", "FR"}, "Hello", f"immédiat) / {DE}"),
        ({"CH", "FR"}, "Hello", f"immédiat) / {EN}"),
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


@pytest.mark.parametrize("message", [plain("Hello\r\n", "us-ascii", "7bit"), plain("Grüße\r\n", "iso-8859-1")])
def test_in_hong_kong_and_korea_english_alone_is_not_enough(message):
    for countries in ({"HK"}, {"KR"}, {"HK", "US"}, {"KR", "DE"}):
        with pytest.raises(RenderingImpossible, match="cannot be written in the charset"):
            footed(message, countries=frozenset(countries))
    for countries in ({"CN", "US"}, {"CN", "DE"}, {"JP", "FR"}):
        assert EN in texts(footed(message, countries=frozenset(countries)))[0]


def test_what_a_law_wants_stays_where_another_language_cannot_be_written():
    """EUC-KR has no umlauts: a Korean with a mailbox in Germany reads Korean and English."""
    (text,) = texts(footed(plain("Hello\r\n", "euc-kr"), countries=frozenset({"KR", "BR"})))
    assert KO_EN in text


def test_two_languages_name_the_sender_in_both_and_have_one_link():
    (text,) = texts(footed(plain("Hello\r\n"), countries=frozenset({"HK"})))
    assert "发件单位 / Sent by: 云杉科技有限公司 / Spruce Technology Ltd." in text
    assert text.count(URL) == 1
    (html,) = texts(footed(page("<body><p>Hello</p></body>"), countries=frozenset({"KR"})))
    shown = Page.of(html).footer.text
    assert "전송자 명칭 / Sent by: Spruce Technology Ltd." in shown
    assert 'lang="ko"' in html


@pytest.mark.parametrize(
    ("country", "reason"),
    [
        ("CN", "因为您订阅了"),
        ("HK", "因为您订阅了 / because you subscribed"),
        ("JP", "because you subscribed"),
        ("KR", "because"),
    ],
)
def test_the_words_of_a_pack_are_said_in_its_languages(country, reason):
    words = duty("footer", "law/f", show=["reason"], reason="because you subscribed", reason_zh="因为您订阅了")
    (text,) = texts(footed(plain("Hello\r\n"), words, countries=frozenset({country})))
    assert reason in text
    assert text.count("because you subscribed") <= 1


@pytest.mark.parametrize(
    ("country", "charset", "word"),
    [("DE", "iso-8859-1", DE), ("FR", "iso-8859-1", FR), ("BR", "windows-1252", "Cancelar"),
     ("MX", "iso-8859-15", "Darse de baja"), ("JP", "iso-2022-jp", JA), ("JP", "shift_jis", JA),
     ("KR", "euc-kr", "수신거부")],
)  # fmt: skip
def test_a_text_keeps_its_charset_where_that_has_the_characters_of_the_language(country, charset, word):
    (text,) = texts(footed(plain("Hello\r\n", charset), countries=frozenset({country})))
    assert word in text
    assert "�" not in text


def test_every_line_of_every_language_is_written():
    letterhead = a_letterhead(preferences_url="https://www.example.com/settings")
    english = list(footer_lines(get_args(FooterPart), letterhead, ("en",)))
    words = set()
    for language in get_args(Language):
        lines = list(footer_lines(get_args(FooterPart), letterhead, (language,)))
        assert [line.link for line in lines] == [line.link for line in english]
        assert all("{" not in line.words for line in lines)
        words |= {line.words for line in lines}
    assert len(words) >= 8 * len(get_args(Language))  # nothing is left in another's language; "Contact: " is French too


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


def test_where_no_program_chooses_there_is_nothing_to_switch_off():
    (text,) = texts(footed(plain("x\r\n"), duty("footer", "law/f", show=["identity", "preferences"])))
    assert "关闭个性化推荐：https://www.example.com/settings" in text
    none = a_letterhead(preferences_url="")
    (text,) = texts(footed(plain("x\r\n"), duty("footer", "law/f", show=["identity", "preferences"]), letterhead=none))
    assert "云杉科技有限公司" in text
    assert "关闭个性化推荐" not in text


def test_what_html_says_where_nobody_sees_it_is_said_again():
    seen = "<p>云杉科技<b>有限公司</b></p><p>上海市杉树路&nbsp;7&#32;号</p><a href='https://www.example.com/privacy'>x</a>"
    (html,) = texts(footed(page(f"<body>{seen}</body>")))
    shown = Page.of(html).footer.text
    assert ["发件单位" in shown, "通信地址" in shown, "隐私政策" in shown, "拒收邮件" in shown] == [False, False, False, True]
    (html,) = texts(footed(page(f"<body><p>x</p><div style='display:none'>{seen}</div></body>")))
    shown = Page.of(html).footer.text
    assert ["发件单位" in shown, "通信地址" in shown, "隐私政策" in shown] == [True] * 3


UNSEEN = "云杉科技有限公司 上海市杉树路7号 refuse@example.com https://www.example.com/privacy"


@pytest.mark.parametrize(
    "html",
    [
        f"<!-- {UNSEEN} --><img src='https://www.example.com/a.png'>",
        f"<body><style>/* {UNSEEN} */</style></body>",
        f"<p>x</p><dialog>{UNSEEN}</dialog>",
        f"<p>x</p><details><summary>More</summary>{UNSEEN}</details>",
        f"<p>x</p><select><option>Choose</option><option>{UNSEEN}</option></select>",
        f"<p>x</p><textarea rows=1>Hello\n\n{UNSEEN}</textarea>",
        f"<p>x</p><div popover>{UNSEEN}</div><video>{UNSEEN}</video>",
        f"<p>x</p><div style='clip-path:inset(100%)'>{UNSEEN}</div>",
        f"<img src='https://www.example.com/a.png' alt='{UNSEEN}'>",
        "<p>x</p><a href='https://www.example.com/privacy'></a><a href='mailto:refuse@example.com'> </a>",
    ],
)
def test_what_readers_may_not_see_is_not_taken_for_said(html):
    (written,) = texts(footed(page(html)))
    shown = Page.of(written).footer.text
    assert [word in shown for word in ("发件单位", "通信地址", "拒收邮件", "隐私政策")] == [True] * 4


HIDING = [
    "height:1px;overflow:hidden", "max-height:2px;overflow:auto", "line-height:0", "zoom:0.01", "translate:-9999px", "scale:0",
    "transform:translate(-9999px,0)", "transform:rotateX(90deg)", "mask:linear-gradient(transparent,transparent)",
    "-webkit-text-fill-color:transparent", "letter-spacing:-2em", "color:#f0f0f0", "color:hsl(0,0%,100%)", "color:lab(100 0 0)",
    "opacity:.2", "position:absolute;clip:rect(0,0,0,0)", "position:fixed;left:200vw", "mso-hide:all", "filter:blur(20px)",
    "max-block-size:0;overflow:clip", "margin-left:calc(10px - 700px)", "text-indent:100%", "font:700 1px/1 a", "font-size:2px",
    "background:#fff;color:#eee", "font-size:var(--none)",
]  # fmt: skip


@pytest.mark.parametrize(
    "html",
    [*[f"<p>x</p><div style='{style}'>{UNSEEN}</div>" for style in HIDING],
     *[f"<style>.q{{{style}}}</style><p>x</p><div class=q>{UNSEEN}</div>" for style in HIDING],
     f"<style>[title=q]{{display:none}}</style><p>x</p><div title=q>{UNSEEN}</div>",
     f"<style>p+div{{display:none}}</style><p>x</p><div>{UNSEEN}</div>",
     f"<style>body{{div{{display:none}}}}</style><p>x</p><div>{UNSEEN}</div>",
     f"<style>@supports (top:0){{@media all{{#a.Q{{display:none}}}}}}</style><p>x</p><div id=a class=q>{UNSEEN}</div>",
     f"<style>.q{{display:none</style><p>x</p><div class=q>{UNSEEN}</div>",
     f"<style>@import 'https://x.example/a.css';</style><p>{UNSEEN}</p>",
     f"<link rel=stylesheet href=https://x.example/a.css><p>{UNSEEN}</p>",
     f"<body style='overflow:hidden'>{UNSEEN}<p>{UNSEEN}</p></body>",
     f"<p>x</p><svg width=0 height=0><text>{UNSEEN}</text></svg><noembed>{UNSEEN}</noembed><meter>{UNSEEN}</meter>"],
)  # fmt: skip
def test_what_is_hidden_in_a_way_that_nobody_listed_is_not_taken_for_said(html):
    (written,) = texts(footed(page(html)))
    shown = Page.of(written).footer.text
    assert [word in shown for word in ("发件单位", "通信地址", "拒收邮件", "隐私政策")] == [True] * 4


ORDINARY = (
    "<style>@font-face{font-family:x;src:url(https://x.example/x.woff)} body,td{margin:0;padding:0;-webkit-text-size-adjust:100%}"
    "table{border-collapse:collapse;mso-table-lspace:0pt} .ExternalClass *{line-height:100%} #outlook a{padding:0}"
    "@media (max-width:600px){.wide{width:100%!important;display:block!important} .desk{display:none!important}}</style>"
    "<body style='margin:0;padding:0;background:#eee'><div class=desk style='display:none;overflow:hidden'>Spring</div>"
    "<table role=presentation width=100% style='border-spacing:0'><tr><td class=wide align=center bgcolor='#123456'"
    " style='padding:12px 24px 0;font:400 13px/1.5 Arial,sans-serif;color:#fff;text-align:center;vertical-align:top'>"
    f"<p style='margin:0 0 1em;font-size:12px;line-height:18px;letter-spacing:.5px'>{UNSEEN}</p></td></tr></table></body>"
)


def test_an_ordinary_newsletter_says_what_it_says():
    (written,) = texts(footed(page(ORDINARY)))
    shown = Page.of(written).footer.text
    assert [word in shown for word in ("发件单位", "通信地址", "拒收邮件", "隐私政策")] == [False] * 4


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("Everyone at Home", ["发件单位", "拒收邮件", "隐私政策"]),
        ("one.example, all-in-one", ["发件单位", "拒收邮件", "隐私政策"]),
        ("do-not-refuse@example.com, refuse@example.com.cn", ["发件单位", "拒收邮件", "隐私政策"]),
        ("https://www.example.com/privacy2", ["发件单位", "拒收邮件", "隐私政策"]),
        ("By One.", ["拒收邮件", "隐私政策"]),
        ("拒收请写信至refuse@example.com。", ["发件单位", "隐私政策"]),
        ("<https://www.example.com/privacy>", ["发件单位", "拒收邮件"]),
    ],
)
def test_a_part_of_another_word_or_address_is_not_the_fact(text, again):
    one = a_letterhead(legal_name={"zh": "One", "en": "One"})
    (written,) = texts(footed(plain(f"{text}\r\n"), letterhead=one))
    assert [word for word in ("发件单位", "拒收邮件", "隐私政策") if word in written] == again


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


@given(STATIC, st.lists(st.tuples(SLOTS, STATIC), max_size=3), st.sampled_from([b"", b"the end"]))
def test_the_hash_of_the_pieces_is_that_of_the_body(head, rest, end):
    pieces = [head, *(piece for pair in rest for piece in pair)]
    pieces[-1] += end
    body = Body(tuple(pieces))
    for link in ("https://a.example/u/1", "https://a.example/u/22&x"):
        assert body.digest(link) == body_hash(body.octets(link))


LONG = 128 * 1024 - 100


@pytest.mark.parametrize(
    "sheet",
    ["a" * LONG, "a:" * (LONG // 2), "a-" * (LONG // 2) + "!{opacity:0}", "a{opacity:0}" * (LONG // 12), "{" * LONG, "}" * LONG]
    + [piece * (LONG // len(piece)) + "{opacity:0}" for piece in ("[a", ":a(", "a.", "a,", "a>", "/*")],
    ids=lambda sheet: f"{sheet[:3]}...{sheet[-3:]}",
)
def test_a_sheet_of_a_stranger_costs_no_more_than_its_length(sheet):
    message = page(f"<head><style>{sheet}</style></head><body><p>Hello</p></body>")
    started = time.thread_time()
    (html,) = texts(footed(message))
    assert URL in html
    assert time.thread_time() - started < 3


def test_the_link_differs_and_all_else_is_shared():
    message = page("<body>" + "<p>Hello</p>\r\n" * 50 + "</body>")
    done = treatment(FOOTER, countries=CHINA)
    ready = prepared(message, treatment=done, letterhead=a_letterhead(), sets_unsubscribe=True)
    first, second = (render_copy(ready, [recipient()], f"{URL[:-1]}{number}") for number in (1, 2))
    assert first.body != second.body
    assert first.body.replace(URL[:-1].encode() + b"1", b"") == second.body.replace(URL[:-1].encode() + b"2", b"")
