"""What a canary tells: what did not survive, and what to do about it."""

from collections.abc import Sequence
from typing import Any

from relay.cli.canary_mailbox import Arrival
from relay.cli.canary_view import Probe
from relay.cli.dkim import signatures
from relay.cli.findings import Findings
from relay.cli.output import text
from relay.consignment import Consignment
from relay.probing import Sent
from relay.render.signing import Signer, dns_record
from relay.render.survival import Survival, compare
from relay.upstream.connect import Offer
from relay.upstream.outcome import OutcomeState


def probe_of(
    canary: Consignment,
    offers: Sequence[Offer],
    sent: Sent,
    arrived: Arrival | None,
    signers: Sequence[Signer],
    rewritten: Sequence[str],
    *,
    was_awaited: bool,
    junk: Sequence[str],
) -> Probe:
    """Put everything into one value; `rewritten` are the fields that the profile knows the provider to rewrite.

    `junk` are the junk folders that were looked into beside the inbox.
    """
    reply, upstream = str(sent.outcome.reply), canary.routes[0].upstream
    survival = compare(sent.copy.header, sent.copy.body, arrived.octets) if arrived is not None else None
    checked = _signatures(arrived.octets, signers) if arrived is not None else []
    findings = Findings()
    if sent.outcome.state is not OutcomeState.DELIVERED:
        said = sent.outcome.upstream_text or reply
        findings.wrong(f"上游没有收下探测邮件：{said}", f"the upstream did not take the canary: {said}")
    elif was_awaited and survival is None:
        _not_there(junk, findings)
    if arrived is not None and arrived.junk:
        findings.wrong(
            f"探测邮件进了垃圾邮件文件夹“{arrived.junk}”：收件方把这样的邮件当作垃圾邮件",
            f'the canary arrived in the junk folder "{arrived.junk}": this is what its receiver takes such mail for',
        )
    if survival is not None:
        _look_at(survival, frozenset(rewritten), upstream, findings)
    for one in checked:
        if not one["valid"]:
            named = f"d={one['domain']} s={one['selector']}"
            findings.wrong(
                f"DKIM 签名 {named} 未通过：{one['fault']}", f"the DKIM signature {named} does not verify: {one['fault']}"
            )
    return Probe(
        upstream=upstream,
        id=canary.submission.id,
        at=canary.submission.at,
        stream=canary.stream.name,
        offers=tuple(offers),
        reply=reply,
        is_delivered=sent.outcome.state is OutcomeState.DELIVERED,
        survival=survival,
        signatures=tuple(checked),
        findings=tuple(findings.faults),
    )


def _not_there(junk: Sequence[str], findings: Findings) -> None:
    if junk:
        findings.wrong(
            f"探测邮件没有在等待时间内到达，收件箱和垃圾邮件文件夹（{'、'.join(junk)}）里都没有：可用 --wait 等得更久",
            f"the canary did not arrive in time, neither in the inbox nor in the junk folder ({', '.join(junk)}):"
            " let --wait be longer",
        )
    else:
        findings.wrong(
            "探测邮件没有在等待时间内到达收件箱：请查看垃圾邮件文件夹，或用 --wait 等得更久",
            "the canary did not arrive in the inbox in time: look into the junk folder, or let --wait be longer",
        )


def _signatures(arrived: bytes, signers: Sequence[Signer]) -> list[dict[str, Any]]:
    """Our signatures as a receiver reads them who has our keys: whether DNS has them is `relay check --dns`'s question."""
    records = {name: "".join(chunks).encode() for name, chunks in map(dns_record, signers)}
    found = signatures(arrived, lambda name: records.get(name.decode() if isinstance(name, bytes) else name))
    ours = {(signer.domain, signer.selector) for signer in signers}
    there = [one for one in found if (one["domain"], one["selector"]) in ours]
    gone = sorted(ours - {(one["domain"], one["selector"]) for one in there})
    fault = text("不见了", "it is gone")
    return there + [
        {"domain": domain, "selector": selector, "algorithm": "", "valid": False, "fault": fault} for domain, selector in gone
    ]


def _look_at(survival: Survival, rewritten: frozenset[str], upstream: str, findings: Findings) -> None:
    """A field that the profile knows to be rewritten is no news; Received is the provider's to drop."""
    if survival.message_id and "message-id" not in rewritten:
        findings.wrong(
            f"Message-ID 被改写为 {survival.message_id}，而签名包含它："
            f"[[upstream]] {upstream} 的 provider 应是 unsigned_fields 含 message-id 的服务商",
            f"Message-ID was rewritten to {survival.message_id}, and the signature covers it: [[upstream]] {upstream} needs a"
            " provider whose profile has message-id among its unsigned_fields",
        )
    known = rewritten | {"received", "dkim-signature"}  # signatures are verified one by one
    for name in survival.changed:
        if name.lower() not in known | {"message-id"}:
            findings.wrong(f"{name} 被改动", f"{name} was changed")
    for name in survival.gone:
        if name.lower() not in known:
            findings.wrong(f"{name} 被删除", f"{name} was removed")
    if any(name.startswith("list-unsubscribe") for name in survival.added):
        findings.wrong(
            "服务商加上了自己的 List-Unsubscribe：请在服务商处关闭",
            "the provider added a List-Unsubscribe of its own: switch that off at the provider",
        )
    if not survival.is_body_same:
        findings.wrong("正文字节被改动", "the octets of the body were changed")
