"""Which pages are read at all."""

import pytest

from relay.mail.nesting import MAX_DEPTH, is_readable

ROW = "<tr><td style='padding:4px'><p>Spring<br>news <b>now</b></p><ul><li>one<li>two</ul></td></tr>"


@pytest.mark.parametrize(
    "html",
    [
        "",
        "plain & <3",
        "<table>" + ROW * 3000 + "</table>",
        "<p>one" * 5000,
        "<li>one" * 5000,
        "<table>" + "<tr><td>cell" * 5000,
        "<br>" * 20_000,
        "<img src=x>" * 5000,
        "<p><font color=red>x</font></p>" * 5000,
        "<div>" * MAX_DEPTH + "</div>" * MAX_DEPTH,
        "<a href=x>link</a> " * 5000,
        "</div>" * 20_000,
    ],
)
def test_pages_that_people_write_are_read(html):
    assert is_readable(html)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000,
        "<span>" * 20_000,
        "<span><div></span>" * 5000,
        "<div><x></y></div><div>" * 5000,
        "<table><td>" * 5000,
        "<p>" + "".join(f"<b a{n}>" for n in range(3000)) + "</p>" + "<p>x</p>" * 3000,
        "".join(f"<div><i a{n}></div>" for n in range(3000)),
    ],
)
def test_pages_that_a_parser_would_choke_on_are_not(html):
    assert not is_readable(html)
