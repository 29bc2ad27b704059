"""Read suppression lists and recipient lists of any size: hash, judge, count, and name every bad row by its line."""

import csv
import hashlib
import io
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from relay.cli.opening import Opened
from relay.cli.output import USAGE, fail, require_folder, text, warn
from relay.keys import Keys
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.suppression import Digest, Reason, Suppression
from relay.records.chain import ASSOCIATED
from relay.stores.formats import LeftOut, Listed, address_column, guarded, is_formula, read_list
from relay.stores.tables import Fault, Row, rows

TOGETHER = 2000  # entries or recipients in one step of the store
SHOWN_FAULTS = 20
_CHUNK = 64 * 1024
_MAX_NOTE = 200
_SCOPE = re.compile(r"organisation|stream:[a-z0-9][a-z0-9-]{0,62}")


@dataclass
class Tally:
    """What became of the rows."""

    formats: set[str] = field(default_factory=set)
    rows: int = 0  # that name a mailbox
    new: int = 0
    written: int = 0  # handed to the store
    left_out: int = 0  # that are no suppression
    rejected: int = 0
    suppressed: int = 0  # of a recipient list
    guarded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "formats": sorted(self.formats), "reasons": dict(self.reasons)}


class Source:
    """A file as it is read: its octets, its SHA-256, how far we are."""

    def __init__(self, name: str, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self.name = name
        self._file = file
        self._advance = advance
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(_CHUNK):
            self._sha256.update(chunk)
            self._advance(len(chunk))
            yield chunk

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def opened_source(path: Path, out: Path | None = None) -> Iterator[Source]:
    """Open a list ("-" is stdin) that is read into `out`, with a progress bar where a person looks on."""
    try:
        file = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        fail(USAGE, f"{path}：无法读取：{error.strerror}", f"{path}: cannot be read: {error.strerror}")
    total = None if str(path) == "-" else path.stat().st_size
    with file, shown_progress(path.name, total, out, TaskProgressColumn(), TimeRemainingColumn()) as advance:
        yield Source(str(path), file, advance)


@contextmanager
def shown_progress(name: str, total: int | None, out: Path | None, *columns: ProgressColumn) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where a person looks on, unless `out` is the same screen; how to advance it."""
    is_shown = sys.stderr.isatty() and not (str(out) == "-" and sys.stdout.isatty())
    columns = (TextColumn("{task.description}"), BarColumn(), *columns)
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown) as progress:
        task = progress.add_task(name, total=total)
        yield lambda steps: progress.advance(task, steps)


class Faults:
    """Bad rows: the first are shown, all are counted, and all go to the file of --rejects."""

    def __init__(self, rejects: IO[str] | None) -> None:
        self.count = 0
        self._shown: list[Fault] = []
        self._writer = csv.writer(rejects) if rejects else None
        if self._writer:
            self._writer.writerow(["line", "why", "row"])

    def add(self, fault: Fault) -> None:
        self.count += 1
        if len(self._shown) < SHOWN_FAULTS:
            self._shown.append(fault)
        if self._writer:
            self._writer.writerow([fault.line, text(fault.zh, fault.en), guarded(fault.row)])

    def show(self, name: str) -> None:
        for fault in self._shown:
            warn(f"{name} 第 {fault.line} 行：{fault.zh}：{fault.row}", f"{name}, line {fault.line}: {fault.en}: {fault.row}")
        if self.count > len(self._shown):
            more = self.count - len(self._shown)
            warn(f"……另有 {more} 行有误；--rejects FILE 可全部写出", f"... and {more} more; --rejects FILE writes them all")


@contextmanager
def opened_faults(rejects: Path | None) -> Iterator[Faults]:
    """Bad rows, with the file that they are written to when one is named."""
    if rejects is None:
        yield Faults(None)
    else:
        require_folder(rejects)
        with rejects.open("w", encoding="utf-8-sig", newline="") as file:
            yield Faults(file)


# Import --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defaults:
    """What an import takes where the list does not say."""

    at: float
    scope: str
    reason: Reason | None
    format: str = "auto"


Write = Callable[[list[Suppression]], Awaitable[int]]


async def import_rows(
    keys: Keys, source: Source, defaults: Defaults, tally: Tally, faults: Faults, write: Write, now: float
) -> None:
    """Hash the mailboxes of a list and hand them on in batches; `write` says how many were new."""
    batch: list[Suppression] = []

    async def hand_on(entries: list[Suppression]) -> None:
        tally.new += await write(entries)
        tally.written += len(entries)

    for name, item in read_list(source, defaults.format):
        if isinstance(item, LeftOut):
            tally.left_out += 1
            continue
        entry = item if isinstance(item, Fault) else _entry(keys, item, f"import:{name}", defaults, now)
        if isinstance(entry, Fault):
            faults.add(entry)
            tally.rejected = faults.count
            continue
        tally.formats.add(name)
        tally.rows += 1
        tally.reasons[entry.reason.value] += 1
        batch.append(entry)
        if len(batch) == TOGETHER:
            await hand_on(batch)
            batch = []
    if batch:
        await hand_on(batch)


def _entry(keys: Keys, item: Listed, origin: str, defaults: Defaults, now: float) -> Suppression | Fault:
    reason = item.reason or defaults.reason
    if reason is None:
        fail(
            USAGE,
            f"第 {item.line} 行：该名单未写明原因，请用 --reason 指明",
            f"line {item.line}: this list does not say why; say it with --reason",
        )
    scope = item.scope or defaults.scope
    if not _SCOPE.fullmatch(scope):
        return Fault(item.line, scope, "范围应为 organisation 或 stream:NAME", "expected the scope organisation or stream:NAME")
    hashed = _hashed(keys, item)
    if isinstance(hashed, Fault):
        return hashed
    digest, sealed = hashed
    at = min(defaults.at if item.at is None else item.at, now)
    again_at = None if item.again_at is None else min(item.again_at, now)
    expires_at = item.expires_at if reason is Reason.HARD_BOUNCE else None
    return Suppression(digest, scope, reason, origin, at, sealed, item.note[:_MAX_NOTE], expires_at, again_at=again_at)


def _hashed(keys: Keys, item: Listed) -> tuple[Digest, bytes] | Fault:
    """The digest and the sealed key; a digest of our own export stands for itself when our keys made it."""
    sealed, digest = b"", b""
    if item.address:
        try:
            key = Mailbox.parse(item.address).key
        except MailboxError as error:
            return Fault(item.line, item.address[:_MAX_NOTE], f"不是有效的邮箱地址（{error}）", str(error))
        digest, sealed = keys.addresses.digest(key), keys.records.seal(key.encode(), ASSOCIATED)
    if item.digest and item.keys and item.keys <= keys.addresses.fingerprints:
        digest = item.digest
    if not digest:
        why = "没有地址，且摘要不是用本机密钥生成的", "no address, and a digest that our keys did not make"
        return Fault(item.line, item.digest.hex(), *why)
    return digest, sealed


async def count_new(opened: Opened, batch: list[Suppression]) -> int:
    """How many of these the store does not have in force; what --dry-run asks instead of writing."""
    found = await opened.store.find([(entry.digest,) for entry in batch])
    pairs = zip(batch, found, strict=True)
    return sum((entry.scope, entry.reason) not in {(s.scope, s.reason) for s in there} for entry, there in pairs)


# Clean ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binding:
    """Which suppressions count."""

    scopes: tuple[str, ...]
    reasons: frozenset[Reason]


async def clean_rows(opened: Opened, source: Source, binding: Binding, column: str, out: IO[bytes], faults: Faults) -> Tally:
    """Copy the rows of a recipient list, octet for octet, except those of suppressed mailboxes and bad ones."""
    tally = Tally()
    found = rows(source)
    place: int | None = None
    batch: list[tuple[Row, tuple[Digest, ...]]] = []
    first = _first_row(found, faults)
    if first is not None:
        second = next(found, None)
        place, is_headed = _place(first, second, column)
        if is_headed:
            out.write(_safe(first, tally))
        for row in [second] if is_headed else [first, second]:
            _judge(opened.keys, row, place, batch, faults)
    for row in found:
        _judge(opened.keys, row, place or 0, batch, faults)
        if len(batch) >= TOGETHER:
            await _keep(opened, binding, batch, out, tally)
    await _keep(opened, binding, batch, out, tally)
    tally.rejected = faults.count
    return tally


def _first_row(found: Iterator[Row | Fault], faults: Faults) -> Row | None:
    for row in found:
        if isinstance(row, Row):
            if row.value is not None:
                fail(USAGE, "只能清理表格（CSV），不能清理 JSON", "only tables (CSV) can be cleaned, not JSON")
            return row
        faults.add(row)
    return None


def _place(first: Row, second: Row | Fault | None, column: str) -> tuple[int, bool]:
    if column:
        names = [cell.casefold() for cell in first.cells]
        if column.casefold() not in names:
            fail(USAGE, f"没有名为“{column}”的列", f'there is no column "{column}"; there are: {", ".join(first.cells)}')
        return names.index(column.casefold()), True
    place, is_headed = address_column(first, second)
    if place is None:
        fail(USAGE, "找不到邮箱列，请用 --column 指明", "no column with addresses was found; name it with --column")
    return place, is_headed


def _judge(keys: Keys, row: Row | Fault | None, place: int, batch: list[tuple[Row, tuple[Digest, ...]]], faults: Faults) -> None:
    if row is None:
        return
    if isinstance(row, Fault):
        faults.add(row)
        return
    address = row.cells[place] if place < len(row.cells) else ""
    try:
        batch.append((row, keys.addresses.digests(Mailbox.parse(address).key)))
    except MailboxError as error:
        faults.add(Fault(row.line, address[:_MAX_NOTE], f"不是有效的邮箱地址（{error}）", str(error)))


async def _keep(
    opened: Opened, binding: Binding, batch: list[tuple[Row, tuple[Digest, ...]]], out: IO[bytes], tally: Tally
) -> None:
    journalled = {entry.digest: entry for entry in opened.records.pending(d for _, digests in batch for d in digests)}
    found = await opened.store.find([digests for _, digests in batch])
    for (row, digests), there in zip(batch, found, strict=True):
        tally.rows += 1
        waiting = [journalled[digest] for digest in digests if digest in journalled]
        if any(s.scope in binding.scopes and s.reason in binding.reasons for s in (*there, *waiting)):
            tally.suppressed += 1
        else:
            out.write(_safe(row, tally))
    batch.clear()


def _safe(row: Row, tally: Tally) -> bytes:
    """The row as it came, unless a spreadsheet would run one of its cells."""
    if not any(map(is_formula, row.cells)):
        return row.raw if row.raw.endswith((b"\n", b"\r")) else row.raw + b"\n"
    tally.guarded += 1
    text_out = io.StringIO()
    cells = [guarded(cell) if is_formula(cell) else cell for cell in row.cells]
    csv.writer(text_out, delimiter=row.delimiter).writerow(cells)
    return text_out.getvalue().encode(_encoding(row.raw))


def _encoding(raw: bytes) -> str:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"
