"""Whether recipients' domains take mail: asked of DNS where a rule wants to know, and remembered for as long as DNS says.

Asked at once about all domains of a mail, at most once about each, whoever
else waits for the same answer.  A mail waits as long as [dns] timeout; each RCPT that
comes after that a tenth of it, so that one domain whose servers are dead makes
the others no unknown ones, and twice the timeout in all.  What is not known then
is unknown to it.  The questions go on, so that the client's next try finds the
answers.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple, Protocol

from relay import telemetry
from relay.config import Dns
from relay.mail.envelope import Recipient
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.deciding.asking import asks_dns
from relay.policy.sets.policy_set import Stream
from relay.tasks import in_steps, spawn

TAKES_SECONDS = (300.0, 6 * 3600.0)
"""How long a domain that takes mail is believed, whatever its TTL: at least, at most."""
REFUSES_SECONDS = (60.0, 600.0)
"""The same of one that does not: an owner who mends it is not kept waiting."""
UNKNOWN_SECONDS = 10.0
"""How long nobody asks again what nobody answered."""
AT_ONCE = 100
"""Questions of one process that wait for an answer; the others wait for their turn."""
MOST_ASKED = 10_000
"""Domains that are asked about or wait for it; of what comes beyond, nothing is known."""
MOST_KNOWN = 20_000
_MOST_WAITING = 10_000


class Said(NamedTuple):
    """What DNS said of a domain, and for how many seconds it may be believed; 0 when nobody answered."""

    mail: DomainMail
    ttl: float


class Resolver(Protocol):
    """Whom to ask: `relay.resolver`."""

    async def look_up(self, domain: str) -> Said: ...


@dataclass(slots=True)
class _Waited:
    """Seconds that each submission has waited, of those that waited last."""

    seconds: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def add(self, submission: str, seconds: float) -> None:
        self.seconds[submission] = self.seconds.pop(submission, 0.0) + seconds
        if len(self.seconds) > _MOST_WAITING:
            self.seconds.popitem(last=False)


class Domains:
    """One per process. Where [dns] names nobody to ask, nothing is known of any domain."""

    def __init__(self, dns: Dns, monotonic: Callable[[], float]) -> None:
        """Raises ConfigurationError as `Resolver`."""
        self._resolver = _resolver(dns) if dns.servers else None
        self._patience = dns.timeout
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[DomainMail, float]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[DomainMail]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waited = _Waited()

    async def of(
        self, submission: str, stream: Stream, recipients: Sequence[Recipient], upstream_countries: frozenset[str]
    ) -> Mapping[str, DomainMail]:
        """What DNS says of the domains of these recipients of which a rule asks; `submission` names whose patience it is."""
        if self._resolver is None or not stream.asking_dns:
            return {}
        domains = list({recipient.mailbox.domain: None for recipient in recipients})
        wanted = await in_steps(lambda domain: (domain, asks_dns(stream, domain, upstream_countries)), domains)
        return await self._find(submission, [domain for domain, is_asked in wanted if is_asked], self._resolver)

    async def _find(self, submission: str, domains: Sequence[str], resolver: Resolver) -> Mapping[str, DomainMail]:
        found = {domain: known for domain in domains if (known := self._fresh(domain)) is not None}
        asked = {domain: task for domain in domains if domain not in found and (task := self._task(domain, resolver))}
        if asked:
            await self._wait(submission, list(asked.values()))
        return {domain: found.get(domain) or _answer(asked.get(domain)) for domain in domains}

    def _fresh(self, domain: str) -> DomainMail | None:
        mail, until = self._known.get(domain, (None, 0.0))
        return mail if self._monotonic() < until else None

    async def _wait(self, submission: str, tasks: Sequence[asyncio.Task[DomainMail]]) -> None:
        """For all of them, as long as this mail has patience."""
        loop = asyncio.get_running_loop()
        begun, waited = loop.time(), self._waited.seconds.get(submission, 0.0)
        patience = self._patience - waited if waited < self._patience else self._patience / 10
        if waited < 2 * self._patience:
            await asyncio.wait(tasks, timeout=patience)
            self._waited.add(submission, loop.time() - begun)

    def _task(self, domain: str, resolver: Resolver) -> asyncio.Task[DomainMail] | None:
        """The question about a domain, asked now or before; None when too many are."""
        task = self._asked.get(domain)
        if task is None:
            if len(self._asked) >= MOST_ASKED:
                telemetry.domain_lookups_total.labels("too many").inc()
                return None
            given_up = asyncio.get_running_loop().time() + self._patience
            task = self._asked[domain] = spawn(self._ask(domain, resolver, given_up), "look up a domain")
            task.add_done_callback(lambda _: self._asked.pop(domain, None))
        return task

    async def _ask(self, domain: str, resolver: Resolver, given_up: float) -> DomainMail:
        """The answer, unless its turn comes when whoever wanted to know has gone on without."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            begun = loop.time()
            if begun >= given_up:
                telemetry.domain_lookups_total.labels("too many").inc()
                return DomainMail.UNKNOWN
            said = await resolver.look_up(domain)
        telemetry.domain_lookups_total.labels(said.mail.value).inc()
        telemetry.domain_lookup_seconds.observe(loop.time() - begun)
        self._remember(domain, said)
        return said.mail

    def _remember(self, domain: str, said: Said) -> None:
        self._known.pop(domain, None)
        self._known[domain] = said.mail, self._monotonic() + kept_seconds(said)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def aclose(self) -> None:
        """Ask no more."""
        for task in list(self._asked.values()):
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


def _resolver(dns: Dns) -> Resolver:
    """Loads the library only where somebody is to be asked: it is megabytes in every process."""
    found: Resolver = import_module("relay.resolver").Resolver(dns)
    return found


def _answer(task: asyncio.Task[DomainMail] | None) -> DomainMail:
    """What came back in time; a fault of ours is as good as no answer, and in the log."""
    if task is None or not task.done() or task.cancelled() or task.exception() is not None:
        return DomainMail.UNKNOWN
    return task.result()


def kept_seconds(said: Said) -> float:
    """For how long an answer is believed."""
    if said.mail is DomainMail.UNKNOWN:
        return UNKNOWN_SECONDS
    least, most = TAKES_SECONDS if said.mail is DomainMail.TAKES else REFUSES_SECONDS
    return min(max(said.ttl, least), most)
