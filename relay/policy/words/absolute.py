"""Absolute terms of advertising, and the wordings in which they claim nothing (Advertising Law Art 9(3); SAMR 2023 no. 6)."""

from relay.mail.words.content import Content
from relay.policy.words.lexicon import hits_of
from relay.policy.words.terms import TermHit
from relay.policy.words.wordings import exemptions

TIERS = ("block", "evidence", "notice")


def absolute_hits(content: Content) -> tuple[tuple[TermHit, str], ...]:
    """The absolute terms that claim something, each with its tier; worked out once per message."""
    return content.once(_judged)


def _judged(content: Content) -> tuple[tuple[TermHit, str], ...]:
    found = ((hit, _tier(hit)) for hit in hits_of(content).get("absolute", ()))
    return tuple((hit, tier) for hit, tier in found if tier)


def _tier(hit: TermHit) -> str:
    """The tier that counts, "" when none does."""
    tier = hit.term.group
    for exemption in exemptions("absolute"):
        if exemption.covers(hit):
            return TIERS[1] if exemption.lowers and tier == TIERS[0] else ""
    return tier
