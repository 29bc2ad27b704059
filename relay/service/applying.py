"""Put a policy set in force, whole or not at all: for the service's own folder, and for `relay policy apply`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from relay.config import Config
from relay.errors import ConfigurationError
from relay.ids import ENTROPY_OCTETS, new_id
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.difference import Change, difference
from relay.records.facts import policy_record
from relay.records.kinds import Record
from relay.render.rehearsing import require_cases_to_hold
from relay.service.policies import PolicyArchive, config_faults
from relay.upstream.profile import Profile


@dataclass(frozen=True, slots=True)
class Applied:
    """The set that is in force now, the hash of the one before (the same when nothing changed), and what changed.

    `uncompared` says why the one before could not be read; then `changes` are those of a first set.  `cases` is how many of
    its own cases it was held against.
    """

    policy: PolicySet
    before: str | None
    changes: tuple[Change, ...] = ()
    uncompared: str = ""
    cases: int = 0


@dataclass(frozen=True, slots=True)
class Applying:
    """What a set is checked against, and where it goes; `record` writes durably."""

    config: Config
    profiles: Mapping[str, Profile]
    archive: PolicyArchive
    record: Callable[[Record], Awaitable[object]]
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]

    async def apply(self, files: Mapping[str, bytes], *, by: str, reason: str) -> Applied:
        """Validate the files, judge their cases, keep them, record the switch, then switch: no record, no switch.

        One process at a time, so that each record names the set that its own replaced.  Raises ConfigurationError and
        RecordsUnavailable; then the set before is in force.
        """
        policy = parse_policies(files)
        if faults := config_faults(policy, self.config, self.profiles):
            raise ConfigurationError("\n".join(faults))
        cases = 0
        if policy.hash != self.archive.in_force():  # the cases are part of a set: those of the one in force held
            cases = await asyncio.to_thread(require_cases_to_hold, files)
        async with self.archive.turn():
            before = self.archive.in_force()
            applied = replace(self._compared(policy, before), cases=cases)
            self.archive.keep(files)
            if policy.hash != before:
                await self._switch(applied, by, reason)
        return applied

    def _compared(self, policy: PolicySet, before: str | None) -> Applied:
        if policy.hash == before:
            return Applied(policy, before)
        try:
            earlier = self.archive.load(before) if before else None
        except ConfigurationError as fault:
            return Applied(policy, before, difference(None, policy), str(fault))
        return Applied(policy, before, difference(earlier, policy))

    async def _switch(self, applied: Applied, by: str, reason: str) -> None:
        policy, now = applied.policy, self.clock()
        await self.record(
            policy_record(
                new_id(now, self.entropy(ENTROPY_OCTETS)),
                now,
                policy_hash=policy.hash,
                previous=applied.before or "",
                reason=reason,
                by=by,
                laxer=sum(change.laxer for change in applied.changes),
                shadow=[stream.name for stream in policy.streams if stream.mode == "shadow"],
            )
        )
        self.archive.put_in_force(policy.hash, now, by, reason)
