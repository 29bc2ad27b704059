"""What became of one recipient at the upstream, in words that a client may read.

The upstream's text is passed on as printable ASCII of at most 400 octets.
Every address in it is masked, the recipient's own too: the text goes into
ledger, records and reports, and whoever reads it there knows whom it is about.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from relay.mail import replies
from relay.mail.mailbox import without_addresses
from relay.mail.reply import Reply, ascii_text
from relay.upstream.profile import Profile, ReplyClass, classify
from relay.upstream.reaction import NOTHING, Reaction

MAX_TEXT = 400
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=[ \t]|$)")
_TRANSIENT_CODES = {450, 451, 452}
_PERMANENT_CODES = {550, 551, 552, 553, 554}
_DETAILS = {  # RFC 3463, for upstreams that give no enhanced status code
    ReplyClass.RECIPIENT_GONE: "1.1",
    ReplyClass.THROTTLE: "7.1",
    ReplyClass.CONTENT: "7.1",
    ReplyClass.AUTHENTICATION: "7.0",
    ReplyClass.SENDER_POLICY: "7.1",
    ReplyClass.REPUTATION: "7.1",
    ReplyClass.OUTAGE: "4.1",
}


class OutcomeState(Enum):
    """How it ended."""

    DELIVERED = "delivered"  # the upstream's 250 to the dot was seen
    TRANSIENT = "transient"  # not delivered, may be tried again
    PERMANENT = "permanent"  # not delivered, would be refused again
    INDETERMINATE = "indeterminate"  # the dot may have arrived, its reply did not


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one recipient.

    `reply` is what a client may be told.  `reply_class` is None when no reply
    of the upstream decided.  `before_dot` says that the upstream cannot have
    the message: it may be tried elsewhere at once.  `upstream_text` is the
    upstream's own reply, for records and reports; "" when there was none.
    `gone` is the enhanced status code, else the code, of a reply that says for
    good that this one recipient has no mailbox, "" when none says so.
    `reaction` is what the relay does about the reply.
    """

    state: OutcomeState
    reply: Reply
    reply_class: ReplyClass | None = None
    before_dot: bool = False
    upstream_text: str = ""
    gone: str = ""
    reaction: Reaction = NOTHING


class UpstreamReply(NamedTuple):
    """A reply as the upstream sent it: its code and its lines without the code."""

    code: int
    text: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def enhanced(self) -> str:
        """The enhanced status code at the start of the first line, "" when there is none of this reply's class."""
        found = _ENHANCED.match(self.text[0])
        return found[0] if found and int(found[1]) == self.code // 100 else ""

    @property
    def shown(self) -> str:
        """The text without codes, every address masked."""
        return self.shown_after(self.enhanced)

    def shown_after(self, enhanced: str) -> str:
        """As `shown`, where it is known with which enhanced status code the text begins."""
        lines = [line.removeprefix(enhanced).strip() for line in self.text]
        return ascii_text(without_addresses(" ".join(filter(None, lines))))[:MAX_TEXT]


class UpstreamUnavailable(ConnectionError):
    """No connection could be had; nothing was sent, so every recipient is transient.

    `reason` is a short machine word: busy, account, draining, resting, or one
    of `OpeningError`.  `reply` is what a client may be told; `text` is for
    operators.  `asked`: a login may have been tried on the way.
    `retry_after`: seconds before which nobody will be asked, 0 when that is not known.
    `reply_class` and `reaction` are of the reply that said no to a login.
    """

    def __init__(
        self,
        reason: str,
        text: str,
        reply: Reply = replies.UPSTREAM_UNREACHABLE,
        said: str = "",
        *,
        asked: bool = False,
        retry_after: float = 0.0,
        reply_class: ReplyClass | None = None,
        reaction: Reaction = NOTHING,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.reply = reply
        self.said = said  # the upstream's own words, printable ASCII, addresses masked
        self.asked = asked
        self.retry_after = retry_after
        self.reply_class = reply_class
        self.reaction = reaction


def outcome_of(profile: Profile, reply: UpstreamReply, *, before_dot: bool, own: bool = False) -> Outcome:
    """The outcome that a definite reply of the upstream makes; `own` says that it is about this one recipient."""
    enhanced = reply.enhanced
    said = reply.shown_after(enhanced)
    own_words = f"{reply.code} {f'{enhanced} ' if enhanced else ''}{said}".rstrip()
    if reply.is_positive:
        return Outcome(
            OutcomeState.DELIVERED, replies.upstream_said(250, "0.0", said), ReplyClass.ACCEPTED, upstream_text=own_words
        )
    meaning = classify(profile, reply.code, enhanced, " ".join(reply.text))
    state = OutcomeState.PERMANENT if meaning.permanent else OutcomeState.TRANSIENT
    detail = enhanced[2:] or _DETAILS.get(meaning.reply_class, "0.0")
    shown = replies.upstream_said(_code(reply.code, permanent=meaning.permanent), detail, said)
    is_gone = own and meaning.permanent and meaning.reply_class is ReplyClass.RECIPIENT_GONE
    gone = (enhanced or str(reply.code)) if is_gone else ""
    return Outcome(state, shown, meaning.reply_class, before_dot, own_words, gone, meaning.reaction)


def unanswered(reply: Reply, *, before_dot: bool) -> Outcome:
    """The outcome when the upstream gave no definite reply: transient before the dot, unknown after it."""
    return Outcome(OutcomeState.TRANSIENT if before_dot else OutcomeState.INDETERMINATE, reply, None, before_dot)


def _code(code: int, *, permanent: bool) -> int:
    """A reply code that fits the meaning and that RFC 5321 section 4.3.2 allows after the dot: never 421, never 503."""
    if permanent:
        return code if code in _PERMANENT_CODES else 554
    return code if code in _TRANSIENT_CODES else 451
