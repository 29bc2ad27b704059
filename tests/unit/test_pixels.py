"""Tracking pixels: which images are unseen, and that nothing but their tags goes."""

import binascii
from base64 import b64encode

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RenderingImpossible
from relay.mail.incoming.text import octets_of
from relay.mail.message import Message
from relay.mail.page.visible import read_page
from relay.render.copy import Copy, render_copy
from relay.render.pixels import pixels
from tests.support.duties import a_letterhead, duty, treatment
from tests.support.mail_dkim import dns_records
from tests.support.signing import a_message, octets, prepared, recipient, rsa_signer

SRC = 'src="https://t.example.org/o.gif?u=1"'
PIXELS = [
    f'<img {SRC} width="1" height="1">', f"<IMG HEIGHT=1 WIDTH='1' {SRC} />", f'<img {SRC} width="0" height="20">',
    f'<img {SRC} style="width:1px;height:1px">', f'<img {SRC} style="WIDTH: 0.5px; max-height:0">',
    f'<img {SRC} style="display:none">', f'<img {SRC} width="1" height="1"<p>',
    f'<img alt="a > b" {SRC} style="color:red; visibility : hidden !important">', f'<img {SRC} style="opacity:0">',
    f"<img {SRC} hidden>",
    f'<img {SRC} width="2" height="2">', f'<img {SRC} style="width:3px;height:3px">', f'<image {SRC} width="1" height="1">',
    f'<img {SRC} style="clip-path:inset(100%)">', '<img src="https:&#47;/t.example.org/o.gif" width=1 height=1>',
    f'<img alt=a"b {SRC} width="1" height="1">', f'<img/{SRC}/width="1"/height="1">', f"<img =x {SRC} width=1 height=1>",
    '<img src=//t.example.org/o.gif width=1 height=1>', f'<img\r\n {SRC}\r\n width="1"\r\n height="1"\r\n>',
]  # fmt: skip
SEEN = [
    f"<img {SRC}>", f'<img {SRC} width="600" height="1">', f'<img {SRC} width="1">', f'<img {SRC} width="100%" height="1">',
    f'<img {SRC} style="opacity:0.9">', f'<img {SRC} style="border:1px">', '<img src="cid:logo" width="1" height="1">',
    '<img src="data:image/gif;base64,R0" width="1" height="1">', f'<imgx {SRC} width="1" height="1">', "<img width=1 height=1>",
    f'<img title="hidden" {SRC} width=10 height=10>', f'<img {SRC} width="4" height="4">',
]  # fmt: skip


def removed(message: Message, **keys) -> Copy:
    done = treatment(duty("remove-pixels", "law/pixels", **keys))
    return render_copy(prepared(message, treatment=done, letterhead=a_letterhead()), [recipient()])


@pytest.mark.parametrize("tag", PIXELS)
def test_an_unseen_image_from_elsewhere_is_found(tag):
    html = f"<p>before</p>{tag}<p>after</p>".encode()
    assert pixels(html) == [(len(b"<p>before</p>"), len(b"<p>before</p>") + len(tag))]


@pytest.mark.parametrize("tag", SEEN)
def test_an_image_that_is_seen_or_not_asked_for_stays(tag):
    assert not pixels(f"<p>before</p>{tag}<p>after</p>".encode())


def test_tags_without_end_are_passed_over_in_time_that_grows_with_them():
    assert not pixels(b'<img src="' * 100_000)
    assert not pixels(b"<img " * 200_000)


@pytest.mark.parametrize("tag", [*PIXELS, *SEEN])
def test_the_check_and_the_duty_mean_the_same(tag):
    page = read_page(f"<p>before</p>{tag}<p>after</p>", "")
    assert bool(pixels(f"<p>before</p>{tag}<p>after</p>".encode())) == bool(page.pixels)


def test_an_image_in_what_is_hidden_is_found():
    inside = f"<img {SRC} width=600 height=200>"
    for html in (f"<div style='display:none'>{inside}</div>", f"<style>.x{{display:none}}</style><p class=x><b>{inside}</b></p>"):
        ((start, end),) = pixels(html.encode())
        assert html[start:end] == inside


def test_a_picture_that_is_in_sight_as_well_stays_where_it_is():
    picture = f"<img {SRC} width=600 height=200>"
    assert not pixels(f"<div style='display:none'>{picture}</div>{picture}".encode())


def encoded(html: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        whole = b64encode(html)
        return b"".join(whole[i : i + 76] + b"\r\n" for i in range(0, len(whole), 76))
    return binascii.b2a_qp(html) if encoding == "quoted-printable" else html


FILLING = st.lists(st.sampled_from(["<p>Hello</p>", "\r\n", " ", "=3D", "x" * 80, "é", "<img src=cid:a>"]), max_size=6).map(
    "".join
)


@given(
    st.lists(st.tuples(FILLING, st.sampled_from(PIXELS)), min_size=1, max_size=4),
    FILLING,
    st.sampled_from(["8bit", "base64", "quoted-printable"]),
)
def test_the_rest_is_kept_in_every_transfer_encoding(pairs, end, encoding):
    html = "".join(text + tag for text, tag in pairs) + end
    rest = "".join(text for text, _ in pairs) + end
    header = f"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
    message = a_message(*header.split("\r\n"), body=encoded(html.encode(), encoding) + (b"" if encoding == "base64" else b"\r\n"))
    copy = removed(message)
    read = Message.parse(octets(copy))
    kept = octets_of(read, read.structure.parts[0]).decode()
    assert "t.example.org" not in kept
    assert "".join(kept.split()) == "".join(rest.split())
    assert all(len(line) <= 76 for line in copy.body.split(b"\r\n")) or encoding == "8bit"
    records = dns_records([rsa_signer()])
    assert dkim.verify(octets(copy), dnsfunc=lambda name, **_: records[name.decode().rstrip(".")].encode())


def test_other_parts_keep_their_octets():
    text = f"--b\r\nContent-Type: text/plain\r\n\r\n{PIXELS[0]}\r\n"
    body = f"{text}--b\r\nContent-Type: text/html\r\n\r\n<p>x</p>{PIXELS[0]}\r\n--b--\r\n"
    message = a_message('Content-Type: multipart/alternative; boundary="b"', body=body.encode())
    assert removed(message).body == body[::-1].replace(PIXELS[0][::-1], "", 1)[::-1].encode()


def test_a_message_without_pixels_stays_as_it_is():
    message = a_message("Content-Type: text/html", body=f"<p>{SEEN[0]}</p>\r\n".encode())
    assert removed(message).body is message.body


HTML = f"--b\r\nContent-Type: text/html\r\n\r\n{PIXELS[0]}\r\n"
SEAL = "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
SIGNED = a_message('Content-Type: multipart/signed; boundary="b"', body=f"{HTML}{SEAL}".encode())


def test_pixels_in_a_signed_message_stop_it_or_are_named():
    with pytest.raises(RenderingImpossible, match="its tracking pixels cannot be removed"):
        removed(SIGNED)
    copy = removed(SIGNED, if_impossible="warn")
    assert copy.body == SIGNED.body
    assert copy.skipped[0][0] == "law/pixels"


def html_of(body: bytes, charset: str = "utf-8") -> Message:
    fields = (f"Content-Type: text/html; charset={charset}", "Content-Transfer-Encoding: base64")
    return a_message(*fields, body=encoded(body, "base64"))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            html_of(b"<p>x</p><svg width=1 height=1><textarea><image href=//t.example.org/o.gif /></textarea></svg>"),
            "cannot be removed from its HTML",
        ),
        (html_of(f"<p>x</p><img {SRC} width=1 height=1>".encode("utf-16"), "utf-16"), "cannot be removed from its HTML"),
        (html_of(f"<img {SRC} width=1 height=1>{'<div>' * 5000}".encode()), "nested too deeply"),
        (html_of("".join(f"<img src='//a.example/{n}' width=1 height=1>" for n in range(2001)).encode()), "too large to be read"),
        (html_of(b"<p>x</p><iframe srcdoc='<img src=https://t.example.org/o.gif hidden>'></iframe>"), "too large to be read"),
        (html_of(b"<style>" + b" " * 140_000 + b"</style><p>x</p>"), "too large to be read"),
    ],
)
def test_what_cannot_be_cut_out_is_not_called_removed(message, why):
    with pytest.raises(RenderingImpossible, match=why):
        removed(message)
    ((rule, said),) = removed(message, if_impossible="warn").skipped
    assert rule == "law/pixels"
    assert why in said


def test_a_page_that_is_attached_is_left_as_it_is():
    page = f"<p>x</p>{PIXELS[0]}"
    file = f"--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=a.html\r\n\r\n{page}\r\n"
    body = f"--b\r\nContent-Type: text/html\r\n\r\n{page}\r\n{file}--b--\r\n"
    message = a_message('Content-Type: multipart/mixed; boundary="b"', body=body.encode())
    assert removed(message).body == body.replace(PIXELS[0], "", 1).encode()
