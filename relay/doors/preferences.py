"""The page behind a token: what one may refuse there, and the facts for it in words.

One click refuses what the token says.  On the page a person chooses: this
stream, or all marketing mail.  What they choose there is what they said, so it
may be more or less than the token's own scope; nothing is ever taken back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from relay.doors.background import Background
from relay.doors.refusals import Offer
from relay.policy.consents.moment import bounded
from relay.policy.rules.organisation import OrganisationFacts, Texts
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import ORGANISATION, Purpose, stream_scope

WHOLE, NARROW = "organisation", "stream"
Choice = Sequence[Any]
"""The values of the field `scope` in a form, as they came."""


def chosen(offer: Offer, choice: Choice) -> Offer | None:
    """What a POST refuses; None when the choice is none that a page offers.

    Who chose a stream that has left the policy since refuses everything: doubt refuses more, never less.
    """
    if not choice:
        return offer
    if list(choice) == [WHOLE]:
        return replace(offer, scope=ORGANISATION)
    if list(choice) == [NARROW]:
        return replace(offer, scope=stream_scope(offer.stream.name)) if offer.stream else offer
    return None


def facts(offer: Offer, background: Background, just_now: str = "") -> dict[str, Any]:
    """Everything the pages say; `just_now` is the scope that was refused a moment ago."""
    organisation = offer.policy.organisation
    state, since = _state(offer.stream, {just_now: background.sent_at, **background.refused})
    purposes = {stream.purpose for stream in offer.policy.streams}
    return {
        **sender_facts(organisation),
        "stream": _texts(offer.stream.title) if offer.stream else None,
        "others": [_texts(one.title) for one in offer.policy.streams if _is_other(one, offer.stream)],
        "still": [purpose.value for purpose in Purpose if purpose in purposes],
        "preselected": WHOLE if offer.scope == ORGANISATION else NARROW,
        "state": state,
        "since": _day(since, offer.policy.zone),
        "just_now": bool(just_now),
        "recipient": background.recipient,
        "mailbox": background.sender,
        "sent": _day(background.sent_at, offer.policy.zone),
        "consent": background.consent and {
            "day": _day(background.consent.at, offer.policy.zone),
            "evidence": background.consent.evidence,
        },
    }  # fmt: skip


def sender_facts(organisation: OrganisationFacts) -> dict[str, Any]:
    """Who sends, at the end of every page."""
    return {
        "legal_name": _texts(organisation.legal_name),
        "postal_address": _texts(organisation.postal_address),
        "refusal_mailbox": organisation.refusal_mailbox,
        "privacy_url": organisation.privacy_url,
    }


def _state(stream: Stream | None, refused: Mapping[str, float]) -> tuple[str, float]:
    """What is refused altogether, "" when it is nothing that the page speaks of, and since when."""
    if ORGANISATION in refused:
        return WHOLE, refused[ORGANISATION]
    scope = stream_scope(stream.name) if stream else ""
    return (NARROW, refused[scope]) if scope in refused else ("", 0.0)


def _is_other(one: Stream, stream: Stream | None) -> bool:
    return one.purpose is Purpose.MARKETING and one is not stream


def _texts(texts: Texts) -> dict[str, str]:
    """Both languages; what was written in one only is shown in both."""
    return {"zh": texts.zh or texts.en, "en": texts.en or texts.zh}


def _day(at: float, zone: tzinfo) -> dict[str, str]:
    day = datetime.fromtimestamp(bounded(at), zone)
    return {"zh": f"{day.year}年{day.month}月{day.day}日", "en": f"{day.day} {day:%B} {day.year}"}
