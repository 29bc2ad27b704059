"""`relay check --dns`: what the world reads about the sending domains, held against what the relay will do.

SPF must let the provider send, our DKIM records must be our keys, and DMARC
must be there and be met by them.  Every name is asked once.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dkim.util import InvalidTagValueList, parse_tag_value
from dns.exception import DNSException
from dns.nameserver import Do53Nameserver
from dns.rdatatype import TXT
from dns.resolver import NXDOMAIN, LRUCache, NoAnswer, NoResolverConfiguration, Resolver

from relay.cli.findings import Findings
from relay.config import Config
from relay.errors import ConfigurationError
from relay.hosts import SYSTEM, split_host_port
from relay.mail.mailbox import upwards
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.policy.suppressions.suppression import Purpose
from relay.render.signing import Signer, dns_record
from relay.service.assembly import load_signers
from relay.service.policies import read_folder
from relay.upstream.profile import load_profiles

SPF_LOOKUPS = 10  # RFC 7208 section 4.6.4: what a receiver asks before it gives up
_COUNTED = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_DMARC = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")  # RFC 7489 section 6.4: first, and in capitals
_DMARC_POLICIES = frozenset({"none", "quarantine", "reject"})
_SECONDS = 5.0


class Dns:
    """TXT records, each name asked once."""

    def __init__(self, servers: Sequence[str]) -> None:
        """`servers` as [dns] names them; where it names none, the machine's own are asked.

        Raises ConfigurationError where the machine has none.
        """
        own = servers in ((), (SYSTEM,))
        try:
            self._resolver = Resolver(configure=own)
        except NoResolverConfiguration:
            raise ConfigurationError(
                "this machine names no resolvers (/etc/resolv.conf): write their addresses into config.toml [dns] servers"
                " / 本机没有配置解析服务器：请在 config.toml 的 [dns] servers 中填写地址"
            ) from None
        if not own:
            self._resolver.nameservers = [Do53Nameserver(*split_host_port(server)) for server in servers]
        self._resolver.cache = LRUCache()
        self._resolver.lifetime = _SECONDS

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, [] when it has none. Raises DNSException when nobody answers."""
        try:
            answer = self._resolver.resolve(name, TXT, search=False)
        except (NXDOMAIN, NoAnswer):
            return []
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


class Sender(NamedTuple):
    """A domain that marketing mail is written from, and the domain that signs for it ("" when none does)."""

    domain: str
    signed_by: str


def look(config: Config, dns: Dns, findings: Findings) -> None:
    """Add what was found; a server that does not answer makes it unreachable. Raises ConfigurationError."""
    policy, signers = parse_policies(read_folder(config.policies_path)), load_signers(config)
    keys = [signer for domain in signers.domains for signer in signers.for_domain(domain)]
    domains = sorted({signer.domain for signer in keys} | {sender.domain for sender in _senders(policy, keys)})
    try:
        for domain in domains:
            _look_at_spf(domain, config, dns, findings)
        for signer in keys:
            _look_at_dkim(signer, dns, findings)
        for sender in _senders(policy, keys):
            _look_at_dmarc(sender, dns, findings)
    except DNSException as error:
        findings.unreachable += 1
        why = error or type(error).__name__
        findings.wrong(
            f"DNS 没有应答，请稍后重试 relay check --dns（{why}）",
            f"DNS does not answer, try relay check --dns again later ({why})",
        )


def _senders(policy: PolicySet, keys: Iterable[Signer]) -> list[Sender]:
    signing = {signer.domain for signer in keys}
    found = set()
    for stream in policy.streams:
        if stream.purpose is Purpose.MARKETING:
            found |= {name.partition("@")[2] for name in stream.match.identities if "@" in name}
            found |= set(stream.match.sender_domains)
    return sorted(Sender(domain, next((d for d in upwards(domain) if d in signing), "")) for domain in found or signing)


# SPF -----------------------------------------------------------------------------------------------------------------


@dataclass
class _Walk:
    """One reading of an SPF record, with everything it includes."""

    dns: Dns
    included: set[str] = field(default_factory=set)
    lookups: int = 0

    def read(self, record: str) -> None:
        """Follow includes and redirects as a receiver does, at most `SPF_LOOKUPS` of them."""
        for term in record.lower().split()[1:]:
            mechanism = term.lstrip("+-~?")
            self.lookups += re.split("[:=/]", mechanism)[0] in _COUNTED
            for follow in ("include:", "redirect="):
                name = mechanism.removeprefix(follow)
                if name != mechanism and name not in self.included and self.lookups <= SPF_LOOKUPS:
                    self.included.add(name)
                    for inner in _spf_records(name, self.dns):
                        self.read(inner)


def _spf_records(domain: str, dns: Dns) -> list[str]:
    return [text for text in dns.texts(domain) if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def _look_at_spf(domain: str, config: Config, dns: Dns, findings: Findings) -> None:
    profiles = load_profiles()
    wanted = sorted({include for upstream in config.upstream if (include := profiles[upstream.provider].spf_include)})
    records = _spf_records(domain, dns)
    if len(records) > 1:
        findings.wrong(
            f"{domain}：有 {len(records)} 条 SPF 记录（TXT），等于没有：请合并为一条，包含全部 include",
            f"{domain}: {len(records)} SPF records (TXT) count as none: keep one, with every include",
        )
        return
    if not records:
        example = " ".join(f"include:{include}" for include in wanted) or "..."
        findings.later(
            f"{domain}：没有 SPF 记录；在 DNS 中发布 TXT：v=spf1 {example} ~all",
            f"{domain}: there is no SPF record; publish TXT: v=spf1 {example} ~all",
        )
        return
    walk = _Walk(dns)
    walk.read(records[0])
    missing = [include for include in wanted if include not in walk.included]
    for include in missing:
        findings.later(
            f"{domain}：SPF 记录（TXT）没有包含服务商；加入 include:{include}（现为 {records[0]}）",
            f"{domain}: its SPF record (TXT) does not include the provider: add include:{include} (it is {records[0]})",
        )
    if walk.lookups > SPF_LOOKUPS:
        findings.wrong(
            f"{domain}：SPF 记录（TXT）需要的查询超过 {SPF_LOOKUPS} 次，收件方会判为错误：请减少 include",
            f"{domain}: its SPF record (TXT) takes more than {SPF_LOOKUPS} lookups, receivers give up on it: remove includes",
        )
    elif not missing:
        named = "、".join(wanted) or "…"
        findings.good(f"SPF {domain}（{named}）", f"SPF of {domain} ({', '.join(wanted) or records[0]})")


# DKIM ----------------------------------------------------------------------------------------------------------------


def _look_at_dkim(signer: Signer, dns: Dns, findings: Findings) -> None:
    name, chunks = dns_record(signer)
    published = dns.texts(name)
    if not published:
        findings.later(
            f"{name}：DNS 中没有 DKIM 记录；relay dkim dns 会显示要发布的内容",
            f"{name}: there is no DKIM record; relay dkim dns prints what to publish",
        )
    elif len(published) > 1 or _public_key(published[0]) != _public_key("".join(chunks)):
        findings.wrong(
            f"{name}：DNS 中的公钥与本中继的密钥不一致，签名无法通过：请按 relay dkim dns 的输出修改",
            f"{name}: the DKIM record in DNS is not our key, signatures will not verify: publish what relay dkim dns prints",
        )
    else:
        findings.good(f"DKIM {name} 与密钥一致", f"DKIM {name} is our key")


def _public_key(record: str) -> tuple[bytes, bytes]:
    """The kind of key and the key of a record; a record that cannot be read has neither."""
    try:
        tags = parse_tag_value(record.encode())
    except InvalidTagValueList:
        return b"", b""
    return tags.get(b"k", b"rsa"), b"".join(tags.get(b"p", b"").split())


# DMARC ---------------------------------------------------------------------------------------------------------------


def _look_at_dmarc(sender: Sender, dns: Dns, findings: Findings) -> None:
    if not sender.signed_by:
        command = f"relay dkim keygen --domain {sender.domain} --selector relay1 --out FILE"
        findings.wrong(
            f"{sender.domain}：没有为此域名签名的 [[dkim]]，不符合 DMARC：运行 {command}",
            f"{sender.domain}: no [[dkim]] signs for it, so DMARC is not met: {command}",
        )
        return
    found = ((f"_dmarc.{domain}", _dmarc_records(domain, dns)) for domain in upwards(sender.domain))
    name, records = next(((name, records) for name, records in found if records), ("", []))
    tags = _tags(records[0]) if records else {}
    unknown = [f"{tag}={tags[tag]}" for tag in ("p", "sp") if tags.get(tag, "none") not in _DMARC_POLICIES]
    if len(records) > 1:
        findings.wrong(
            f"{name}：有 {len(records)} 条 DMARC 记录（TXT），等于没有：请只保留一条",
            f"{name}: {len(records)} DMARC records (TXT) count as none: keep one",
        )
    elif "p" not in tags:
        findings.later(
            f"_dmarc.{sender.domain}：没有可用的 DMARC 记录；在 DNS 中发布 TXT：v=DMARC1; p=none",
            f"_dmarc.{sender.domain}: there is no DMARC record that can be used; publish TXT: v=DMARC1; p=none",
        )
    elif unknown:
        findings.wrong(
            f"{name}：DMARC 记录（TXT）中的 {unknown[0]} 无效：请写 none、quarantine 或 reject",
            f"{name}: {unknown[0]} in the DMARC record (TXT) means nothing: write none, quarantine or reject",
        )
    elif tags.get("adkim") == "s" and sender.signed_by != sender.domain:
        whole, signing = sender.domain, sender.signed_by
        findings.wrong(
            f"{name}：adkim=s 要求由 {whole} 自己签名，而签名的是 {signing}：用 relay dkim keygen 为它生成密钥，或改为 adkim=r",
            f"{name}: adkim=s asks for a signature of {whole} itself, ours is of {signing}: make a key for it with"
            " relay dkim keygen, or write adkim=r",
        )
    else:
        findings.good(f"DMARC {sender.domain}（p={tags['p']}）", f"DMARC of {sender.domain} (p={tags['p']})")


def _dmarc_records(domain: str, dns: Dns) -> list[str]:
    return [text for text in dns.texts(f"_dmarc.{domain}") if _DMARC.match(text)]


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip().lower() for name, _, value in pairs if value}
