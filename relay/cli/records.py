"""`relay records`: search what happened, and prove that nobody changed it; `records_report.py` adds it up."""

import os
import time
from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import islice
from typing import Any

import click
import orjson
from rich.progress import Progress

from relay.cli.opening import ours, reading
from relay.cli.output import FINDINGS, counted, emit_json, fail, option, say, text, warn
from relay.cli.records_report import report
from relay.config import load_config
from relay.ids import is_id
from relay.mail.mailbox import Mailbox, MailboxError, mask
from relay.policy.consents.moment import parse_moment
from relay.records.kinds import Kind
from relay.records.reading import Reader
from relay.records.search import Entry, Query, Verdict, search, verify
from relay.records.wording import KINDS, STATES, WEIGHTS, word


@click.group("records")
def records() -> None:
    """What happened on this node: search, verify, report / 查询、核验本节点的记录，制作报告."""


records.add_command(report)


@records.command("search")
@click.argument("subject", metavar="[ID|ADDRESS]", default="")
@click.option("--since", default="", metavar="TIME", help="2026-11-21 or 2026-11-21T10:00 / 起始时间")
@click.option("--until", default="", metavar="TIME", help="A day is included, a time is not / 截止时间（日期含当日）")
@click.option("--kind", "kinds", multiple=True, type=click.Choice([kind.value for kind in Kind]), help="May be repeated / 可重复")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many / 最多条数")
@click.option("--addresses", is_flag=True, help="Show whole addresses / 显示完整地址")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line / 每行一个 JSON")
def search_records(
    subject: str, since: str, until: str, kinds: tuple[str, ...], limit: int, addresses: bool, as_json: bool
) -> None:
    """Find records by submission id, mailbox, kind and time; oldest first / 按编号、邮箱、类别和时间查询."""
    config = load_config(option("config"))
    zone = ours(config).zone
    query = query_for(subject, since, until, zone, frozenset(map(Kind, kinds)))
    found = 0
    with reading(config) as reader:
        for entry in islice(search(reader, query), limit + 1):
            found += 1
            if found > limit:
                warn(f"仅显示前 {limit} 条，可用 --limit 增加", f"Only the first {limit} are shown; --limit shows more")
                break
            shown = shown_entry(reader, entry, zone, whole=addresses)
            click.echo(orjson.dumps(shown).decode() if as_json else _line(entry, shown))
    if not found and not as_json:
        say("没有找到记录。", "No records were found.")


@records.command("verify")
@click.option(
    "--head", default="", metavar="NUMBER:HASH", help="A head that you noted earlier must still be there / 核对先前记下的链头"
)
@click.option("--json", "as_json", is_flag=True)
def verify_records(head: str, as_json: bool) -> None:
    """Walk the whole chain of hashes and name the first record that is not what was written / 核验整条记录链."""
    config = load_config(option("config"))
    noted = _noted(head)
    with reading(config) as reader, Progress(disable=as_json or not os.isatty(2), transient=True) as progress:
        task = progress.add_task(text("核验", "Verifying"), total=None)
        verdict = verify(reader, lambda done, total: progress.update(task, completed=done, total=total), noted)
    if as_json:
        emit_json(_verdict(verdict))
    if verdict.broken:
        fail(
            FINDINGS,
            f"第 {verdict.broken.seq} 条记录有问题：{verdict.broken.why}",
            f"Record {verdict.broken.seq} is broken: {verdict.broken.why}",
        )
    if not as_json:
        end = f"{verdict.count}:{verdict.head.hex()}"
        say(
            f"{verdict.count} 条记录完好。请把链头记在别处：{end}",
            f"{counted(verdict.count, 'record')} verified, none was changed. Note this head elsewhere: {end}",
        )


def query_for(subject: str, since: str, until: str, zone: tzinfo, kinds: frozenset[Kind] = frozenset()) -> Query:
    """What the arguments ask for. Raises click.BadParameter."""
    record_id = subject.upper() if is_id(subject.upper()) else ""
    mailbox = ""
    if subject and not record_id:
        try:
            mailbox = Mailbox.parse(subject).key
        except MailboxError as fault:
            raise click.BadParameter(
                text(f"“{subject}” 既不是编号也不是邮箱地址", f'"{subject}" is neither an id nor a mailbox: {fault}')
            ) from None
    return Query(record_id, mailbox, kinds, _moment(since, zone, "since"), _moment(until, zone, "until", is_end=True))


def shown_entry(reader: Reader, entry: Entry, zone: tzinfo, *, whole: bool) -> dict[str, Any]:
    """A record as the command shows it, addresses masked unless `whole`."""
    mailboxes = [reader.reveal(person) for person in entry.record.people]
    return {
        "seq": entry.seq,
        "at": datetime.fromtimestamp(entry.record.at, zone).isoformat(timespec="milliseconds"),
        "kind": entry.record.kind.value,
        "id": entry.record.id,
        "people": [(mailbox if whole else mask(mailbox)) if mailbox else "?" for mailbox in mailboxes],
        "facts": entry.record.facts,
        "hash": entry.hash.hex(),
    }


def _line(entry: Entry, shown: dict[str, Any]) -> str:
    sentence = KINDS[entry.record.kind][text("zh", "en")]
    lines = [f"{entry.seq:8}  {shown['at']}  {shown['id']}  {sentence}", *_details(shown)]
    return "\n".join(lines)


def _details(shown: dict[str, Any]) -> Iterator[str]:
    facts, people, chosen = shown["facts"], shown["people"], text("zh", "en")
    for ruling in facts.get("rulings", ()):
        rules = ", ".join(
            f"{objection['rule']} ({word(WEIGHTS, objection['action'])[chosen]})" for objection in ruling["objections"]
        )
        rules += ", ".join(f"{one['rule']}: {one['consent']}" for one in ruling.get("consents", ()))
        yield f"{'':10}{people[ruling['person']]}: {word(WEIGHTS, ruling['action'])[chosen]}{'  ' if rules else ''}{rules}"
    for outcome in facts.get("outcomes", ()):
        known = word(STATES, f"{outcome['state']} by rule" if outcome["rule"] else outcome["state"])
        state = text(known["zh"], outcome["state"])
        number = f"  #{outcome['cleared']}" if outcome.get("cleared") else ""  # records of an older relay have none
        yield f"{'':10}{people[outcome['person']]}: {state}  {outcome['upstream_text'] or outcome['reply']}{number}"
    if "rulings" not in facts and "outcomes" not in facts:
        yield f"{'':10}{', '.join(people)}{': ' if people else ''}{orjson.dumps(facts).decode()}"


def _moment(given: str, zone: tzinfo, name: str, *, is_end: bool = False) -> float | None:
    moment = parse_moment(given, zone, is_end=is_end)
    if given and moment is None:
        raise click.BadParameter(
            text(f"--{name}：请写 2026-11-21 或 2026-11-21T10:00", f"--{name}: write 2026-11-21 or 2026-11-21T10:00")
        )
    return moment


def _noted(head: str) -> tuple[int, str] | None:
    if not head:
        return None
    number, _, digest = head.partition(":")
    if not number.isdigit() or not digest:
        raise click.BadParameter(text("--head 应为 序号:哈希", "--head: write NUMBER:HASH as `relay records verify` printed it"))
    return int(number), digest


def _verdict(verdict: Verdict) -> dict[str, Any]:
    broken = {"seq": verdict.broken.seq, "why": verdict.broken.why} if verdict.broken else None
    return {"records": verdict.count, "head": verdict.head.hex(), "broken": broken, "verified_at": time.time()}
