"""Every form of a tracking pixel: the check sees it, the duty takes it out or says that it cannot, and what people see stays."""

import binascii
from dataclasses import replace

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RenderingImpossible
from relay.mail.incoming.text import octets_of
from relay.mail.message import Message
from relay.mail.page.visible import read_page
from relay.policy.checks.pictures import TRACKING_PIXEL, TrackingPixel
from relay.policy.rules.rule import Finding
from relay.render.copy import Copy, render_copy
from relay.render.pixels import pixels
from tests.support.duties import a_letterhead, duty, treatment
from tests.support.mail_dkim import dns_records
from tests.support.pixel_forms import FETCHES_NOTHING, FORMS, KNOWN, ON_SMALL_SCREENS, OTHERS, SEEN, cut_out, with_address
from tests.support.policies import a_case, a_setting
from tests.support.signing import a_message, octets, prepared, recipient, rsa_signer

HOST = "t.example.org"
ADDRESS = f"https://{HOST}/O.gif?u=1"
AROUND = "<html><body><p>Spring, été</p>{}<p>after</p></body></html>\r\n"
RECORDS = dns_records([rsa_signer()])


def page_of(form: str, address: str = ADDRESS) -> str:
    return AROUND.format(with_address(form, address))


def html_of(page: str) -> Message:
    fields = ("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable")
    return a_message(*fields, body=binascii.b2a_qp(page.encode(), istext=True))


def sealed(page: str) -> Message:
    parts = ("text/html; charset=utf-8", page), ("application/pgp-signature", "x\r\n")
    body = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{text}" for kind, text in parts) + "--b--\r\n"
    return a_message('Content-Type: multipart/signed; boundary="b"', body=body.encode())


def removed(message: Message, **keys: object) -> Copy:
    done = treatment(duty("remove-pixels", "law/pixels", **keys))
    return render_copy(prepared(message, treatment=done, letterhead=a_letterhead()), [recipient()])


def objection(message: Message, **parameters: object) -> str:
    """What the check says."""
    table = TrackingPixel.model_validate({"id": "pixel", "check": "tracking-pixel", **parameters})
    found = TRACKING_PIXEL.ask(replace(a_case(), message=message), a_setting(), table)
    return found.detail if isinstance(found, Finding) else ""


def test_there_are_all_of_them():
    assert (len(KNOWN), len(OTHERS) >= 21) == (10, True)
    assert all(ADDRESS in page_of(form) for form in FORMS.values())
    assert not any(ADDRESS in cut_out(form, ADDRESS) for form in FORMS.values())


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_form_is_seen_by_the_check_and_cut_out_to_the_octet(form):
    message = html_of(page_of(form))
    assert HOST in objection(message)
    assert objection(message, trusted=(HOST,)) == ""
    copy = removed(message)
    read = Message.parse(octets(copy))
    assert octets_of(read, read.structure.parts[0]).decode() == AROUND.format(cut_out(form, ADDRESS))
    assert (objection(read), copy.skipped) == ("", ())
    assert dkim.verify(octets(copy), dnsfunc=lambda name, **_: RECORDS[name.decode().rstrip(".")].encode())


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_form_that_cannot_be_cut_out_is_named(form):
    message = sealed(page_of(form))
    with pytest.raises(RenderingImpossible, match="its tracking pixels cannot be removed"):
        removed(message)
    copy = removed(message, if_impossible="warn")
    assert [name for name, _ in copy.skipped] == ["law/pixels"]
    assert copy.body == message.body


def test_a_relative_address_leads_to_the_base():
    base = f"<base href='https://{HOST}/x/'><base href='https://other.example/'>"
    pixel = "<img src=o.gif width=1 height=1>"
    message = html_of(AROUND.format(f"{base}{pixel}<img src=a.png width=90>"))
    assert objection(message) == f"1, from {HOST}"
    read = Message.parse(octets(removed(message)))
    assert octets_of(read, read.structure.parts[0]).decode() == AROUND.format(f"{base}<img src=a.png width=90>")
    assert objection(html_of(AROUND.format(pixel))) == ""


def test_the_check_says_what_is_no_picture():
    forms = [FORMS["iframe"], FORMS["font"], FORMS["attributes"]]
    assert objection(html_of(AROUND.format("".join(with_address(form, ADDRESS) for form in forms)))) == (
        f"3, from {HOST} (@font-face, iframe)"
    )


@pytest.mark.parametrize(
    "form",
    [*SEEN.values(), *ON_SMALL_SCREENS.values(), *FETCHES_NOTHING.values()],
    ids=[*SEEN, *ON_SMALL_SCREENS, *FETCHES_NOTHING],
)
def test_what_people_see_on_some_screen_and_what_fetches_nothing_stays(form):
    message = html_of(page_of(form))
    assert objection(message) == ""
    assert removed(message).body is message.body


def without_sheets(forms: dict[str, str]) -> list[str]:
    """Style elements would speak of each other's elements."""
    return [form for form in forms.values() if "<style" not in form]


PIECES = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(without_sheets(SEEN)),
        st.sampled_from(without_sheets(FORMS)),
        st.sampled_from(["<p>été</p>", "\r\n", "text", "<!-- x -->", '<a href="https://x.example">link</a>', "<br>"]),
    ),
    max_size=8,
)


@given(PIECES)
def test_among_others_exactly_the_unseen_goes(pieces):
    html, expected = "", ""
    for number, (is_seen, seen, unseen, filling) in enumerate(pieces):
        address = f"https://{HOST}/{number}"
        html += filling + with_address(seen if is_seen else unseen, address)
        expected += filling + (with_address(seen, address) if is_seen else cut_out(unseen, address))
    octets_there = html.encode()
    for start, end in reversed(pixels(octets_there)):
        octets_there = octets_there[:start] + octets_there[end:]
    assert octets_there.decode() == expected


@pytest.mark.parametrize("form", [form for form in FORMS.values() if "<style" in form])
def test_a_style_element_takes_no_picture_of_others_with_it(form):
    others = "".join(with_address(seen, f"https://i.example/{n}") for n, seen in enumerate(without_sheets(SEEN)))
    html = with_address(form, ADDRESS) + others
    ranges = pixels(html.encode())
    kept = "".join(
        html[start:end] for start, end in zip([0, *(e for _, e in ranges)], [*(s for s, _ in ranges), None], strict=True)
    )
    assert kept == cut_out(form, ADDRESS) + others


def test_letters_for_those_who_listen_are_not_called_hidden():
    style = "position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0,0,0,0)"
    page = read_page(f"<p style='{style}'>Skip the menu<img src=//t.example/a width=90></p>", "")
    assert (page.hidden, page.shown, len(page.pixels)) == ([], "Skip the menu", 1)


def test_octets_are_cut_where_the_charset_has_them():
    html = f"<p>春季</p><div title='新品' style='display:none;background:url({ADDRESS})'>優惠</div><p>詳情</p>"
    for charset in ("gb18030", "big5", "shift_jis", "utf-8"):
        there = html.replace("优", "優").encode(charset, "xmlcharrefreplace")
        ((start, end),) = pixels(there, charset)
        assert there[start:end].decode("ascii") == f"background:url({ADDRESS})"


AMP = (
    "<html amp4email><head><style amp4email-boilerplate>body{{visibility:hidden}}</style>"
    "<script async src='https://cdn.ampproject.org/v0.js'></script></head><body><p>Spring</p>{}</body></html>\r\n"
)


def dynamic(body: str) -> Message:
    parts = ("text/html; charset=utf-8", "<p>Spring</p>"), ("text/x-amp-html; charset=utf-8", AMP.format(body))
    text = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{part}\r\n" for kind, part in parts) + "--b--\r\n"
    return a_message('Content-Type: multipart/alternative; boundary="b"', body=text.encode())


@pytest.mark.parametrize("pixel", ["<amp-pixel src='{}'></amp-pixel>", "<amp-img src='{}' width=1 height=1></amp-img>"])
def test_a_pixel_in_amp_is_seen_and_named_as_impossible(pixel):
    message = dynamic(pixel.format(ADDRESS))
    assert objection(message) == f"1, from {HOST}"
    with pytest.raises(RenderingImpossible, match="a part in AMP with a tracking pixel"):
        removed(message)


def test_pictures_and_the_script_of_amp_are_no_pixels():
    message = dynamic(f"<amp-img src='{ADDRESS}' width=90 height=90></amp-img>")
    assert objection(message) == ""
    assert removed(message).body is message.body


def test_a_mark_that_the_message_brings_along_finds_nothing():
    html = '<img relay-mark=0 src="https://i.example/a" width=90><img RELAY-MARK-X=0 src="https://t.example/o" width=1 height=1>'
    ((start, end),) = pixels(html.encode())
    assert html[start:end].startswith("<img RELAY-MARK-X=0")


@pytest.mark.parametrize(
    "html",
    [
        "<style>" + "url(" * 30_000 + "</style>x",
        '<style>a{b:url("' * 8000 + "</style>x",
        "<style>" + "a{b:url(//t.example/c);" * 5000 + "</style><a>x</a>",
        "<style>" + "/*" * 60_000 + "url(</style>",
        "<table><tr>" + "<td width=1 height=1 background=//t.example/c></td>" * 1000 + "</tr></table>",
        "<b style='width:1px;height:1px;background:url(//t.example/c)'>" * 300,
        "<p style='" + "a:url(//t.example/c);" * 190 + "'>x</p>",
        f"<img width=1 height=1 srcset='{',' * 100_000}'>",
        "<picture>" * 300 + "<source srcset=//t.example/a>" * 300,
    ],
)
def test_pages_that_are_made_to_take_long_are_read_to_their_end(html):
    assert read_page(html, "").is_complete


@pytest.mark.parametrize(
    "html",
    [
        "<style>" + "@import '//t.example/c';" * 501 + "</style>x",
        "<style>" + "".join(f".a{n}{{b:url(//t.example/c)}}" for n in range(201)) + "</style>x",
        "<style>" + "".join(f".a{n}{{width:1px}}" for n in range(201)) + "</style>x",
        "<img src=//t.example/c width=1 height=1>" * 2001,
        "<style>" + "".join(f".a{n}{{width:90px}}" for n in range(4000)) + "</style>" + "<img width=1 height=1>" * 500,
        "<svg>" * 300 + "<image href=//t.example/c />" * 500,
        "<!--[if mso]><img src=//t.example/c width=9 height=9><![endif]-->" * 201,
    ],
)
def test_pages_beyond_the_bounds_are_said_to_be_unread(html):
    assert not read_page(html, "").is_complete
