"""Whether an HTML page is nested within reason.

A parser of HTML takes time with the square of the depth and of a tag's
attributes, and makes a page of a few kilobytes a tree of millions of nodes:
formatting that is never closed is opened again in every later block (HTML,
"reconstruct the active formatting elements").  Mails that people wrote are far
from all that.

Most pages are so small that whatever stands in them is read in a moment, once
it is seen that their formatting is closed; of the others every tag is looked at.
"""

import re
from collections.abc import Iterator

from relay.mail.page.open_elements import FORMATTING, OpenElements, tag_names
from relay.mail.page.tags import count_attributes, tags

MAX_DEPTH = 400
MAX_ATTRIBUTES = 1000
MAX_STEPS = 2_500_000
"""Steps up the stack of open elements, and from attribute to attribute."""

MAX_REOPENED = 15_000
"""Formatting elements that a parser may have to open again, all together."""

_FEW_ATTRIBUTES = 8  # of formatting: each is copied whenever the element is opened again
_STRANGE = tag_names("? ?script applet frameset marquee math object plaintext ruby select svg template")
"""In these a parser reads by other rules. Mails hardly have them, and most readers drop them."""

_BEGIN = r"<(a|b(?:ig)?|code|em|font|i|nobr|s(?:mall|trike|trong)?|tt|u)(?=[ \t\r\n\f/>])"
_ATTRIBUTE = r"""[ \t\r\n\f]++[^ \t\r\n\f"'<>/=]++(?:[ \t\r\n\f]*+=[ \t\r\n\f]*+(?:"[^"<>]*+"|'[^'<>]*+'|[^ \t\r\n\f"'<>`]++))?"""
_PASSED = rf"<(?!/?\1[ \t\r\n\f/>])(?:img|br|wbr|/?(?:span|font|b|i|u|em|strong))(?>(?:{_ATTRIBUTE}){{0,16}})[ \t\r\n\f]*+/?>"
_FORMATTING = re.compile(
    rf"{_BEGIN}(?>(?:{_ATTRIBUTE}){{0,{_FEW_ATTRIBUTES}}})[ \t\r\n\f]*+(>?)"
    rf"(?=(?>(?:[^<]*+{_PASSED}){{0,8}})[^<]*+(</)\1[ \t\r\n\f]*+>|)",
    re.IGNORECASE | re.ASCII,
)
"""Where formatting begins, whether its tag is plain, and whether it ends behind a few phrasing elements.

Where the tag is one for a parser too, what is passed and the end tag are.  The groups are atomic and not possessive: before
Python 3.11.5 what a possessive group has in it is matched wrongly.
"""

_W = r"[ \t\r\n\f]"
_SAID = rf"""(?>(?:{_W}++[a-zA-Z:_-]++(?:="[^"]*+"|='[^']*+'|=[^ \t\r\n\f"'<>`=]++|(?=[ \t\r\n\f/>]))){{0,16}}){_W}*+"""
_FEW_SAID = _SAID.replace("{0,16}", f"{{0,{_FEW_ATTRIBUTES}}}")
_END_TAG = rf"/[a-z][a-z0-9:]*+{_W}*+>"
_PLAIN_TAG = (
    r"(?:t(?:able|body|d|head|foot|h|r)|img|br|p|div|span|h[1-6r]|[uo]l|li|center|meta|link|html|head|body|section|article"
    rf"|header|footer|main|nav|address|blockquote|pre|d[ltd]|caption|col|colgroup|wbr)(?=[ \t\r\n\f/>]){_SAID}/?>"
)
_CLOSED_FORMATTING = (
    rf"(?P<formatting>a|b|em|font|i|s(?:mall|trong|)|u)(?=[ \t\r\n\f>]){_FEW_SAID}>"
    rf"(?=[^<]*+(?>(?:<(?:img|br|wbr)(?=[ \t\r\n\f/>]){_SAID}/?>[^<]*+){{0,4}})</(?P=formatting)>)"
)
_ASIDE = r"!(?:--(?!-?>)[^-]*+(?>(?:-++(?!!?>)[^-]*+){0,2000})--++>|(?!--)[^>]*+>)"
_RAW_TEXT = rf"(?P<raw>style|title)(?=[ \t\r\n\f>]){_SAID}>[^<]*+</(?P=raw)>"
_PLAIN_PAGE = re.compile(
    rf"[^<]*+(?>(?:<(?:{_END_TAG}|{_PLAIN_TAG}|{_CLOSED_FORMATTING}|{_ASIDE}|{_RAW_TEXT})[^<]*+)*)", re.ASCII
)
"""A page of which each tag is told as a parser tells it, with few attributes and nothing open but what is frequent in mails.

Formatting is closed behind a text and a few pictures and breaks.  Comments and what is no HTML are passed over as a whole.
"""

_LONG = 400  # characters behind the "<" of a tag, from which its attributes count
_ALONE = ("<!", "<br>", "<br/", "<br ", "<img ", "<meta ", "<IMG ", "<BR>")  # never open, and frequent
_MARK_IN_VALUE = re.compile(r"""=[ \t\r\n\f]*+(?:"[^"<>]*+[<>]|'[^'<>]*+[<>])""")


def is_readable(html: str) -> bool:
    """Whether the page is read in time and space that grow with its length."""
    return _is_small(html) or _is_flat(html)


def _is_small(html: str) -> bool:
    """Whether no page of so many tags, with so much formatting that is not closed at once, takes long."""
    marks = html.count("<")
    if marks * marks // 2 <= MAX_STEPS and _PLAIN_PAGE.fullmatch(html):
        return True
    if _MARK_IN_VALUE.search(html):
        return False
    left = MAX_STEPS - sum(count_attributes(tag) ** 2 // 2 for tag in _long_tags(html))
    if marks * marks // 2 > left and _walks(html, marks) > left:
        return False
    begun = _FORMATTING.findall(html)
    unclosed = sum([not closed for _, _, closed in begun])
    return marks * unclosed <= MAX_REOPENED and all(plain for _, plain, _ in begun)


def _long_tags(html: str) -> Iterator[str]:
    """From each "<" with so many characters behind it to the next ">"; looks about once per so many characters."""
    start = 0
    while len(html) - start > _LONG:
        end = html.rfind(">", start, start + _LONG)
        if end < 0:
            end = html.find(">", start + _LONG)
            end = end if end >= 0 else len(html)
            begin = html.find("<", start, end)
            if 0 <= begin < end - _LONG:
                yield html[begin:end]
        start = end + 1


def _walks(html: str, marks: int) -> int:
    """The most steps that a parser goes up the open elements, if nothing is closed and each end tag is looked for."""
    ends = html.count("</")
    opened = marks - ends - sum(map(html.count, _ALONE))
    return opened * opened // 2 + opened * ends


def _is_flat(html: str) -> bool:
    stack = OpenElements()
    steps = reopened = 0
    for name, is_end, attributes in tags(html):
        if name in _STRANGE or attributes > MAX_ATTRIBUTES:
            return False
        if is_end:
            stack.end(name)
        else:
            if attributes > _FEW_ATTRIBUTES and name in FORMATTING and name != "a":  # links end before the next
                return False
            stack.start(name)
        steps += stack.depth + attributes * attributes // 2
        reopened += stack.waiting
        if stack.depth > MAX_DEPTH or steps > MAX_STEPS or reopened > MAX_REOPENED:
            return False
    return True
