"""Tries of one submission, as the ledger sees them."""

from relay.stores.held import Holding
from relay.stores.ledger import Closing, FirstTry, Opening, Settlement, Taken
from tests.support.held import REPLY, ROOM, TTL, held_copy, held_message, key_of
from tests.support.stores import START, request

KEY = key_of(held_message())


class Try:
    """One try of the same bytes, by its number; a later one has a greater number."""

    def __init__(self, store, number: int, *names: str) -> None:
        self.store, self.message = store, held_message(number)
        self.copies = [held_copy(self.message, name) for name in names]
        self.rows = {copy.recipient: REPLY for copy in self.copies}
        self.id = self.message.id

    async def open(self, age: float = 0.0):
        """Come to the ledger; this try began so many seconds ago."""
        first = FirstTry(self.id, START, "Fri, 15 Jan 2027 08:00:00 +0000", f"<{self.id}@relay.example.com>")
        return await self.store.open_submission(KEY, Opening(first, TTL, tuple(self.rows), age=age))

    async def hold(self):
        await self.store.hold(KEY, Holding(self.message, self.copies, self.rows, max_octets=ROOM))

    async def close(self, **facts):
        await self.store.close(KEY, Closing(self.id, **facts))

    async def clear(self):
        return await self.store.clear(KEY, self.id, [request(who) for who in self.rows], 90.0, TTL)

    async def found(self):
        """How it ended for them, as this try finds it when it wants to send: the state, and whether their client was answered."""
        taken = [answer for answer in await self.clear() if isinstance(answer, Taken)]
        return {answer.row.recipient: (answer.row.state, answer.row.answered) for answer in taken}

    async def finish(self, state):
        await self.store.finish(KEY, [Settlement(who, state, REPLY, submission_id=self.id) for who in self.rows])


async def a_try(store, number: int, *names: str) -> Try:
    opened = Try(store, number, *names)
    await opened.open()
    return opened


async def held_by(store):
    """The tries whose copies are held, by recipient."""
    found: dict[bytes, list[str]] = {}
    for copy in await store.held_copies(None, 10_000):
        found.setdefault(copy.recipient, []).append(copy.message)
    return found


async def states(store):
    return {row.recipient: row.state for row in await store.rows(KEY) if not row.answered}
