"""Find records, show addresses to those who may see them, and prove that nothing was changed.

Everything reads page by page, so that years of records need no memory.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from relay.errors import RecordsUnavailable
from relay.records import chain
from relay.records.kinds import Kind, Record
from relay.records.reading import Reader

_PAGE = 200
_VERIFY_PAGE = 1000
_USUAL = frozenset({Kind.RECEIVED, Kind.FINISHED})

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its place in the chain. `body` is the JSON text that was hashed after `previous`."""

    seq: int
    record: Record
    body: str
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; everything given must hold. Times are epoch seconds, `until` excluded."""

    id: str = ""
    mailbox: str = ""  # a mailbox key
    kinds: frozenset[Kind] = frozenset()
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place where the records are not what was written; sequence number 0 means the file as a whole."""

    seq: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: how many records hold, the hash of the last of them, and what is broken."""

    count: int
    head: bytes
    broken: Broken | None = None


def search(reader: Reader, query: Query) -> Iterator[Entry]:
    """Yield what fits, oldest first.

    Raises RecordsUnavailable.
    """
    where, parameters = _conditions(reader, query)
    order = f"{_time_column(query)}, r.seq"
    after: tuple[float, int] | None = None
    while True:
        page = _page(reader, where, order, parameters, after)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].record.at, page[-1].seq)


def found_by_id(reader: Reader, record_id: str, limit: int = 100) -> list[Record]:
    """The records of one submission or event, in the order of the chain, for help pages.

    Raises RecordsUnavailable.
    """
    rows = reader.read("SELECT body FROM records WHERE id = ? ORDER BY seq LIMIT ?", (record_id, limit))
    return [_record(body) for (body,) in rows]


def verify(reader: Reader, progress: Progress = lambda done, total: None, noted: tuple[int, str] | None = None) -> Verdict:
    """Walk the whole chain, and compare every column and index with what was hashed.

    `noted` is a sequence number and its hash (hexadecimal) that somebody kept
    elsewhere: only that proves that the end was not cut off.  Records appended
    meanwhile are left for the next time.

    Raises RecordsUnavailable.
    """
    try:
        with closing(chain.connect(reader.path, read_only=True)) as connection:
            return _Walk(connection, reader.chain, progress, noted).run()
    except sqlite3.Error as fault:
        raise RecordsUnavailable(f"{reader.path}: the records cannot be read: {fault}") from fault


class _Walk:
    """One verification. Reads in short steps, so that the file's log can be folded in meanwhile."""

    def __init__(self, connection: sqlite3.Connection, chain_id: str, progress: Progress, noted: tuple[int, str] | None) -> None:
        self._connection = connection
        self._progress = progress
        self._noted = noted
        self._count = 0
        self._last = chain.first_link(chain_id)
        self._people = 0

    def run(self) -> Verdict:
        try:
            broken = self._guards() or self._lines() or self._strangers() or self._note() or self._pages()
        except sqlite3.OperationalError:
            raise  # locked, no memory, an input or output error: says nothing about the records
        except sqlite3.DatabaseError as fault:
            broken = Broken(self._count + 1, f"the file is damaged there: {fault}")
        return Verdict(self._count, self._last, broken)

    def _guards(self) -> Broken | None:
        found = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        missing = sorted(chain.TRIGGERS - found)
        return Broken(0, f"the triggers that forbid changes are gone: {', '.join(missing)}") if missing else None

    def _lines(self) -> Broken | None:
        (total,) = self._connection.execute("SELECT ifnull(max(seq), 0) FROM records").fetchone()
        while self._count < total:
            rows = self._connection.execute(
                "SELECT seq, id, kind, at, body, hash FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (self._count, total, _VERIFY_PAGE),
            ).fetchall()
            for row in rows:
                if why := self._fault(*row):
                    return Broken(self._count + 1, why)
                self._count, self._last = row[0], row[5]
            self._progress(self._count, total)
        return self._before_the_first()

    def _fault(self, seq: int, record_id: Any, kind: Any, at: Any, body: Any, stored: Any) -> str:
        if seq != self._count + 1:
            return "the record is missing"
        if not isinstance(body, str) or chain.following(self._last, body) != stored:
            return "its hash does not follow from its text and the hash before: one of the two was changed"
        try:
            record = chain.record_of(body)
        except ValueError as fault:
            return f"its text cannot be read: {fault}"
        if (record_id, kind, at) != (record.id, record.kind.value, record.at):
            return "the columns id, kind and at differ from its text"
        return self._index_fault(seq, record)

    def _index_fault(self, seq: int, record: Record) -> str:
        digests = record.digests
        self._people += len(digests)
        for digest in digests:
            if not self._connection.execute("SELECT 1 FROM people WHERE digest = ? AND seq = ?", (digest, seq)).fetchone():
                return "the index of people lacks somebody whom it names"
        return ""

    def _before_the_first(self) -> Broken | None:
        row = self._connection.execute("SELECT seq FROM records WHERE seq < 1 LIMIT 1").fetchone()
        return Broken(row[0], "records begin with number 1") if row else None

    def _strangers(self) -> Broken | None:
        """Rows of the index that no record has would make a search find what does not concern a person."""
        (rows,) = self._connection.execute("SELECT count(*) FROM people WHERE seq <= ?", (self._count,)).fetchone()
        if rows == self._people:
            return None
        for digest, seq in self._connection.execute("SELECT digest, seq FROM people WHERE seq <= ?", (self._count,)):
            row = self._connection.execute("SELECT body FROM records WHERE seq = ?", (seq,)).fetchone()
            if row is None or digest not in chain.record_of(row[0]).digests:
                return Broken(seq, "the index of people names somebody whom its text does not name")
        return None

    def _pages(self) -> Broken | None:
        (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        return None if found == "ok" else Broken(0, f"the file is damaged: {found}")

    def _note(self) -> Broken | None:
        if self._noted is None:
            return None
        seq, noted = self._noted
        row = self._connection.execute("SELECT hash FROM records WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            return Broken(seq, f"the record that was noted is gone; the last one is {self._count}")
        return None if row[0].hex() == noted.lower() else Broken(seq, "its hash is not the one that was noted")


def _conditions(reader: Reader, query: Query) -> tuple[str, list[Any]]:
    parts: list[str] = ["1"]
    time = _time_column(query)
    parameters: list[Any] = []
    if query.id:
        parts.append("r.id = ?")
        parameters.append(query.id)
    if query.mailbox:
        digests = reader.digests(query.mailbox)
        parts.append(f"r.seq IN (SELECT seq FROM people WHERE digest IN ({_marks(digests)}))")  # noqa: S608
        parameters += digests
    if query.kinds:
        parts.append(f"r.kind IN ({_marks(query.kinds)})")
        parameters += sorted(kind.value for kind in query.kinds)
        if query.kinds.isdisjoint(_USUAL):
            parts.append("r.kind NOT IN ('received', 'finished')")  # what the index of the other kinds asks for
    for bound, sign in ((query.since, ">="), (query.until, "<")):
        if bound is not None:
            parts.append(f"{time} {sign} ?")
            parameters.append(bound)
    return " AND ".join(parts), parameters


def _time_column(query: Query) -> str:
    """With an id or a mailbox the few rows of that index are sorted; without, the index of times is followed."""
    return "+r.at" if query.id or query.mailbox else "r.at"


def _page(reader: Reader, where: str, order: str, parameters: list[Any], after: tuple[float, int] | None) -> list[Entry]:
    if after is not None:
        where += f" AND ({order}) > (?, ?)"
    rows = reader.read(
        "SELECT r.seq, r.body, r.hash, (SELECT p.hash FROM records p WHERE p.seq = r.seq - 1) FROM records r"  # noqa: S608
        f" WHERE {where} ORDER BY {order} LIMIT {_PAGE}",
        [*parameters, *(after or ())],
    )
    first = chain.first_link(reader.chain)
    return [Entry(seq, _record(body), body, previous or first, found) for seq, body, found, previous in rows]


def _record(body: Any) -> Record:
    try:
        return chain.record_of(body)
    except ValueError as fault:
        raise RecordsUnavailable(f"a record cannot be read ({fault}): run `relay records verify`") from None


def _marks(values: Any) -> str:
    return ",".join("?" * len(values))
