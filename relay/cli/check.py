"""`relay check`: is everything that the configuration names there, and what is still to do.

Faults stop mail or would; the list "still to do" is what works already but
should not stay so.  Nothing is changed: the first `relay serve` makes keys
and the store.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import click
from cryptography.x509 import load_pem_x509_certificate

from relay.cli.output import CONFIGURATION, FINDINGS, OK, UNREACHABLE, emit_json, option, say, text
from relay.config import Config, load_config
from relay.doors.mailbox.collector import mailboxes
from relay.doors.users import load_users
from relay.errors import ConfigurationError, RelayError, StoreUnavailable
from relay.keys import load_keys
from relay.policy.parse import parse_policies
from relay.policy.show import placeholders
from relay.service.assembly import load_signers
from relay.service.policies import config_faults, read_folder
from relay.stores.opening import open_store
from relay.upstream.credentials import Accounts
from relay.upstream.profile import load_profiles

_CERTIFICATE_DAYS = 21


@dataclass
class Findings:
    """What was looked at: what is fine, what is wrong, what is still to do; each text in Chinese and English."""

    fine: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    to_do: list[tuple[str, str]] = field(default_factory=list)
    unreachable: bool = False


@click.command("check")
@click.option("--json", "as_json", is_flag=True)
def check(as_json: bool) -> None:
    """Check configuration, policies, keys, certificates and store / 检查配置、策略、密钥、证书与存储."""
    config = load_config(option("config"))
    findings = Findings()
    for look in (_listeners, _accounts, _signing, _policies, _later_versions):
        _try(look, config, findings)
    asyncio.run(_store(config, findings))
    if as_json:
        emit_json({"faults": findings.faults, "to_do": [en for _, en in findings.to_do], "ok": not findings.faults})
    else:
        _show(findings)
    raise click.exceptions.Exit(_exit_code(findings))


def _try(look: Callable[[Config, Findings], None], config: Config, findings: Findings) -> None:
    try:
        look(config, findings)
    except RelayError as fault:
        findings.faults += str(fault).splitlines()


def _exit_code(findings: Findings) -> int:
    if findings.unreachable:
        return UNREACHABLE
    return CONFIGURATION if findings.faults else FINDINGS if findings.to_do else OK


def _show(findings: Findings) -> None:
    for zh, en in findings.fine:
        click.echo(f"✓ {text(zh, en)}")
    for fault in findings.faults:
        click.secho(f"✗ {fault}", fg="red")
    if findings.to_do:
        say("\n尚待完成：", "\nStill to do:")
        for number, (zh, en) in enumerate(findings.to_do, 1):
            click.echo(f"{number:3}. {text(zh, en)}")
    if not findings.faults and not findings.to_do:
        say("一切就绪。", "Everything is in place.")


# What is looked at ---------------------------------------------------------------------------------------------------


def _listeners(config: Config, findings: Findings) -> None:
    for listen in config.listen:
        findings.fine.append(
            (f"监听 {listen.name} {listen.address} tls={listen.tls}", f"listen {listen.name} {listen.address} tls={listen.tls}")
        )
        if listen.auth == "none":
            networks = ", ".join(map(str, config.auth.trusted_networks))
            findings.to_do.append((
                f"监听 {listen.name} 不要求登录，来自 {networks} 的任何人都可发信：确认这正是您想要的",
                f"listener {listen.name} asks for no password: everybody in {networks} may send; make sure you want that",
            ))  # fmt: skip
    if any(listen.tls != "none" for listen in config.listen):
        _certificate(config, findings)
    if config.auth.mode == "users":
        users = load_users(config.path(config.auth.users_file))
        findings.fine.append((f"用户 {len(users)} 个", f"{len(users)} users"))


def _certificate(config: Config, findings: Findings) -> None:
    certificate = config.path(config.tls.certificate_file)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, config.path(config.tls.private_key_file))
        ends = load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"[tls]: {certificate}: {error}; certificate and private key must be PEM and belong together"
        ) from None
    days = (ends - datetime.now(UTC)).days
    if days < 0:
        raise ConfigurationError(f"[tls]: {certificate} expired on {ends:%Y-%m-%d}")
    if days < _CERTIFICATE_DAYS:
        findings.to_do.append(
            (f"证书 {certificate} 还有 {days} 天到期，请续期", f"{certificate} expires in {days} days: renew it")
        )
    findings.fine.append((f"证书有效至 {ends:%Y-%m-%d}", f"certificate valid until {ends:%Y-%m-%d}"))


def _accounts(config: Config, findings: Findings) -> None:
    load_profiles()
    Accounts(config)
    for account in config.account:
        findings.fine.append(
            (f"账号 {account.identity}（{account.upstream}）", f"account {account.identity} at {account.upstream}")
        )
    for name, account in mailboxes(config).items():
        findings.fine.append((
            f"邮箱 {name}（{account.imap}）：读取退订、退信与投诉",
            f"mailbox {name} at {account.imap}: read for refusals, bounces and complaints",
        ))  # fmt: skip
    for upstream in config.upstream:
        if upstream.tls == "none":
            findings.to_do.append((
                f"上游 {upstream.name} 不使用 TLS：仅限本机服务器",
                f"upstream {upstream.name} is used without TLS: for a server on this machine only",
            ))  # fmt: skip


def _signing(config: Config, findings: Findings) -> None:
    for domain in load_signers(config).domains:
        findings.fine.append((f"DKIM 密钥 {domain}", f"DKIM key of {domain}"))
    if not config.dkim:
        findings.to_do.append((
            "没有 [[dkim]]：要求签名的邮件流会被拒绝。运行 relay dkim keygen",
            "there is no [[dkim]]: streams that must be signed are refused; run relay dkim keygen",
        ))  # fmt: skip


def _policies(config: Config, findings: Findings) -> None:
    policy = parse_policies(read_folder(config.policies_path))
    findings.fine.append(
        (f"策略集 {policy.hash}，{len(policy.streams)} 个邮件流", f"policy set {policy.hash}, {len(policy.streams)} streams")
    )
    findings.faults += config_faults(policy, config, load_profiles())
    for stream in policy.streams:
        if stream.mode == "shadow":
            findings.to_do.append((
                f"streams/{stream.name}.toml：影子模式，规则只记录不拦截",
                f"streams/{stream.name}.toml: shadow mode, its rules only observe",
            ))  # fmt: skip
        if stream.unsubscribe.mailto and not stream.unsubscribe.one_click:
            findings.to_do.append(_mailto_alone(stream.name))
    findings.to_do += [
        (f"policies/{place}：仍是示例内容，请改为真实信息", f"policies/{place}: still an example, write your own")
        for place in placeholders(policy)
    ]


def _mailto_alone(stream: str) -> tuple[str, str]:
    zh = (
        f"streams/{stream}.toml：只有邮件退订。Gmail 要求每天超过 5000 封的发件人提供一键退订（one_click），"
        "邮件退订不算；Yahoo 接受邮件退订，但建议一键退订。见 docs/mailbox.zh.md"
    )
    en = (
        f"streams/{stream}.toml: unsubscribing by mail only. Gmail wants one-click (one_click) of whoever sends more than"
        " 5,000 a day, and a mailto does not count; Yahoo takes it and recommends one-click. See docs/mailbox.md"
    )
    return zh, en


def _later_versions(config: Config, findings: Findings) -> None:
    if config.auth.held_credentials != "none":
        findings.faults.append('[auth] held_credentials: holding mail comes with a later version; write "none"')


async def _store(config: Config, findings: Findings) -> None:
    if not config.keys_path.exists() and not (config.data_path / "store.id").exists():
        findings.to_do.append(("首次运行 relay serve 时会生成密钥和存储", "the first `relay serve` makes the keys and the store"))
        return
    try:
        store = await open_store(config, load_keys(config.keys_path), time.time)
        try:
            await store.check()
        finally:
            await store.aclose()
        findings.fine.append((f"存储 {store.name}", f"store {store.name}"))
    except StoreUnavailable as fault:
        findings.unreachable = True
        findings.faults.append(f"[store]: {fault.reason}: {fault}")
    except RelayError as fault:
        findings.faults.append(str(fault))
