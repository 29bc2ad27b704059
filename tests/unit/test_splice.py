"""Places in quoted-printable: a cut is made between octets as `a2b_qp` reads them, or not at all."""

import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import DutyImpossible, RenderingImpossible
from relay.mail.message import Message
from relay.render.copy import render_copy
from relay.render.splice import Octets
from tests.support.duties import CHINA, a_letterhead, duty, treatment
from tests.support.htmlpage import Page
from tests.support.signing import URL, a_message, octets, prepared, recipient

FIELDS = ("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable")
PIECES = st.sampled_from(
    [
        b"=",
        b"==",
        b"=3D",
        b"=3d",
        b"=E4",
        b"=4",
        b"=g",
        b"4",
        b"1",
        b"D",
        b"<p>",
        b" ",
        b"\t",
        b"=\r\n",
        b"\r\n",
        b"x" * 9,
    ]
)
BLANK_END = re.compile(rb"=[ \t]+(?:[\r\n]|\Z)")  # readers differ about it, and nothing is written there
RAW = st.lists(PIECES, max_size=14).map(b"".join).filter(lambda raw: BLANK_END.search(raw) is None)


def opened(raw: bytes) -> tuple[bytes, Octets]:
    message = a_message(*FIELDS, body=raw)
    return message.body, Octets(message.body, message.structure.parts[0])


@given(RAW)
def test_a_cut_keeps_what_stands_before_and_behind_it(raw):
    body, part = opened(raw)
    assert part.text == binascii.a2b_qp(body)
    for place in range(len(part.text)):
        try:
            spliced = part.splice(place, (b"[here]\r\n",), is_html=False)
        except DutyImpossible:
            assert b"=" in part.text[max(0, place - 2) : place]
            continue
        assert spliced.head.removesuffix(b"=\r\n") + spliced.tail == body or spliced.head + spliced.tail == body
        assert binascii.a2b_qp(spliced.head) == part.text[:place]
        assert binascii.a2b_qp(spliced.tail) == part.text[place:]


@given(RAW, st.integers(0, 30), st.integers(1, 30))
def test_what_is_cut_out_takes_nothing_else_with_it(raw, start, length):
    _, part = opened(raw)
    end = min(start + length, len(part.text))
    if start >= end:
        return
    try:
        body = part.without([(start, end)])
    except DutyImpossible:
        assert b"=" in part.text
        return
    assert binascii.a2b_qp(body) == part.text[:start] + part.text[end:]


@pytest.mark.parametrize("before", ["==", "a == b", "====", "=3D==", "x==41"])
def test_a_bare_equals_sign_does_not_put_the_footer_into_a_tag(before):
    message = a_message(*FIELDS, body=f"<html><body><p>{before} and more</p></body></html>\r\n".encode())
    done = treatment(duty("footer"), countries=CHINA)
    ready = prepared(message, treatment=done, letterhead=a_letterhead(), sets_unsubscribe=True)
    copy = Message.parse(octets(render_copy(ready, [recipient()], URL)))
    html = binascii.a2b_qp(copy.body).decode()
    assert html.endswith("</body></html>\r\n")
    assert Page.of(html).footer.links[0] == URL


@pytest.mark.parametrize("before", ["=", "=4"])
def test_beside_a_bare_equals_sign_nothing_is_written(before):
    message = a_message(*FIELDS, body=f"<html><body>{before}</body></html>\r\n".encode())
    done = treatment(duty("footer"), countries=CHINA)
    with pytest.raises(RenderingImpossible, match="readers may decode in different ways"):
        prepared(message, treatment=done, letterhead=a_letterhead(), sets_unsubscribe=True)
