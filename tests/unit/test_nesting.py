"""Which pages are read at all."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from benchmarks.newsletter import LANGUAGES, newsletter_html
from relay.mail.page.nesting import _PLAIN_PAGE, _STRANGE, MAX_DEPTH, MAX_REOPENED, _long_tags, _walks, is_readable
from relay.mail.page.open_elements import FORMATTING, OpenElements, tag_names
from relay.mail.page.tags import tags

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
        "<table>" + "<tr><td><p><b>cell</td><td><li>x</tr>" * 3000,
        "<td><p>one</td>" * 5000,
        "<table border=0><tr><td><font size=2><b>Head<p>one<p>two<br><center>x</center></table>" * 600,
        '<img alt="a > b">' * 5000,
        "<!-- <b> -->" * 5000 + "<style>p > b {}</style>" * 100,
        "<a href=x><img src=y><br><span>x</span></a><b><i>x</i></b>" * 2000,
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
        "".join(f"<p><b id={n}><!--</b>--></p>" for n in range(1500)),
        "".join(f"<p><b id={n} t='</b>'></p>" for n in range(1500)),
        "".join(f"<p><b id={n}><textarea></b></textarea></p>" for n in range(1500)),
        "".join(f"<p><b id={n}><script><!--<script></script></b>--></script></p>" for n in range(1500)),
        "".join(f"<p><b id={n}></p><table><td></b></table>" for n in range(1500)),
        "<div><!--</div>-->" * 5000,
        "<div x='</div>'>" * 5000,
        "<div><select></div></select>" * 5000,
        "<div><svg><style><div></style></svg></div></div>" * 5000,
        "<p><div></p>" * 5000,
        "<li><section>" * 5000,
        "<h1><div><h2></h1>" * 5000,
        "<td><span></td>" * 5000,
        "<table><tr><table></table><td><span></td></table>" * 5000,
        "<ul><div><section></ul><span></section></div></ul>" * 5000,
        "<form><p><form></form>" * 5000,
        "<lin\u212a>" * 5000,
        "<p " + " ".join(f"a{n}" for n in range(5000)) + ">",
        "<p " + " ".join(f"a{n} b{n}='<>'" for n in range(5000)) + ">",
        "<p><b " + " ".join(f"a{n}" for n in range(100)) + "></p>" + "<p>x" * 400,
    ],
)
def test_pages_that_a_parser_would_choke_on_are_not(html):
    assert not is_readable(html)


def test_a_tag_is_one_only_where_a_parser_sees_one():
    html = (
        "<!--><b><!---><b><!--x--!><b><!--<i>--><? <i ?><i><!x <i ></3 <i><u a='<i>' b=\"<i>\" c=d'<i e =f =' <i>'></u>"
        "<title></b><i></title x><TEXTAREA><i></textareas></textarea><p/a=/><b x='"
    )
    names = [(name, is_end) for name, is_end, _ in tags(html)]
    tree = LexborHTMLParser(html)
    starts = [name for name, is_end in names if not is_end]
    assert {name: starts.count(name) for name in ("b", "i", "u", "p", "title", "textarea")} == {
        name: len({node.mem_id for node in tree.css(name)}) for name in ("b", "i", "u", "p", "title", "textarea")
    }


NAMES = sorted(
    tag_names(
        "a b i font nobr span em p div section center li dd dt ul ol h1 h2 form button table tr td th tbody thead caption "
        "colgroup col br img hr label x-y option address blockquote body input textarea style noscript article"
    )
)
TAGS = st.builds(
    lambda end, name, number: f"</{name}>" if end else f"<{name} n{number}>" if number else f"<{name}>",
    st.booleans(),
    st.sampled_from(NAMES),
    st.integers(0, 9),
)


@given(st.lists(st.one_of(TAGS, st.just("x")), max_size=60))
@example(["<p><b n1></p><h1>x<h2>x<h1>x"])
@example(["<table>", "</td>", "<b>", "<td>", "<i>", "</table>", "x", "<td>", "<u>", "<p>", "x"])
@example(["<option n3><b n4><option n3><option n3></option></option>"])
@example(["<p>", "<b n1>", "</p>", "<div>", "x", "<span>", "</b>", "</span>"])
def test_no_parser_has_more_open_than_is_thought(said):
    html = "".join(said)
    stack, waiting, formatting, turns = OpenElements(), 0, 0, 0
    for name, is_end, _ in tags(html + "<x-end>"):
        (stack.end if is_end else stack.start)(name)
        waiting += stack.waiting
        formatting += name in FORMATTING and not is_end
        turns += name in FORMATTING and (is_end or name in ("a", "nobr"))
    tree = LexborHTMLParser(html + "<x-end>")
    last = tree.css_first("x-end")
    around = []
    while last is not None and last.parent is not None:
        around.append(last.tag)
        last = last.parent
    # Parsers imply some, take a form off the stack that stays around what was in it, and count formatting below.
    uncounted = FORMATTING | {"html", "body", "tbody", "tr", "colgroup", "form"}
    assert len([name for name in around if name not in uncounted]) <= stack.depth
    made = len(list(tree.css(",".join(FORMATTING))))
    assert made <= formatting + waiting + 32 * turns


@given(st.lists(st.one_of(TAGS, st.sampled_from(["<br>", "<img src=x>", "<!-- x -->", "<", "</"])), max_size=60))
def test_a_page_takes_no_more_steps_than_half_the_square_of_its_marks(said):
    html = "".join(said)
    marks = html.count("<")
    assert _walks(html, marks) <= marks * marks // 2


@given(st.lists(st.one_of(st.sampled_from(["<", ">", "<a ", "x"]), st.integers(395, 405).map("y".__mul__)), max_size=12))
def test_every_long_tag_is_found(said):
    html = "".join(said)
    assert [*_long_tags(html)] == re.findall("<[^>]{400,}", html)


PIECES = [
    "x", " ", "\n", "=", "'", '"', "/", "<", ">", "/>", "-->", "--!>", "--", "-", "a=b", "src=", "&lt;", '="<b>" ', '">', "]]>",
    "<b>", "</b>", "<a href='x'>", "</a>", "<i a=\"</i>\">", "</i>", "<font x=y>", "</font>", "<s>", "</s>", "<u\t>", "</u>",
    "<strong>", "</strong>", '<p title="', "<p a==\"b c=\" d>", "<p>", "</p>", "<div>", "</div>", "<td>", "</td>", "<table>",
    "</table>", "<col>", "<caption>", "<br>", "<img ", "<img src='a>b' />", "<!--", "<!", "<![CDATA[", "<style>", "</style>",
    "<title>", "</title>", "<textarea>", "</textarea>", "<svg>", "<script>", "</script>", "<body>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=16))
@example(['<p a=="b c=" d>', "<b>", "</b>", '">'])
@example(["<b>", "<!--", "</b>", "-->"])
@example(["<title>", "<b>", "</title>", "</b>"])
def test_of_a_plain_page_a_parser_makes_what_it_says(said):
    html = "".join(said)
    if _PLAIN_PAGE.fullmatch(html) is None:
        return
    seen = list(tags(html))
    assert _STRANGE.isdisjoint(name for name, _, _ in seen)
    assert all(attributes <= 17 for _, _, attributes in seen)
    for place, (name, is_end, _) in enumerate(seen):
        if name in FORMATTING and not is_end:
            behind = [one for one in seen[place + 1 : place + 6] if one[0] not in ("img", "br", "wbr")]
            assert behind[0][:2] == (name, True)
    root = LexborHTMLParser(html).root
    assert root is not None
    assert len(list(root.traverse())) <= 3 * html.count("<") + 4  # with what a parser implies around a part of a table


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ("<b>x</b>", "<b>x"),
        ("<b>x</b>", "<b><i>x</i></b>"),
        ("<a href='x'><img src=y> <br/>x</a>", "<a href='x'><p>x</p></a>"),
        ("<p title='</b>'>x", "<p title='</b>>x"),
        ("<p a=\"x\" b=''>x", '<p a=="x b=" c>x'),
        ("<p" + " a=b" * 16 + ">", "<p" + " a=b" * 17 + ">"),
        ("<b" + " a=b" * 8 + ">x</b>", "<b" + " a=b" * 9 + ">x</b>"),
        ("<!--[if mso]><b><![endif]-->x", "<!--[if mso]><b><![endif]--"),
        ("<!-- - -- a-b ----->x", "<!-- --!><b>-->x"),
        ("<!--" + "- " * 2000 + "-->", "<!--" + "- " * 2001 + "-->"),
        ("<title>x</title>", "<title><b></title>"),
        ("<table><tr><td>x</td></tr></table>", "<table><tr><td><svg></svg></td></tr></table>"),
    ],
)
def test_a_page_is_plain_where_each_of_its_tags_is(plain, other):
    assert _PLAIN_PAGE.fullmatch(plain)
    assert not _PLAIN_PAGE.fullmatch(other)


@pytest.mark.parametrize("language", LANGUAGES)
def test_newsletters_are_plain(language):
    assert _PLAIN_PAGE.fullmatch(newsletter_html(language, 1))


WORST = {
    "depth": "<div>" * 2230,
    "walks": "<div>" * 870 + "</section>" * 2400,
    "formatting": "<p>" + "".join(f"<b a{n}>" for n in range(80)) + "</p>" + "<p>x" * 100,
    "blocks": "<p>" + "".join(f"<b a{n}>" for n in range(8)) + "</p>" + "<p>x" * 1700,
    "links": ("<a>" + "<div>" * 9) * 30 + "<p>x" * 50,
    "adoption": ("<b><i><u><s>" + "<div>" * 9 + "</b>") * 12 + "<p>x" * 20,
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_page_that_is_not_looked_at_is_a_small_tree(name):
    assert is_readable(WORST[name])
    root = LexborHTMLParser(WORST[name]).root
    assert root is not None
    assert len(list(root.traverse())) <= MAX_REOPENED + 3000


@pytest.mark.parametrize("name", sorted(FORMATTING - {"a", "nobr"}))  # these end each other
def test_all_formatting_is_counted(name):
    opened = "".join(f"<{name.upper()} n{n}>" for n in range(300))
    assert not is_readable(f"<p>{opened}</p>" + "<p>x" * 300)
