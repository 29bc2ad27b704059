"""What earlier tries of the same submission settled, and what another try settles right now."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from relay.answer import Result, Standing
from relay.config import Smtp
from relay.errors import StoreUnavailable
from relay.failing import tell_unavailable
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.reply import parse_reply
from relay.policy.suppressions.suppression import Digest
from relay.stores.contracts import Store
from relay.stores.ledger import Row, RowState

_SETTLED = (RowState.DELIVERED, RowState.REFUSED, RowState.HELD)
_POLL_SECONDS = 0.2  # between looks at a row that another try is delivering
_REMEMBERED = 10_000  # answered submissions whose client has not spoken again yet
_LATE_SECONDS = 300.0  # from the last octet of a message to the ledger: it is read, and the worker has other work
_STORE_SECONDS = 60.0  # more than a step of a store may take
_DRIFT = 0.001  # twice as much as clocks are slowed down or sped up to be set


def is_settled(row: Row) -> bool:
    """Whether a try has an answer for this recipient."""
    return row.state in _SETTLED


def settled_rows(rows: Sequence[Row]) -> dict[Digest, Row]:
    """The recipients, by their ledger digests, for whom an earlier try has an answer."""
    return {row.recipient: row for row in rows if is_settled(row)}


def unknown_digests(rows: Sequence[Row]) -> frozenset[Digest]:
    """The recipients of whom nobody knows whether an earlier try reached them.

    One that is leaving counts too: its lease may end before this try asks for leave.
    """
    return frozenset(row.recipient for row in rows if row.state not in _SETTLED)


def earlier_result(recipient: Recipient, row: Row) -> Result:
    """What an earlier try of the same submission settled: delivered, held or refused."""
    if row.state is RowState.DELIVERED:
        return Result(recipient, Standing.DELIVERED, replies.OK, earlier=True, answered=row.answered)
    standing = Standing.HELD if row.state is RowState.HELD else Standing.REFUSED
    return Result(recipient, standing, parse_reply(row.reply), earlier=True, answered=row.answered)


async def await_others(
    store: Store, key: Digest, digests: Mapping[str, Digest], results: Sequence[Result], deadline: float
) -> list[Result]:
    """Wait for recipients whom another try of the same submission is delivering right now.

    `digests` names recipients by their mailbox keys; `deadline` is in the loop's time.  When the store goes away,
    what it said until then holds.
    """
    waiting = {digests[r.recipient.key]: r for r in results if r.reply is replies.RESEND_IN_PROGRESS}
    settled = {r.recipient.key: r for r in results}
    while waiting and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        try:
            rows = {row.recipient: row for row in await store.rows(key)}
        except StoreUnavailable as fault:
            tell_unavailable(store, fault)
            break
        for digest, result in list(waiting.items()):
            row = rows.get(digest)
            if row is not None and row.state in _SETTLED:
                settled[result.recipient.key] = earlier_result(result.recipient, row)
                del waiting[digest]
            elif row is None or row.state is RowState.INDETERMINATE:
                del waiting[digest]  # the other try did not make it: 451, and the next try claims the row
    return [settled[r.recipient.key] for r in results]


def age_of(began: float, now: float, smtp: Smtp) -> float:
    """Seconds since a client was told to send its message, or a little less: no new message may look like an old try.

    Raises StoreUnavailable when that is so long ago that the ledger may not know any more what its client was answered since.
    """
    age = now - began
    if age > smtp.data_timeout + _LATE_SECONDS:
        raise StoreUnavailable("timeout", f"the message came to the ledger {age:.0f} seconds after its client began to send it")
    return max(0.0, age * (1 - _DRIFT))


def remembered_for(smtp: Smtp) -> float:
    """Seconds that the ledger must know what a client was answered, for another try of the message that comes late."""
    return smtp.data_timeout + _LATE_SECONDS + _STORE_SECONDS


class Answered:
    """Submissions that were answered, until their clients go on."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, Digest] = OrderedDict()

    def remember(self, submission_id: str, key: Digest) -> None:
        """Keep the ledger key; who is not heard of again is forgotten, the longest known first."""
        self._keys[submission_id] = key
        while len(self._keys) > _REMEMBERED:
            self._keys.popitem(last=False)

    def take(self, submission_id: str) -> Digest | None:
        """The ledger key, once; None for what was not answered, or so long ago."""
        return self._keys.pop(submission_id, None)
