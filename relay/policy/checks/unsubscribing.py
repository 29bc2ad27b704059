"""The way out of marketing mail: a link that everybody finds, in every form of the message that people are shown."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from relay.mail.page.unsubscribing import leads_nowhere, leads_out, lines_of_words, says_unsubscribe
from relay.mail.page.visible import Link
from relay.mail.words.content import Content
from relay.mail.words.sight import Sight
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting

_HTML, _PLAIN = "html part", "text part"


class UnsubscribeLink(RuleTable):
    """Parameters of unsubscribe-link."""

    min_font_px: Annotated[float, Field(ge=1, le=20)] = 8
    min_contrast: Annotated[float, Field(ge=1, le=7, description="To 1, as WCAG counts it / 对比度")] = 3


def ask(case: Case, setting: Setting, parameters: UnsubscribeLink) -> Finding | None:
    """Object to the first form of the message that has no such link in sight."""
    if case.message is None:
        return None
    content = case.message.content
    if not content.is_complete:
        return UNREAD_PARTS
    shown = {text.where: text.shown for text in content.texts}
    forms = [where for where in _places(content) if where.startswith((_HTML, _PLAIN)) and ", " not in where]
    for where in forms:
        links = [link for link in content.links if link.where == where]
        text = shown.get(where, "")
        if fault := _html_fault(text, links, parameters) if where.startswith(_HTML) else _plain_fault(text, links):
            return Finding(f"{fault} in {where}", spots=(Spot(where),))
    return None if forms else Finding("no text")


def _places(content: Content) -> dict[str, None]:
    """Every part that shows something, be it a picture only."""
    found = [sight.once(_places_of) for sight in content.sights]
    return dict.fromkeys(place for shown in zip(*found, strict=True) for places in shown for place in places)


def _places_of(sight: Sight) -> tuple[tuple[str, ...], ...]:
    """Where its texts, its links and its pictures are."""
    return tuple(tuple(dict.fromkeys([one.where for one in shown])) for shown in (sight.texts, sight.links, sight.images))


def _plain_fault(text: str, links: Sequence[Link]) -> str:
    """Plain text has the words, and an address to go to or to write to."""
    return "" if says_unsubscribe(text) and (links or "@" in text) else "no unsubscribe link"


def _html_fault(text: str, links: Sequence[Link], parameters: UnsubscribeLink) -> str:
    """ "" as soon as one link is in sight, else what is wrong with the last, which is where people look."""
    first = ""
    for link in reversed(links):
        if leads_out(link.shown, link.href):
            fault = _unseen(link, parameters)
            if not fault:
                return ""
            first = first or fault
    around = lines_of_words(text)
    beside = [_unseen(link, parameters) for link in links if link.shown and link.shown in around]
    return "" if "" in beside else first or next(iter(beside), "no unsubscribe link")


def _unseen(link: Link, parameters: UnsubscribeLink) -> str:
    if link.hidden:
        return f"an unsubscribe link hidden by {link.hidden}"
    if not link.shown:
        return "an unsubscribe link without visible text"
    if leads_nowhere(link.href):
        return "an unsubscribe link that leads nowhere"
    if link.size is not None and link.size < parameters.min_font_px:
        return f"an unsubscribe link of {link.size:g} px"
    if link.contrast is not None and link.contrast < parameters.min_contrast:
        return f"an unsubscribe link with a contrast of {link.contrast:.1f}"
    return ""


CHECK = Check(
    name="unsubscribe-link",
    summary="HTML or plain text has no unsubscribe link that people see: none, hidden, without text, smaller than `min_font_px`"
    " (default 8), or with less than `min_contrast` to its background (default 3)",
    summary_zh="HTML 或纯文本中没有看得见的退订链接：没有、被隐藏、没有文字、字号小于 `min_font_px`（默认 8）、"
    "与背景的对比度低于 `min_contrast`（默认 3）",
    parameters=UnsubscribeLink,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="The message has no unsubscribe link that people see",
    text_zh="邮件中没有看得见的退订链接",
    fix="Put a link that says unsubscribe into HTML and plain text, as large and dark as the text around it",
    fix_zh="请在 HTML 和纯文本中都加入写明“退订”的链接，字号和颜色与周围文字相当",
)
