"""What the rows of a consent list mean: our own export, and any table or JSON with these names.

Nothing is looked up or written here.  A row that says something that cannot
be believed becomes a `Fault`, and the next one is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Any

from relay.policy.consent import AgeBand, Basis, ConsentEvent, Details, EventKind, Source, Statement, is_purpose
from relay.stores.formats import address_column, folded, guarded, parse_moment, unguarded
from relay.stores.tables import Fault, Row, Table, rows

OWN_COLUMNS = (
    "address", "masked", "digest", "keys", "id", "event", "purpose", "basis", "at", "recorded_at", "evidence", "by",
    "source", "source_ref", "method", "notice_version", "text_sha256", "language", "controller", "statements", "age_band",
    "relation_at", "expires_at",
    "ip", "user_agent", "signer",
)  # fmt: skip
"""The columns of an export. Where the address is masked or not known, the digest stands for it; `keys` names its keys."""

ORIGIN = ("ip", "user_agent", "signer")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ADDRESSES = ("address", "email", "emailaddress", "mailbox", "邮箱", "邮箱地址", "电子邮箱")
_PLAIN = ("source_ref", "method", "notice_version", "language", "controller")
_CHOICES: dict[str, type[StrEnum]] = {"event": EventKind, "basis": Basis, "source": Source, "age_band": AgeBand}
_MOMENTS = ("at", "recorded_at", "relation_at", "expires_at")
_LONGEST = 500  # characters of a cell


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a row does not say."""

    event: str = EventKind.GRANTED
    purpose: str = ""
    basis: str = Basis.EXPLICIT
    at: float | None = None
    evidence: str = ""
    details: Details = field(default_factory=Details)


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a list; `digest` with `keys` where there is no address that can be read."""

    line: int
    address: str
    event: str
    purpose: str
    basis: str
    at: float
    recorded_at: float | None
    evidence: str
    by: str
    details: Details
    origin: Mapping[str, str]
    id: str = ""
    digest: bytes = b""
    keys: frozenset[str] = frozenset()


def read_consents(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Told | Fault]:
    """Read a list."""
    found = rows(chunks)
    names: tuple[str, ...] = ()
    together: Iterator[Row | Fault] = found
    if isinstance(found, Table):
        first = next(found, None)
        second = next(found, None)
        names, head = _layout(first, second)
        together = chain(head, found)
    for row in together:
        yield row if isinstance(row, Fault) else _told(row.line, _values(row, names), defaults)


def _layout(first: Row | Fault | None, second: Row | Fault | None) -> tuple[tuple[str, ...], list[Row | Fault]]:
    """The names of the columns, and those of the first two rows that are no heading."""
    head = [row for row in (first, second) if row is not None]
    if not isinstance(first, Row):
        return (), head
    column, is_headed = address_column(first, second)
    names = tuple(map(folded, first.cells))
    if is_headed:
        return names, head[1:]
    return tuple("address" if i == (column or 0) else f"column{i}" for i in range(len(first.cells))), head


def _values(row: Row, names: tuple[str, ...]) -> dict[str, str]:
    if row.value is not None:
        return {folded(name): _cell(value) for name, value in row.value.items()}
    return {name: unguarded(cell) for name, cell in zip(names, row.cells, strict=False)}


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _told(line: int, values: Mapping[str, str], defaults: Defaults) -> Told | Fault:
    said = {name: values.get(folded(name), "") for name in OWN_COLUMNS}
    said["address"] = next((values[name] for name in _ADDRESSES if values.get(name)), "")
    if fault := _fault(line, said):
        return fault
    moments = {name: parse_moment(said[name]) for name in _MOMENTS}
    at, purpose = moments["at"] or defaults.at, said["purpose"] or defaults.purpose
    if at is None:
        return Fault(line, said["address"], "未写明时间，请用 --at 指明", "does not say when; say it with --at")
    if not is_purpose(purpose):
        return Fault(line, purpose, "未写明有效的用途，请用 --to 指明", "names no purpose that there is; say it with --to")
    return Told(
        line,
        said["address"],
        said["event"] or defaults.event,
        purpose,
        said["basis"] or defaults.basis,
        at,
        moments["recorded_at"],
        said["evidence"] or defaults.evidence,
        said["by"],
        _details(said, moments, defaults.details),
        {name: said[name] for name in ORIGIN if said[name]},
        said["id"],
        _digest(said["digest"]),
        frozenset(said["keys"].split()),
    )


def _fault(line: int, said: Mapping[str, str]) -> Fault | None:
    for name, kind in _CHOICES.items():
        if said[name] and said[name] not in set(kind):
            known = ", ".join(kind)
            return Fault(line, said[name], f"{name} 应为 {known}", f"{name} must be one of {known}")
    unknown = [one for one in said["statements"].split() if one not in set(Statement)]
    if unknown:
        known = ", ".join(Statement)
        return Fault(line, unknown[0], f"statements 应为 {known}", f"statements must be of {known}")
    for name in _MOMENTS:
        if said[name] and parse_moment(said[name]) is None:
            return Fault(line, said[name], f"{name} 不是时间", f"{name} is no time")
    if said["text_sha256"] and not _SHA256.fullmatch(said["text_sha256"].lower()):
        return Fault(line, said["text_sha256"], "text_sha256 应为 64 位十六进制", "text_sha256 must be 64 hexadecimal digits")
    for name, cell in said.items():
        if len(cell) > _LONGEST:
            return Fault(line, cell[:80], f"{name} 超过 {_LONGEST} 个字符", f"{name} has over {_LONGEST} characters")
    return None


def _details(said: Mapping[str, str], moments: Mapping[str, float | None], defaults: Details) -> Details:
    told: dict[str, Any] = {name: said[name] for name in (*_PLAIN, "source", "age_band") if said[name]}
    told |= {"text_sha256": said["text_sha256"].lower()} if said["text_sha256"] else {}
    found = replace(defaults, **told)
    if said["statements"]:
        found = replace(found, statements=tuple(sorted(set(said["statements"].split()))))
    return replace(
        found,
        relation_at=defaults.relation_at if moments["relation_at"] is None else moments["relation_at"],
        expires_at=defaults.expires_at if moments["expires_at"] is None else moments["expires_at"],
    )


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def own_row(event: ConsentEvent, keys: Iterable[str], person: Mapping[str, str]) -> list[str]:
    """An event as a row of our own export, safe for spreadsheets; `person` are the cells that tell who it is and from where."""
    details = event.details
    cells = {name: getattr(details, name) for name in (*_PLAIN, "source", "age_band", "text_sha256")} | dict(person)
    cells |= {name: getattr(event, name) for name in ("id", "event", "purpose", "basis", "evidence", "by")}
    cells |= {"digest": event.digest.hex(), "keys": " ".join(sorted(keys))}
    cells |= {"at": _moment(event.at), "recorded_at": _moment(event.recorded_at), "statements": " ".join(details.statements)}
    cells |= {"relation_at": _moment(details.relation_at), "expires_at": _moment(details.expires_at)}
    return [guarded(cells.get(name, "")) for name in OWN_COLUMNS]


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat()
