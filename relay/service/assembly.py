"""Put the parts of one process together: configuration in, a line that can take mail out.

A store that must not be believed does not stop the process: the line answers
451, /readyz says why, and `StoreKeeper.mend` tries to open it again.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from relay.adapting import Adapting
from relay.bounced import Outcomes
from relay.carrying.courier import Courier, new_courier
from relay.clearing import Clearing
from relay.config import Config
from relay.consignment import Renderer
from relay.crossing import Crossings
from relay.dispatch import Dispatcher
from relay.domains import Domains
from relay.doors.auth import Authenticator
from relay.errors import ConfigurationError, StoreUnavailable
from relay.holding.custody import Custody
from relay.holding.holder import Holder
from relay.keys import Keys
from relay.pipeline import Line
from relay.policy.sets.policy_set import PolicySet
from relay.records.append import Records
from relay.render.signing import Signers, load_signer
from relay.routing import Routing
from relay.service.keeping import StoreKeeper
from relay.stores.contracts import Store
from relay.stores.opening import open_store
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles

_LAST_WORDS_SECONDS = 2.0


@dataclass
class Assembly:
    """The parts of one process. `line.store` and its copies are replaced together, with the keys, by `keeper`."""

    config: Config
    keys: Keys
    records: Records
    upstreams: Upstreams
    line: Line
    authenticator: Authenticator
    adapting: Adapting
    keeper: StoreKeeper
    courier: Courier

    @property
    def store(self) -> Store:
        return self.line.store

    def least_upstream_size(self) -> int | None:
        """The smallest SIZE that an upstream offered; None when none has named one."""
        return self.upstreams.least_size()

    async def mend(self) -> str:
        """Return "" when the store can be believed, else why not; then also learn pauses, warm-ups, what is held and adapted."""
        fault = await self.keeper.mend()
        try:
            self.line.paused = await self.store.paused()
            await self.adapting.refresh()
            self.line.holder.learn(await self.store.held_totals())
            await self.line.dispatcher.clearing.warming.learn(self.store, self.line.policy)
        except StoreUnavailable as gone:
            return fault or f"{gone.reason}: {gone}"
        return fault

    async def aclose(self) -> None:
        """Release everything."""
        await self.upstreams.drain(asyncio.get_running_loop().time() + _LAST_WORDS_SECONDS)
        self.authenticator.close()
        self.line.reader.close()
        await self.line.domains.aclose()
        await self.store.aclose()
        await self.records.aclose()


async def assemble(
    config: Config,
    policy: PolicySet,
    keys: Keys,
    records: Records,
    *,
    store: Store | None = None,
    clock: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
    monotonic: Callable[[], float] = time.monotonic,
    processes: int = 1,
) -> Assembly:
    """Build all parts of a process that takes mail, one of so many `processes`; `store` is one that is open already.

    Raises ConfigurationError for key files, accounts, profiles, certificates and resolvers that are wrong.
    """
    store = store or await open_store(config, keys, clock)
    upstreams = Upstreams(config, load_profiles(), entropy(32), monotonic=monotonic)
    routing = Routing(config, upstreams)
    renderer = Renderer(config, keys=keys, upstreams=upstreams, routing=routing, signers=load_signers(config))
    outcomes = Outcomes(keys, records, clock=clock, entropy=entropy)
    adapting = Adapting(
        config,
        keys=keys,
        store=store,
        records=records,
        upstreams=upstreams,
        clock=clock,
        entropy=entropy,
        processes=processes,
    )
    crossings = Crossings(records, clock=clock, entropy=entropy)
    clearing = Clearing(
        config, policy, keys=keys, store=store, records=records, adapting=adapting, crossings=crossings, clock=clock
    )
    custody = Custody(config, keys=keys, store=store, clock=clock)
    holder = Holder(config, keys=keys, store=store, upstreams=upstreams, custody=custody, clock=clock)
    dispatcher = Dispatcher(
        config,
        clearing=clearing,
        adapting=adapting,
        holder=holder,
        outcomes=outcomes,
        upstreams=upstreams,
        renderer=renderer,
    )
    line = Line(
        config,
        policy,
        keys=keys,
        store=store,
        records=records,
        upstreams=upstreams,
        dispatcher=dispatcher,
        outcomes=outcomes,
        routing=routing,
        domains=Domains(config.dns, monotonic),
        clock=clock,
        monotonic=monotonic,
        entropy=entropy,
    )
    authenticator = Authenticator(
        config, store=store, upstreams=upstreams, keys=keys, logged_in=adapting.logged_in, custody=custody, clock=clock
    )

    courier = new_courier(line, outcomes, custody, clock=clock, entropy=entropy)
    holder.wake = courier.wake

    def use_store(fresh: Store) -> None:
        line.store = clearing.store = holder.store = authenticator.store = custody.store = courier.store = adapting.store = fresh

    keeper = StoreKeeper(config, keys, store, clock, use_store)
    return Assembly(config, keys, records, upstreams, line, authenticator, adapting, keeper, courier)


def load_signers(config: Config) -> Signers:
    """Read every [[dkim]] key.

    Raises ConfigurationError that names the table.
    """
    signers = []
    for number, table in enumerate(config.dkim, 1):
        path = config.secret(table.key_file)
        try:
            signers.append(load_signer(path.read_bytes(), table.domain, table.selector))
        except OSError as error:
            raise ConfigurationError(
                f"[[dkim]] {number}: key_file {path}: {error.strerror}; `relay dkim keygen` makes one"
            ) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"[[dkim]] {number}: key_file {path}: {error}") from None
    return Signers(signers)
