"""Recipients' refusals by link: journalled on this node's disk before the 200, then applied to the store.

The journal is the record of the refusal itself (kind `suppressed`), written
with a row that says the store does not have it yet.  Until it does, the line
on this node looks at those rows too, so a refusal holds from the next
recipient on even while the store is down (law 6).

Whoever has a link can post it for ever; that must not fill the disk, and must
not lose a refusal that came after a consent, however quickly.  So the bound is
no span of time but what is in force.  The store is asked, each time, up to
when what this recipient said is answered.  A refusal that this node still
journals and that is not answered only moves its time on, in the journal and
in the store.  A link thus adds one record and one row to a node, another one
after each lifting, after a day of silence (`REMEMBERED_SECONDS`), and when it
is posted while the store is away.
"""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from relay.doors.background import Background, background_of
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import new_id
from relay.keys import Keys
from relay.loglines import fault_text
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import ORGANISATION, Purpose, Reason, Suppression, stream_scope
from relay.records.append import Records
from relay.records.collected import Addressee, addressee_named
from relay.records.journal import replay
from relay.records.suppressed import suppressed_record
from relay.render.sealed import TokenError, UnknownKey
from relay.render.token import UnsubscribeToken, read_token, stream_number
from relay.stores.contracts import Store
from relay.tasks import spawn

T = TypeVar("T")
_log = logging.getLogger("relay.doors")
_NONCE = re.compile(r"[0-9a-f]{32}")
IN_TIME_SECONDS = 0.3  # how long a POST waits for the store before it is answered from the journal alone


@dataclass(frozen=True, slots=True)
class Offer:
    """What a token offers to refuse. `stream` is None when the policy has it no longer, or no longer for marketing."""

    token: UnsubscribeToken
    scope: str
    stream: Stream | None
    policy: PolicySet

    @property
    def is_canary(self) -> bool:
        """Whether it stands for nobody, so that there is nothing to refuse."""
        return self.token.is_canary


def proof(keys: Keys, text: str) -> str:
    """What only a relay with these keys can answer to a nonce or a canary: `relay check --public` knows it too."""
    return keys.tokens.lasting_digest(f"relay-check-1 {text}").hex()


class _Turn:
    """One refusal being written; lives as long as somebody waits."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.begun = 0  # writings
        self.written = 0  # the number of the last one that is on disk


class Refusals:
    """Reads tokens and makes refusals take effect."""

    def __init__(
        self,
        keys: Keys,
        records: Records,
        store: Callable[[], Store],
        policy: Callable[[], PolicySet],
        lacks_keys: Callable[[], Awaitable[bool]],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._keys = keys
        self._records = records
        self._store = store
        self._policy = policy
        self._lacks_keys = lacks_keys
        self._clock = clock
        self._entropy = entropy
        self._turns: WeakValueDictionary[tuple[bytes, str], _Turn] = WeakValueDictionary()

    def read(self, text: str) -> Offer | None:
        """What the token offers; None when it is not one of ours."""
        try:
            token = read_token(text, self._keys.tokens.keys)
        except TokenError:
            return None
        policy = self._policy()
        stream = next((s for s in policy.streams if _is_meant(s, token)), None)
        narrow = stream is not None and not token.whole_organisation
        return Offer(token, stream_scope(stream.name) if stream is not None and narrow else ORGANISATION, stream, policy)

    async def may_be_new(self, text: str) -> bool:
        """Whether a token that `read` does not know may come from another node, which has a newer key than this one.

        Anybody can ask that, so it must cost the store nothing.
        """
        try:
            read_token(text, self._keys.tokens.keys)
        except UnknownKey:
            return await self._lacks_keys()
        except TokenError:
            return False
        return True

    def answer_check(self, nonce: str) -> str | None:
        """The proof for a nonce of 32 hexadecimal digits; None for anything else."""
        return proof(self._keys, nonce) if _NONCE.fullmatch(nonce) else None

    def answer_canary(self, text: str) -> str:
        """The proof that the canary was read here."""
        return proof(self._keys, text)

    async def background(self, offer: Offer, known: Addressee | None = None) -> Background:
        """What the page may tell of the mail and of its recipient, who need not be looked for when `known`; changes nothing."""
        return await background_of(offer.token, self._keys, self._records, self._store(), known)

    async def refuse(self, offer: Offer, origin: str) -> Addressee | None:
        """Record the refusal durably, then let it take effect; said again it only counts from then.

        Those who say the same while it is being written take turns, and one writing serves all who came before it.
        Returns the recipient, if it had to be looked up who that is, and this node sent the mail.
        Raises RecordsUnavailable when it could not be written down: the caller must not say it was.
        """
        turn = self._turns.setdefault((offer.token.recipient_digest, offer.scope), _Turn())
        came = turn.begun
        async with turn.lock:
            if turn.written > came:
                return None
            turn.begun += 1
            found = await self._write(offer, origin)
            turn.written = turn.begun
            return found

    async def _write(self, offer: Offer, origin: str) -> Addressee | None:
        digest, scope = offer.token.recipient_digest, offer.scope
        now, known = self._clock(), await self._in_time(self._history(digest, scope))
        answered_at = None if known is None else max((entry.answered_at or 0.0 for entry in known), default=0.0)
        # What the store holds to be answered was answered before this POST, whatever the clocks of two nodes say.
        at = now if answered_at is None else max(now, math.nextafter(answered_at, math.inf))
        sealed = next((entry.sealed for entry in known or () if entry.sealed), b"")
        # As the submission's record has it, so that people can read the list later; on another node nobody knows.
        found = None if sealed else await asyncio.to_thread(self._addressee, offer.token)
        sealed = found.person.sealed if found else sealed
        entry = Suppression(digest, scope, Reason.UNSUBSCRIBE, origin, at, sealed)
        record = suppressed_record(new_id(now, self._entropy(10)), now, entry, "recipient", offer.token.submission_id)
        await self._records.journal_refusal(record, entry, answered_at)
        if known is not None:  # else the store is away, and the journal is replayed when it is back
            await self._in_time(self._replay())
        return found

    async def _history(self, digest: bytes, scope: str) -> list[Suppression] | None:
        """This refusal as the store knows it, whatever was lifted of it; None when it does not say."""
        try:
            entries, _ = await self._store().history([digest])
        except Exception as fault:  # noqa: BLE001 - nothing about the store keeps a refusal from being written down
            unexpected = not isinstance(fault, StoreUnavailable)
            _log.warning("a refusal goes into the journal alone: %s", fault_text(fault), exc_info=unexpected)
            return None
        return [entry for entry in entries if (entry.scope, entry.reason) == (scope, Reason.UNSUBSCRIBE)]

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The work's answer; None, and the work goes on, when it takes its time."""
        try:
            return await asyncio.wait_for(asyncio.shield(spawn(work, "refusal")), IN_TIME_SECONDS)
        except TimeoutError:
            _log.info("the store takes its time; the refusal is in the journal")
            return None

    def _addressee(self, token: UnsubscribeToken) -> Addressee | None:
        return addressee_named(self._records.reader, token.submission_id, token.recipient_digest)

    async def _replay(self) -> None:
        try:
            await replay(self._records, self._store(), self._clock)
        except (StoreUnavailable, RecordsUnavailable) as fault:  # this one is written down, whatever stands in the way now
            _log.info("refusals wait in the journal: %s", fault)


def _is_meant(stream: Stream, token: UnsubscribeToken) -> bool:
    """A stream that is no longer for marketing would not be stopped by a refusal of it alone."""
    return stream_number(stream.name) == token.stream_number and stream.purpose is Purpose.MARKETING
