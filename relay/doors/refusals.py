"""Recipients' refusals by link: journalled on this node's disk before the 200, then applied to the store.

The journal is the record of the refusal itself (kind `suppressed`), written
with a row that says the store does not have it yet.  Until it does, the line
on this node looks at those rows too, so a refusal holds from the next
recipient on even while the store is down (law 6).
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from relay.doors.background import Background, background_of
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import new_id
from relay.keys import Keys
from relay.policy.sets import PolicySet, Stream
from relay.policy.suppression import ORGANISATION, Purpose, Reason, Suppression, stream_scope
from relay.records.append import Records
from relay.records.facts import suppressed_record
from relay.records.journal import replay
from relay.records.search import sealed_recipient
from relay.render.token import TokenError, UnsubscribeToken, read_token, stream_number
from relay.stores.contracts import Store
from relay.tasks import spawn

_log = logging.getLogger("relay.doors")
_NONCE = re.compile(r"[0-9a-f]{32}")
IN_TIME_SECONDS = 0.3  # how long a POST waits for the store before it is answered from the journal alone
REPEATED_SECONDS = 10.0  # a POST that comes again within this time adds nothing: whoever has one link cannot fill the disk
_REMEMBERED = 10_000


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
    return keys.tokens.digest(f"relay-check-1 {text}").hex()


class Refusals:
    """Reads tokens and makes refusals take effect."""

    def __init__(
        self,
        keys: Keys,
        records: Records,
        store: Callable[[], Store],
        policy: Callable[[], PolicySet],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._keys = keys
        self._records = records
        self._store = store
        self._policy = policy
        self._clock = clock
        self._entropy = entropy
        self._lately: dict[tuple[bytes, str], float] = {}  # who refused what, and when it was written down

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

    def answer_check(self, nonce: str) -> str | None:
        """The proof for a nonce of 32 hexadecimal digits; None for anything else."""
        return proof(self._keys, nonce) if _NONCE.fullmatch(nonce) else None

    def answer_canary(self, text: str) -> str:
        """The proof that the canary was read here."""
        return proof(self._keys, text)

    async def background(self, offer: Offer) -> Background:
        """What the page may tell of the mail and of its recipient; changes nothing."""
        return await background_of(offer.token, self._keys, self._records, self._store())

    async def refuse(self, offer: Offer, origin: str) -> None:
        """Record the refusal durably, then let it take effect; repeating it changes nothing.

        Raises RecordsUnavailable when it could not be written down: the caller must not say it was.
        """
        now, said = self._clock(), (offer.token.recipient_digest, offer.scope)
        if abs(now - self._lately.get(said, 0.0)) < REPEATED_SECONDS:
            return
        sealed = await asyncio.to_thread(self._sealed_address, offer.token)
        entry = Suppression(offer.token.recipient_digest, offer.scope, Reason.UNSUBSCRIBE, origin, now, sealed)
        record = suppressed_record(new_id(now, self._entropy(10)), now, entry, "recipient")
        await self._records.journal_refusal(record, entry)
        self._remember(said, now)
        try:
            await asyncio.wait_for(asyncio.shield(spawn(self._replay(), "refusal")), IN_TIME_SECONDS)
        except TimeoutError:
            _log.info("the store takes its time; the refusal is in the journal")

    def _remember(self, said: tuple[bytes, str], now: float) -> None:
        self._lately.pop(said, None)  # the dictionary is in the order of time
        self._lately[said] = now
        while len(self._lately) > _REMEMBERED:
            del self._lately[next(iter(self._lately))]

    def _sealed_address(self, token: UnsubscribeToken) -> bytes:
        """The recipient as the submission's record has it, so that people can read the list later; b"" on another node."""
        return sealed_recipient(self._records, token.submission_id, token.recipient_digest)

    async def _replay(self) -> None:
        try:
            await replay(self._records, self._store(), self._clock)
        except (StoreUnavailable, RecordsUnavailable) as fault:  # this one is written down, whatever stands in the way now
            _log.info("refusals wait in the journal: %s", fault)


def _is_meant(stream: Stream, token: UnsubscribeToken) -> bool:
    """A stream that is no longer for marketing would not be stopped by a refusal of it alone."""
    return stream_number(stream.name) == token.stream_number and stream.purpose is Purpose.MARKETING
