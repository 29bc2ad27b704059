"""`relay check`: is everything that the configuration names there, and what is still to do."""

import asyncio

import click

from relay.cli import check_dns, check_forms, check_mailboxes, check_public, check_resolvers, check_upstreams, probes
from relay.cli.findings import Findings, show
from relay.cli.inspection import inspect
from relay.cli.output import CONFIGURATION, FINDINGS, OK, UNREACHABLE, emit_json, option, text
from relay.config import Config, load_config
from relay.errors import RelayError


@click.command("check")
@click.option("--json", "as_json", is_flag=True)
@click.option("--dns", is_flag=True, help="Also ask DNS: SPF, DKIM, DMARC / 同时核对 DNS 记录")
@click.option("--public", is_flag=True, help="Also try the unsubscribe address and the privacy notice / 同时试用退订网址")
@click.option("--dns-server", default="", hidden=True, metavar="HOST:PORT", help="Ask this server")
def check(as_json: bool, dns: bool, public: bool, dns_server: str) -> None:
    """Check configuration, policies, keys, upstreams, mailboxes, store / 检查配置、策略、密钥、上游、邮箱与存储."""
    config = load_config(option("config"))
    findings = asyncio.run(_look(config))
    try:
        if dns:
            check_dns.look(config, check_dns.Dns((dns_server,) if dns_server else config.dns.servers), findings)
            asyncio.run(check_resolvers.ask(config, findings))
        if public:
            check_public.look(config, findings)
    except RelayError as fault:
        findings.raised(fault)
    if as_json:
        texts = {"fine": findings.fine, "faults": findings.faults, "to_do": findings.to_do}
        emit_json({"ok": not findings.faults, **{name: [text(*both) for both in found] for name, found in texts.items()}})
    else:
        show(findings)
    raise click.exceptions.Exit(_exit_code(findings))


async def _look(config: Config) -> Findings:
    findings = await inspect(config)
    await check_upstreams.look(config, findings)
    await check_mailboxes.look(config, findings)
    check_forms.look(config, findings)
    check_resolvers.look(config, findings)
    probes.look(config, findings)
    return findings


def _exit_code(findings: Findings) -> int:
    if findings.faults:
        return UNREACHABLE if findings.unreachable == len(findings.faults) else CONFIGURATION
    return FINDINGS if findings.to_do else OK
