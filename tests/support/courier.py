"""The real line and its courier in this process, with a clock that a test moves.

with RecordingUpstream() as upstream, CourierHouse(tmp_path, upstream) as house:
    upstream.fault("RCPT", "450 4.2.1 later")
    assert house.send(OFFICE, ["ada@example.org"], message()).is_positive
    upstream.faults.clear()
    house.turn(seconds=75)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from email import message_from_bytes
from typing import Any

from relay.gathering import recipient_digest
from relay.holding.codec import Codec, Detail, expiry, held_key, lane_of, owner_of
from relay.ids import new_id
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.records.kinds import Kind, Record
from relay.records.reading import Reader
from relay.records.search import Query, search
from relay.stores.held import HeldCopy, HeldMessage, Holding, Why
from tests.support.clocks import Clock
from tests.support.line import LineHouse
from tests.support.waiting import wait_until


class CourierHouse(LineHouse):
    """A line that holds, and its courier, which runs unless it is told to wait.

    `clock` is one that several houses share.  `claims` are what each claim of the courier gave it, with the clock's time when
    it was made; those of nothing are left out.
    """

    def __init__(self, folder, upstream, *, clock: Clock | None = None, **facts):
        self.clock = clock or Clock()
        self.claims: list[tuple[float, list[HeldCopy]]] = []
        self._idle_at = 0.0  # the time at which the courier last found nothing to do, and had nothing in hand
        super().__init__(folder, upstream, clock=self.clock, holds=True, **facts)

    def __enter__(self) -> "CourierHouse":
        super().__enter__()
        self.courier = self._assembly.courier
        self._watch_claims()
        self.loop.call_soon_threadsafe(self.courier.start)
        return self

    def __exit__(self, *facts):
        self.run(self.courier.aclose(30))
        super().__exit__(*facts)

    def _watch_claims(self) -> None:
        claim = self.store.claim

        async def watched(most: int, lease_seconds: float) -> list[HeldCopy]:
            asked_at, hands_full = self.clock.now, bool(self.courier._in_hand)
            claimed = await claim(most, lease_seconds)
            if claimed:
                self.claims.append((asked_at, claimed))
            elif not hands_full:
                self._idle_at = asked_at
            return claimed

        self.store.claim = watched

    @property
    def store(self):
        return self.line.store

    def held(self, message: str | None = None) -> list[HeldCopy]:
        """What is held now, of one message or of all."""
        return self.run(self.store.held_copies(None, 100_000, message))

    def backlog(self, login: str, people: Sequence[str], data: bytes, messages: int) -> None:
        """Hold so many messages to these people as the line holds what waits behind others; all of it is due in a second."""
        keys, now = self.line.keys, self.clock.now
        submission = self.run(self.begin(login, people[:1]))
        stream = self.line.policy.stream(submission.stream)
        recipients = [Recipient(Mailbox.parse(person)) for person in people]
        codec, owner = Codec(keys), owner_of(keys, "up", login)
        for number in range(messages):
            one = replace(submission, id=new_id(now, number.to_bytes(10)))
            body = codec.body(one.id, data)
            head = codec.head(one, self.line.first_try(one, self.line.policy))
            lane = lane_of(keys, stream.purpose, login, recipients[0].mailbox.domain)
            copies = [
                HeldCopy(
                    one.id, recipient_digest(keys, to), lane, owner, Why.LANE, now + 1, codec.detail(one.id, Detail(to)), 0, now
                )
                for to in recipients
            ]
            kept = HeldMessage(one.id, head, body, len(body), now, expiry(one, stream))
            self.run(self.store.hold(held_key(keys, f"{one.id} as sent"), Holding(kept, copies, {}, max_octets=1 << 30)))

    def whys(self) -> dict[Why, int]:
        """What is held now, by its reason."""
        return dict(self.run(self.store.held_totals()).copies)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and the courier look."""
        self.clock.pass_(seconds)
        self.loop.call_soon_threadsafe(self.courier.wake)

    def wait(self, condition: Callable[[], object]) -> None:
        wait_until(condition, every=0.01, said=lambda: f"held: {self.whys()}")

    def wait_empty(self) -> None:
        """Until nothing is held any more."""
        self.wait(lambda: not self.whys())

    def settled(self, seconds: float) -> None:
        """Let time pass and wait until the courier has done everything that this made due."""
        self.turn(seconds)
        self.wait(lambda: self._idle_at == self.clock.now)

    def records(self, *kinds: Kind) -> list[Record]:
        with Reader(self.relay.data / "records.db", self.line.keys) as reader:
            return [entry.record for entry in search(reader, Query(kinds=frozenset(kinds)))]


def report_parts(data: bytes) -> tuple[str, str]:
    """What a report says to people, and to machines."""
    parts: Any = message_from_bytes(data).get_payload()
    groups = parts[1].get_payload()
    return parts[0].get_payload(decode=True).decode(), "\n".join(map(str, groups))
