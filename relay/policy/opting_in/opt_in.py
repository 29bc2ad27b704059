"""Double opt-in: the sign-up forms, and when a mailbox may be asked to confirm.

Whoever types an address into a form may be a stranger to it.  So it gets one
plain mail with a link, nothing follows from leaving it alone, and the bounds
here keep a form from being a way to flood somebody (a request and one
reminder).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import PURPOSE, ConsentEvent, EventKind
from relay.policy.consents.residence import require_country
from relay.policy.rules.organisation import Texts
from relay.policy.rules.table import Table

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
HOLDS_SECONDS = 7 * 86400.0
"""How long the link of a confirmation mail holds; who has not confirmed by then agreed to nothing."""
AGAIN_SECONDS = 600.0
"""How long after one request the same again sends nothing."""
_YEAR_SECONDS = 365 * 86400.0
_MOST_TO_ONE = 2  # mails to a mailbox while a link holds, for one purpose: the request and one reminder
MOST_TO_ALL = 4  # the same for all purposes
_MOST_IN_VAIN = 6  # mails in a year since the mailbox confirmed anything


def _words(words: Texts) -> Texts:
    if not words.zh and not words.en:
        raise ValueError("expected zh or en: the words that people agree to / 请写明 zh 或 en：人们同意的内容")
    if max(len(words.zh), len(words.en)) > 2000:
        raise ValueError("longer than 2000 characters / 超过 2000 个字符")
    return words


def _page(url: str) -> str:
    if url and not re.fullmatch(r"https?://[!-~]{1,200}", url):
        raise ValueError("expected an http or https URL of at most 200 characters / 应为不超过 200 个字符的网址")
    return url


def _country(code: str) -> str:
    return code and require_country(code)


def _to_mail(purpose: str) -> str:
    if purpose.partition(":")[0] != "marketing":
        raise ValueError('expected "marketing" or "marketing:STREAM" / 应为 marketing 或 marketing:STREAM')
    return purpose


class SignUp(Table):
    """One sign-up form: what people agree to there."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    purpose: Annotated[str, Field(pattern=PURPOSE), AfterValidator(_to_mail)]
    words: Annotated[Texts, AfterValidator(_words)]
    notice_version: str = Field(default="", max_length=100)
    page: Annotated[str, AfterValidator(_page)] = ""
    country: Annotated[str, AfterValidator(_country)] = ""
    public: bool = False

    def said(self, language: Language) -> str:
        """The words as a reader of that language sees them."""
        return self.words.en or self.words.zh if language == "en" else self.words.zh or self.words.en

    def text_sha256(self, language: Language) -> str:
        """What the ledger keeps of the words."""
        return sha256(self.said(language).encode()).hexdigest()

    def is_of(self, request: ConsentEvent) -> bool:
        """Whether these are still the words of that request."""
        is_the_same = request.purpose == self.purpose and request.details.notice_version == self.notice_version
        return is_the_same and request.details.text_sha256 in (self.text_sha256("zh"), self.text_sha256("en"))


class Kept(StrEnum):
    """Why a mailbox is not asked."""

    ASKED = "asked"  # a moment ago
    TOO_MANY = "too_many"  # requests
    STANDS = "stands"  # there is a confirmed consent
    REFUSED = "refused"  # a complaint or an objection is no invitation to ask


def person_of(mailbox: Mailbox) -> str:
    """Whose mailbox it is where +tags and dots are the owner's to choose: all of these are one when requests are counted.

    Elsewhere two people are counted together now and then; nothing else may be told from it.
    """
    local_part, _, domain = mailbox.key.rpartition("@")
    owner = local_part.partition("+")[0].replace(".", "")
    return f"{owner or local_part}@{domain}"


def why_not(events: Sequence[ConsentEvent], purpose: str, now: float) -> Kept | None:
    """Why a mailbox with these events of the ledger gets no confirmation mail now; None when it may.

    Clocks of nodes may differ a little; a request of long after now is from a clock that was wrong.
    """
    asking = [one for one in events if one.event == EventKind.REQUESTED]
    requests = [(one.at, one.purpose) for one in asking if now - _YEAR_SECONDS < one.at <= now + AGAIN_SECONDS]
    answered_at = max((one.at for one in events if one.event == EventKind.CONFIRMED), default=0.0)
    recent = [about for at, about in requests if at > now - HOLDS_SECONDS]
    if any(about == purpose and at > now - AGAIN_SECONDS for at, about in requests):
        return Kept.ASKED
    if recent.count(purpose) >= _MOST_TO_ONE or len(recent) >= MOST_TO_ALL:
        return Kept.TOO_MANY
    return Kept.TOO_MANY if sum(at > answered_at for at, _ in requests) >= _MOST_IN_VAIN else None


def sign_up_faults(forms: Iterable[SignUp], sender: str, base_url: str) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What does not fit between forms and the rest of config.toml: place, text, Chinese text."""
    names: list[str] = []
    for number, form in enumerate(forms):
        if form.name in names:
            yield ("form", number, "name"), f'"{form.name}" is given twice', f"{form.name} 重复"
        names.append(form.name)
    if names and not sender:
        yield (
            ("consents", "sender"), "[[form]] needs it: the address that confirmation mails come from",
            "[[form]] 需要它：确认邮件的发件地址",
        )  # fmt: skip
    if names and not base_url:
        yield (
            ("unsubscribe", "base_url"), "[[form]] needs it: where people confirm",
            "[[form]] 需要它：收件人通过它确认",
        )  # fmt: skip
