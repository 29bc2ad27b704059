"""`relay upstream probe`: send a canary, look at what arrives, keep what was found."""

import asyncio
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NamedTuple

import click

from relay.accounts import Account, Upstream
from relay.cli.canary_findings import probe_of
from relay.cli.canary_mailbox import Arrival, Mailroom, reading_for
from relay.cli.canary_view import Probe, show_probe
from relay.cli.entries import by_option, json_option, mailbox_of, person, seconds_of, upstream_of
from relay.cli.opening import Opened, open_all, policy_in_force
from relay.cli.output import FINDINGS, OK, UNREACHABLE, USAGE, emit_json, fail, option, text
from relay.cli.probes import keep_probe
from relay.config import Config
from relay.consignment import Consignment
from relay.doors.mailbox.imap import MailboxUnavailable
from relay.errors import RenderingImpossible
from relay.gathering import Asking, known_of
from relay.logins import fold_login
from relay.mail.envelope import Credentials, Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.deciding.charges import upstream_charges
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.probing import Prober, Sent
from relay.records.probed import probed_record
from relay.routing import Route
from relay.service.assembly import load_signers
from relay.stores.limits import OverLimit
from relay.upstream.connect import Offer, OpeningError, endpoint_of, survey
from relay.upstream.delivery import Upstreams
from relay.upstream.outcome import OutcomeState, UpstreamUnavailable
from relay.upstream.profile import load_profiles

_LOOK_SECONDS, _LEASE_SECONDS = 10.0, 120.0


class Asked(NamedTuple):
    """What the command line says."""

    upstream: str
    to: str
    mailbox: str
    sender: str
    login: str
    stream: str
    wait: str
    by: str


@click.command("probe")
@click.argument("name")
@click.option("--to", required=True, metavar="ADDRESS", help="Who gets the canary / 探测邮件的收件人")
@click.option("--mailbox", default="", metavar="ACCOUNT", help="The [[account]] with imap that reads it / 读取它的账号")
@click.option("--from", "sender", default="", metavar="ADDRESS", help="The sender; else the account's / 发件地址")
@click.option("--login", default="", help="Log in with this, its password is asked for; else an [[account]] / 登录名")
@click.option("--stream", default="", metavar="NAME", help="Rendered as mail of this stream / 按此邮件流生成")
@click.option("--wait", default="2m", show_default=True, help="How long it may take to arrive / 最长等待时间")
@by_option
@json_option
def probe(name: str, to: str, mailbox: str, sender: str, login: str, stream: str, wait: str, by: str, as_json: bool) -> None:
    """Send a canary by the upstream NAME; given a mailbox, see what of it survives / 发送探测邮件，查看服务商改动了什么.

    Exit code 1 when something did not survive, 4 when upstream or mailbox cannot be reached.
    """
    found = asyncio.run(_probe(Asked(name, to, mailbox, sender, login, stream, wait, person(by))))
    if as_json:
        emit_json(asdict(found) | {"findings": [text(*both) for both in found.findings]})
    else:
        show_probe(found)
    raise click.exceptions.Exit(FINDINGS if found.findings else OK)


async def _probe(asked: Asked) -> Probe:
    async with open_all(option("config")) as opened:
        config, policy = opened.config, policy_in_force(opened.config)
        upstream = upstream_of(config, asked.upstream)
        recipient, account = mailbox_of(asked.to), _mailbox_account(config, asked)
        sender, route = _sender(config, upstream, asked)
        prober, signers = _prober(opened, policy), load_signers(config)
        canary = prober.canary(route, _stream(policy, asked.stream), sender, recipient)
        try:
            offers = await _offers(config, upstream)
            async with reading_for(config, account) as mailroom:
                sent = await _sent(opened, policy, upstream, prober, canary, asked.by)
                arrived = await _arrived(mailroom, canary, sent, seconds_of(asked.wait) or 0.0)
                junk = mailroom.junk if mailroom else ()
        except (UpstreamUnavailable, OpeningError) as fault:
            fail(UNREACHABLE, f"上游 {upstream.name} 无法连接：{fault}", f"upstream {upstream.name} cannot be reached: {fault}")
        except MailboxUnavailable as fault:
            fail(UNREACHABLE, f"邮箱无法读取：{fault}", f"the mailbox cannot be read: {fault}")
        except RenderingImpossible as fault:
            fail(FINDINGS, f"无法生成探测邮件：{fault.rule}：{fault}", f"no canary can be made: {fault.rule}: {fault}")
        finally:
            await prober.aclose()
        rewritten = load_profiles()[upstream.provider].unsigned_fields
        ours, was_awaited = signers.for_domain(sender.domain), account is not None
        found = probe_of(canary, offers, sent, arrived, ours, rewritten, was_awaited=was_awaited, junk=junk)
        keep_probe(config.data_path, found, upstream.addresses)
        return found


# Before it leaves ----------------------------------------------------------------------------------------------------


def _mailbox_account(config: Config, asked: Asked) -> Account | None:
    """Who reads the canary: the account that was named, else the recipient's own where it has a mailbox."""
    wanted = fold_login(asked.mailbox or asked.to)
    found = next((one for one in config.account if one.imap and wanted in (one.identity, one.address)), None)
    if asked.mailbox and found is None:
        fail(
            USAGE,
            f"没有名为 {asked.mailbox}、带 imap 的 [[account]]",
            f"there is no [[account]] {asked.mailbox} with imap in config.toml",
        )
    return found


def _sender(config: Config, upstream: Upstream, asked: Asked) -> tuple[Mailbox, Route]:
    """From whom, and with which login."""
    account = next((one for one in config.account if one.upstream == upstream.name), None)
    if upstream.auth == "none":
        credentials, identity = None, asked.sender or "probe"
    elif asked.login:
        password = str(click.prompt(text("授权码（不显示，不保存）", "Password (not shown, not kept)"), hide_input=True))
        credentials, identity = Credentials(asked.login, password), fold_login(asked.login)
    elif account:
        credentials = Upstreams(config, load_profiles(), b"").account_for(upstream.name, account.identity, None)
        identity = account.login or account.identity
    else:
        fail(
            USAGE,
            f"上游 {upstream.name} 没有 [[account]]：请用 --login 登录名，并输入其授权码",
            f"there is no [[account]] at {upstream.name}: give --login LOGIN, and type its password",
        )
    address = asked.sender or (account.address if account and not asked.login else asked.login)
    if "@" not in address:
        fail(USAGE, "请用 --from 写明发件地址", "say from whom with --from ADDRESS")
    return mailbox_of(address), Route(upstream.name, identity, credentials)


def _stream(policy: PolicySet, name: str) -> Stream:
    """The stream that was named, else one whose mail shows the most: with a link to unsubscribe."""
    found = [stream for stream in policy.streams if name in ("", stream.name)]
    if not found:
        known = ", ".join(stream.name for stream in policy.streams)
        fail(USAGE, f"策略中没有邮件流“{name}”，现有：{known}", f'the policy has no stream "{name}"; there are {known}')
    return next((stream for stream in found if stream.unsubscribe.is_offered), found[0])


def _prober(opened: Opened, policy: PolicySet) -> Prober:
    upstreams = Upstreams(opened.config, load_profiles(), os.urandom(32))
    signers = load_signers(opened.config)
    return Prober(
        opened.config, policy, keys=opened.keys, upstreams=upstreams, signers=signers, clock=time.time, entropy=os.urandom
    )


async def _offers(config: Config, upstream: Upstream) -> list[Offer]:
    """What every address offers that can be reached. Raises OpeningError when none can."""
    endpoint, offers = endpoint_of(config, upstream), []
    faults: list[OpeningError] = []
    for address in upstream.addresses:
        try:
            offers.append(await survey(endpoint, address, _LOOK_SECONDS))
        except OpeningError as fault:
            faults.append(fault)
    if not offers:
        raise faults[0]
    return offers


async def _sent(opened: Opened, policy: PolicySet, upstream: Upstream, prober: Prober, canary: Consignment, by: str) -> Sent:
    """Ask whether it may leave, write it down, send it."""
    recipient = canary.submission.recipients[0]
    await _require_leave(opened, recipient)
    now = time.time()
    charges = upstream_charges(
        policy, upstream.name, upstream.limits, datetime.fromtimestamp(now, UTC), opened.keys.addresses.lasting_digest
    )
    reserved = await opened.store.reserve(charges, _LEASE_SECONDS)
    if isinstance(reserved, OverLimit):
        fail(
            FINDINGS,
            f"已达到限额 {reserved.name}，请 {reserved.retry_after} 秒后再试",
            f"the limit {reserved.name} is reached; try again in {reserved.retry_after} s",
        )
    await opened.records.append(probed_record(canary.submission.id, now, upstream.name, recipient.key, by, opened.records.person))
    sent = await prober.send(canary)
    await opened.store.settle(reserved.id)
    return sent


async def _require_leave(opened: Opened, recipient: Recipient) -> None:
    """Whoever must not be written to gets no canary either."""
    (known,) = await known_of([recipient], opened.store, opened.records, opened.keys, Asking(), {})
    if found := known.suppressions:
        address, reason = recipient.mailbox.wire, found[0].reason.value
        fail(
            FINDINGS,
            f"{address} 在禁发名单上（{reason}），请换一个收件人",
            f"{address} is on the suppression list ({reason}); name another recipient",
        )


# After it left -------------------------------------------------------------------------------------------------------


async def _arrived(mailroom: Mailroom | None, canary: Consignment, sent: Sent, wait: float) -> Arrival | None:
    if mailroom is None or sent.outcome.state is OutcomeState.PERMANENT or sent.outcome.state is OutcomeState.TRANSIENT:
        return None
    return await mailroom.wait_for(canary.submission.id, wait)
