"""What we know about a provider: its caps, its quirks, and how its replies are to be read.

Profiles are data (`providers/*.toml`).  The reply dictionary decides what a
reply means: a number alone does not, because providers dress throttles as
550.  Within the dictionary the first entry that fits wins; a provider's own
entries come before the generic ones.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relay.errors import ConfigurationError
from relay.toml import Duration, Size, describe, parse_toml

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
    """What a reply means, and whether the same mail would be refused again."""

    reply_class: ReplyClass
    permanent: bool


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
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Table):
    """One entry of the dictionary; see generic.toml for how it is read."""

    reply_class: ReplyClass = Field(alias="class")
    text: tuple[Annotated[str, Field(min_length=3)], ...] = ()
    enhanced: tuple[Annotated[str, Field(pattern=r"^[245]\.\d{1,3}\.\d{1,3}$")], ...] = ()
    code: tuple[Annotated[int, Field(ge=400, le=599)], ...] = ()
    permanent: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.text or self.enhanced or self.code):
            raise ValueError("an entry needs text, enhanced or code: without them it would fit every reply")
        if self.reply_class is ReplyClass.ACCEPTED:
            raise ValueError('class = "accepted" is for 2yz replies only; the dictionary never makes one')
        return self

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

    `addresses` is where its customers hand in mail, `spf_include` what their SPF record must include; for `relay init` and
    `relay check --dns`.  `country` is where its servers stand, "" when that is not known or depends on the server.
    """

    name: str
    title: str
    addresses: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+:\d{2,5}$")], ...] = ()
    spf_include: Annotated[str, Field(pattern=r"^[a-z0-9.-]*$")] = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
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


def classify(profile: Profile, code: int, enhanced: str, text: str) -> Classified:
    """Say what a reply means; `enhanced` is "5.7.1" or "", `text` is all lines of it."""
    if code < 400:
        return Classified(ReplyClass.ACCEPTED, permanent=False)
    for entry in profile.reply:
        if entry.fits(code, enhanced, text):
            return Classified(entry.reply_class, code >= 500 if entry.permanent is None else entry.permanent)
    if code >= 500:
        return Classified(ReplyClass.PERMANENT, permanent=True)
    return Classified(ReplyClass.TRANSIENT, permanent=False)


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
