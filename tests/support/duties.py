"""Duties as a pack writes them, and what is done to a message for them."""

from relay.policy.rules.duty import DUTIES
from relay.policy.sets.policy_set import Duty
from relay.render.duties import Treatment, treatment_of
from relay.render.letterhead import Letterhead
from tests.support.signing import a_message

CHINA: frozenset[str] = frozenset({"CN"})
NOWHERE: frozenset[str] = frozenset()


def duty(do: str, name: str = "law/duty", **keys: object) -> Duty:
    """A [[duty]] of the pack and with the id in `name`."""
    return Duty(name, DUTIES[do].model_validate({"id": name.partition("/")[2], "do": do, **keys}))


def treatment(*duties: Duty, countries: frozenset[str] = NOWHERE, subject: str = "", may_skip: bool = False) -> Treatment:
    return treatment_of(duties, countries, a_message(f"Subject: {subject}"), may_skip=may_skip)


def a_letterhead(**changes: object) -> Letterhead:
    facts = {
        "stream": "newsletter",
        "purpose": "marketing",
        "title": {"zh": "新闻邮件", "en": "Newsletter"},
        "legal_name": {"zh": "云杉科技有限公司", "en": "Spruce Technology Ltd."},
        "postal_address": {"zh": "上海市杉树路 7 号", "en": "7 Spruce Road, Shanghai"},
        "refusal_mailbox": "refuse@example.com",
        "contact": "+86 21 5555 0100",
        "privacy_url": "https://www.example.com/privacy",
        "preferences_url": "https://www.example.com/settings",
        "has_link": True,
    }
    return Letterhead(**{**facts, **changes})  # type: ignore[arg-type]
