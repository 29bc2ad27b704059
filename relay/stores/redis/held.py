"""Copies that leave later, kept in Redis: the half of `Held` that turns values into arguments and answers into values."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from relay.errors import StoreUnavailable
from relay.policy.suppressions.suppression import Digest
from relay.stores.held import BodyLost, Held, HeldCopy, HeldMessage, HeldTotals, HeldUpdate, HoldFull, Holding, Lane, Why
from relay.stores.redis.link import Argument, RedisLink
from relay.stores.redis.words import listed, parts

_PIECE = 1 << 18  # octets of a body in one operation
_BODIES = 2  # pieces of bodies on the way at a time: the other ways are for everybody else
_CLAIMED = 50  # copies in one operation, as everywhere below: Redis serves nobody else meanwhile
_HELD = 100
_CHANGED = 50
_SHOWN = 100
_UNFOLDED = 5  # times that a step is asked for again whose answer did not come
_LOOKS = 200  # steps before a look at what is held, each of which gives up to a hundred copies of a hold their places
_GLANCES = 10  # likewise, where it is looked at each second


class HeldInRedis(Held):
    """`Held` on a link; every operation checks who the store is, like all others."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._bodies = asyncio.Semaphore(_BODIES)

    async def hold(self, key: Digest, holding: Holding) -> None:
        """As the contract says. Of more than a hundred copies one short step makes all known that was brought before."""
        message, credentials = holding.message, holding.credentials
        body = os.urandom(12).hex()
        pieces = [message.body[i : i + _PIECE] for i in range(0, len(message.body), _PIECE)] or [b""]
        if len(pieces) > 1:
            await self._keep_pieces(message, body, pieces, holding.max_octets)
        first = pieces[0] if len(pieces) == 1 else b""
        fields: list[Argument] = [message.head, message.octets, repr(message.at), repr(message.expires_at)]
        login: list[Argument] = [] if credentials is None else [*credentials[:2], repr(credentials[2])]
        words = [key, message.id, *listed(fields), holding.max_octets, body, len(pieces), first, *listed(login)]
        if len(holding.copies) <= _HELD:
            asked = [*words, *listed(holding.rows.items()), *listed(map(_new_words, holding.copies))]
            _require_held(await self._link.operate("hold", asked, on_replica=True, octets=len(first)), message)
            return
        brought = await self._fold(key, holding, body)
        _require_held(await self._link.operate("hold_folded", [*words, brought], on_replica=True, octets=len(first)), message)
        await self._unfold([key, message.id, body, *listed(login[:1])])

    async def _fold(self, key: Digest, holding: Holding, body: str) -> int:
        """Bring copies, and the rows that have none, before they are made known; how many of both the store has then."""
        message, copies, rows = holding.message, holding.copies, holding.rows
        whose = {copy.recipient for copy in copies}
        brought = 0
        for some in parts(copies, _HELD):
            replies = [(copy.recipient, rows[copy.recipient]) for copy in some if copy.recipient in rows]
            if some[-1] is copies[-1]:
                replies += [(digest, reply) for digest, reply in rows.items() if digest not in whose]
            words = [key, message.id, message.octets, holding.max_octets, body, *listed(replies), *listed(map(_new_words, some))]
            answer = await self._link.operate("fold", words)
            if isinstance(answer, bytes):
                _require_held(answer, message)
            brought = int(answer)
        return brought

    async def _unfold(self, words: Sequence[Argument]) -> None:
        """Let what is held take its places; what becomes of it when this process dies is the couriers' matter.

        A step whose answer is late is asked for again: it says what is true by then, whoever did it.

        Raises StoreUnavailable where another try of the submission has taken up a part of it meanwhile.
        """
        left, left_alone, lost = 1, 0, 0
        while left:
            try:
                left, left_alone = await self._link.operate("unfold", words)
            except StoreUnavailable as fault:
                lost += 1
                if fault.reason != "timeout" or lost == _UNFOLDED:
                    raise
        if left_alone:
            raise StoreUnavailable("timeout", "another try of the same submission took a part of it up meanwhile")

    async def _keep_pieces(self, message: HeldMessage, body: str, pieces: Sequence[bytes], max_octets: int) -> None:
        """Bring a body before it is made known; what is never made known is forgotten by Redis itself."""
        for number, piece in enumerate(pieces):
            async with self._bodies:
                words: list[Argument] = [message.id, message.octets, max_octets, body, number, piece]
                answer = await self._link.operate("keep_piece", words, octets=_PIECE)
            if answer == b"held":  # already: the body that is known stays
                return
            _require_held(answer, message)

    async def claim(self, most: int, lease_seconds: float) -> list[HeldCopy]:
        claimed: list[HeldCopy] = []
        while len(claimed) < most:
            asked = min(_CLAIMED, most - len(claimed))
            rows = await self._link.operate("claim", [asked, repr(lease_seconds)])
            claimed += map(_copy, rows)
            if len(rows) < asked:
                break
        return claimed

    async def held_message(self, message: str, *, with_body: bool = True) -> HeldMessage | None:
        found = await self._link.operate("held_message", [message, int(with_body)], octets=_PIECE * with_body)
        if not found:
            return None
        (head, octets, at, expires_at, body, number), first = found
        pieces = [first] if with_body else []
        while with_body and None not in pieces and len(pieces) < int(number):
            async with self._bodies:
                pieces.append(await self._link.operate("piece_of", [body, len(pieces)], octets=_PIECE))
        if None in pieces:
            await self._require_forgotten(message)
            return None
        return HeldMessage(message, head, b"".join(pieces), int(octets), float(at), float(expires_at))

    async def _require_forgotten(self, message: str) -> None:
        """A piece is missing: the last copy left meanwhile, or Redis has lost it.

        Raises BodyLost.
        """
        if await self._link.operate("held_message", [message, 0]):
            raise BodyLost("schema", f"Redis has lost a part of the held message {message}")

    async def update_held(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None = None) -> int:
        """As the contract says, some updates at a time; lanes rest before any."""
        rests = listed((_lane_word(lane), repr(until)) for lane, until in (resting or {}).items())
        heard = 0
        for some in parts(updates, _CHANGED) or [()]:
            heard += await self._link.operate("update_held", [*rests, *listed(map(_update_words, some))])
            rests = listed(())
        return heard

    async def held_copies(self, after: tuple[str, Digest] | None, most: int, message: str | None = None) -> list[HeldCopy]:
        if after is None:
            await self._unfold_some(_LOOKS)
        first, last = b"-", b"+"
        if message is not None:
            first, last = b"[" + message.encode() + b"\0", b"(" + message.encode() + b"\1"
        if after is not None and (message is None or after[0] >= message):
            first = b"(" + _copy_id(*after)
        found: list[HeldCopy] = []
        while len(found) < most:
            asked = min(_SHOWN, most - len(found))
            rows = await self._link.operate("held_copies", [first, last, asked])
            found += map(_copy, rows)
            if len(rows) < asked:
                break
            first = b"(" + rows[-1][0]
        return found

    async def free_owner(self, owner: Digest, why: Why) -> int:
        freed, first = 0, b"-"
        while first:
            last, number = await self._link.operate("free_owner", [owner, why, first, _CHANGED])
            freed += number
            first = last and b"(" + last
        return freed

    async def wake_lane(self, lane: Lane) -> None:
        await self._link.operate("wake_lane", [_lane_word(lane)])

    async def _unfold_some(self, most: int) -> None:
        """Let what is held, and has no place of its own yet, be seen: some steps of it, with others in between."""
        for _ in range(most):
            if not await self._link.operate("unfold_some", []):
                break

    async def held_totals(self) -> HeldTotals:
        await self._unfold_some(_GLANCES)
        reasons, octets, room = await self._link.operate("held_totals", listed(Why))
        copies = {why: number for why, (number, _) in zip(Why, reasons, strict=True) if number}
        oldest_at = min((float(oldest) for _, oldest in reasons if oldest), default=None)
        return HeldTotals(copies, octets, oldest_at, int(room) if room else None)

    async def keep_credentials(self, owner: Digest, sealed: bytes, until: float) -> bool:
        return bool(await self._link.operate("keep_credentials", [owner, sealed, repr(until)]))

    async def credentials_of(self, owner: Digest) -> bytes | None:
        sealed: bytes | None = await self._link.operate("credentials_of", [owner])
        return sealed

    async def drop_credentials(self, owner: Digest, sealed: bytes) -> None:
        await self._link.operate("drop_credentials", [owner, sealed])


def _require_held(answer: bytes, message: HeldMessage) -> None:
    match answer:
        case b"full":
            raise HoldFull(
                f"there is no room for {message.octets} octets in [hold] max_bytes, or in Redis beside everything else"
            )
        case b"leaving":
            raise StoreUnavailable("timeout", "another try of the same submission is leaving now")
        case b"closed":
            raise StoreUnavailable("timeout", "another try of the same submission was answered meanwhile")
        case b"lost":
            raise StoreUnavailable("timeout", "Redis let go of a body that took too long to bring")


def _copy_id(message: str, recipient: Digest) -> bytes:
    return message.encode() + b"\0" + recipient


def _lane_word(lane: Lane) -> bytes:
    return b"%d:%b" % (lane.priority, lane.key)


def _facts(copy: HeldCopy) -> list[Argument]:
    return [_lane_word(copy.lane), copy.owner, copy.why, repr(copy.due_at), copy.sealed, copy.attempts]


def _new_words(copy: HeldCopy) -> list[Argument]:
    return [copy.recipient, *_facts(copy)]


def _update_words(update: HeldUpdate) -> list[Argument]:
    before, after = update.before, update.after
    words: list[Argument] = [_copy_id(before.message, before.recipient), before.claim]
    return [*words, 0] if after is None else [*words, 1, *listed(_facts(after))]


def _copy(row: Sequence[Any]) -> HeldCopy:
    name, lane, owner, why, due_at, sealed, attempts, held_at, claim, leased_until = row
    message, _, recipient = name.partition(b"\0")
    priority, _, key = lane.partition(b":")
    return HeldCopy(
        message.decode(), recipient, Lane(int(priority), key), owner, Why(why.decode()), float(due_at), sealed,
        int(attempts), float(held_at), int(claim), float(leased_until),
    )  # fmt: skip
