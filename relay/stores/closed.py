"""The store that cannot be believed: every question is answered with why."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NoReturn

from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import Feedback, Pause, SendingDays, Tally
from relay.policy.cases.transfers import Transferred
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.policy.timing.limits import Charge
from relay.stores.adaptations import Adaptation
from relay.stores.contracts import Store, StoreMeta
from relay.stores.held import HeldCopy, HeldMessage, HeldTotals, HeldUpdate, Holding, Lane, Why
from relay.stores.ledger import Clearance, ClearRequest, Closing, Entry, Opening, Row, Settlement
from relay.stores.limits import OverLimit, Reserved
from relay.stores.lookup import Found
from relay.stores.suppressions import EntryRow


class ClosedStore(Store):
    """Stands in for a store that could not be opened, so that the relay runs on and answers 451."""

    def __init__(self, name: str, fault: StoreUnavailable) -> None:
        self.name = name
        self.reason = fault.reason
        self.text = str(fault)

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(self.reason, self.text)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    async def check(self) -> None:
        self._refuse()

    async def meta(self) -> StoreMeta:
        self._refuse()

    async def extend(self, fingerprints: frozenset[str]) -> None:
        self._refuse()

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        self._refuse()

    async def suppress(self, entry: Suppression) -> bool:
        self._refuse()

    async def suppress_many(self, entries: Sequence[Suppression]) -> int:
        self._refuse()

    async def suppress_rows(self, rows: Sequence[EntryRow]) -> int:
        self._refuse()

    async def lift(self, digests: Sequence[Digest], scope: str, reason: Reason, consent: ConsentEvent | None, note: str) -> bool:
        self._refuse()

    async def history(self, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
        self._refuse()

    def export(self) -> AsyncIterator[Suppression]:
        self._refuse()

    async def count(self) -> dict[tuple[str, str], int]:
        self._refuse()

    async def consents(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
        self._refuse()

    async def look_up(self, recipients: Sequence[Sequence[Digest]], *, with_consents: bool = False) -> list[Found]:
        self._refuse()

    async def record_consents(self, events: Sequence[ConsentEvent]) -> int:
        self._refuse()

    def export_consents(self) -> AsyncIterator[ConsentEvent]:
        self._refuse()

    async def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit:
        self._refuse()

    async def used(self, charges: Sequence[Charge]) -> list[int]:
        self._refuse()

    async def settle(self, reservation: str) -> None:
        self._refuse()

    async def refund(self, reservation: str) -> None:
        self._refuse()

    async def open_submission(self, key: Digest, opening: Opening) -> Entry:
        self._refuse()

    async def transferred(self, year: int, recipients: Sequence[Digest]) -> list[Transferred]:
        self._refuse()

    async def transfer_years(self) -> list[Transferred]:
        self._refuse()

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        self._refuse()

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        self._refuse()

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        self._refuse()

    async def close(self, key: Digest, closing: Closing) -> None:
        self._refuse()

    async def paused(self) -> dict[str, Pause]:
        self._refuse()

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        self._refuse()

    async def resume(self, stream: str) -> Pause | None:
        self._refuse()

    async def note(self, feedback: Sequence[Feedback]) -> None:
        self._refuse()

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        self._refuse()

    async def adaptations(self) -> list[Adaptation]:
        self._refuse()

    async def adapt(self, adaptation: Adaptation) -> bool:
        self._refuse()

    async def end_adaptation(self, key: Digest) -> Adaptation | None:
        self._refuse()

    async def take_ended(self) -> list[Adaptation]:
        self._refuse()

    async def hold(self, key: Digest, holding: Holding) -> None:
        self._refuse()

    async def claim(self, most: int, lease_seconds: float) -> list[HeldCopy]:
        self._refuse()

    async def held_message(self, message: str, *, with_body: bool = True) -> HeldMessage | None:
        self._refuse()

    async def update_held(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None = None) -> int:
        self._refuse()

    async def held_copies(self, after: tuple[str, Digest] | None, most: int, message: str | None = None) -> list[HeldCopy]:
        self._refuse()

    async def free_owner(self, owner: Digest, why: Why) -> int:
        self._refuse()

    async def wake_lane(self, lane: Lane) -> None:
        self._refuse()

    async def held_totals(self) -> HeldTotals:
        self._refuse()

    async def keep_credentials(self, owner: Digest, sealed: bytes, until: float) -> bool:
        self._refuse()

    async def credentials_of(self, owner: Digest) -> bytes | None:
        self._refuse()

    async def drop_credentials(self, owner: Digest, sealed: bytes) -> None:
        self._refuse()

    async def note_sending(self, stream: str, day: str) -> None:
        self._refuse()

    async def sending_days(self, streams: Sequence[str]) -> dict[str, SendingDays]:
        self._refuse()
