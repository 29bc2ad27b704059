"""What people may do with held mail: look at it, let it pass a rule, have it tried at once, drop it.

A copy that is being sent at this moment is left alone: its outcome is its own
answer.  The store hears a change only while nobody else has claimed the copy
meanwhile.  Every deed is on record before it takes effect, and what is dropped
is told of when its outcome is on record too: by whoever drops it, or after a
while by the courier.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.answer import Result, Standing
from relay.holding.codec import Codec, Detail, report_lane
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Submission
from relay.policy.suppressions.suppression import Digest
from relay.records.append import Records
from relay.records.facts import late_record, unreported_record
from relay.records.handled import handled_record
from relay.records.kinds import Record
from relay.stores.held import Held, HeldCopy, HeldMessage, HeldUpdate, Lane, Why

PAGE = 500  # copies that are looked at, and changed, in one step
_RECORDING_SECONDS = 60.0  # until the courier takes up what was dropped and not recorded


class Deed(StrEnum):
    """What may be done with held copies; the word of `relay held` and of the record."""

    RELEASE = "release"  # leaves although a rule wanted a person to look at it
    RETRY = "retry"  # is due now
    DROP = "drop"  # never leaves; its sender is told


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which copies a person means; what is left empty is left open."""

    ids: tuple[str, ...] = ()
    recipient: Digest | None = None
    whys: frozenset[Why] = frozenset()
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A held copy as people see it. What this relay has no key for is None."""

    copy: HeldCopy
    message: HeldMessage
    submission: Submission | None
    detail: Detail | None
    is_leaving: bool  # somebody is sending it now


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the copies that a person meant: changed, being sent, or not ones that this can be done with.

    `closed` could not be opened and were left alone; `forgotten` could not be opened and were dropped all the same.
    """

    changed: int = 0
    leaving: int = 0
    unfit: int = 0
    closed: int = 0
    forgotten: int = 0

    def __add__(self, other: "Done") -> "Done":
        return Done(
            self.changed + other.changed,
            self.leaving + other.leaving,
            self.unfit + other.unfit,
            self.closed + other.closed,
            self.forgotten + other.forgotten,
        )


class HeldMail:
    """What is held, opened."""

    def __init__(self, store: Held, keys: Keys, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._codec = Codec(keys)

    async def pages(self, wanted: Wanted) -> AsyncIterator[list[Seen]]:
        """The copies that are meant, in the order of message and recipient, so many at a time; some pages are empty.

        What is changed in one page does not move the next.  Raises StoreUnavailable.
        """
        for message in wanted.ids or (None,):
            after: tuple[str, Digest] | None = None
            while copies := await self._store.held_copies(after, PAGE, message):
                after = copies[-1].message, copies[-1].recipient
                yield await self._seen([copy for copy in copies if _is_meant(copy, wanted)], wanted.stream)

    async def _seen(self, copies: Sequence[HeldCopy], stream: str) -> list[Seen]:
        known: dict[str, tuple[HeldMessage, Submission | None] | None] = {}
        seen = []
        for copy in copies:
            if copy.message not in known:
                known[copy.message] = await self._message(copy.message)
            found = known[copy.message]
            if found is None:  # it has left meanwhile
                continue
            message, submission = found
            if not stream or (submission and submission.stream == stream):
                leaving = copy.leased_until > self._clock()
                seen.append(Seen(copy, message, submission, self._codec.detail_of(copy), leaving))
        return seen

    async def _message(self, message_id: str) -> tuple[HeldMessage, Submission | None] | None:
        message = await self._store.held_message(message_id, with_body=False)
        if message is None:
            return None
        try:
            return message, self._codec.read_head(message.id, message.head)[0]
        except ValueError:
            return message, None


class Intervention:
    """One deed, by one person. With `unreadable` they drop what nobody can open, too: no sender can be told of that."""

    def __init__(
        self,
        store: Held,
        records: Records,
        keys: Keys,
        clock: Callable[[], float],
        *,
        by: str,
        reason: str,
        unreadable: bool = False,
    ) -> None:
        self._store, self._records, self._keys, self._clock = store, records, keys, clock
        self._by, self._reason, self._unreadable = by, reason, unreadable
        self._codec = Codec(keys)
        self._untold: Lane | None = None  # of the report on a message of which the next page may drop more

    async def do(self, deed: Deed, page: Sequence[Seen]) -> Done:
        """Do it to these copies, page by page in their order. Raises RecordsUnavailable and StoreUnavailable."""
        idle = [one for one in page if not one.is_leaving]
        fit = [one for one in idle if _fits(deed, one)]
        closed = [one for one in idle if one.detail is None and deed is not Deed.RETRY]
        changed = await self._change(deed, fit) if fit else 0
        missed, unfit = len(page) - len(idle) + len(fit) - changed, len(idle) - len(fit) - len(closed)
        if deed is not Deed.DROP or not self._unreadable or not closed:
            return Done(changed, missed, unfit, len(closed))
        forgotten = await self._forget(closed)
        return Done(changed, missed + len(closed) - forgotten, unfit, forgotten=forgotten)

    async def finish(self) -> None:
        """After the last page: let the sender be told of what was dropped last. Raises StoreUnavailable."""
        lane, self._untold = self._untold, None
        if lane is not None:
            await self._store.wake_lane(lane)

    async def _change(self, deed: Deed, fit: Sequence[Seen]) -> int:
        await self._write_down(deed, fit)
        if deed is Deed.DROP:
            return await self._drop(fit)
        heard = await self._store.update_held([HeldUpdate(one.copy, self._after(deed, one)) for one in fit])
        if deed is Deed.RETRY:
            for lane in dict.fromkeys(one.copy.lane for one in fit):
                await self._store.wake_lane(lane)
        return heard

    async def _write_down(self, deed: Deed, copies: Sequence[Seen]) -> None:
        """Who does it and why; whose copies they are as far as they can be opened."""
        now = self._clock()
        await self._records.append_many([
            handled_record(
                message, [one.detail.recipient for one in of_it if one.detail], deed.value,
                by=self._by, reason=self._reason, at=now, person=self._records.person,
            )
            for message, of_it in _by_message(copies).items()
        ])  # fmt: skip

    async def _forget(self, closed: Sequence[Seen]) -> int:
        """Drop what nobody can open: neither sender nor recipient is known, so it is only on record that nobody was told."""
        await self._write_down(Deed.DROP, closed)
        heard = await self._store.update_held([HeldUpdate(one.copy, None) for one in closed])
        there = set[tuple[str, Digest]]()
        if heard < len(closed):  # the courier was quicker somewhere
            found = [copy for message in _by_message(closed) for copy in await self._all_of(message)]
            there = {(copy.message, copy.recipient) for copy in found}
        gone = [one for one in closed if (one.copy.message, one.copy.recipient) not in there]
        now, person = self._clock(), self._records.person
        records = [unreported_record(message, (), "unreadable", now, person) for message in _by_message(gone)]
        await self._records.append_many(records)
        return heard

    def _after(self, deed: Deed, seen: Seen) -> HeldCopy:
        """What becomes of the copy. It is due since it was held, by the store's own clock, and so keeps its place."""
        copy, detail = replace(seen.copy, due_at=seen.copy.held_at), seen.detail
        if deed is Deed.RETRY or detail is None:
            return copy
        return replace(copy, sealed=self._codec.detail(copy.message, replace(detail, released=True)))

    async def _drop(self, fit: Sequence[Seen]) -> int:
        """Let nobody send them, write down what became of them, and only then let their sender be told.

        The message that comes last waits for the next page, which may have more of it: so its sender is told once. Should
        there be none, and `finish` not be reached, its report leaves a little later.
        """
        due_at = self._clock() + _RECORDING_SECONDS
        dropped = [replace(one, detail=self._refused(one.detail)) for one in fit if one.detail]
        updates = [HeldUpdate(one.copy, self._to_report(one, due_at)) for one in dropped]
        heard = await self._store.update_held(updates)
        expected = [update.after and replace(update.after, claim=update.before.claim + 1) for update in updates]
        if heard < len(updates):  # the courier was quicker somewhere
            there = {copy for message in _by_message(fit) for copy in await self._all_of(message)}
            expected = [copy if copy in there else None for copy in expected]
        gone = [replace(one, copy=copy) for one, copy in zip(dropped, expected, strict=True) if copy]
        await self._records.append_many([self._outcome(message, of_it) for message, of_it in _by_message(gone).items()])
        told = [replace(one, detail=replace(one.detail, is_unrecorded=False)) for one in gone if one.detail]
        lanes = [report_lane(self._keys, message) for message in _by_message(fit)]
        updates = [HeldUpdate(one.copy, self._to_report(one, one.copy.held_at)) for one in told]
        await self._store.update_held(updates, dict.fromkeys(lanes, due_at))
        *complete, last = dict.fromkeys([self._untold or lanes[0], *lanes])
        self._untold = last
        for lane in complete:
            await self._store.wake_lane(lane)
        return heard

    def _to_report(self, seen: Seen, due_at: float) -> HeldCopy:
        """The copy as one that waits for its report."""
        copy, detail = seen.copy, seen.detail
        sealed = self._codec.detail(copy.message, detail) if detail else copy.sealed
        return replace(copy, why=Why.REPORT, attempts=0, due_at=due_at, lane=report_lane(self._keys, copy.message), sealed=sealed)

    def _refused(self, detail: Detail) -> Detail:
        said = replies.DROPPED.wire().decode()
        why_zh, why_en = f"中继的管理员决定不发送：{self._reason}", f"An administrator of the relay decided: {self._reason}"
        return replace(
            detail, reply=said, rule=replies.DROPPED.rule, why_zh=why_zh, why_en=why_en, upstream="", upstream_text="", gone="",
            refused_at=self._clock(), is_unrecorded=True,
        )  # fmt: skip

    async def _all_of(self, message: str) -> list[HeldCopy]:
        found: list[HeldCopy] = []
        while page := await self._store.held_copies((message, found[-1].recipient) if found else None, PAGE, message):
            found += page
        return found

    def _outcome(self, message: str, seen: Sequence[Seen]) -> Record:
        rule = replies.DROPPED.rule
        results = [Result(one.detail.recipient, Standing.REFUSED, replies.DROPPED, rule) for one in seen if one.detail]
        return late_record(message, results, self._clock(), self._records.person)


def _is_meant(copy: HeldCopy, wanted: Wanted) -> bool:
    return (wanted.recipient is None or copy.recipient == wanted.recipient) and (not wanted.whys or copy.why in wanted.whys)


def _fits(deed: Deed, seen: Seen) -> bool:
    """Only what a rule holds can be released; a report cannot be dropped, its sender must be told; what is closed is apart."""
    if deed is Deed.RETRY:
        return True
    return seen.detail is not None and (seen.copy.why is Why.RULE if deed is Deed.RELEASE else seen.copy.why is not Why.REPORT)


def _by_message(seen: Sequence[Seen]) -> Mapping[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for one in seen:
        found.setdefault(one.copy.message, []).append(one)
    return found
