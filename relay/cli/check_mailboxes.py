"""`relay check`: is there a mailbox for what comes back, and can the collector read it?

Tried by logging in as the collector does; no mail is read.
"""

import asyncio

from relay.accounts import Account
from relay.cli.findings import Findings
from relay.config import Config
from relay.doors.mailbox.collector import mailboxes, tls_context
from relay.doors.mailbox.imap import CommandRefused, LoginRefused, MailboxUnavailable, connected
from relay.errors import ConfigurationError
from relay.hosts import split_host_port
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import Purpose
from relay.service.policies import read_folder
from relay.upstream.credentials import read_password

SECONDS = 15.0  # for all that one mailbox is asked
_NAMED = 10  # senders that one finding names


async def look(config: Config, findings: Findings) -> None:
    """Try every mailbox, all at the same time, and add what was found."""
    _unwatched(config, findings)
    named = mailboxes(config)
    tried = await asyncio.gather(*(_try(config, account) for account in named.values()))
    for (name, account), fault in zip(named.items(), tried, strict=True):
        where = f"{name} ({account.imap})"
        place = f"config.toml [[account]] {account.identity} (imap = {account.imap})"
        if fault is None:
            findings.good(f"邮箱 {where}：读取退订、退信与投诉", f"mailbox {where}: read for refusals, bounces and complaints")
        elif isinstance(fault, LoginRefused | CommandRefused):
            _refused(place, config.upstream_named(account.upstream).provider, fault, findings)
        elif isinstance(fault, MailboxUnavailable):
            findings.unreachable += 1
            findings.wrong(
                f"{place}：无法读取，退订邮件不会生效：{fault}；请检查 imap 地址、防火墙和 imap_ca_file",
                f"{place}: cannot be read, so refusals by mail take no effect: {fault}; look after the address in imap,"
                " the firewall and imap_ca_file",
            )
        elif (line := str(fault)) not in (en for _, en in findings.faults):  # the password file is looked at elsewhere too
            findings.wrong(line, line)


def _unwatched(config: Config, findings: Findings) -> None:
    """Name the marketing streams whose bounces and complaints come to a mailbox that nobody counts."""
    try:
        streams = parse_policies(read_folder(config.policies_path)).streams
    except ConfigurationError:
        return  # what is wrong with the policies is looked at elsewhere
    for stream in streams:
        if stream.purpose is Purpose.MARKETING and (unread := _senders_unread(stream, config)):
            some = ", ".join(unread[:_NAMED])
            findings.later(
                f"streams/{stream.name}.toml：退信与投诉无人读取，不计入比率：在 config.toml 的 [[account]]（{some}）"
                "中填写 imap，见 docs/mailbox.zh.md",
                f"streams/{stream.name}.toml: bounces and complaints are not read and count nowhere: set imap in [[account]] of"
                f" config.toml ({some}), see docs/mailbox.md",
            )


def _senders_unread(stream: Stream, config: Config) -> list[str]:
    """Who sends in this stream and has no watched mailbox; of a stream that names nobody, any mailbox will do."""
    if not stream.match.identities:
        return [] if mailboxes(config) else [f"@{domain}" for domain in stream.match.sender_domains] or ["..."]
    return [who for who in stream.match.identities if config.watched_account(who) is None]


async def _try(config: Config, account: Account) -> MailboxUnavailable | ConfigurationError | None:
    """What stands against reading the mailbox, if anything does."""
    host, port = split_host_port(account.imap)
    try:
        password = read_password(config, account)
        async with asyncio.timeout(SECONDS), connected(host, port, tls_context(config, account)) as session:
            await session.log_in(account.login or account.identity, password)
            await session.select()
            await session.log_out()
    except TimeoutError:
        return MailboxUnavailable(f"no answer within {SECONDS:g} seconds")
    except (MailboxUnavailable, ConfigurationError) as fault:
        return fault
    return None


def _refused(place: str, provider: str, fault: MailboxUnavailable, findings: Findings) -> None:
    guide = "netease" if provider == "netease" else "mailbox"
    findings.wrong(
        f"{place}：服务器拒绝登录或打开收件箱：{fault}。password_file 里应是客户端授权码（客户端专用密码），"
        f"不是网页登录密码；网页邮箱的设置中应显示“IMAP 服务已开启”。见 docs/{guide}.zh.md",
        f"{place}: the server refuses the login or the mailbox: {fault}. password_file must hold the 客户端授权码 (client"
        " password), not the password of the web mailbox, whose settings must say IMAP 服务已开启 (IMAP is switched on);"
        f" see docs/{guide}.md",
    )
