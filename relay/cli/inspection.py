"""What `relay check` looks at, one function per part of the configuration; nothing is changed.

A fault stops mail, or would; what is "still to do" works already but should
not stay so.
"""

import os
import re
import shutil
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from relay.cli import standing
from relay.cli.findings import Both, Findings
from relay.cli.output import counted
from relay.config import Config, Http
from relay.doors.users import User, load_users
from relay.errors import ConfigurationError, RelayError, StoreUnavailable
from relay.hosts import is_loopback, split_host_port
from relay.keys import load_keys
from relay.policy.parse import parse_policies
from relay.policy.reputation import Pause
from relay.policy.sets import Stream
from relay.policy.suppression import Purpose
from relay.service.assembly import load_signers
from relay.service.policies import config_faults, read_folder, unknown_countries
from relay.stores.adaptations import Adaptation, Kind
from relay.stores.opening import open_store
from relay.stores.redis import RedisStore
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles

CERTIFICATE_DAYS = 21


async def inspect(config: Config) -> Findings:
    """Look at everything."""
    findings = Findings()
    for look in (_listeners, _certificate, _users, _upstreams, _holding, _signing, _policies, _pages, _folder):
        try:
            look(config, findings)
        except RelayError as fault:
            findings.raised(fault)
    await _store(config, findings)
    return findings


# The SMTP side ----------------------------------------------------------------------------------------------------------


def _listeners(config: Config, findings: Findings) -> None:
    for listen in config.listen:
        place = f'config.toml [[listen]] "{listen.name}"'
        head = f"{listen.name} {listen.address} tls={listen.tls} auth={listen.auth}"
        findings.good(f"监听 {head}", f"listen {head}")
        if listen.auth == "none":
            networks = ", ".join(map(str, config.auth.trusted_networks))
            findings.later(
                f"{place}：不要求登录，来自 {networks} 的任何人都可发信：确认这正是您想要的",
                f"{place}: asks for no password: everybody in {networks} may send; make sure you want that",
            )
        elif listen.tls == "none" and not _is_local(listen.address):
            findings.later(
                f"{place}：没有 TLS，因此只接受本机登录：请把 tls 改为 implicit 或 starttls",
                f"{place}: has no TLS, so it offers AUTH on this machine only: set tls to implicit or starttls",
            )


def _certificate(config: Config, findings: Findings) -> None:
    if all(listen.tls == "none" for listen in config.listen):
        return
    certificate, key = config.path(config.tls.certificate_file), config.path(config.tls.private_key_file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"config.toml [tls]: {certificate}, {key}: certificate and private key must be PEM and belong together"
            f" ({error.reason or 'unreadable'}) / 证书与私钥须为 PEM 格式并且配对"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"config.toml [tls]: {_unreadable(error, certificate, key)}: {error.strerror}; put certificate and key there, or"
            " make them: relay tls private-ca / 请把证书和私钥放到该处，或运行 relay tls private-ca 自建"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"config.toml [tls]: {certificate}: {error}") from None
    _dates(leaf, certificate, findings)
    _warn_if_open(key, findings)
    if config.hostname not in (names := _names(leaf)):
        listed = ", ".join(names) or "-"
        findings.later(
            f"config.toml [tls]：证书 {certificate} 写的是 {listed}，不含 hostname = {config.hostname}：邮件客户端会提示证书不符",
            f"config.toml [tls]: {certificate} is for {listed}, not for hostname = {config.hostname}: mail clients will complain",
        )


def _dates(leaf: x509.Certificate, certificate: Path, findings: Findings) -> None:
    now, begins, ends = datetime.now(UTC), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begins:
        findings.wrong(
            f"config.toml [tls]：{certificate} 自 {begins:%Y-%m-%d} 起才有效",
            f"config.toml [tls]: {certificate} is not valid before {begins:%Y-%m-%d}",
        )
    elif now > ends:
        findings.wrong(
            f"config.toml [tls]：{certificate} 已于 {ends:%Y-%m-%d} 过期，请续期（自建证书：relay tls private-ca）",
            f"config.toml [tls]: {certificate} expired on {ends:%Y-%m-%d}: renew it (one of your own: relay tls private-ca)",
        )
    elif (days := (ends - now).days) < CERTIFICATE_DAYS:
        findings.later(
            f"证书 {certificate} 还有 {days} 天到期，请续期（自建证书：relay tls private-ca）",
            f"{certificate} expires in {counted(days, 'day')}: renew it (one of your own: relay tls private-ca)",
        )
    else:
        findings.good(f"证书有效至 {ends:%Y-%m-%d}", f"certificate valid until {ends:%Y-%m-%d}")


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return []


def _users(config: Config, findings: Findings) -> None:
    if config.auth.mode != "users":
        return
    users = load_users(config.path(config.auth.users_file))
    findings.good(f"用户 {len(users)} 个", counted(len(users), "user"))
    if not users:
        findings.later(
            "还没有用户，任何人都无法登录：运行 relay users add", "there are no users, nobody can log in: run relay users add"
        )
    for upstream in config.upstream:
        held = {account.identity for account in config.account if account.upstream == upstream.name}
        without = [user.name for user in users.values() if upstream.auth == "account" and not _has_account(user, held)]
        if without:
            some = ", ".join(without[:10])
            findings.later(
                f"config.toml：以下用户没有上游 {upstream.name} 的 [[account]]，从那里发不出邮件：{some}",
                f"config.toml: no [[account]] at upstream {upstream.name} for these users, their mail cannot leave there: {some}",
            )


def _has_account(user: User, held: set[str]) -> bool:
    """An account of the user, of an address that the user writes as, or of a whole domain."""
    owned = {user.name, *user.owns}
    return bool(held & owned) or any(f"@{identity.rpartition('@')[2]}" in owned or identity.startswith("@") for identity in held)


# Where mail goes --------------------------------------------------------------------------------------------------------


def _upstreams(config: Config, findings: Findings) -> None:
    Upstreams(config, load_profiles(), b"")  # profiles, CA files and password files
    for account in config.account:
        findings.good(f"账号 {account.identity}（{account.upstream}）", f"account {account.identity} at {account.upstream}")
    for upstream in config.upstream:
        if upstream.tls == "none" and not all(map(_is_local, upstream.addresses)):
            findings.later(
                f'config.toml [[upstream]] "{upstream.name}"：tls = "none"：密码和邮件会明文传输',
                f'config.toml [[upstream]] "{upstream.name}": tls = "none": passwords and mail travel in the clear',
            )


def _holding(config: Config, findings: Findings) -> None:
    """A client's own password goes with its session, and its mail can then leave with an account of the relay only."""
    if config.auth.mode != "upstream" or config.auth.held_credentials != "none" or config.delivery.on_transient != "hold":
        return
    named = ", ".join(account.identity for account in config.account) or "-"
    findings.good(
        f'held_credentials = "none"：客户端自己账号的邮件不保留，暂不能发出时答复 451；有 [[account]] 的除外：{named}',
        f'held_credentials = "none": hold means defer for clients with their own account, except with an [[account]]: {named}',
    )


def _signing(config: Config, findings: Findings) -> None:
    for domain in load_signers(config).domains:
        findings.good(f"DKIM 密钥 {domain}", f"DKIM key of {domain}")
    for table in config.dkim:
        _warn_if_open(config.secret(table.key_file), findings)


# Policies ---------------------------------------------------------------------------------------------------------------


def _policies(config: Config, findings: Findings) -> None:
    policy = parse_policies(read_folder(config.policies_path))
    findings.good(
        f"策略集 {policy.hash}，{len(policy.streams)} 个邮件流",
        f"policy set {policy.hash}, {counted(len(policy.streams), 'stream')}",
    )
    for fault in config_faults(policy, config, load_profiles()):
        findings.wrong(fault, fault)
    for name, packs in unknown_countries(policy, config, load_profiles()).items():
        findings.later(*unknown_country(name, packs))
    for stream in policy.streams:
        _stream(stream, config, findings)
    standing.look(policy, findings)


def _stream(stream: Stream, config: Config, findings: Findings) -> None:
    file = f"streams/{stream.name}.toml"
    if stream.mode == "shadow":
        findings.later(f"{file}：影子模式，规则只记录不拦截", f"{file}: shadow mode, its rules only observe")
    if stream.unsubscribe.one_click and not config.unsubscribe.base_url:
        findings.wrong(
            f"{file}：one_click 需要 config.toml 中的 [unsubscribe] base_url，收件人通过它退订",
            f"{file}: one_click needs [unsubscribe] base_url in config.toml: that is how recipients unsubscribe",
        )
    if stream.purpose is Purpose.MARKETING and not stream.unsubscribe.is_offered:
        findings.later(
            f"{file}：既没有一键退订，也没有邮件退订：Gmail 要求每天发送超过 5000 封的发件人提供一键退订，Yahoo 要求至少一种；"
            "见 docs/unsubscribe-url.zh.md",
            f"{file}: no unsubscribing, neither one-click nor by mail: Gmail wants one-click of whoever sends it more than 5,000"
            " a day, Yahoo wants one of the two of every bulk sender; see docs/unsubscribe-url.md",
        )
    if stream.unsubscribe.mailto and not stream.unsubscribe.one_click:
        findings.later(
            f"{file}：只有邮件退订。Gmail 要求每天发送超过 5000 封的发件人提供一键退订（one_click），邮件退订不算；"
            "Yahoo 接受邮件退订，但建议一键退订。见 docs/unsubscribe-url.zh.md",
            f"{file}: unsubscribing by mail only. Gmail wants one-click (one_click) of whoever sends it more than 5,000 a day,"
            " and a mailto does not count; Yahoo takes a mailto and recommends one-click. See docs/unsubscribe-url.md",
        )
    if not stream.signing_required:
        return
    signed = {table.domain for table in config.dkim}
    domains = {name.rpartition("@")[2] for name in stream.match.identities if "@" in name} | set(stream.match.sender_domains)
    for domain in sorted(domains - signed) or ([] if signed else [""]):
        named = f"[[dkim]] domain = {domain}" if domain else "[[dkim]]"
        findings.later(
            f"{file}：要求签名，但没有 {named}，这些邮件会被拒绝：运行 relay dkim keygen",
            f"{file}: mail must be signed, but there is no {named}, so it is refused: run relay dkim keygen",
        )


def unknown_country(upstream: str, packs: Sequence[str]) -> Both:
    """What to say about an upstream in no known country, in Chinese and English."""
    named = ", ".join(packs)
    return (
        f'config.toml [[upstream]] "{upstream}"：请写明所在国家，如 country = "CN"；规则包 {named} 据此判断，不写则不适用',
        f'config.toml [[upstream]] "{upstream}": say where it is, such as country = "CN"; packs go by it: {named}',
    )


# Pages ----------------------------------------------------------------------------------------------------------------


def _pages(config: Config, findings: Findings) -> None:
    is_remote = any(not _is_local(listen.address) for listen in config.listen)
    if is_remote and config.http.help_url == Http().help_url:
        findings.later(
            "config.toml [http]：help_url 仍是 127.0.0.1：其他电脑上的发件人打不开拒信中的说明网址",
            "config.toml [http]: help_url is still 127.0.0.1: people on other computers cannot open the URL in a refusal",
        )
    if not _is_local(config.http.address):
        findings.later(
            f"config.toml [http]：address = {config.http.address}：指标和状态只给管理员看，请限制能访问它的人",
            f"config.toml [http]: address = {config.http.address}: metrics and status are for operators; make sure nobody"
            " else reaches them",
        )
    if config.unsubscribe.base_url.startswith("http://"):
        findings.later(
            f"config.toml [unsubscribe]：base_url = {config.unsubscribe.base_url}：收件人无法打开，仅供本机测试",
            f"config.toml [unsubscribe]: base_url = {config.unsubscribe.base_url}: recipients cannot open it; for a test on"
            " this machine only",
        )


# What is kept -----------------------------------------------------------------------------------------------------------


def _folder(config: Config, findings: Findings) -> None:
    folder = config.data_path
    if not folder.exists():
        findings.later(
            f"{folder} 还不存在，首次运行 relay serve 时会建立", f"{folder} does not exist yet; the first `relay serve` makes it"
        )
        return
    _warn_if_open(folder, findings)
    if not os.access(folder, os.W_OK | os.X_OK):
        findings.wrong(
            f"config.toml：data_dir {folder}：当前用户不能写入：请以服务的用户运行",
            f"config.toml: data_dir {folder}: this user may not write there; be the user of the service",
        )
    free = shutil.disk_usage(folder).free
    if free < config.records.min_free:
        findings.wrong(
            f"config.toml：data_dir {folder} 只剩 {free} 字节，少于 [records] min_free，邮件会被暂缓",
            f"config.toml: data_dir {folder} has {free} octets left, less than [records] min_free: mail is deferred",
        )


async def _store(config: Config, findings: Findings) -> None:
    _store_settings(config, findings)
    used = [name for name in ("store.id", "records.db") if (config.data_path / name).exists()]
    try:
        if not config.keys_path.exists() and not used:
            findings.later("首次运行 relay serve 时会生成密钥", "the first `relay serve` makes the keys")
            await _future_store(config, findings)
            return
        keys = load_keys(config.keys_path)
        if "store.id" not in used:
            await _future_store(config, findings)
            return
        store = await open_store(config, keys, time.time)
        try:
            await store.check()
            _paused(await store.paused(), findings)
            _adapted(await store.adaptations(), findings)
        finally:
            await store.aclose()
        findings.good(f"存储 {store.name}", f"store {store.name}")
    except StoreUnavailable as fault:
        findings.unreachable += 1
        findings.wrong(f"config.toml [store]：{fault.reason}：{fault}", f"config.toml [store]: {fault.reason}: {fault}")
    except RelayError as fault:
        findings.raised(fault)


def _paused(pauses: Mapping[str, Pause], findings: Findings) -> None:
    for name, pause in pauses.items():
        findings.later(
            f"邮件流 {name} 已暂停（{pause.reason_zh}）：查明原因后运行 relay streams resume {name}",
            f"the stream {name} is paused ({pause.reason}): find out why, then run relay streams resume {name}",
        )


def _adapted(adaptations: Sequence[Adaptation], findings: Findings) -> None:
    for name in {one.upstream for one in adaptations if one.kind is Kind.PAUSE}:
        findings.later(
            f"经上游 {name} 的营销邮件已暂停：relay upstream status 说明原因，查明后运行 relay upstream resume {name}",
            f"marketing by the upstream {name} is paused: relay upstream status says why; find out, then run"
            f" relay upstream resume {name}",
        )


async def _future_store(config: Config, findings: Findings) -> None:
    """Before the first start nothing is made, but a Redis that cannot be reached is found now. Raises StoreUnavailable."""
    if config.store.url != "sqlite":
        await RedisStore.peek(config.store.url, timeout_ms=config.store.timeout_ms)
    findings.later("首次运行 relay serve 时会建立存储", "the first `relay serve` makes the store")


def _store_settings(config: Config, findings: Findings) -> None:
    url = config.store.url
    if url.startswith(("redis://", "redis+sentinel://")) and not all(map(_is_local, _hosts(url))):
        findings.later(
            "config.toml [store]：url 不加密：跨机器请使用 rediss://",
            "config.toml [store]: url is not encrypted: use rediss:// between machines",
        )
    if config.store.durability_confirmed:
        findings.later(
            "config.toml [store]：durability_confirmed = true：由您保证 Redis 的 appendonly、appendfsync always 和 noeviction",
            "config.toml [store]: durability_confirmed = true: you vouch for Redis's appendonly, appendfsync always and"
            " noeviction",
        )


def _hosts(url: str) -> list[str]:
    """ "host:port" of every server in a Redis URL; its user and password stay out."""
    servers = url.partition("://")[2].rpartition("@")[2].partition("/")[0].split(",")
    return [server if re.search(r":\d+$", server) else f"{server}:6379" for server in servers]


# Small questions --------------------------------------------------------------------------------------------------------


def _is_local(address: str) -> bool:
    return is_loopback(split_host_port(address)[0])


def _warn_if_open(path: Path, findings: Findings) -> None:
    if os.name == "posix" and path.stat().st_mode & 0o007:
        mode = "700" if path.is_dir() else "600"
        findings.later(
            f"{path}：任何人都可读取，请运行 chmod {mode} {path}", f"{path}: everybody may read it; run: chmod {mode} {path}"
        )


def _unreadable(error: OSError, *paths: Path) -> str:
    """The path that the fault is about; OpenSSL does not say which of its two files it could not read."""
    return str(error.filename or next((path for path in paths if not os.access(path, os.R_OK)), paths[0]))


def _no_password() -> str:
    raise ValueError("the private key is encrypted; store it without a password / 私钥有密码，请保存为无密码格式")
