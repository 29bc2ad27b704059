"""`relay consent`: what people agreed to: record it, look at it, bring lists in, take them out, withdraw."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import click

from relay.cli.consent_lists import consent_options, export, import_
from relay.cli.entries import by_option, json_option, mailbox_of, moment_of, person
from relay.cli.opening import Opened, open_all, ours
from relay.cli.output import FINDINGS, OK, USAGE, emit_json, fail, local_time, option, say, text, warn
from relay.config import load_config
from relay.doors.consents import ConsentDesk, ConsentsFull
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import ConsentEvent, Details, EventKind, Standing, current, is_purpose
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.consents.residence import Residence, residence_of
from relay.records.consents import MOST_EVENTS, Said, origin_of

_MOMENTS = ("relation_at", "expires_at", "asked_at")
_ADDED = click.Choice([kind.value for kind in EventKind if kind not in (EventKind.WITHDRAWN, EventKind.OBJECTED)])


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("consent")
def consent() -> None:
    """The consent ledger: who agreed to what, and what proves it / 同意台账."""


for command in (import_, export):
    consent.add_command(command)


def purpose_given(purpose: str) -> str:
    """A purpose that a person typed; ends the command when it is none."""
    if not is_purpose(purpose):
        fail(
            USAGE,
            f"“{purpose}”不是用途，例如 marketing、marketing:newsletter、share:Partner",
            f'"{purpose}" is no purpose; write it like marketing, marketing:newsletter, share:Partner',
        )
    if (load_config(option("config")).policies_path / "streams" / f"{purpose}.toml").is_file():
        warn(
            f"注意：“{purpose}”是自定用途，与同名邮件流无关；该邮件流的用途写作 marketing:{purpose}",
            f'Note: "{purpose}" is a purpose of your own and has nothing to do with the stream of that name:'
            f" write marketing:{purpose} for it",
        )
    return purpose


# Adding --------------------------------------------------------------------------------------------------------------


@consent.command("add")
@click.argument("addresses", nargs=-1, required=True)
@click.option(
    "--to", "purpose", required=True, metavar="PURPOSE", help="marketing, marketing:STREAM, export:COUNTRY ... / 同意的内容"
)
@click.option("--event", type=_ADDED, default="granted", show_default=True)
@click.option("--evidence", required=True, help="How, when, where; the person can read it / 方式、时间、地点，收件人可见")
@click.option("--at", metavar="TIME", help="When the person said so; default: now / 同意的时间，默认此刻")
@click.option("--lift", "lifts", is_flag=True, help="Lift refusals that are older than this consent / 解除早于此同意的拒收")
@click.option(
    "--text", "text_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The words agreed to / 同意文本"
)
@consent_options
@by_option
@json_option
def add(
    addresses: Sequence[str],
    purpose: str,
    event: str,
    evidence: str,
    at: str | None,
    lifts: bool,
    text_file: Path | None,
    said: Callable[[str, str, float, str, str], Said],
    by: str,
    as_json: bool,
) -> None:
    """Record that the people of ADDRESSES agreed / 登记同意.

    A refusal that is in force stays in force until it is lifted: with --lift, if the consent is later than the refusal
    / 有效的拒收在解除之前始终生效；加 --lift 可解除早于此同意的拒收。
    """
    told = said(event, purpose_given(purpose), moment_of(at), evidence.strip(), person(by))
    if text_file is not None:
        told = _with_text(told, text_file)
    mailboxes = [mailbox_of(address) for address in addresses]
    added = asyncio.run(_add(mailboxes, told, lifts))
    if as_json:
        emit_json(added)
    else:
        _tell_added(added)
    refused = any(one["refused_since"] for one in added.values())
    raise click.exceptions.Exit(FINDINGS if refused else OK)


def _with_text(told: Said, file: Path) -> Said:
    """Evidence of the words is their SHA-256."""
    return replace(told, details=replace(told.details, text_sha256=hashlib.sha256(file.read_bytes()).hexdigest()))


def _desk(opened: Opened) -> ConsentDesk:
    return ConsentDesk(opened.keys, opened.records, lambda: opened.store, origin="cli", clock=time.time, entropy=os.urandom)


async def _add(mailboxes: Sequence[Mailbox], told: Said, lifts: bool) -> dict[str, dict[str, Any]]:
    added: dict[str, dict[str, Any]] = {}
    async with open_all(option("config")) as opened:
        for mailbox in mailboxes:
            try:
                done = await _desk(opened).record(mailbox, told, lifts=lifts)
            except ConsentsFull:
                fail(
                    FINDINGS,
                    f"{mailbox.wire}：台账中已有 {MOST_EVENTS} 个事件，未登记；撤回不受此限",
                    f"{mailbox.wire}: the ledger has {MOST_EVENTS} events of it and takes no more but withdrawals",
                )
            since = done.refused_since
            added[mailbox.wire] = {"id": done.id, "refused_since": None if since is None else local_time(since)}
    return added


def _tell_added(added: Mapping[str, Mapping[str, Any]]) -> None:
    for address, one in added.items():
        say(f"{address}：已登记，编号 {one['id']}", f"{address}: recorded as {one['id']}")
        if since := one["refused_since"]:
            warn(
                f"{address}：自 {since} 起已拒收，仍不发送；若此同意出自本人（explicit、separate、guardian），更晚且足够，"
                "请加 --lift",
                f"{address}: refused since {since}, and stays so; where the person agreed (explicit, separate, guardian), later"
                " and as widely, add --lift",
            )


# Looking -------------------------------------------------------------------------------------------------------------


@consent.command("show")
@click.argument("address")
@click.option("--for", "needed", metavar="PURPOSE", help="Is there a consent to this? Exit code 1 when not / 是否同意此用途")
@click.option("--origin", "shows_origin", is_flag=True, help="IP address, user agent, signer too / 显示 IP、签署人")
@json_option
def show(address: str, needed: str | None, shows_origin: bool, as_json: bool) -> None:
    """What the person of ADDRESS agreed to, what stands of it, and what proves it / 查询同意及其证据."""
    mailbox = mailbox_of(address)
    purpose = purpose_given(needed) if needed else ""
    events, origins = asyncio.run(_events(mailbox, shows_origin=shows_origin))
    zone = ours(load_config(option("config"))).zone
    found = grant_for(events, Needs(purpose, zone=zone), datetime.fromtimestamp(time.time(), zone).date()) if purpose else ""
    if as_json:
        shown = [_row(event, origins.get(event.id, {})) for event in events]
        where = _where(residence_of(events))
        stands = {"current": [_standing(one) for one in current(events, zone)], "country": where}
        emit_json({**stands, "events": shown, "for": _answer(purpose, found)})
    else:
        _show(mailbox.wire, events, origins, zone)
        if purpose and isinstance(found, str):
            warn(f"{purpose}：没有有效的同意（{found}）", f"{purpose}: no consent stands ({found})")
    raise click.exceptions.Exit(FINDINGS if purpose and isinstance(found, str) else OK)


def _answer(purpose: str, found: ConsentEvent | str) -> dict[str, Any] | None:
    if not purpose:
        return None
    stands = isinstance(found, ConsentEvent)
    return {
        "purpose": purpose,
        "consent": found.id if isinstance(found, ConsentEvent) else None,
        "lacks": "" if stands else found,
    }


async def _events(mailbox: Mailbox, *, shows_origin: bool) -> tuple[tuple[ConsentEvent, ...], dict[str, dict[str, str]]]:
    async with open_all(option("config")) as opened:
        events = await _desk(opened).events(mailbox)
        return events, {event.id: origin_of(opened.keys, event) for event in events} if shows_origin else {}


def _show(address: str, events: Sequence[ConsentEvent], origins: Mapping[str, Mapping[str, str]], zone: tzinfo) -> None:
    if not events:
        say(f"{address}：台账中没有记录", f"{address}: nothing in the ledger")
    for one in current(events, zone):
        ended = one.ended and text(f"已于 {local_time(one.ended.at)} 结束", f"ended {local_time(one.ended.at)}")
        until = text(f"至 {one.expires_on}", f"until {one.expires_on}") if one.expires_on else text("有效", "stands")
        click.secho(f"{one.grant.purpose or '?'}  {one.grant.basis}  {ended or until}", bold=True)
    if where := _where(residence_of(events)):
        countries = ", ".join(where["countries"])
        say(f"所在国家：{countries}（{where['said']}）", f"country: {countries} (said {where['said']})")
    for event in events:
        row = {name: value for name, value in _row(event, origins.get(event.id, {})).items() if value}
        words = "  ".join(f"{name}={value}" for name, value in row.items() if name not in ("at", "event", "id"))
        click.echo(f"  {row['at']}  {row['id']}  {row['event']}  {words}")


def _where(residence: Residence | None) -> dict[str, Any] | None:
    return {"countries": sorted(residence.countries), "said": local_time(residence.at)} if residence else None


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "purpose": one.grant.purpose,
        "basis": one.grant.basis,
        "consent": one.grant.id,
        "given": local_time(one.grant.at),
        "ended": local_time(one.ended.at) if one.ended else None,
        "expires_on": str(one.expires_on) if one.expires_on else None,
    }


def _row(event: ConsentEvent, origin: Mapping[str, str]) -> dict[str, Any]:
    details = asdict(event.details)
    shown = {name: details[name] for name in details if name not in ("origin", *_MOMENTS)}
    moments = {name: local_time(details[name]) for name in _MOMENTS if details[name] is not None}
    lacks = sorted(event.details.lacking) if event.is_granting else []
    return {
        "id": event.id, "event": event.event, "purpose": event.purpose, "basis": event.basis, "at": local_time(event.at),
        "recorded_at": local_time(event.recorded_at), "evidence": event.evidence, "by": event.by, "number": event.number,
        **shown, "statements": list(event.details.statements), **moments, **origin, "lacks": lacks,
    }  # fmt: skip


# Withdrawing ---------------------------------------------------------------------------------------------------------


@consent.command("withdraw")
@click.argument("addresses", nargs=-1, required=True)
@click.option(
    "--from", "purpose", default="marketing", show_default=True, metavar="PURPOSE", help="What they take back / 撤回的内容"
)
@click.option("--evidence", required=True, help="How, when, where / 方式、时间、地点")
@click.option("--at", metavar="TIME", help="When they said so; default: now / 撤回的时间，默认此刻")
@click.option("--objection", is_flag=True, help="They object (GDPR Art 21) / 提出反对")
@by_option
@json_option
def withdraw(
    addresses: Sequence[str], purpose: str, evidence: str, at: str | None, objection: bool, by: str, as_json: bool
) -> None:
    """Record that the people of ADDRESSES take a consent back; for marketing they are suppressed at once / 登记撤回，立即停发."""
    kind = EventKind.OBJECTED if objection else EventKind.WITHDRAWN
    mailboxes = [mailbox_of(address) for address in addresses]
    moment = moment_of(at, is_end=True)
    told = Said(kind.value, purpose_given(purpose), "explicit", moment, evidence.strip(), person(by), Details(), {})
    withdrawn = asyncio.run(_withdraw(mailboxes, told))
    if as_json:
        emit_json(withdrawn)
        return
    for address, one in withdrawn.items():
        say(f"{address}：已登记撤回，编号 {one}", f"{address}: withdrawn, recorded as {one}")


async def _withdraw(mailboxes: Sequence[Mailbox], told: Said) -> dict[str, str]:
    async with open_all(option("config")) as opened:
        return {mailbox.wire: (await _desk(opened).record(mailbox, told)).id for mailbox in mailboxes}
