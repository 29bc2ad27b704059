"""What `relay check` looks at, one function per part of the configuration; nothing is changed.

A fault stops mail, or would; what is "still to do" works already but should
not stay so.
"""

from collections.abc import Sequence

from relay.cli import check_certificate, check_store, standing
from relay.cli.findings import Both, Findings, warn_if_open
from relay.cli.output import counted
from relay.config import Config, Http
from relay.doors.users import User, load_users
from relay.errors import RelayError
from relay.hosts import is_local
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import Purpose
from relay.service.assembly import load_signers
from relay.service.policies import config_faults, read_folder, unknown_countries
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles


async def inspect(config: Config) -> Findings:
    """Look at everything."""
    findings = Findings()
    parts = (_listeners, check_certificate.look, _users, _upstreams, _holding, _signing, _policies, _pages)
    for look in (*parts, check_store.look_at_folder):
        try:
            look(config, findings)
        except RelayError as fault:
            findings.raised(fault)
    await check_store.look(config, findings)
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
        elif listen.tls == "none" and not is_local(listen.address):
            findings.later(
                f"{place}：没有 TLS，因此只接受本机登录：请把 tls 改为 implicit 或 starttls",
                f"{place}: has no TLS, so it offers AUTH on this machine only: set tls to implicit or starttls",
            )


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
        if upstream.tls == "none" and not all(map(is_local, upstream.addresses)):
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
        warn_if_open(config.secret(table.key_file), findings)


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
    _unsubscribing(file, stream, config, findings)
    if stream.signing_required:
        _unsigned(file, stream, config, findings)


def _unsubscribing(file: str, stream: Stream, config: Config, findings: Findings) -> None:
    """Whether recipients can do it, and whether that is enough for the large providers."""
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


def _unsigned(file: str, stream: Stream, config: Config, findings: Findings) -> None:
    """Whose mail is refused for want of a key."""
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
        f'config.toml [[upstream]] "{upstream}"：请写明所在国家，如 country = "CN"；规则包 {named} 据此判断',
        f'config.toml [[upstream]] "{upstream}": say where it is, such as country = "CN"; packs go by it: {named}',
    )


# Pages ----------------------------------------------------------------------------------------------------------------


def _pages(config: Config, findings: Findings) -> None:
    is_remote = any(not is_local(listen.address) for listen in config.listen)
    if is_remote and config.http.help_url == Http().help_url:
        findings.later(
            "config.toml [http]：help_url 仍是 127.0.0.1：其他电脑上的发件人打不开拒信中的说明网址",
            "config.toml [http]: help_url is still 127.0.0.1: people on other computers cannot open the URL in a refusal",
        )
    if not is_local(config.http.address):
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
