"""What a probe found, as a value and as people read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from relay.cli.findings import Both
from relay.cli.output import say, text
from relay.render.survival import Survival
from relay.upstream.connect import Offer


@dataclass(frozen=True, slots=True)
class Probe:
    """One canary. `survival` is None when it was not seen again; nothing here is a person's address."""

    upstream: str
    id: str
    at: float
    stream: str
    offers: tuple[Offer, ...]
    reply: str
    is_delivered: bool
    survival: Survival | None
    signatures: tuple[Mapping[str, Any], ...]
    findings: tuple[Both, ...]


def show_probe(probe: Probe) -> None:
    """Print it."""
    for offer in probe.offers:
        tls = f"{offer.tls} {offer.cipher}" if offer.tls else text("无 TLS", "no TLS")
        click.echo(f"{offer.address}: {tls}")
        click.echo(f"  EHLO: {', '.join(offer.extensions)}")
    say(
        f"探测邮件 {probe.id}（邮件流 {probe.stream}）：{probe.reply}",
        f"canary {probe.id} (stream {probe.stream}): {probe.reply}",
    )
    if probe.survival is not None:
        _show_survival(probe.survival)
        for one in probe.signatures:
            answer = text("有效", "valid") if one["valid"] else one["fault"]
            click.echo(f"  DKIM d={one['domain']} s={one['selector']}: {answer}")
    elif probe.is_delivered:
        say("没有查看是否到达。", "It was not seen where it went.")
    for both in probe.findings:
        click.secho(f"✗ {text(*both)}", fg="red")
    if probe.survival is not None and not probe.findings:
        say("✓ 全部完好。", "✓ Everything survived.")


def _show_survival(survival: Survival) -> None:
    for zh, en, names in (
        ("原样到达", "survived", survival.kept),
        ("被改动", "changed", survival.changed),
        ("被删除", "removed", survival.gone),
        ("被加上", "added", survival.added),
    ):
        if names:
            click.echo(f"  {text(zh, en)}: {', '.join(names)}")
    if survival.message_id:
        say(f"  Message-ID 改为 {survival.message_id}", f"  Message-ID is now {survival.message_id}")
    body = text("相同", "the same") if survival.is_body_same else text("被改动", "changed")
    say(f"  正文字节：{body}", f"  octets of the body: {body}")
