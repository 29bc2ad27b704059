"""HTML as lines: what a reader sees, and that nobody can make the reading raise or take its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.incoming.markup import lines_of_html
from relay.mail.incoming.text import MAX_PART

STEPS = 40  # looks at a character, for each character of the text: a bound that nothing which turns back would keep


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ("<html><head><title>T</title><style>p > a {}</style></head><body>Hello</body></html>", "Hello"),
        ("one<br>two<BR/>three", "one\ntwo\nthree"),
        ("<table><tr><td>a</td><th>b</th></tr></table>", "\n\n a b\n\n"),
        ("a<blockquote>quoted<blockquote>deeper</blockquote>still</blockquote>b", "ab"),
        ("<script>if (a<b) { x = '</p>' }</SCRIPT>seen", "seen"),
        ("<style><!-- p {} --></style>seen", "seen"),
        ("<style>never closed <b>x</b>", ""),
        ("a <!-- <p> b --> c <!--> d <!---> e", "a  c  d  e"),
        ("a<!--[if mso]><p>Outlook</p><![endif]-->b", "ab"),
        ("a<![if !mso]>b<![endif]>c", "abc"),
        ("<!DOCTYPE html><?xml version='1.0'?>a</ b>c</>d", "acd"),
        ("1 < 2 <3 << 4", "1 < 2 <3 << 4"),
        ('<img alt="a > b">c<img alt = \'d > "e\' f="g>h">i', "ci"),
        ("<a href='never ends>b", "b"),
        ("<a title=it's>b</a>", "b"),
        ("a<b never ends", "a"),
        ("&lt;p&gt; &amp;amp; &#36864;&#x8BA2; &nbsp; &copy2 &xyzzy;", "<p> &amp; 退订 ©2 &xyzzy;"),
        ("&#xD800;&#0;&#999999999;", "\ufffd\ufffd\ufffd"),
        ("a \r\n\t\u00a0 b", "a b"),
    ],
)
def test_what_a_reader_sees(html, seen):
    assert lines_of_html(html) == seen


BEGINNINGS = (
    "<!", "<!-", "<!--", "--", "<![", "<![x", "<![ x", "<![CDATA[", "<!doctype [<!x", "<?", "</", "</x", "<a ", '<a b="',
    "<a b='", "<a b=", "<x<", "<", ">", "/>", '"', "'", "=", "<br", "<br>", "<blockquote>", "</blockquote>", "<script>",
    "<script", "</script", "</style", "<style>", "<td>", "&", "&#", "&#9", "&#x", "9" * 50, "&lt", " ", "\n", "\0", "\ud800",
    "İ", "退订",
)  # fmt: skip


@given(st.text())
def test_no_text_is_too_odd(text):
    lines_of_html(text)


@given(st.lists(st.sampled_from(BEGINNINGS)))
def test_no_markup_is_too_odd(parts):
    lines_of_html("".join(parts))


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000 + "65", "x" + "f" * 5000])
def test_a_number_of_any_length_is_no_fault(digits):
    assert lines_of_html(f"&#{digits};退订").endswith("退订")


@given(st.lists(st.sampled_from(BEGINNINGS), min_size=1, max_size=4), st.lists(st.sampled_from(BEGINNINGS), max_size=4))
def test_the_work_grows_with_the_length_only(repeated, before):
    unit = "".join(repeated)
    _count("".join(before) + unit * (4000 // len(unit)))


@pytest.mark.parametrize("unit", BEGINNINGS)
def test_a_whole_part_of_one_beginning_is_read(unit):
    _count(unit * (MAX_PART // len(unit.encode("utf-8", "replace"))))


def _count(html: str) -> None:
    counted = Counted(html)
    counted.steps = 0
    lines_of_html(counted)
    assert len(html) <= counted.steps <= STEPS * (len(html) + 1)


class Counted(str):
    """A text that counts the characters that are looked at."""

    __slots__ = ("steps",)
    steps: int

    def find(self, wanted, start=0, end=None):
        found = super().find(wanted, start, end)
        self.steps += 1 + max(0, (len(self) if found < 0 else found) - start)
        return found

    def __getitem__(self, key):
        piece = super().__getitem__(key)
        self.steps += 1 + len(piece)
        return piece
