"""Ask DNS whether a domain takes mail: MX, and where there is none the address of the domain itself (RFC 5321 section 5.1)."""

import asyncio

from dns.asyncbackend import get_backend
from dns.asyncresolver import Resolver as AsyncResolver
from dns.exception import DNSException
from dns.name import root
from dns.nameserver import Do53Nameserver
from dns.rdatatype import AAAA, MX, A, RdataType
from dns.resolver import NXDOMAIN, Answer, NoResolverConfiguration

from relay.config import Dns
from relay.domains import Said
from relay.errors import ConfigurationError
from relay.hosts import SYSTEM, split_host_port
from relay.policy.cases.domain_mail import DomainMail

_TRY_SECONDS = 2.0  # after which a datagram counts as lost, and the next server is asked
_SILENCE = Said(DomainMail.UNKNOWN, 0.0)


class Resolver:
    """The servers of [dns]."""

    def __init__(self, dns: Dns) -> None:
        """Raises ConfigurationError where the machine has no resolver of its own."""
        self._seconds = dns.timeout
        self._backend = get_backend("asyncio")
        try:
            self._resolver = AsyncResolver(configure=dns.servers == (SYSTEM,))
        except NoResolverConfiguration:
            raise ConfigurationError(
                f'config.toml [dns] servers: "{SYSTEM}", but this machine names none (/etc/resolv.conf): write addresses, or []'
                " / 本机没有配置解析服务器：请填写地址，或写 []"
            ) from None
        if dns.servers != (SYSTEM,):
            self._resolver.nameservers = [Do53Nameserver(*split_host_port(server)) for server in dns.servers]
        self._resolver.lifetime = dns.timeout
        self._resolver.timeout = min(_TRY_SECONDS, dns.timeout / 2)

    async def look_up(self, domain: str) -> Said:
        """Ask about an A-label domain, all questions together as long as [dns] timeout."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._look_up(domain)
        except (DNSException, TimeoutError):
            return _SILENCE

    async def _look_up(self, domain: str) -> Said:
        ttls = []
        try:
            servers = await self._ask(domain, MX)
            if servers.rrset is not None:
                exchanges = [record.exchange for record in servers.rrset]
                return Said(DomainMail.NULL_MX if exchanges == [root] else DomainMail.TAKES, _ttl(servers))
            ttls.append(_ttl(servers))
            for kind in (A, AAAA):
                own = await self._ask(domain, kind)
                if own.rrset is not None:
                    return Said(DomainMail.TAKES, _ttl(own))
                ttls.append(_ttl(own))
        except NXDOMAIN as answer:
            ttls += [one.resolve_chaining().minimum_ttl for one in answer.responses().values()]  # type: ignore[no-untyped-call]
        return Said(DomainMail.NONE, min(ttls, default=0.0))

    async def _ask(self, domain: str, kind: RdataType) -> Answer:
        return await self._resolver.resolve(domain, kind, raise_on_no_answer=False, search=False, backend=self._backend)


def _ttl(answer: Answer) -> float:
    """The least of the whole chain of CNAMEs; of what is not there, as its SOA says (RFC 2308 section 5)."""
    return answer.chaining_result.minimum_ttl
