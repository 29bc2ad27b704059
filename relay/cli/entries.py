"""What commands share: what a person typed, and a suppression as it is shown."""

import getpass
import os
import time
from typing import Any

import click

from relay.accounts import Upstream
from relay.cli.opening import Opened, ours
from relay.cli.output import USAGE, fail, local_time, option, text
from relay.config import Config, load_config
from relay.ids import ENTROPY_OCTETS, new_id
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.consents.moment import OUTSIDE, OUTSIDE_ZH, can_be_meant, parse_moment
from relay.policy.suppressions.suppression import BINDS, ORGANISATION, Reason, Suppression, stream_scope
from relay.records.chain import ASSOCIATED
from relay.toml import parse_duration

REASONS = click.Choice([reason.value for reason in Reason])
stream_option = click.option("--stream", metavar="NAME", help="For this stream only; else for all / 仅限此邮件流，默认全部")
by_option = click.option("--by", default="", help="Who does it; default: the login name / 操作人，默认为登录名")
json_option = click.option("--json", "as_json", is_flag=True)
reason_option = click.option("--reason", required=True, help="Why; it is recorded / 原因，会写入记录")


def person(by: str) -> str:
    """Who does it: the name given, else the login name."""
    return by.strip() or getpass.getuser()


def reason_of(given: str) -> str:
    """Why, in one line as it is recorded; ends the command when it says nothing."""
    said = " ".join(given.split())
    if not said:
        fail(USAGE, "请用 --reason 写明原因", "say why with --reason")
    return said


def event_id(now: float) -> str:
    """The id of a record or a consent event."""
    return new_id(now, os.urandom(ENTROPY_OCTETS))


def mailbox_of(address: str) -> Mailbox:
    """The mailbox that a person typed; ends the command when it is none."""
    try:
        return Mailbox.parse(address.strip())
    except MailboxError as error:
        fail(USAGE, f"“{address}”不是有效的邮箱地址", f'"{address}": {error}')


def scope_of(stream: str | None) -> str:
    """The scope of a stream that there is: a misspelt one would bind nothing."""
    if not stream:
        return ORGANISATION
    folder = load_config(option("config")).policies_path / "streams"
    if not (folder / f"{stream}.toml").is_file():
        fail(USAGE, f"{folder} 中没有邮件流“{stream}”", f'there is no stream "{stream}" in {folder}')
    return stream_scope(stream)


def upstream_of(config: Config, name: str) -> Upstream:
    """The upstream that a person named; ends the command when there is none."""
    found = next((one for one in config.upstream if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in config.upstream)
        fail(
            USAGE,
            f"config.toml 中没有上游“{name}”，现有：{known}",
            f'config.toml has no [[upstream]] "{name}"; there are {known}',
        )
    return found


def moment_of(given: str | None, *, ahead: bool = False, is_end: bool = False) -> float:
    """A time that a person typed, in the organisation's zone; now when none is given.

    With `ahead` it may be to come. With `is_end` a day alone is its end, today up to now.
    """
    now = time.time()
    if not given:
        return now
    zone = ours(load_config(option("config"))).zone
    began, moment = parse_moment(given, zone), parse_moment(given, zone, is_end=is_end)
    if began is None or moment is None:
        fail(USAGE, f"“{given}”不是时间，例如 2026-11-21T15:04", f'"{given}" is no time; write it like 2026-11-21T15:04')
    if not can_be_meant(moment):
        fail(USAGE, f"{given} {OUTSIDE_ZH}", f"{given} {OUTSIDE}")
    if began > now and not ahead:
        fail(USAGE, f"{given} 还没有到", f"{given} has not come yet")
    return moment if ahead else min(moment, now)


def seconds_of(duration: str | None) -> float | None:
    """A duration that a person typed; ends the command when it is none."""
    try:
        return parse_duration(duration) if duration else None
    except ValueError as error:
        fail(USAGE, f"“{duration}”不是时长，例如 180d", str(error))


def is_in_force(entry: Suppression) -> bool:
    """Neither lifted nor expired."""
    return entry.lifted_at is None and (entry.expires_at is None or entry.expires_at > time.time())


def address_of(opened: Opened, entry: Suppression) -> str:
    """The mailbox key that was sealed beside the digest; "" where none was, or with keys that are gone."""
    try:
        return opened.keys.records.open(entry.sealed, ASSOCIATED).decode()
    except ValueError:
        return ""


def as_row(opened: Opened, entry: Suppression, address: str = "") -> dict[str, Any]:
    """An entry as it is shown; `address` is what the admin gave, else what is sealed in the entry."""
    stopped = [purpose.value for purpose, reasons in BINDS.items() if entry.reason in reasons]
    return {
        "address": address or address_of(opened, entry),
        "digest": entry.digest.hex(),
        "scope": entry.scope,
        "reason": entry.reason.value,
        "in_force": is_in_force(entry),
        "stops": stopped,
        "origin": entry.origin,
        "at": _shown(entry.at),
        "again_at": _shown(entry.again_at),
        "expires_at": _shown(entry.expires_at),
        "lifted_at": _shown(entry.lifted_at),
        "lifted_by": entry.lifted_by,
        "note": entry.note,
        "number": entry.number,
        "in_flight": list(entry.in_flight),
    }


def line_of(row: dict[str, Any]) -> str:
    """The row in one line for people."""
    who = row["address"] or f"[{row['digest']}]"
    state = "" if row["in_force"] else text("（已失效）", " (not in force)")
    stops = f"{text('禁止', 'stops')}: {', '.join(row['stops'])}"
    return "  ".join(filter(None, (who, row["reason"] + state, row["scope"], row["at"], row["origin"], stops, row["note"])))


def _shown(at: float | None) -> str | None:
    return None if at is None else local_time(at)
