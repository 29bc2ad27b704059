"""Read suppression lists and recipient lists of any size: hash, judge, count, and name every bad row by its line."""

import csv
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from relay.cli.opening import Opened
from relay.cli.output import USAGE, fail, named, require_folder, text, warn
from relay.keys import Keys
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.consents.residence import COUNTRIES, NO_COUNTRY, NO_COUNTRY_ZH
from relay.policy.suppressions.suppression import Digest, Reason
from relay.stores.formats import address_column, folded, guarded, is_formula
from relay.stores.tables import Fault, Row, rows

TOGETHER = 2000  # entries or recipients in one step of the store
SHOWN_FAULTS = 20
_CHUNK = 256 * 1024
_MAX_NOTE = 200
_COUNTRY_NAMES = ("country", "countrycode", "国家", "国家代码")


class ListFile:
    """A file as it is read: its octets, its SHA-256, how far we are; with `is_written`, that is half the way."""

    def __init__(self, name: str, file: IO[bytes], advance: Callable[[float], None], *, is_written: bool) -> None:
        self.name = name
        self._file = file
        self._advance = advance
        self._read = 0
        self._share = 0.5 if is_written else 1.0
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(_CHUNK):
            self._sha256.update(chunk)
            self._read += len(chunk)
            self._advance(len(chunk) * self._share)
            yield chunk

    def written(self, share: float) -> None:
        """So much of what was read is written."""
        self._advance(self._read * share * (1 - self._share))

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def opened_source(path: Path, out: Path | None = None, *, is_written: bool = False) -> Iterator[ListFile]:
    """Open a list ("-" is stdin) that is read into `out`, with a progress bar where a person looks on."""
    try:
        file = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        fail(USAGE, f"{path}：无法读取：{error.strerror}", f"{path}: cannot be read: {error.strerror}")
    total = None if str(path) == "-" else path.stat().st_size
    with file, shown_progress(path.name, total, out, TaskProgressColumn(), TimeRemainingColumn()) as advance:
        yield ListFile(str(path), file, advance, is_written=is_written)


@contextmanager
def shown_progress(name: str, total: int | None, out: Path | None, *columns: ProgressColumn) -> Iterator[Callable[[float], None]]:
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
        with named(rejects), rejects.open("w", encoding="utf-8-sig", newline="") as file:
            yield Faults(file)


class Utf8:
    """What csv.writer writes to, as octets."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.encode())


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that only its owner reads and that appears whole or not at all; "-" is stdout.

    A device or a pipe is written to and never replaced: it is the machine's. So it is with what a link points to.
    """
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    require_folder(path)
    if path.exists() and not path.is_file():
        with named(path), path.open("wb") as device:
            yield device
        return
    target = path.resolve()
    draft = target.with_name(f"{target.name}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        fail(USAGE, f"{path}：无法写入：{error.strerror}", f"{path}: cannot be written: {error.strerror}")
    try:
        with named(path), os.fdopen(descriptor, "wb") as file:
            yield file
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def contacts(source: ListFile, column: str, faults: Faults) -> Iterator[tuple[Mailbox, str]]:
    """The mailboxes of a recipient list, in its order, each with the code of its country where a column says it, else "".

    Bad rows go to `faults`; one with a bad country alone is a recipient all the same.
    """
    found = rows(source)
    first = _first_row(found, faults)
    if first is None:
        return
    second = next(found, None)
    place, is_headed = _place(first, second, column)
    names = [folded(cell) for cell in first.cells] if is_headed else []
    of_country = next((names.index(name) for name in _COUNTRY_NAMES if name in names), None)
    for row in chain([] if is_headed else [first], [second] if second else [], found):
        if isinstance(row, Fault):
            faults.add(row)
        elif (mailbox := _mailbox(row, place, faults)) is not None:
            yield mailbox, "" if of_country is None else _country(row, of_country, faults)


def _country(row: Row, place: int, faults: Faults) -> str:
    cell = row.cells[place].strip() if place < len(row.cells) else ""
    code = cell.upper()
    if not code or code in COUNTRIES:
        return code
    faults.add(Fault(row.line, cell[:_MAX_NOTE], f"country {NO_COUNTRY_ZH}", f"country {NO_COUNTRY}"))
    return ""


def _mailbox(row: Row, place: int, faults: Faults) -> Mailbox | None:
    address = row.cells[place] if place < len(row.cells) else ""
    try:
        return Mailbox.parse(address)
    except MailboxError as error:
        faults.add(Fault(row.line, address[:_MAX_NOTE], f"不是有效的邮箱地址（{error}）", str(error)))
        return None


# Clean ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binding:
    """Which suppressions count."""

    scopes: tuple[str, ...]
    reasons: frozenset[Reason]


@dataclass
class Cleaned:
    """What became of the rows."""

    rows: int = 0  # that name a mailbox
    rejected: int = 0
    suppressed: int = 0
    guarded: int = 0


async def clean_rows(opened: Opened, source: ListFile, binding: Binding, column: str, out: IO[bytes], faults: Faults) -> Cleaned:
    """Copy the rows of a recipient list, octet for octet, except those of suppressed mailboxes and bad ones."""
    tally = Cleaned()
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
                fail(USAGE, "这里只能用表格（CSV），不能用 JSON", "only a table (CSV) will do here, not JSON")
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
    if (mailbox := _mailbox(row, place, faults)) is not None:
        batch.append((row, keys.addresses.digests(mailbox.key)))


async def _keep(
    opened: Opened, binding: Binding, batch: list[tuple[Row, tuple[Digest, ...]]], out: IO[bytes], tally: Cleaned
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


def _safe(row: Row, tally: Cleaned) -> bytes:
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
