"""What duties write into a copy: what the organisation says of itself, and what the mail is."""

from dataclasses import dataclass
from typing import Literal

from relay.policy.rules.duty import FooterPart
from relay.policy.rules.organisation import OrganisationFacts
from relay.policy.sets.policy_set import Stream

Language = Literal["zh", "ko", "ja", "en", "fr", "de", "pt", "es"]
Languages = tuple[Language, ...]
"""What a text says in more than one language it says in each, in this order."""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Facts of organisation.toml in Chinese and English ("" what it does not say), and of the stream.

    `preferences_url` is "" where no program chooses what readers are shown;
    `has_link` says that each copy has its recipient's unsubscribe link;
    `feedback_mailbox` is one that is read by the relay, "" without any;
    `signing_domains` are those of the keys that sign the message.
    """

    stream: str
    purpose: str
    title: dict[Language, str]
    legal_name: dict[Language, str]
    postal_address: dict[Language, str]
    refusal_mailbox: str = ""
    contact: str = ""
    privacy_url: str = ""
    preferences_url: str = ""
    has_link: bool = False
    feedback_mailbox: str = ""
    signing_domains: frozenset[str] = frozenset()

    def lacks(self, part: FooterPart) -> str:
        """What must be set before this part of a footer can be written, "" when nothing is missing."""
        facts: dict[FooterPart, tuple[bool, str]] = {
            "identity": (any(self.legal_name.values()), "legal_name in organisation.toml"),
            "address": (any(self.postal_address.values()), "postal_address in organisation.toml"),
            "refusal-mailbox": (bool(self.refusal_mailbox), "refusal_mailbox in organisation.toml"),
            "contact": (bool(self.contact), "contact in organisation.toml"),
            "privacy": (bool(self.privacy_url), "privacy_url in organisation.toml"),
            "unsubscribe": (self.has_link, f"[unsubscribe] one_click in streams/{self.stream}.toml"),
        }
        is_set, where = facts.get(part, (True, ""))
        return "" if is_set else where


def letterhead_of(
    organisation: OrganisationFacts, stream: Stream, *, feedback_mailbox: str, signing_domains: frozenset[str]
) -> Letterhead:
    """What organisation.toml and the stream say; the mailbox and the keys are the relay's own."""
    return Letterhead(
        stream=stream.name,
        purpose=stream.purpose.value,
        title={"zh": stream.title.zh, "en": stream.title.en},
        legal_name={"zh": organisation.legal_name.zh, "en": organisation.legal_name.en},
        postal_address={"zh": organisation.postal_address.zh, "en": organisation.postal_address.en},
        refusal_mailbox=organisation.refusal_mailbox,
        contact=organisation.contact,
        privacy_url=organisation.privacy_url,
        preferences_url=organisation.preferences_url if stream.file.personalised else "",
        has_link=stream.unsubscribe.is_offered,
        feedback_mailbox=feedback_mailbox,
        signing_domains=signing_domains,
    )
