"""Open what is held again: the message and what is known of its recipients, as they were when they were kept."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from relay.errors import RelayError
from relay.holding.codec import Codec
from relay.keys import Keys
from relay.mail.envelope import Submission
from relay.mail.message import Message
from relay.stores.held import BodyLost, Held, HeldMessage
from relay.stores.ledger import FirstTry

_READ_AT_ONCE = 1024**2  # octets: about 3 ms
_KEPT = 64  # messages
_KEPT_OCTETS = 64 * 1024**2


class Unreadable(RelayError):
    """What is held cannot be opened: its key is gone, or it was altered."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """A held message. `submission` has neither recipients nor credentials.

    `lost` says what happened to its body, "" where nothing did; then `message` is what else is known of it, for the report.
    """

    submission: Submission
    first: FirstTry
    message: Message
    expires_at: float
    lost: str = ""


class HeldMessages:
    """The messages that were opened last: a campaign's is not read and parsed for each recipient. One per worker."""

    def __init__(self, keys: Keys) -> None:
        self._codec = Codec(keys)
        self._known: OrderedDict[str, Reopened] = OrderedDict()
        self._octets = 0
        self._large = asyncio.Semaphore(1)

    async def get(self, store: Held, message: str) -> Reopened | None:
        """The message, None when nothing of it is held any more. Raises StoreUnavailable and Unreadable."""
        if (known := self._known.get(message)) is not None:
            self._known.move_to_end(message)
            return known
        try:
            found = await store.held_message(message)
        except BodyLost as fault:
            return await self._without_body(store, message, str(fault))
        if found is None:
            return None
        try:
            opened = await self._open(found)
        except ValueError as fault:
            raise Unreadable(str(fault)) from fault
        self._remember(message, opened)
        return opened

    async def _without_body(self, store: Held, message: str, lost: str) -> Reopened | None:
        """It is not remembered: somebody may restore the body."""
        found = await store.held_message(message, with_body=False)
        if found is None:
            return None
        try:
            submission, first = self._codec.read_head(found.id, found.head)
        except ValueError as fault:
            raise Unreadable(str(fault)) from fault
        return Reopened(submission, first, _stand_in(submission), found.expires_at, lost)

    async def _open(self, found: HeldMessage) -> Reopened:
        submission, first = self._codec.read_head(found.id, found.head)
        if found.octets <= _READ_AT_ONCE:
            message = self._message(found)
        else:
            async with self._large:  # one at a time, in a thread, so that the others are heard meanwhile
                message = await asyncio.to_thread(self._message, found)
        return Reopened(submission, first, message, found.expires_at)

    def _message(self, found: HeldMessage) -> Message:
        """As it was taken, whatever the bounds of [smtp] are now: they are of what comes in."""
        octets = self._codec.read_body(found.id, found.body)
        bound = len(octets) + 1
        message = Message.parse(octets, line_ends="normalise", max_fields=bound, max_header_size=bound, max_line=bound)
        _ = message.received_digest  # takes as long as to parse it, and is kept
        return message

    def _remember(self, message: str, opened: Reopened) -> None:
        if message not in self._known:
            self._octets += opened.message.size
        self._known[message] = opened
        while len(self._known) > 1 and (len(self._known) > _KEPT or self._octets > _KEPT_OCTETS):
            _, oldest = self._known.popitem(last=False)
            self._octets -= oldest.message.size


def _stand_in(submission: Submission) -> Message:
    """All that is known of a message whose octets are lost."""
    path = submission.reverse_path.wire if submission.reverse_path else ""
    return Message.parse(f"Return-Path: <{path}>\r\n\r\n".encode())
