"""Promotion in mail that serves: receipts, notices, passwords."""

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from relay.mail.page.visible import Link
from relay.policy.cases.case import Case
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, Setting
from relay.policy.words.lexicon import hits_of, seen
from relay.policy.words.listed import ListedWords
from relay.policy.words.terms import TermHit

_CAMPAIGNS = ("promo", "sale", "offer", "marketing", "newsletter", "discount", "upsell", "crosssell", "cuxiao", "huodong")
_CAMPAIGN_POINTS = 2


class PromotionalContent(ListedWords):
    """Parameters of promotional-content."""

    points: Annotated[int, Field(ge=1, le=100, description="From how many points on it is promotion / 达到多少分视为推广")] = 4


def ask(case: Case, setting: Setting, parameters: PromotionalContent) -> Finding | None:
    """Object when the words of promotion, each counted once, and the campaigns of links come to so many points."""
    if case.message is None:
        return None
    content = case.message.content
    hits: dict[str, TermHit] = {}
    for hit in hits_of(content).get("promotional", ()):
        hits.setdefault(hit.term.word, hit)
    campaign = _CAMPAIGN_POINTS if any(map(_is_campaign, content.links)) else 0
    points = sum(hit.term.points for hit in hits.values()) + campaign
    if points < parameters.points:
        return None if content.is_complete else UNREAD_PARTS
    found = seen(hits.values())
    named = found.detail if found else "campaign links"
    return Finding(f"{points} points: {named}", spots=found.spots if found else ())


def _is_campaign(link: Link) -> bool:
    """Whether the link counts its clicks for a promotion."""
    if "utm_campaign" not in link.href:
        return False
    try:
        query = parse_qsl(urlsplit(link.href).query, max_num_fields=50)
    except ValueError:
        return False
    return any(name == "utm_campaign" and any(word in value.lower() for word in _CAMPAIGNS) for name, value in query)


CHECK = Check(
    name="promotional-content",
    summary="Words of promotion, each counted once, and campaign links come to `points` (default 4) or more",
    summary_zh="推广用语（每词计一次）与推广链接合计达到 `points` 分（默认 4）",
    parameters=PromotionalContent,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="Promotional content in a service message",
    text_zh="通知类邮件中含推广内容",
    fix="Send the promotion in the marketing stream, to those who agreed to it",
    fix_zh="请将推广内容改由营销邮件流发送，且仅发给已同意的收件人",
)
