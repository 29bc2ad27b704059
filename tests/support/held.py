"""Messages and copies that are held, for tests of stores and of what works with them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relay.policy.suppressions.suppression import Digest
from relay.stores.contracts import Store
from relay.stores.held import HeldCopy, HeldMessage, HeldUpdate, Holding, Lane, Why
from relay.stores.ledger import FirstTry, Opening
from tests.support.stores import START, digest

DAY = 86400.0
ROOM = 1 << 30
LEASE = 600.0
TTL = 5 * DAY
OWNER = digest("owner")
LANE = Lane(2, digest("lane"))
REPLY = "450 4.2.1 not now"


def lane(name: object, priority: int = 2) -> Lane:
    return Lane(priority, digest(f"lane {name}"))


def held_message(number: int = 1, octets: int = 1000, expires_at: float = START + 5 * DAY) -> HeldMessage:
    body = (b"%08d" % number * (octets // 8 + 1))[:octets]
    return HeldMessage(f"01JHELD{number:019d}", b"sealed head %d" % number, body, octets, START, expires_at)


def held_copy(message: HeldMessage, who: object, in_lane: Lane = LANE, **facts) -> HeldCopy:
    usual: dict[str, Any] = {"owner": OWNER, "why": Why.UPSTREAM, "due_at": START, "sealed": f"sealed {who}".encode()}
    return HeldCopy(message.id, digest(who), in_lane, **usual | facts)


def key_of(message: HeldMessage) -> Digest:
    """The ledger's key of its submission."""
    return digest(f"submission {message.id}")


async def opened(store: Store, message: HeldMessage, lanes: Sequence[Digest] = (), key: Digest | None = None):
    proposal = FirstTry(message.id, message.at, "Fri, 15 Jan 2027 08:00:00 +0000", f"<{message.id}@relay.example.com>")
    return await store.open_submission(key or key_of(message), Opening(proposal, TTL, lanes=lanes))


async def hold(store: Store, message: HeldMessage, copies: Sequence[HeldCopy], key: Digest | None = None, **facts) -> None:
    """Open the submission and keep its copies."""
    await opened(store, message, key=key)
    rows = {copy.recipient: REPLY for copy in copies if copy.why is not Why.REPORT}
    facts.setdefault("max_octets", ROOM)
    await store.hold(key or key_of(message), Holding(message, copies, rows, **facts))


async def hold_one(store: Store, number: int = 1, in_lane: Lane = LANE, octets: int = 1000, **facts) -> HeldCopy:
    """Hold one message to one recipient; return the copy as the store has it then."""
    message = held_message(number, octets, facts.pop("expires_at", START + 5 * DAY))
    copy = held_copy(message, f"recipient of {number}", in_lane, **facts)
    await hold(store, message, [copy])
    (kept,) = await store.held_copies(None, 10, message.id)
    return kept


async def done(store: Store, *copies: HeldCopy) -> int:
    """They were delivered."""
    return await store.update_held([HeldUpdate(copy, None) for copy in copies])


async def due_again(store: Store, copy: HeldCopy, due_at: float, **facts) -> int:
    after = replace(copy, due_at=due_at, attempts=copy.attempts + 1, **facts)
    return await store.update_held([HeldUpdate(copy, after)])
