"""Let a report leave at once when nobody of its message is open any more: there is nobody left to wait for."""

from dataclasses import replace

from relay.stores.held import Held, HeldCopy, HeldUpdate, Lane, Why

_PAGE = 100  # copies that are looked at, and changed, in one step: about a millisecond
_RESTING_SECONDS = 60.0  # in which all of them become due; who dies meanwhile leaves the report that much later


async def hasten_report(store: Held, message: str, lane: Lane, now: float) -> bool:
    """Make due whoever waits for the report in its lane, if all that is held of the message do; whether they are due.

    A message with many recipients costs little before that: copies stand in the order of digests, so among the first of them
    is somebody who is open.  The lane rests until all are due, so that one report names them all.  Raises StoreUnavailable.
    """
    waiting = await _all_waiting(store, message)
    if not waiting:
        return False
    early = [copy for copy in waiting if copy.due_at > now]
    for first in range(0, len(early), _PAGE):
        updates = [HeldUpdate(copy, replace(copy, due_at=now)) for copy in early[first : first + _PAGE]]
        await store.update_held(updates, {lane: now + _RESTING_SECONDS})
    await store.wake_lane(lane)
    return True


async def _all_waiting(store: Held, message: str) -> list[HeldCopy]:
    """Everybody of the message where all wait for its report; nobody where one is open."""
    found: list[HeldCopy] = []
    while page := await store.held_copies((message, found[-1].recipient) if found else None, _PAGE, message):
        if any(copy.why is not Why.REPORT for copy in page):
            return []
        found += page
    return found
