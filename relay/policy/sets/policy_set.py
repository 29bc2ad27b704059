"""A policy set: everything that decides, compiled once from the files and never changed."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from relay.mail.envelope import Identity
from relay.mail.mailbox import Mailbox
from relay.policy.cases.case import Action, Asked, Phase
from relay.policy.cases.jurisdiction import Reach
from relay.policy.consents.consent import Ground, covers
from relay.policy.rules.duty import DutyTable
from relay.policy.rules.organisation import Exempt, Organisation, Texts
from relay.policy.rules.rule import Rule, Setting
from relay.policy.rules.table import domain_fits
from relay.policy.sets.model import Match, Override, PackFile, StreamFile, StreamLimits, Thresholds, Unsubscribe
from relay.policy.suppressions.suppression import Purpose


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


MOST_PLANS = 1000
"""What a stream keeps of each kind: recipients are under the laws of fewer countries."""

Plan = tuple[tuple[Rule, Asked | None, bool], ...]
"""The rules of a stream, each with why it is not asked, and whether the recipient's domain may still be the reason."""


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
    facts: Organisation = field(compare=False, repr=False)
    file: StreamFile = field(compare=False, repr=False)
    setting: Setting = field(init=False, compare=False, repr=False)  # what checks are told of it
    asks_consent: bool = field(init=False, compare=False, repr=False)  # whether a rule looks at the consent ledger
    counting: tuple[Rule, ...] = field(init=False, compare=False, repr=False)  # rules that count whose data leave the country
    asking_dns: tuple[Rule, ...] = field(init=False, compare=False, repr=False)  # rules on what DNS says of a domain
    plans: dict[tuple[frozenset[str], frozenset[str], Phase], Plan] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """Which rules are asked of whom: `relay.policy.deciding.asking.plan_of` keeps it here."""
    _owed: dict[tuple[frozenset[str], frozenset[str], frozenset[str]], tuple[Duty, ...]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    _of_day: dict[date, Setting] = field(default_factory=dict, init=False, compare=False, repr=False)
    unmet: tuple[tuple[Duty, tuple[str, ...]], ...] = field(init=False, compare=False, repr=False)
    """Duties that cannot be done to anybody, and what is missing for them in organisation.toml or in the stream."""
    _sparing: frozenset[str] = field(init=False, compare=False, repr=False)  # grounds of consents that spare of some duty

    def __post_init__(self) -> None:
        lacking = ((duty, self._lacks(duty)) for duty in self.duties if duty.table.if_impossible == "reject")
        object.__setattr__(self, "unmet", tuple((duty, keys) for duty, keys in lacking if keys))
        object.__setattr__(self, "setting", self._setting())
        object.__setattr__(self, "asks_consent", any(rule.asks_consent for rule in self.rules))
        object.__setattr__(self, "_sparing", frozenset(basis for duty in self.duties for basis in duty.table.spared_by))
        object.__setattr__(self, "counting", tuple(rule for rule in self.rules if rule.counts_transfers))
        object.__setattr__(self, "asking_dns", tuple(rule for rule in self.rules if rule.asks_domain))
        for rule in self.rules:
            rule.table.prepare()

    def _setting(self) -> Setting:
        said, offers = self.file, self._offers()
        return Setting(
            self.name, self.purpose, self.facts, offers=offers, sensitive=said.sensitive, personalised=said.personalised,
            adult=said.adult, zone=ZoneInfo(self.facts.time_zone),
        )  # fmt: skip

    def setting_on(self, today: date) -> Setting:
        """What checks are told of the stream and of the day."""
        setting = self._of_day.get(today)
        if setting is None:
            setting = replace(self.setting, today=today)
            self._of_day.clear()
            self._of_day[today] = setting
        return setting

    def counts_in(self, upstream_countries: frozenset[str], today: date) -> int | None:
        """The year for which a rule wants to know whose data left, of mail that may leave by servers there; or None."""
        asks = any(rule.table.is_abroad(self.facts, upstream_countries) for rule in self.counting)
        return today.year if asks else None

    def _lacks(self, duty: Duty) -> tuple[str, ...]:
        """What is missing for a duty; of what a rule of the same pack asks for that rule speaks, if it surely stops the copy."""
        pack, offers = duty.name.partition("/")[0], self._offers()
        of_pack = (rule for rule in self.rules if rule.name.startswith(f"{pack}/"))
        told = {key for rule in of_pack if rule.table.needs and self._stops(rule, duty) for key in rule.table.needs}
        if "unsubscribe" in told - offers:
            told.add("one-click")
        missing = (key for key in duty.table.needs if (key not in offers if key == "one-click" else not self.facts.says(key)))
        return tuple(key for key in missing if key not in told)

    def _stops(self, rule: Rule, duty: Duty) -> bool:
        """Whether no copy leaves that the duty is owed to while the rule objects; nothing relaxes it.

        In shadow mode copies leave without a duty that cannot be done, and the rule warns.
        """
        if rule.never or self.mode == "shadow":
            return not rule.never
        is_asked = not rule.table.recipient_domains and (rule.reach is None or rule.reach.includes(duty.reach))
        return is_asked and rule.action >= Action.DEFER and (rule.protected or not self._may_relax(rule.name))

    def _may_relax(self, rule: str) -> bool:
        patterns = (pattern for exempt in self.facts.exempt for pattern in exempt.rules)
        return rule in self.overrides or any(fnmatchcase(rule, pattern) for pattern in patterns)

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

    def agreed(self, grounds: Iterable[Ground]) -> frozenset[str]:
        """On which grounds a recipient whose ruling rests on these consents agreed to this mail, as far as duties look at it."""
        if not self._sparing:
            return self._sparing
        wanted = f"{self.purpose.value}:{self.name}"
        return frozenset(ground.basis for ground in grounds if covers(ground.purpose, wanted)) & self._sparing

    def duties_for(
        self, jurisdictions: frozenset[str], upstream_countries: frozenset[str], agreed: frozenset[str] = frozenset()
    ) -> tuple[Duty, ...]:
        """What is done to the copy for a recipient under these laws that may leave by upstream servers in these countries.

        `agreed` is what `agreed` says of the recipient.  Those of the recipient's own law first.  Correspondence is never
        split: a duty that some law asks for is done for all.
        """
        place = jurisdictions, upstream_countries, agreed
        if (known := self._owed.get(place)) is not None:
            return known
        owed = self._duties_for(*place)
        if len(self._owed) < MOST_PLANS:
            self._owed[place] = owed
        return owed

    def _duties_for(
        self, jurisdictions: frozenset[str], upstream_countries: frozenset[str], agreed: frozenset[str]
    ) -> tuple[Duty, ...]:
        if self.purpose is Purpose.CORRESPONDENCE:
            return tuple(duty for duty in self.duties if duty.reach is None or duty.reach.may_cover(upstream_countries))
        owed = [duty for duty in self.duties if duty.table.spared_by.isdisjoint(agreed)]
        bound = [duty for duty in owed if duty.reach is None or duty.reach.binds(jurisdictions, upstream_countries)]
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
