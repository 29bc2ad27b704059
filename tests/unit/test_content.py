"""What people see of a message, and what is there and not seen."""

import base64
import quopri

import pytest

from relay.mail.content import MAX_PART
from relay.mail.message import Message

WHITE_ON_WHITE = '<div style="background:#fff"><span style="color:white">faint</span></div>'

SMALL_IN_SMALL = "<b style='font-size:0'>" * 90 + "x<br>" * 3000


def html(body, head=""):
    return f"<html><head>{head}</head><body>{body}</body></html>"


def message(*parts, subject="Hi"):
    """A multipart of (media type, text, further header lines)."""
    lines = [f"Subject: {subject}", "From: a@example.cn", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", ""]
    for media_type, text, *fields in parts:
        lines += ["--b", f"Content-Type: {media_type}; charset=utf-8", "Content-Transfer-Encoding: 8bit", *fields, "", text]
    return Message.parse("\r\n".join([*lines, "--b--", ""]).encode())


def page(body, head=""):
    return message(("text/html", html(body, head))).content


def seen(content):
    return {text.where: text.shown.strip() for text in content.texts}


def unseen(content):
    return [(hidden.how, hidden.text.shown) for hidden in content.hidden]


def test_texts_name_their_places():
    content = message(
        ("text/plain", "你好"),
        ("text/html", html("<p>您好</p><p>世界</p>")),
        ("text/csv", "a,b", 'Content-Disposition: attachment; filename="list.csv"'),
        ("application/octet-stream", "{}", 'Content-Disposition: attachment; filename="data.json"'),
        ("application/pdf", "%PDF", 'Content-Disposition: attachment; filename="a.pdf"'),
        subject="=?utf-8?B?5L2z?=",
    ).content
    assert seen(content) == {
        "subject": "佳",
        "text part 1": "你好",
        "html part 2": "您好\n世界",
        "attachment list.csv": "a,b",
        "attachment data.json": "{}",
    }
    assert content.is_complete
    assert (content.bounds.depth, content.bounds.parts) == (1, 6)


def test_what_stands_in_one_line_stays_in_one_line():
    content = page("<p>最<b>佳<i></i></b><!-- x --><img src=x width=1>选<wbr>择</p>next<br>line<table><tr><td>1<td>2</table>")
    assert seen(content)["html part 1"] == "最佳选择\nnext\nline\n1\n2"


@pytest.mark.parametrize(
    "body",
    [
        "最<x-y></x-y>佳",
        "最<o:p></o:p>佳",
        "最<rp></rp>佳",
        "最<!--[if mso]>x<![endif]-->佳",
        '<div style="display:inline">最</div><div style="display: inline">佳</div>',
        "<x>最</x><z>佳</z>",
    ],
)
def test_what_nobody_knows_stands_in_the_line(body):
    assert seen(page(body))["html part 1"] == "最佳"


def test_what_no_reader_shows_is_no_text():
    content = page("a<script>b</script><template>c</template>d", "<title>e</title><style>.f{}</style>")
    assert seen(content)["html part 1"].split() == ["a", "d"]


def test_links_and_pictures():
    content = page(
        '<a href=" https://a.example/x ">go <b>there</b></a>'
        '<img src="https://p.example/o.gif" width="1" height=1 alt="pic" title=tip>'
    )
    link, image = content.links[0], content.images[0]
    assert (link.href, link.shown, link.where, link.hidden) == ("https://a.example/x", "go there", "html part 1", "")
    assert (image.src, image.width, image.height, image.alt) == ("https://p.example/o.gif", 1, 1, "pic")
    assert seen(content)["html part 1, alt"] == "pic\ntip"


def test_links_in_plain_text():
    links = message(("text/plain", "见 https://a.example/退订?x=1，谢谢")).content.links
    assert [(link.href, link.tag) for link in links] == [("https://a.example/退订?x=1", "text")]


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ('<div style="DISPLAY : None !important">faint</div>', "display"),
        ('<div style="dis\\70 lay:/**/none">faint</div>', "display"),
        ("<div style='display&#58;none'>faint</div>", "display"),
        ('<span style="visibility:hidden">faint</span>', "visibility"),
        ('<span style="opacity:0.01">faint</span>', "opacity"),
        ('<div style="max-height:0;overflow:hidden">faint</div>', "size"),
        ('<div style="position:absolute;left:-9999px">faint</div>', "position"),
        ("<p hidden>faint</p>", "attribute"),
        ('<p style="font-size:0">faint</p>', "font-size"),
        ('<p style="font:1px Arial">faint</p>', "font-size"),
        ('<p style="color:transparent">faint</p>', "colour"),
        ('<p style="color:#ffffff">faint</p>', "colour"),
        (WHITE_ON_WHITE, "colour"),
        ('<table bgcolor=#000000><tr><td><font color="black">faint</font></table>', "colour"),
        ('<p style="color:rgb(250,250,250);background-color:#fff">faint</p>', "colour"),
    ],
)
def test_hidden_text(body, how):
    content = page(f"{body}seen")
    assert (unseen(content), seen(content)["html part 1"]) == ([(how, "faint")], "seen")


@pytest.mark.parametrize(
    "body",
    [
        '<td style="font-size:0px"><div style="font-size:13px">seen</div></td>',
        '<a style="color:#fff;background:#0a7">seen</a><p style="background:#fff"></p>',
        '<table bgcolor="#0a7"><tr><td><span style="color:#fff">seen</span></table>',
        '<div style="background:url(x.png)"><p style="color:#fff">seen</p></div>',
        '<div style="height:0">seen</div>',
        '<div style="opacity:0.9;font-size:10px">seen</div>',
    ],
)
def test_text_that_is_seen_is_not_called_hidden(body):
    content = page(body)
    assert (unseen(content), seen(content)["html part 1"]) == ([], "seen")


def test_style_elements_hide_too():
    content = page(
        '<p class="x">faint</p><p class="y">phone</p><p class="z">inline</p>',
        "<style>/* a */ .x, p.q{display:none} .y{display:none} .z{display:none}"
        "@media (max-width:600px){.y{display:block!important} .z{color:red}}</style>",
    )
    assert unseen(content) == [("display", "faint"), ("display", "inline")]
    assert seen(content)["html part 1"] == "phone"


def test_a_colour_on_what_a_style_element_paints_is_not_judged():
    content = page('<div class="dark"><p style="color:#fff">seen</p></div>', "<style>.dark{background:#000}</style>")
    assert unseen(content) == []


def test_links_in_what_is_hidden_say_so():
    content = page('<div style="display:none"><a href="https://a.example">x</a><img src="b"></div>')
    assert [(link.hidden, link.shown) for link in content.links] == [("display", "x")]
    assert [image.hidden for image in content.images] == ["display"]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_transfer_encodings(encoding):
    octets = html("佳 and more " * 50).encode()
    encoded = base64.encodebytes(octets) if encoding == "base64" else quopri.encodestring(octets)
    data = (
        f"Subject: x\r\nFrom: a@b.cn\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    content = Message.parse(data.encode() + encoded.replace(b"\n", b"\r\n")).content
    assert seen(content)["html part 1"] == ("佳 and more " * 50).strip()


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (("text/plain", "x" * 80 + "\r\n" + ("y" * 900 + "\r\n") * 1200), "larger than a part is read"),
        (("text/html", "<div>" * 5000), "nested beyond measure"),
        (("text/html", SMALL_IN_SMALL), "too much to tell"),
        (("text/html", "<p>" + "".join(f"<b a{n}>" for n in range(2000)) + "</p>" + "<p>x" * 2000), "formatting opened again"),
    ],
)
def test_what_is_beyond_the_bounds_is_said_to_be_unread(part, reason):
    assert len(part[1]) < 2 * MAX_PART
    assert not message(part).content.is_complete, reason


def test_an_encoding_that_nobody_knows_is_said_to_be_unread():
    data = b"Subject: x\r\nFrom: a@b.cn\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin"
    assert not Message.parse(data).content.is_complete


def test_html_without_anything():
    content = message(("text/html", "")).content
    assert (content.is_complete, seen(content)) == (True, {"subject": "Hi"})


def test_a_position_in_the_normalised_text_leads_back_to_what_is_shown():
    text = page("<p>我们是最&nbsp;<b>佳</b>·选擇，ＮＯ．１</p>").texts[1]
    start = text.normalised.index("最佳选择")
    shown = slice(*text.position(start, start + 4))
    assert text.shown[shown] == "最\u00a0佳·选擇"
    assert text.normalised.endswith("NO.1")


def test_plain_text_is_wrapped_and_blocks_are_not():
    assert "最佳" in message(("text/plain", "我们是最\r\n佳选择")).content.texts[1].normalised
    assert "最佳" not in message(("text/plain", "最\r\n\r\n佳选择")).content.texts[1].normalised
    assert "最佳" not in page("<p>最</p><p>佳</p>").texts[1].normalised
