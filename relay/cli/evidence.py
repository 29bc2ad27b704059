"""`relay evidence`: one ZIP that answers a letter."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import click

from relay.cli.opening import open_all, ours
from relay.cli.output import FINDINGS, counted, emit_json, fail, option, require_new, say, write_new
from relay.cli.records import query_for
from relay.config import Config, load_config
from relay.errors import ConfigurationError
from relay.policy.sets.policy_set import set_hash
from relay.records.evidence import MOST_RECORDS, History, Material, build_evidence, policy_hashes
from relay.records.reading import Reader
from relay.records.rulebook import Applied, KeptSet
from relay.records.search import Entry, Query, search
from relay.service.policies import PolicyArchive, read_folder
from relay.stores.contracts import Store


@click.command("evidence")
@click.argument("subject", metavar="ID|ADDRESS")
@click.option("--since", default="", metavar="TIME", help="2026-11-21 or 2026-11-21T10:00 / 起始时间")
@click.option("--until", default="", metavar="TIME", help="A day is included, a time is not / 截止时间（日期含当日）")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.zip")
@click.option("--json", "as_json", is_flag=True)
def evidence(subject: str, since: str, until: str, out: Path, as_json: bool) -> None:
    """Collect everything recorded on a submission or a mailbox: pages in zh and en, JSON, checksums / 导出证明材料."""
    config = load_config(option("config"))
    require_new(out)  # before all that is to be collected
    zone, legal_name = ours(config)
    query = query_for(subject, since, until, zone)
    blank = Material(subject, query.mailbox, time.time(), zone, (), legal_name=legal_name)
    entries, octets = asyncio.run(_collect(config, query, blank))
    write_new(out, octets)
    if as_json:
        emit_json({"file": str(out), "records": len(entries), "octets": len(octets)})
    else:
        say(f"已写入 {out}：{len(entries)} 条记录。", f"Wrote {out}: {counted(len(entries), 'record')}.")


async def _collect(config: Config, query: Query, blank: Material) -> tuple[Sequence[Entry], bytes]:
    async with open_all(option("config")) as opened:
        reader = opened.records.reader
        entries = list(islice(search(reader, query), MOST_RECORDS + 1))
        if len(entries) > MOST_RECORDS:
            fail(
                FINDINGS,
                f"记录超过 {MOST_RECORDS} 条，请用 --since 和 --until 缩小范围",
                f"More than {MOST_RECORDS} records: narrow the time with --since and --until",
            )
        if not entries:
            fail(FINDINGS, "没有找到记录，未写入文件。", "No records were found; nothing was written.")
        mailboxes = [query.mailbox] if query.mailbox else _recipients(reader, entries)
        material = Material(
            blank.subject, blank.mailbox, blank.made_at, blank.zone, entries,
            _policy_sets(config, entries, blank.made_at),
            [await _history(opened.store, opened.keys.addresses.digests(mailbox), mailbox) for mailbox in mailboxes],
            blank.legal_name,
        )  # fmt: skip
        return entries, build_evidence(material, reader)


async def _history(store: Store, digests: Sequence[bytes], mailbox: str) -> History:
    suppressions, consents = await store.history(digests)
    return History(mailbox, suppressions, consents)


def _recipients(reader: Reader, entries: Sequence[Entry]) -> list[str]:
    """Everybody who was written to in these records."""
    found: dict[str, None] = {}
    for entry in entries:
        for row in (*entry.record.facts.get("rulings", ()), *entry.record.facts.get("outcomes", ())):
            if mailbox := reader.reveal(entry.record.people[row["person"]]):
                found[mailbox] = None
    return list(found)


def _policy_sets(config: Config, entries: Sequence[Entry], now: float) -> dict[str, KeptSet]:
    """The sets that were in force then; of one that was lost or altered there are no files, and the pages say so."""
    switches = [switch for switch in PolicyArchive(config.data_path).history() if switch.at <= now]
    ends = [*(switch.at for switch in switches[1:]), None]
    found: dict[str, KeptSet] = {}
    for name in policy_hashes(entries):
        spans = zip(switches, ends, strict=True) if switches else ()
        applied = [Applied(one.at, until, one.by, one.reason) for one, until in spans if one.hash == name]
        found[name] = KeptSet(_kept_files(config, name), applied)
    return found


def _kept_files(config: Config, name: str) -> Mapping[str, bytes]:
    try:
        files = read_folder(config.data_path / "policies" / "sets" / name)
    except ConfigurationError:
        return {}
    return files if set_hash(files) == name else {}
