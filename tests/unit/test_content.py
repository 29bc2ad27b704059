"""What people see of a message, and what is there and not seen."""

import base64
import quopri
from itertools import pairwise

import pytest

from relay.mail.message import Message
from relay.mail.page import conditional, styles
from relay.mail.page.conditional import MAX_COMMENTS
from relay.mail.words.content import MAX_NAMES, MAX_PART

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
        "attachment 1 (.csv)": "a,b",
        "attachment 2 (.json)": "{}",
    }
    assert content.files == {"attachment 1 (.csv)": "list.csv", "attachment 2 (.json)": "data.json"}
    assert content.is_complete
    assert (content.bounds.depth, content.bounds.parts) == (1, 6)


@pytest.mark.parametrize(
    ("media_type", "filename", "where"),
    [
        ("text/plain", "13800138000 Ada Lovelace.TXT", "attachment 2 (.txt)"),
        ("text/plain", "report of ada.lovelace", "attachment 2"),  # no ending that says what it is
        ("text/html", "Ada.html", "attachment 2 (.html)"),
        ("text/plain", "", "attachment 2"),
    ],
)
def test_the_place_of_an_attachment_says_nothing_of_its_name(media_type, filename, where):
    content = message(
        ("application/pdf", "%PDF", "Content-Disposition: attachment; filename=a.pdf"),
        (media_type, "seen", f'Content-Disposition: attachment; filename="{filename}"'),
    ).content
    assert seen(content) == {"subject": "Hi", where: "seen"}
    assert content.files == {where: filename}


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ('Content-Disposition: attachment; filename="list of 佳.csv"', "list of 佳.csv"),
        ("Content-Disposition: attachment; filename==?utf-8?B?5L2zLmNzdg==?=", "佳.csv"),
        ("Content-Disposition: attachment; filename*=utf-8''%E4%BD%B3.csv", "佳.csv"),
        ("Content-Disposition: attachment; filename*0*=utf-8''%E4; filename*1*=%BD%B3; filename*2=.csv", "佳.csv"),
        ("Content-Disposition: attachment; filename*=gb18030''%BC%D1.csv", "佳.csv"),
    ],
)
def test_the_name_of_an_attachment_is_read_as_it_is_shown(named, shown):
    content = message(("text/csv", "a,b", named), ("application/pdf", "%PDF", named), ("application/pdf", "%PDF")).content
    assert [(name.where, name.shown) for name in content.names] == [
        (f"attachment {number} (.csv), name", shown) for number in (1, 2)
    ]
    assert set(content.names) < set(content.every_text)


def test_both_names_of_one_attachment_are_read():
    content = message(("application/pdf; name=a.pdf", "%PDF", "Content-Disposition: attachment; filename=b.pdf")).content
    assert [(name.where, name.shown) for name in content.names] == [("attachment 1, name", "b.pdf\na.pdf")]


def test_names_beyond_the_bounds_are_said_to_be_unread():
    def of(letters):
        part = ("application/pdf", "%PDF", f"Content-Disposition: attachment; filename={'x' * (letters // 4)}")
        content = message(*[part] * 4).content
        return len(content.names), content.is_complete

    assert (of(MAX_NAMES), of(MAX_NAMES + 4)) == ((4, True), (3, False))


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


def in_outlook(body):
    return seen(page(body)).get("html part 1, Outlook")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<!--[if mso]>最<b>佳</b><![endif]-->", "最佳"),
        ("<!--[if gte mso 9]><p>最佳<![endif]-->", "最佳"),
        ("<!--[if (gte mso 9)|(IE)]><table><tr><td>最</td><td>佳</td></tr></table><![endif]-->", "最\n佳"),
        ("<!--[IF MSO | IE]>最佳<![ENDIF]-->", "最佳"),
        ("最<!--[if mso]>佳<![endif]-->选择", "最佳选择"),  # what is around it is in one line with it
        ("<p>前<!--[if mso]><br>最佳<br><![endif]-->后</p>", "最佳"),
        ("<!--[if mso]>最佳<!-- x --> 选择<![endif]-->", "最佳 选择"),  # Outlook reads to its own end
        ("<!--[if mso]>最佳-->", "最佳"),
        ("<!--[if mso]>最佳", "最佳"),
        ("<!--[if mso]><div style='font-size:0'><b>a</b><![endif]-->x<!--[if mso]><b>b</b></div><![endif]-->", "b\na"),
        ("<!--[if mso]>a<![endif]--><p>x</p><!--[if mso]>a<![endif]--><!--[if mso]>b<![endif]-->", "a\nb"),
        ("<!--[if mso]><img src=x alt='pic'>word<![endif]-->", "word\npic"),
        ("<p>" + "[a][b]" * 20 + "</p><!--[if mso]><p>word</p><![endif]-->[c]", "word"),
        ("<!--[if mso]>a<![endif]--><!--[if IE]><xml><o:X>9</o:X></xml>b<![endif]-->", "a\nb"),
    ],
)
def test_what_only_outlook_shows_is_read(body, shown):
    assert in_outlook(body) == shown


@pytest.mark.parametrize(
    "body",
    [
        "<!--[if mso]><table><tr><td style='font-size:0'><![endif]-->seen<!--[if mso]></td></tr></table><![endif]-->",
        "<!--[if gte mso 9]><xml><o:Settings><o:AllowPNG/><o:PixelsPerInch>96</o:PixelsPerInch></o:Settings></xml><![endif]-->",
        "<!--[if mso]><noscript><XML><o:PixelsPerInch>96</o:PixelsPerInch></XML></noscript><![endif]-->",
        "<!--[if mso]><style>td { font-family: Arial }</style><![endif]-->",
        "<!--[if mso]><i style='letter-spacing:25px'>&nbsp;</i>&#8202;<![endif]-->",
        "<!--[if !mso]> nobody <![endif]-->",
        "<!--[if !(mso)]> nobody <![endif]-->",
        "<!--[if mso]x nobody <![endif]-->",
        "<!-- [if mso]> a comment -->",
        "seen",
    ],
)
def test_comments_that_show_nothing_in_outlook_are_passed_over(body):
    assert in_outlook(body) is None


@pytest.mark.parametrize(
    "body",
    [
        "<!--[if !mso]><!-->最佳<!--<![endif]-->",
        "<!--[if !mso]><!-- -->最佳<!-- <![endif]-->",
        "<!--[if gte mso 9]><!-->最佳<!--<![endif]-->",
        "<!--[if !IE]> -->最佳<!-- <![endif]-->",
        "<![if !mso]>最佳<![endif]>",
        "<![if mso]>最佳<![endif]>",
    ],
)
def test_what_a_comment_reveals_is_read_once(body):
    content = page(body)
    assert seen(content) == {"subject": "Hi", "html part 1": "最佳"}


def test_a_button_of_outlook_is_a_link():
    content = page(
        '<!--[if mso]><v:roundrect href="https://a.example/tr/x" fillcolor="#d62828"><w:anchorlock/>'
        '<center style="color:#ffffff">Buy now</center></v:roundrect><![endif]-->'
    )
    assert [(link.href, link.shown, link.where) for link in content.links] == [
        ("https://a.example/tr/x", "Buy now", "html part 1, Outlook")
    ]
    assert content.hidden == ()


@pytest.mark.parametrize(
    "body",
    ["<!--[if mso]>a<![endif]-->" * (MAX_COMMENTS + 1), "<!--[if mso]>a" + "<div>" * 5000, "<!--[if x" * (MAX_COMMENTS + 1)],
)
def test_comments_beyond_the_bounds_are_said_to_be_unread(body):
    assert not page(body).is_complete


@pytest.mark.parametrize(
    "unit", ["", "[", "if mso]>", "if mso]><xml>", "if mso]>a-->", "if mso]>a<![endif]-->", "if mso]><![if x]>"]
)
def test_each_comment_is_looked_for_where_the_one_before_ended(unit):
    """So that a large page takes no longer than it is long."""
    places = list(conditional._comments(f"<!--[{unit}" * 50 + "<![ENDIF]>" + f"<!--[{unit}" * 50))
    assert places
    assert all(begin < start <= end <= behind for begin, start, end, behind in places)
    assert all(behind <= begin for (_, _, _, behind), (begin, _, _, _) in pairwise(places))


AMP_HEAD = (
    "<!doctype html><html amp4email data-css-strict><head><meta charset=utf-8>"
    '<script async src="https://cdn.ampproject.org/v0.js"></script>'
    "<style amp4email-boilerplate>body{visibility:hidden}</style><style amp-custom>.x{display:none}</style></head>"
)


def amp(body):
    return message(("text/x-amp-html", f"{AMP_HEAD}<body>{body}</body></html>")).content


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("最<b>佳</b>", "最佳"),
        (
            '<amp-list src="https://a.example"><template type="amp-mustache"><p>全网{{n}}第一</p></template></amp-list>',
            "全网第一",
        ),
        ("<TEMPLATE>a{{{b}}}</TEMPLATE>{{c}}", "a\n{{c}}"),
        ('<p [hidden]="open" hidden>Thank you</p>', "Thank you"),
        ('<p hidden data-amp-bind-hidden="open">Thank you</p>', "Thank you"),
        ("<template>a<template>b", "a\nb"),
    ],
)
def test_amp_is_read_as_its_readers_draw_it(body, shown):
    assert (seen(amp(body))["html part 1"], unseen(amp(body))) == (shown, [])


@pytest.mark.parametrize(
    ("body", "how"),
    [("<p style='display:none'>faint</p>", "display"), ("<p class=x>faint</p>", "display"), ("<p hidden>faint</p>", "attribute")],
)
def test_what_amp_hides_is_hidden(body, how):
    content = amp(f"{body}seen")
    assert (unseen(content), seen(content)["html part 1"]) == ([(how, "faint")], "seen")


def test_links_and_pictures_of_amp():
    content = amp(
        '<template><a href="https://a.example/{{id}}">go</a></template><amp-img src=x width=1 height=1 alt="pic"></amp-img>'
    )
    assert [(link.href, link.shown) for link in content.links] == [("https://a.example/", "go")]
    assert [(image.src, image.alt, image.width) for image in content.images] == [("x", "pic", 1)]
    assert content.is_complete


def test_the_boilerplate_of_amp_hides_in_html_what_it_says():
    content = message(("text/html", f"{AMP_HEAD}<body>faint</body></html>")).content
    assert unseen(content) == [("visibility", "faint")]


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
        ('<div style="position:fixed;left:-500px">faint</div>', "position"),
        ('<div style="clip-path:inset(100%)">faint</div>', "size"),
        ('<div style="transform: translateX(2px) scaleY(0)">faint</div>', "size"),
        ('<div style="filter:opacity(0)">faint</div>', "opacity"),
        ('<div style="content-visibility:hidden">faint</div>', "visibility"),
        ("<p hidden>faint</p>", "attribute"),
        ('<p style="font-size:0">faint</p>', "font-size"),
        ('<p style="font:1px Arial">faint</p>', "font-size"),
        ('<p style="color:transparent">faint</p>', "colour"),
        ('<p style="color:#ffffff">faint</p>', "colour"),
        (WHITE_ON_WHITE, "colour"),
        ('<table bgcolor=#000000><tr><td><font color="black">faint</font></table>', "colour"),
        ('<p style="color:rgb(250,250,250);background-color:#fff">faint</p>', "colour"),
        ('<p style="color:rgb(100%, 98%, 100%)">faint</p>', "colour"),
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
        '<div style="margin-left:-500px;transform:scale(0.5);filter:opacity(50%);clip-path:inset(10px)">seen</div>',
    ],
)
def test_text_that_is_seen_is_not_called_hidden(body):
    content = page(body)
    assert (unseen(content), seen(content)["html part 1"]) == ([], "seen")


@pytest.mark.parametrize("html", ["<html hidden>faint", '<html style="opacity:0">faint', "<style>*{display:none}</style>faint"])
def test_a_page_that_is_hidden_whole(html):
    content = message(("text/html", html)).content
    assert ([text for _, text in unseen(content)], seen(content)) == (["faint"], {"subject": "Hi"})


def test_style_elements_hide_too():
    content = page(
        '<p class="x">faint</p><p class="y">phone</p><p class="z">inline</p>',
        "<style>/* a */ .x, p.q{display:none} .y{display:none} .z{display:none}"
        "@media (max-width:600px){.y{display:block!important} .z{color:red}}</style>",
    )
    assert unseen(content) == [("display", "faint"), ("display", "inline")]
    assert seen(content)["html part 1"] == "phone"


def test_a_class_is_hidden_as_it_is_written():
    styles = "<style>.hideMe{display:none}.Shown{display:none}@media (max-width:9px){.shown{display:block}}</style>"
    body = '<p class="hideMe">faint</p><p class="hideme">seen</p><p class="Shown">phone</p>'
    content = message(("text/html", f"<!DOCTYPE html><html><head>{styles}</head><body>{body}</body></html>")).content
    assert (unseen(content), seen(content)["html part 1"]) == ([("display", "faint")], "seen\nphone")


@pytest.mark.parametrize("selector", ["div p", "DIV.q  #i", ".q .r p", "body .q *", "p", ".q.r p.s"])
def test_style_elements_hide_by_what_stands_around(selector):
    hidden = page(
        '<div class="q r"><b class=r><p class="s" id=i>faint</p></b></div>', f"<style>{selector}{{display:none}}</style>"
    )
    assert ("display", "faint") in unseen(hidden)


@pytest.mark.parametrize("selector", ["p div", ".q.x p", ".r .q p", "a p", "#j p", ".q p.t"])
def test_style_elements_hide_nothing_that_stands_elsewhere(selector):
    shown = page('<div class="q"><b class=r><p class="s" id=i>seen</p></b></div>', f"<style>{selector}{{display:none}}</style>")
    assert (unseen(shown), shown.is_complete) == ([], True)


def a_sheet(*selectors):
    return "<style>" + "".join(f"{selector}{{display:none}}" for selector in selectors) + "</style>"


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("<p>x</p>", a_sheet(*[f".c{n}" for n in range(201)])),
        ("<p class=x>x</p>" * 12_000, a_sheet(*[f".c{n}" for n in range(199)])),
        ("<b class=y>" * 300 + "<p>x</p>" * 1000, a_sheet(".q b p", ".q * p")),
        ("<p>x</p>", f"<style>{' ' * 200_000} p {{display:none}}</style>"),
        (f"<p style='{' ' * 5000};display:none'>x</p>", ""),
    ],
)
def test_styles_beyond_the_bounds_are_said_to_be_unread(body, head):
    assert not page(body, head).is_complete


def test_what_is_remembered_of_styles_is_small(monkeypatch):
    asked: list[str] = []

    def remember(name):
        known = getattr(styles, name)

        def told(text):
            asked.append(text)
            return known(text)

        monkeypatch.setattr(styles, name, told)

    for name in ("_short_style", "_sheet", "_colour"):
        remember(name)
    long = ("x" * 70 + "\r\n") * 3000
    page(
        f"<p style='{long}'>x</p><p style='color:{long}'>x</p><p bgcolor='{long}'>x</p><p style='color:red'>",
        f"<style>{long}</style>",
    )
    assert len(asked) >= 3
    assert max(map(len, asked)) <= styles.MAX_SHEET
    assert sum(map(len, asked)) <= styles.MAX_SHEET + 1000


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


def a_part(*fields, body="5L2z"):
    lines = ["Subject: x", "From: a@b.cn", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "", "--b", *fields]
    return Message.parse("\r\n".join([*lines, "", body, "--b--", ""]).encode()).content


def wrapped(oid):
    return base64.b64encode(bytes.fromhex("3080" + oid + "a080")).decode()


SIGNED, ENVELOPED = "06092a864886f70d010702", "06092a864886f70d010703"
PKCS7 = ("Content-Type: application/pkcs7-mime; smime-type=enveloped-data", "Content-Transfer-Encoding: base64")


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Type: text/plain; charset=utf-7",),
        ("Content-Type: text/plain; charset=utf-32be",),
        ("Content-Type: text/html; charset=x-unknown",),
        ("Content-Type: text/plain; charset=utf-8; charset=utf-16",),
        ("Content-Type: text/plain", "Content-Type: text/html"),
        ("Content-Type: application/octet-stream", "Content-Type: text/html"),
        ("Content-Type: text/plain", "Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: base64"),
        ("Content-Type: message/rfc822", "Content-Transfer-Encoding: base64"),
        ("Content-Type: message/global", "Content-Transfer-Encoding: quoted-printable"),
        ("Content-Type: multipart/mixed; boundary=c", "Content-Transfer-Encoding: base64"),
    ],
)
def test_what_readers_may_show_otherwise_is_said_to_be_unread(fields):
    assert not a_part(*fields).is_complete


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_base64_that_goes_on_behind_padding_is_said_to_be_unread(kind):
    """Some readers stop at padding, some begin anew behind it, and some pass over it: they see different words."""
    fields, words = (f"Content-Type: {kind}; charset=utf-8", "Content-Transfer-Encoding: base64"), "5pyA5L2z"
    for shifted in (f"QQ=={words}", f"QUI=\r\n{words}", f"={words}"):
        assert not a_part(*fields, body=shifted).is_complete
    for whole in (words, f"{words}QQ==", f"{words}QUI=\r\n\r\n", f"{words}QUI\r\n=\r\n"):
        assert a_part(*fields, body=whole).is_complete


@pytest.mark.parametrize("charset", ["", "utf-8", '"UTF-8"', "us-ascii", "GB2312", "iso-8859-1", "ISO8859-15", "utf-8*en"])
def test_charsets_that_are_known_are_read(charset):
    assert a_part("Content-Type: text/plain" + (f"; charset={charset}" if charset else "")).is_complete


@pytest.mark.parametrize(
    ("fields", "oid", "is_complete"),
    [
        (PKCS7, SIGNED, False),
        (PKCS7, ENVELOPED, True),
        (PKCS7, SIGNED + "a080" + ENVELOPED, False),
        (("Content-Type: application/octet-stream; name=smime.p7m", PKCS7[1]), SIGNED, False),
        (("Content-Type: application/octet-stream; name=a.bin", PKCS7[1]), SIGNED, True),
    ],
)
def test_what_is_signed_and_wrapped_is_unread_and_what_is_encrypted_is_sealed(fields, oid, is_complete):
    assert a_part(*fields, body=wrapped(oid)).is_complete is is_complete


@pytest.mark.parametrize("blanks", [" ", "\t", " \t  "])
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_blanks_behind_a_soft_line_break_hide_nothing(kind, blanks):
    """RFC 2045 section 6.7 (3): readers take them off."""
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    content = Message.parse(f"{head}=E8={blanks}\r\n=B5=8C=E5=8D={blanks}\r\n=9A\r\n".encode()).content
    assert [text.shown.strip() for text in content.texts] == ["赌博"]


def undeclared(kind, octets, fields=""):
    encoded = base64.b64encode(octets).decode()
    head = f"Content-Type: text/{kind}\r\n{fields}Content-Transfer-Encoding: base64\r\n\r\n"
    return Message.parse(f"{head}{encoded}\r\n".encode()).content


@pytest.mark.parametrize(
    "meta",
    [
        "<meta charset=big5>",
        "<META http-equiv='Content-Type' content='text/html; charset=Big5'>",
        "<meta content='text/html; charset=big5' http-equiv=content-type>",
        '<meta charset = "BIG5" >',
    ],
)
def test_a_page_without_a_charset_is_read_in_its_own(meta):
    content = undeclared("html", f"{meta}<p>賭博網站</p>".encode("big5"))
    assert (seen(content), content.is_complete) == ({"html part 1": "賭博網站"}, True)


@pytest.mark.parametrize("charset", ["big5", "iso-2022-jp", "utf-7", "x-user-defined"])
def test_a_page_that_readers_take_for_two_charsets_is_said_to_be_unread(charset):
    assert not undeclared("html", f"<meta charset={charset}><p>赌博\x1b$B</p>".encode()).is_complete


@pytest.mark.parametrize(
    "meta", ["<!-- <meta charset=big5> -->", "<meta data-charset=big5>", "<meta content='text/html; charset=big5'>"]
)
def test_a_charset_that_browsers_do_not_find_hides_nothing(meta):
    assert not undeclared("html", f"{meta}<p>赌博网站</p>".encode("gbk")).is_complete
    assert undeclared("html", f"{meta}<p>Hello</p>".encode()).is_complete


@pytest.mark.parametrize("fields", ["", "Content-Disposition: attachment; filename=a.csv\r\n"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_mark_of_byte_order_says_how_a_text_is_read(codec, fields):
    content = undeclared("csv", "\ufeff赌博\r\n".encode(codec), fields)
    assert ("".join(seen(content).values()), content.is_complete) == ("赌博", True)


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        ("csv; charset=gbk", b"\xff\xfe" + "赌博\0".encode("gbk")),
        ("csv", b"\xff\xfe" + "赌博".encode("gbk")),
    ],
)
def test_a_mark_of_byte_order_that_some_readers_pass_over_is_doubtful(kind, octets):
    assert not undeclared(kind, octets).is_complete


def test_a_saved_page_is_read_in_its_own_charset_and_not_in_that_of_the_part():
    page, fields = "<meta charset=big5><p>賭博</p>".encode("big5"), "Content-Disposition: attachment; filename=a.htm\r\n"
    assert not undeclared("html; charset=utf-8", page, fields).is_complete
    assert undeclared("html; charset=big5", page, fields).is_complete
    assert undeclared("html; charset=utf-8", page).is_complete


@pytest.mark.parametrize("head", ["<meta charset=utf-8>", "<meta charset=gb2312>"])
def test_a_page_that_says_its_charset_twice_is_read(head):
    octets = f"{head}<p>优惠</p>".encode("utf-8" if "utf" in head else "gbk")
    assert undeclared("html", octets).is_complete


@pytest.mark.parametrize(
    "field",
    ["<input value=赌博>", "<input type=submit value=赌博>", "<input placeholder=赌博>", "<textarea placeholder=赌博></textarea>",
     "<select><option label=赌博></select>", "<select><optgroup label=赌博><option>a</select>",
     "<input type='hidden ' value=赌博>", "<input type=image value=赌博>", "<input type=image alt=赌博>",
     "<input type=password placeholder=赌博>", "<input type=checkbox title=赌博>"],
)  # fmt: skip
def test_what_the_fields_of_a_form_say_is_read(field):
    assert "赌博" in "".join(seen(page(field)).values())


@pytest.mark.parametrize(
    "field",
    ["<input type=hidden value=赌博>", "<input type=HIDDEN title=赌博 placeholder=赌博>", "<input type=checkbox value=赌博>",
     "<input type=radio value=赌博 placeholder=赌博>", "<input type=password value=赌博>", "<input type=file value=赌博>",
     "<input type=color value=赌博>", "<input type=range value=赌博>", "<input alt=赌博>", "<input label=赌博>",
     "<option value=赌博 label=a>", "<button value=赌博 title=a>b</button>", "<p label=赌博 placeholder=赌博>a"],
)  # fmt: skip
def test_what_no_browser_shows_of_a_field_is_not_read(field):
    content = page(field)
    assert "赌博" not in "".join(seen(content).values())
    assert content.is_complete


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
