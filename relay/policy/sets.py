"""A policy set: everything that decides, compiled once from the files and never changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo

from relay.mail.envelope import Identity
from relay.mail.mailbox import Mailbox
from relay.policy.duty import DutyTable
from relay.policy.jurisdiction import Reach
from relay.policy.model import Match, Override, PackFile, StreamFile, StreamLimits, Thresholds, Unsubscribe
from relay.policy.organisation import Exempt, Organisation, OrganisationFacts, Texts
from relay.policy.rule import Rule, Setting
from relay.policy.suppression import Purpose
from relay.policy.table import domain_fits


@dataclass(frozen=True, slots=True)
class Duty:
    """What rendering must do to the copies for those whom its pack binds (`reach` None: everybody)."""

    name: str  # "base/internal-fields"
    table: DutyTable
    reach: Reach | None = None

    def is_of_recipient(self, jurisdictions: frozenset[str]) -> bool:
        """Whether it is a law of the recipient's that asks for it, and not the sender's."""
        return self.reach is not None and not self.reach.recipients.isdisjoint(jurisdictions)


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as one stream uses it.

    `reach` None: it binds all of its mail.  `until` is the last day on which
    somebody vouches for it, None for ever.
    """

    name: str
    file: PackFile
    reach: Reach | None
    until: date | None = None

    def is_expired(self, today: date) -> bool:
        """Whether nobody vouches for these rules any more."""
        return self.until is not None and today > self.until


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, with every rule it may ask in the order of its packs, its own rules last."""

    name: str
    purpose: Purpose
    match: Match
    mode: str  # enforce | shadow
    refusals: str  # report | rcpt
    upstream: tuple[str, ...]
    signing_required: bool
    unsubscribe: Unsubscribe
    limits: StreamLimits
    thresholds: Thresholds
    packs: tuple[Pack, ...]
    rules: tuple[Rule, ...]
    duties: tuple[Duty, ...]
    overrides: Mapping[str, Override]
    facts: OrganisationFacts = field(compare=False, repr=False)
    file: StreamFile = field(compare=False, repr=False)
    setting: Setting = field(init=False, compare=False, repr=False)  # what checks are told of it
    asks_consent: bool = field(init=False, compare=False, repr=False)  # whether a rule looks at the consent ledger
    unmet: tuple[tuple[Duty, tuple[str, ...]], ...] = field(init=False, compare=False, repr=False)
    """Duties that cannot be done to anybody, and what is missing for them in organisation.toml or in the stream."""

    def __post_init__(self) -> None:
        lacking = ((duty, self._lacks(duty)) for duty in self.duties if duty.table.if_impossible == "reject")
        object.__setattr__(self, "unmet", tuple((duty, keys) for duty, keys in lacking if keys))
        object.__setattr__(self, "setting", Setting(self.name, self.purpose, self.facts, offers=self._offers()))
        object.__setattr__(self, "asks_consent", any(rule.asks_consent for rule in self.rules))
        for rule in self.rules:
            rule.table.prepare()

    def _lacks(self, duty: Duty) -> tuple[str, ...]:
        """What is missing for a duty; of what a rule of the same pack asks for that rule speaks."""
        pack, offers = duty.name.partition("/")[0], self._offers()
        told = {key for rule in self.rules if not rule.never and rule.name.startswith(f"{pack}/") for key in rule.table.needs}
        if "unsubscribe" in told - offers:
            told.add("one-click")
        missing = (key for key in duty.table.needs if (key not in offers if key == "one-click" else not self.facts.says(key)))
        return tuple(key for key in missing if key not in told)

    def _offers(self) -> frozenset[str]:
        found = {
            "signature": self.signing_required,
            "one-click": self.unsubscribe.one_click,
            "mailto": self.unsubscribe.mailto,
            "unsubscribe": self.unsubscribe.is_offered,
        }
        return frozenset(name for name, is_there in found.items() if is_there)

    @property
    def title(self) -> Texts:
        """What recipients know it by."""
        title = self.file.title
        return Texts(zh=title.zh or title.en or self.name, en=title.en or title.zh or self.name)

    def takes(self, identity: Identity, listener: str, reverse_path: Mailbox | None) -> bool:
        """Whether the match fits: any within a list, all lists that are not empty."""
        wanted = self.match
        if wanted.identities and identity.name not in wanted.identities:
            return False
        if wanted.listeners and listener not in wanted.listeners:
            return False
        if wanted.sender_domains:
            return reverse_path is not None and domain_fits(reverse_path.domain, wanted.sender_domains)
        return True

    def duties_for(self, jurisdictions: frozenset[str], upstream_countries: frozenset[str]) -> tuple[Duty, ...]:
        """What is done to the copy for a recipient under these laws that may leave by upstream servers in these countries.

        Those of the recipient's own law first.  Correspondence is never split: a duty that some law asks for is done for all.
        """
        if self.purpose is Purpose.CORRESPONDENCE:
            return tuple(duty for duty in self.duties if duty.reach is None or duty.reach.may_cover(upstream_countries))
        bound = [duty for duty in self.duties if duty.reach is None or duty.reach.binds(jurisdictions, upstream_countries)]
        return tuple(sorted(bound, key=lambda duty: not duty.is_of_recipient(jurisdictions)))


@dataclass(frozen=True, slots=True)
class PolicySet:
    """One whole set. `hash` is 16 hex digits of SHA-256 over names and octets of its files."""

    hash: str
    organisation: Organisation
    streams: tuple[Stream, ...]  # in the order in which they are tried
    packs: Mapping[str, PackFile]
    zone: tzinfo

    def stream_for(self, identity: Identity, listener: str, reverse_path: Mailbox | None) -> Stream | None:
        """Return the first stream whose match fits, None when nobody declared this mail."""
        return next((stream for stream in self.streams if stream.takes(identity, listener, reverse_path)), None)

    def stream(self, name: str) -> Stream:
        """Return the stream of that name. Raises KeyError."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)

    def exemptions(self, today: date) -> tuple[Exempt, ...]:
        """Those that have not ended."""
        return tuple(exempt for exempt in self.organisation.exempt if today <= exempt.until)


def set_hash(files: Mapping[str, bytes]) -> str:
    """Name a set by its content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
