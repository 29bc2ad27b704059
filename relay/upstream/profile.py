"""What we know about a provider: its caps, its quirks, and how its replies are to be read.

Profiles are data (`providers/*.toml`).  The reply dictionary decides what a
reply means: a number alone does not, because providers dress throttles as
550.  Within the dictionary the first entry that fits wins; a provider's own
entries come before the generic ones.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from relay.errors import ConfigurationError
from relay.stores.adaptations import Scope
from relay.toml import Duration, Size, describe, parse_toml
from relay.upstream.reaction import NOTHING, Reaction

GENERIC = "generic"


class ReplyClass(StrEnum):
    """What an upstream's reply is about."""

    ACCEPTED = "accepted"
    RECIPIENT_GONE = "recipient_gone"  # the mailbox is not there
    THROTTLE = "throttle"  # too much, too fast, for today or for this minute
    CONTENT = "content"  # the message looks like spam or carries what is forbidden
    AUTHENTICATION = "authentication"  # login, password, or too many wrong ones
    SENDER_POLICY = "sender_policy"  # reverse-path, From, SPF, DKIM or DMARC of the sender
    REPUTATION = "reputation"  # our address or account is in bad standing
    OUTAGE = "outage"  # the upstream does not work now
    TRANSIENT = "transient"  # any other 4yz
    PERMANENT = "permanent"  # any other 5yz


@dataclass(frozen=True, slots=True)
class Classified:
    """What a reply means, whether the same mail would be refused again, and what the relay does about it."""

    reply_class: ReplyClass
    permanent: bool
    reaction: Reaction = NOTHING


REACTIONS: Mapping[ReplyClass, Reaction] = {
    ReplyClass.THROTTLE: Reaction(back_off=15 * 60.0, halve=True),
    ReplyClass.AUTHENTICATION: Reaction(back_off=15 * 60.0),  # a refused login has a rest of its own (relay.adapting)
    ReplyClass.REPUTATION: Reaction(Scope.UPSTREAM, pause=True),
}
"""What is done about a class of replies where the entry names nothing else; the other classes change nothing for later mail."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an upstream's EHLO offered last; `size` 0 means no bound was named, `seen` False that nobody asked yet."""

    pipelining: bool = False
    size_offered: bool = False
    size: int = 0
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    seen: bool = False


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Entry(_Table):
    """One entry of the dictionary; see generic.toml for how it is read.

    What it says of back_off, until, rate, pause, split or confirmations takes the place of all that its class would do.
    """

    reply_class: ReplyClass = Field(alias="class")
    text: tuple[Annotated[str, Field(min_length=3)], ...] = ()
    enhanced: tuple[Annotated[str, Field(pattern=r"^[245]\.\d{1,3}\.\d{1,3}$")], ...] = ()
    code: tuple[Annotated[int, Field(ge=400, le=599)], ...] = ()
    permanent: bool | None = None
    scope: Scope | None = None
    back_off: Duration | None = None
    until: Literal["tomorrow"] | None = None
    rate: Literal["halve"] | None = None
    pause: bool = False
    split: bool = False
    confirmations: int = Field(default=0, ge=0, le=10)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.text or self.enhanced or self.code):
            raise ValueError("an entry needs text, enhanced or code: without them it would fit every reply")
        if self.reply_class is ReplyClass.ACCEPTED:
            raise ValueError('class = "accepted" is for 2yz replies only; the dictionary never makes one')
        if self.back_off is not None and self.until is not None:
            raise ValueError("back_off and until both name an end: write one of them")
        if self.confirmations and self.reply_class is not ReplyClass.RECIPIENT_GONE:
            raise ValueError('confirmations is for class = "recipient_gone" only')
        return self

    @cached_property
    def reaction(self) -> Reaction:
        """What the relay does about such a reply."""
        usual = REACTIONS.get(self.reply_class, NOTHING)
        scope = self.scope or usual.scope
        named = (self.back_off, self.until, self.rate, self.pause or None, self.split or None, self.confirmations or None)
        if all(value is None for value in named):
            return replace(usual, scope=scope)
        return Reaction(
            scope,
            self.back_off or 0.0,
            tomorrow=self.until is not None,
            halve=self.rate is not None,
            pause=self.pause,
            split=self.split,
            confirmations=self.confirmations,
        )

    @cached_property
    def _words(self) -> re.Pattern[str]:
        alternatives = "|".join(map(re.escape, self.text))
        return re.compile(rf"(?<![A-Za-z0-9])(?:{alternatives})(?![A-Za-z0-9])", re.IGNORECASE)

    def fits(self, code: int, enhanced: str, text: str) -> bool:
        """Whether the reply is one that this entry names."""
        return (
            (not self.code or code in self.code)
            and (not self.enhanced or enhanced in self.enhanced)
            and (not self.text or self._words.search(text) is not None)
        )


class Profile(_Table):
    """One provider. `max_message_size` 0 means: as its EHLO says.

    `addresses` is where its customers hand in mail, `imap` where they read it, `spf_include` what their SPF record must
    include; for `relay init` and `relay check --dns`.  `country` is where its servers stand, "" when that is not known or
    depends on the server.  `time_zone` is where its day ends, "" for the organisation's.
    """

    name: str
    title: str
    addresses: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+:\d{2,5}$")], ...] = ()
    imap: Annotated[str, Field(pattern=r"^([a-z0-9.-]+:\d{2,5})?$")] = ""
    spf_include: Annotated[str, Field(pattern=r"^[a-z0-9._-]*$")] = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    time_zone: str = ""
    max_recipients: int = Field(ge=1, le=10_000)
    max_connections: int = Field(ge=1, le=10_000)
    max_connections_per_identity: int = Field(ge=1, le=1000)
    max_messages_per_connection: int = Field(ge=1)
    idle: Duration
    max_message_size: Size
    long_lines: Literal["pass", "encode"]
    eight_bit: Literal["pass", "encode"]
    unsigned_fields: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], ...]
    null_reverse_path: bool
    from_must_match_login: bool
    own_list_unsubscribe: bool
    reply: tuple[Entry, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            return name and ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'"{name}" is not a time zone such as "Asia/Shanghai"') from None

    @cached_property
    def zone(self) -> tzinfo | None:
        """Where its day ends; None: as the organisation's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None


def classify(profile: Profile, code: int, enhanced: str, text: str) -> Classified:
    """Say what a reply means; `enhanced` is "5.7.1" or "", `text` is all lines of it."""
    if code < 400:
        return Classified(ReplyClass.ACCEPTED, permanent=False)
    for entry in profile.reply:
        if entry.fits(code, enhanced, text):
            permanent = code >= 500 if entry.permanent is None else entry.permanent
            return Classified(entry.reply_class, permanent, entry.reaction)
    if code >= 500:
        return Classified(ReplyClass.PERMANENT, permanent=True)
    return Classified(ReplyClass.TRANSIENT, permanent=False)


def is_known(profile: Profile, code: int, enhanced: str, text: str) -> bool:
    """Whether an entry names the reply, and not its number alone."""
    return any(entry.fits(code, enhanced, text) for entry in profile.reply)


def parse_profile(octets: bytes, name: str, further: tuple[Entry, ...] = ()) -> Profile:
    """Read one profile; `further` are entries that are asked after its own.

    Raises ConfigurationError that lists every fault with its place.
    """
    source = f"providers/{name}.toml"
    document = parse_toml(octets, source)
    try:
        profile = Profile(**{**document, "name": name})
    except ValidationError as error:
        raise ConfigurationError(describe(error, source)) from None
    return profile.model_copy(update={"reply": profile.reply + further})


def load_profiles() -> Mapping[str, Profile]:
    """Every profile that the relay ships, by name. Raises ConfigurationError."""
    folder = files("relay.upstream") / "providers"
    octets = {entry.name.removesuffix(".toml"): entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".toml")}
    generic = parse_profile(octets[GENERIC], GENERIC)
    others = {name: parse_profile(text, name, generic.reply) for name, text in sorted(octets.items()) if name != GENERIC}
    return {GENERIC: generic, **others}
