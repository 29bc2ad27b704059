"""What the supervisor needs beside its workers: policy folder, key file, records, store for refusals, HTTP doors."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from relay import telemetry
from relay.config import Config
from relay.doors.consent_api import consent_app, read_token
from relay.doors.consents import ConsentDesk
from relay.doors.http import HttpDoors
from relay.doors.mailbox.collector import Collector
from relay.doors.opt_in import OptIn, Post
from relay.doors.refusals import Refusals
from relay.doors.serving import Site
from relay.doors.sign_up import sign_up_routes
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable
from relay.keys import KeyFile, Keys, dump_keys
from relay.policy.telling.standing import ends_at
from relay.records.append import Records
from relay.records.explanations import Explanation, explain_record
from relay.records.journal import keep_replaying
from relay.service.adaptation import AdaptationWatch
from relay.service.applying import Applying
from relay.service.keeping import StoreKeeper
from relay.service.policies import PolicyArchive, read_folder
from relay.service.reputation import ReputationWatch
from relay.stores.contracts import Store
from relay.stores.held import Why
from relay.tasks import spawn
from relay.upstream.profile import load_profiles

_log = logging.getLogger("relay.service")
MEND_SECONDS = 1.0


class Surroundings:
    """Built once per supervisor."""

    def __init__(self, config: Config, keys: Keys, records: Records, store: Store, archive: PolicyArchive) -> None:
        self._config = config
        self._records = records
        self._keeper = StoreKeeper(config, keys, store, time.time)
        self._key_file = KeyFile(config.keys_path)
        self._archive = archive
        self._doors: HttpDoors | None = None
        self._collector: Collector | None = None
        self._watch: ReputationWatch | None = None
        self._adaptations = AdaptationWatch(config, records, lambda: self._keeper.store, clock=time.time, entropy=os.urandom)
        self._keys = keys
        self._tasks: list[asyncio.Task[None]] = []

    # Policy ----------------------------------------------------------------------------------------------------------

    async def policy_at_start(self) -> str:
        """Apply the configured folder; where it is wrong, the last set in force stays, loudly.

        Raises ConfigurationError when there is no set to fall back to.
        """
        try:
            return await self.apply_folder("start")
        except ConfigurationError as fault:
            last = self._archive.in_force()
            if last is None:
                raise
            telemetry.policy_apply_failures_total.inc()
            _log.error("the policy folder is wrong, the last set in force stays: %s", fault)
            return last

    async def apply_folder(self, reason: str) -> str:
        """Validate the configured folder, keep it, put it in force, record it; return its hash.

        Raises ConfigurationError and RecordsUnavailable; then nothing has changed.
        """
        profiles, append = load_profiles(), self._records.append
        applying = Applying(self._config, profiles, self._archive, append, clock=time.time, entropy=os.urandom)
        applied = await applying.apply(read_folder(self._config.policies_path), by="relay", reason=reason)
        if applied.uncompared:
            _log.warning("the new policy set cannot be compared with the one before: %s", applied.uncompared)
        return applied.policy.hash

    def measure_policy(self, policy_hash: str) -> None:
        """Set the metrics on the set in force: which it is, how much of it only observes, when its packs expire."""
        policy = self._archive.load(policy_hash)
        telemetry.shadow_streams.set(sum(stream.mode == "shadow" for stream in policy.streams))
        telemetry.pack_expires_timestamp_seconds.clear()
        for pack, at in ends_at(policy).items():
            telemetry.pack_expires_timestamp_seconds.labels(pack).set(at)
        telemetry.policy_info.clear()
        telemetry.policy_info.labels(policy_hash).set(1)

    def _desk(self) -> ConsentDesk:
        return ConsentDesk(
            self._keys, self._records, lambda: self._keeper.store, origin="api", clock=time.time, entropy=os.urandom
        )

    def _opt_in(self, post: Post, policy: Callable[[], str]) -> OptIn | None:
        """Double opt-in, where a form asks for it."""
        if not self._config.form:
            return None
        return OptIn(self._config, self._keys, self._desk(), post, lambda: self._archive.load(policy()), time.time)

    def _consent_site(self, policy: Callable[[], str], opt_in: OptIn | None) -> Site | None:
        """The API for sign-up forms, where one is configured. Raises ConfigurationError."""
        address = self._config.consents.address
        if not address:
            return None
        app = consent_app(self._desk(), read_token(self._config), time.time, lambda: self._archive.load(policy()).zone, opt_in)
        return Site(address, app)

    # HTTP ------------------------------------------------------------------------------------------------------------

    async def serve_http(
        self,
        *,
        policy: Callable[[], str],
        metrics: Callable[[], Awaitable[bytes]],
        readiness: Callable[[], Awaitable[list[str]]],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
        post: Post,
    ) -> None:
        """Open the HTTP doors, watch mailboxes and key file, keep replaying refusals.

        `tell` reaches every worker, `post` has one take a mail.

        Raises ConfigurationError when an address is taken.
        """
        refusals = Refusals(
            self._keys,
            self._records,
            lambda: self._keeper.store,
            lambda: self._archive.load(policy()),
            self._keeper.lacks_keys,
            clock=time.time,
            entropy=os.urandom,
        )
        opt_in = self._opt_in(post, policy)
        self._doors = HttpDoors(
            self._config.http,
            metrics=metrics,
            readiness=readiness,
            remarks=self._remarks,
            refusals=refusals,
            explain=self._explain,
            zone=lambda: self._archive.load(policy()).zone,
            consents=self._consent_site(policy, opt_in),
            sign_up=sign_up_routes(opt_in, self._config.http.forwarded_from) if opt_in else (),
        )
        try:
            await self._doors.open()
        except OSError as error:
            raise ConfigurationError(f"[http] or [consents]: {error.strerror or error}") from None
        self._collector = Collector(
            self._config,
            keys=self._keys,
            records=self._records,
            refusals=refusals,
            store=lambda: self._keeper.store,
            policy=lambda: self._archive.load(policy()),
            clock=time.time,
            entropy=os.urandom,
        )
        self._collector.start()
        self._watch = ReputationWatch(
            self._config,
            self._keys,
            self._records,
            lambda: self._keeper.store,
            lambda: self._archive.load(policy()),
            clock=time.time,
            entropy=os.urandom,
        )
        self._tasks = [
            spawn(keep_replaying(self._records, lambda: self._keeper.store, time.time), "replay refusals"),
            spawn(self._keep_mending(tell), "mend store"),
            spawn(self._watch.run(), "watch streams"),
            spawn(self._adaptations.run(), "watch adaptations"),
        ]

    async def _explain(self, explained_id: str) -> Explanation | None:
        return await asyncio.to_thread(explain_record, self._records.path, self._keys, explained_id, time.time())

    def addresses(self) -> dict[str, str]:
        """Where each HTTP door can be reached."""
        return self._doors.addresses() if self._doors else {}

    async def faults(self) -> dict[str, str]:
        """Why the store or the records cannot be believed."""
        reasons = {}
        try:
            self._records.check()
        except RecordsUnavailable as fault:
            reasons["records"] = str(fault)
        try:
            await self._keeper.store.check()
        except StoreUnavailable as fault:
            reasons["store"] = f"{fault.reason}: {fault}"
        return reasons

    def _remarks(self) -> list[str]:
        """What operators should know although mail flows: a paused stream or upstream is no fault of the relay."""
        pauses = self._watch.pauses.values() if self._watch else ()
        streams = [f"paused: {pause.stream}: {pause.reason} (by {pause.by})" for pause in pauses]
        return streams + self._adaptations.remarks()

    def refusals_waiting(self) -> float:
        """Seconds that the oldest refusal waits for the store."""
        try:
            oldest = self._records.take_pending(1)
        except RecordsUnavailable:
            return 0.0  # `faults` says so
        return max(0.0, time.time() - oldest[0][1].at) if oldest else 0.0

    # Keys and store --------------------------------------------------------------------------------------------------

    def keys_message(self) -> dict[str, Any]:
        """What the workers must know of the keys: those in force here, and what is wrong with the key file."""
        return {"keys": dump_keys(self._keys), "fault": self._keeper.keys_fault}

    async def _keep_mending(self, tell: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Follow the key file, and open a store anew that could not be believed at start or was removed."""
        told = self.keys_message()
        while True:
            await asyncio.sleep(MEND_SECONDS)
            try:
                await self._follow_key_file()
                await self._keeper.mend()
                await self._measure_held()
                if (now := self.keys_message()) != told:
                    told = now
                    await tell(now)
                    self._tell_operators(now["fault"])
            except Exception:  # noqa: BLE001 - refusals wait for this; it is tried again
                _log.exception("the store cannot be opened")

    async def _measure_held(self) -> None:
        """Have the metrics say what is held; all nodes of a store say the same. While it does not answer, nothing changes."""
        try:
            totals = await self._keeper.store.held_totals()
        except StoreUnavailable:
            return
        for why in Why:
            telemetry.held_copies.labels(why.value).set(totals.copies.get(why, 0))
        telemetry.held_octets.set(totals.octets)
        telemetry.held_oldest_seconds.set(max(0.0, time.time() - totals.oldest_at) if totals.oldest_at is not None else 0.0)

    async def _follow_key_file(self) -> None:
        try:
            keys = self._key_file.read_again()
        except ConfigurationError as fault:
            await self._keeper.refuse(str(fault))
        else:
            if keys is not None:
                await self._keeper.take_up(keys)

    def _tell_operators(self, fault: str) -> None:
        if fault:
            _log.error("no mail leaves until the key file is right again: %s", fault)
        else:
            telemetry.event("keys", fingerprints=sorted(self._keys.fingerprints))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._collector is not None:
            await self._collector.aclose()
        if self._doors is not None:
            await self._doors.aclose()
        await self._keeper.store.aclose()
        await self._records.aclose()
