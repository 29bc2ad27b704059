"""The store on Redis 7: for several nodes, with Redis' own clock.

The decisions are made inside Redis (`functions`); this module turns
values into arguments and answers into values.  Whether Redis keeps what it
acknowledged is asked at the start and by `check`: appendonly, fsync at every
write, no eviction, and replicas where Sentinel may promote one.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self

from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import Feedback, Measure, Pause, SendingDays, Tally
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import REFUSALS, Digest, Reason, Suppression
from relay.policy.timing.limits import Charge
from relay.stores.adaptations import LEAST_STEP, MOST, Adaptation, dump_adaptation, load_adaptation
from relay.stores.consents import in_order
from relay.stores.contracts import Store, StoreMeta
from relay.stores.entries import gravest_first, lifted_by, require_recordable_rows, row_of
from relay.stores.ledger import (
    Clearance,
    Cleared,
    ClearRequest,
    Closing,
    Entry,
    FirstTry,
    Opening,
    Paused,
    Refused,
    Row,
    RowState,
    Settlement,
    Taken,
    Withdrawn,
)
from relay.stores.limits import OverLimit, Reserved
from relay.stores.redis.consents import consent_of, consent_words, ground_words
from relay.stores.redis.held import HeldInRedis
from relay.stores.redis.link import Argument, RedisLink
from relay.stores.redis.lookup import LookUpInRedis, suppression_of
from relay.stores.redis.transfers import TransfersInRedis, crossing_words
from relay.stores.redis.words import TOGETHER, listed, parts
from relay.stores.suppressions import EntryRow
from relay.stores.transfers import Exhausted

_ENTRIES = 250  # recorded in one operation; that takes longer than to look them up


class RedisStore(HeldInRedis, LookUpInRedis, TransfersInRedis, Store):
    """All contracts on one Redis (standalone, TLS or Sentinel)."""

    name = "redis"

    def __init__(self, link: RedisLink, *, durability_confirmed: bool = False) -> None:
        super().__init__(link)
        self._durability_confirmed = durability_confirmed

    # Who the store is

    @classmethod
    async def open(
        cls,
        url: str,
        meta: StoreMeta,
        *,
        timeout_ms: int = 200,
        durability_confirmed: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> Self:
        """Open the store that is `meta` and was written with no other keys; `clock` replaces the server's clock.

        Raises StoreUnavailable, and ConfigurationError when the URL cannot be used.
        """
        link = RedisLink(url, timeout_ms / 1000)
        link.identify(meta, clock)
        try:
            await link.verify()
        except BaseException:
            await link.aclose()
            raise
        return cls(link, durability_confirmed=durability_confirmed)

    @staticmethod
    async def create(url: str, meta: StoreMeta, *, timeout_ms: int = 200) -> StoreMeta:
        """Make the empty store this one; return who it is, which is another one when somebody else was first.

        Raises StoreUnavailable, and ConfigurationError when the URL cannot be used.
        """
        link = RedisLink(url, timeout_ms / 1000)
        try:
            return await link.create(meta)
        finally:
            await link.aclose()

    @staticmethod
    async def peek(url: str, *, timeout_ms: int = 200) -> StoreMeta | None:
        """Who the store at this URL says it is; None when it is empty.

        Raises StoreUnavailable, and ConfigurationError when the URL cannot be used.
        """
        link = RedisLink(url, timeout_ms / 1000)
        try:
            return await link.meta()
        finally:
            await link.aclose()

    async def meta(self) -> StoreMeta:
        if (meta := await self._link.meta()) is None:
            raise StoreUnavailable("empty", "the Redis store is empty")
        return meta

    async def extend(self, fingerprints: frozenset[str]) -> None:
        await self._link.extend(fingerprints)

    async def check(self) -> None:
        await self._link.verify()
        state, settings = await asyncio.gather(self._link.state(), self._link.settings())
        if state["role"] != "master":
            raise StoreUnavailable("unreachable", f"this Redis server is a {state['role']}, not a master")
        if state["aof_last_write_status"] != "ok":
            raise StoreUnavailable("disk", "Redis could not write its append-only file")
        if settings is not None:
            self._check_durability(settings)
        elif not self._durability_confirmed:
            raise StoreUnavailable(
                "durability",
                "this Redis hides its settings; make sure of appendonly yes, appendfsync always and maxmemory-policy"
                " noeviction, then set [store] durability_confirmed = true",
            )

    def _check_durability(self, settings: dict[str, str]) -> None:
        needed = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
        wrong = [f"{name} is {settings.get(name)}, not {value}" for name, value in needed.items() if settings.get(name) != value]
        if self._link.has_replicas and int(settings.get("min-replicas-to-write", "0")) < 1:
            wrong.append("min-replicas-to-write is 0: a fail-over would forget refusals; set it to 1 or more")
        if wrong:
            raise StoreUnavailable("durability", f"Redis may lose what it acknowledged: {'; '.join(wrong)}")

    async def aclose(self) -> None:
        await self._link.aclose()

    # Suppressions

    async def suppress(self, entry: Suppression) -> bool:
        return await self.suppress_many([entry]) == 1

    async def suppress_many(self, entries: Sequence[Suppression]) -> int:
        return await self.suppress_rows(list(map(row_of, entries)))

    async def suppress_rows(self, rows: Sequence[EntryRow]) -> int:
        require_recordable_rows(rows)
        new = 0
        for some in parts(rows, _ENTRIES):
            new += await self._link.operate("suppress", listed(map(_entry_words, some)), on_replica=True)
        return new

    async def lift(self, digests: Sequence[Digest], scope: str, reason: Reason, consent: ConsentEvent | None, note: str) -> bool:
        why = lifted_by(consent, note)
        words = [*listed(digests), scope, reason, int(reason in REFUSALS), why, *listed(consent_words(consent))]
        return bool(await self._link.operate("lift", words, on_replica=True))

    async def history(self, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
        entries, events = await self._link.operate("history", listed(digests))
        suppressions = sorted(map(suppression_of, entries), key=lambda entry: entry.at)
        return suppressions, list(in_order(list(map(consent_of, events))))

    async def export(self) -> AsyncIterator[Suppression]:
        position = 0
        while position >= 0:
            position, rows = await self._link.operate("export", [position])
            for row in rows:
                yield suppression_of(row)

    async def count(self) -> dict[tuple[str, str], int]:
        rows = await self._link.operate("count", [])
        return {(reason.decode(), scope.decode()): number for reason, scope, number in rows if number > 0}

    # Limits

    async def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit:
        reservation = _new_reservation()
        met = await self._link.operate("reserve", [reservation, lease_seconds, *_charge_words(charges)])
        return _over_limit(met, charges) if met else Reserved(reservation)

    async def used(self, charges: Sequence[Charge]) -> list[int]:
        return list(await self._link.operate("used", _charge_words(charges)))

    async def settle(self, reservation: str) -> None:
        await self._link.operate("settle", [reservation])

    async def refund(self, reservation: str) -> None:
        await self._link.operate("refund", [reservation])

    # Ledger

    async def open_submission(self, key: Digest, opening: Opening) -> Entry:
        proposal, recipients, year = opening.proposal, opening.recipients, opening.transferred_in
        first = [proposal.submission_id, repr(proposal.at), proposal.date, proposal.message_id]
        words = [key, *listed(first), opening.ttl_seconds, *listed(recipients), opening.age, opening.stream]
        asking = self._link.operate("open", [*words, *listed(opening.lanes)])
        leaving = self.transferred(year or 0, recipients if year is not None else [])
        looking = self.look_up(opening.asked, with_consents=opening.with_consents)
        opened, found, left = await asyncio.gather(asking, looking, leaving)  # one call: in one tick
        kept, rows, pause, waiting = opened
        submission_id, at, date, message_id = (value.decode() for value in kept)
        tried = FirstTry(submission_id, float(at), date, message_id)
        paused = _pause(pause) if pause else None
        return Entry(tried, tuple(map(_row, rows)), paused, tuple(found), tuple(left), frozenset(waiting))

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        return tuple(map(_row, await self._link.operate("rows", [key])))

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        words = [_request_words(request) for request in requests]
        asked = [key, submission_id, lease_seconds, ttl_seconds, _new_reservation(), *listed(words)]
        answers = await self._link.operate("clear", asked)
        return [_clearance(answer, request) for answer, request in zip(answers, requests, strict=True)]

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        words: list[list[Argument]] = [
            [s.recipient, s.state or "", s.reply, s.reservation, s.submission_id, s.stream, int(s.no_mailbox)]
            for s in settlements
        ]
        await self._link.operate("finish", [key, *listed(words)])

    async def close(self, key: Digest, closing: Closing) -> None:
        await self._link.operate("close", [key, closing.submission_id, *listed(closing.keep), closing.remember])

    # Reputation

    async def paused(self) -> dict[str, Pause]:
        return {pause.stream: pause for pause in map(_pause, await self._link.operate("paused", []))}

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        fields = [repr(pause.at), pause.by, pause.measure, pause.reason, pause.reason_zh]
        expected = "" if counted_from is None else repr(counted_from)
        return bool(await self._link.operate("pause", [pause.stream, *listed(fields), expected], on_replica=True))

    async def resume(self, stream: str) -> Pause | None:
        ended = await self._link.operate("resume", [stream], on_replica=True)
        return _pause(ended) if ended else None

    async def note(self, feedback: Sequence[Feedback]) -> None:
        for some in parts(feedback, TOGETHER):
            words: list[list[Argument]] = [
                [one.stream, one.measure, one.submission_id.encode() + b"\0" + one.recipient, repr(one.sent_at)] for one in some
            ]
            await self._link.operate("note", listed(words))

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        rows = await self._link.operate("tallies", listed(windows.items()))
        return {stream: _tally(row) for stream, row in zip(windows, rows, strict=True)}

    # Adaptations

    async def adaptations(self) -> list[Adaptation]:
        return list(map(load_adaptation, await self._link.operate("adaptations", [])))

    async def adapt(self, adaptation: Adaptation) -> bool:
        new = adaptation
        words: list[Argument] = [new.key, dump_adaptation(new), repr(new.until), repr(new.weight), LEAST_STEP[new.kind], MOST]
        return bool(await self._link.operate("adapt", words))

    async def end_adaptation(self, key: Digest) -> Adaptation | None:
        ended = await self._link.operate("end_adaptation", [key])
        return load_adaptation(ended[0]) if ended else None

    async def take_ended(self) -> list[Adaptation]:
        return list(map(load_adaptation, await self._link.operate("take_ended", [])))

    async def note_sending(self, stream: str, day: str) -> None:
        await self._link.operate("note_sending", [stream, day])

    async def sending_days(self, streams: Sequence[str]) -> dict[str, SendingDays]:
        rows = await self._link.operate("sending_days", listed(streams))
        return {stream: SendingDays(days, last.decode()) for stream, (days, last) in zip(streams, rows, strict=True)}


def _new_reservation() -> str:
    return os.urandom(12).hex()


def _entry_words(row: EntryRow) -> list[Argument]:
    digest, scope, reason, origin, at, sealed, note = row[:7]
    expires_at, again_at = row[7:] or (None, None)
    said_at, said_again, ends_at = ("" if moment is None else repr(moment) for moment in (at, again_at, expires_at))
    return [bytes(digest), scope, reason, origin, said_at, said_again, bytes(sealed), note, ends_at]


def _charge_words(charges: Sequence[Charge]) -> list[Argument]:
    windows = ((charge, charge.window) for charge in charges)
    return listed([c.key, w.count, repr(w.length), w.day, repr(w.day_ends), c.count] for c, w in windows)


def _request_words(request: ClearRequest) -> list[Argument]:
    bound = [*listed(request.suppression_digests), *listed(request.scopes), *listed(request.reasons)]
    whose = [request.stream, request.submission_id]
    beside = [*ground_words(request.grounds), *crossing_words(request.crossing), int(request.may_repeat)]
    return [request.recipient, *bound, *_charge_words(request.charges), *whose, *beside]


def _row(row: Sequence[bytes]) -> Row:
    recipient, state, reply, submission_id, lease_until, answered = row
    read = RowState(state.decode())
    return Row(recipient, read, reply.decode(), submission_id.decode(), float(lease_until), answered=bool(answered))


def _pause(row: Sequence[bytes]) -> Pause:
    stream, at, by, measure, reason, reason_zh = (value.decode() for value in row)
    return Pause(stream, float(at), by, Measure(measure), reason, reason_zh)


def _tally(row: Sequence[Any]) -> Tally:
    delivered, refused, returned, complaints, counted_from = row
    return Tally(delivered, refused, returned, complaints, float(counted_from))


def _over_limit(met: Sequence[int], charges: Sequence[Charge]) -> OverLimit:
    number, retry_after, in_flight = met
    return OverLimit(charges[number].name, retry_after, bool(in_flight))


def _clearance(answer: Sequence[Any], request: ClearRequest) -> Clearance:
    kind, what, *numbers = answer
    match kind:
        case b"refused":
            return Refused(gravest_first(map(suppression_of, what))[0])
        case b"withdrawn":
            return Withdrawn(request.grounds[what])
        case b"taken":
            return Taken(_row(what))
        case b"paused":
            return Paused(_pause(what))
        case b"exhausted":
            if request.crossing is None:
                raise StoreUnavailable("unreachable", "the store counts whom nobody asked it to")
            return Exhausted(request.crossing, what)
        case b"over":
            return _over_limit(what, request.charges)
        case _:
            return Cleared(what.decode(), *numbers)
