"""What the rows of a consent list mean: our own export, and any table or JSON with these names.

Nothing is looked up or written here.  A row that says something that cannot
be believed becomes a `Fault`, and the next one is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from itertools import chain
from typing import Any

from relay.policy.consents.consent import ENDING, AgeBand, Basis, ConsentEvent, Details, EventKind, Source, Statement, is_purpose
from relay.policy.consents.moment import OUTSIDE, OUTSIDE_ZH, bounded, can_be_meant, parse_moment
from relay.policy.consents.residence import COUNTRIES, NO_COUNTRY, NO_COUNTRY_ZH
from relay.stores.formats import address_column, folded, guarded, unguarded
from relay.stores.subscriber_columns import denied
from relay.stores.tables import Fault, Row, Table, rows

OWN_COLUMNS = (
    "address", "masked", "digest", "keys", "id", "event", "purpose", "basis", "at", "recorded_at", "evidence", "by",
    "source", "source_ref", "method", "notice_version", "text_sha256", "language", "controller", "statements", "age_band",
    "country", "relation_at", "expires_at", "request", "asked_at",
    "ip", "user_agent", "signer", "asked_ip", "asked_user_agent",
)  # fmt: skip
"""The columns of an export. Where the address is masked or not known, the digest stands for it; `keys` names its keys."""

ORIGIN = ("ip", "user_agent", "signer", "asked_ip", "asked_user_agent")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ADDRESSES = ("address", "email", "emailaddress", "mailbox", "邮箱", "邮箱地址", "电子邮箱")
_NAMES = frozenset(map(folded, OWN_COLUMNS)) | frozenset(_ADDRESSES)
_UNNAMED = "?"  # a column of a table that has no heading
_PLAIN = ("source_ref", "method", "notice_version", "language", "controller", "request")
_CHOICES: dict[str, type[StrEnum]] = {"event": EventKind, "basis": Basis, "source": Source, "age_band": AgeBand}
_OF_DETAILS = ("relation_at", "expires_at", "asked_at")
_MOMENTS = ("at", "recorded_at", *_OF_DETAILS)
_LONGEST = 500  # characters of a cell


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a row does not say; `zone` is of times that name none."""

    zone: tzinfo
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
        if isinstance(first, Row) and (fault := _heading_fault(first, names)):
            yield fault
            return
        together = chain(head, found)
    for row in together:
        yield row if isinstance(row, Fault) else _read(row, names, defaults)


def _layout(first: Row | Fault | None, second: Row | Fault | None) -> tuple[tuple[str, ...], list[Row | Fault]]:
    """The names of the columns, and those of the first two rows that are no heading."""
    head = [row for row in (first, second) if row is not None]
    if not isinstance(first, Row):
        return (), head
    column, is_headed = address_column(first, second)
    names = tuple(map(folded, first.cells))
    if is_headed:
        return names, head[1:]
    return tuple("address" if i == (column or 0) else _UNNAMED for i in range(len(first.cells))), head


def _heading_fault(first: Row, names: Sequence[str]) -> Fault | None:
    """Why nothing of the table can be taken: nobody knows what a column without a name says, or which of two counts."""
    if _UNNAMED in names and sum(map(bool, first.cells)) > 1:
        return Fault(
            first.line,
            first.cells[names.index("address")],
            "没有列名，未读取任何行：请在第一行写明各列名称（address、event、at 等）",
            "the columns have no names, so no row was read: write a line of names above (address, event, at ...)",
        )
    twice = _twice(name for name in names if name in _NAMES)
    if twice is None:
        return None
    return Fault(first.line, twice, "有两列同名，未读取任何行", "names two columns, so no row was read")


def _twice(names: Iterable[str]) -> str | None:
    """The first name that is said before."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _read(row: Row, names: tuple[str, ...], defaults: Defaults) -> Told | Fault:
    """The event that a row tells. One that says more than the heading, or a thing twice, may have it in the wrong place."""
    if any(cell.strip() for cell in row.cells[len(names) :]):
        more = row.cells[len(names)]
        return Fault(
            row.line, more, "此行的单元格多于列名；含逗号的内容请加引号", "has more cells than there are columns; quote commas"
        )
    twice = _twice(name for name in map(folded, row.value or ()) if name in _NAMES)
    if twice is not None:
        return Fault(row.line, twice, "此行有两个同名的值", "is said twice in this row")
    return _told(row.line, _values(row, names), defaults)


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
    said["country"] = said["country"].upper()
    event = said["event"] or defaults.event
    moments = {name: parse_moment(said[name], defaults.zone, is_end=_is_end(name, event)) for name in _MOMENTS}
    if fault := _fault(line, said, moments) or _denied(line, said["address"], event, values):
        return fault
    at, purpose = moments["at"] or defaults.at, said["purpose"] or defaults.purpose
    if at is None:
        return Fault(line, said["address"], "未写明时间，请用 --at 指明", "does not say when; say it with --at")
    if not is_purpose(purpose):
        return Fault(line, purpose, "未写明有效的用途，请用 --to 指明", "names no purpose that there is; say it with --to")
    return Told(
        line,
        said["address"],
        event,
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


def _denied(line: int, address: str, event: str, values: Mapping[str, str]) -> Fault | None:
    """Why a row that would be a consent is none: another column of it says that the person left, or may say so."""
    found = None if event in ENDING else denied(values)
    if found is None:
        return None
    name, said = found[0], found[1][:80]
    return Fault(
        line,
        address,
        f"列 {name} 为“{said}”，不作为同意导入：撤回的请在 event 列写 withdrawn，或用 relay suppress import 导入；"
        "该列另有含义的，请删去该列",
        f'its column {name} says "{said}", so it is taken for no consent: of those who left say withdrawn in a column event, or'
        " bring them in with relay suppress import; a column that means something else, take out",
    )


def _is_end(name: str, event: str) -> bool:
    """Whether a day alone is its end: what ends that day ends all that was given on it."""
    return name == "expires_at" or (name == "at" and event in ENDING)


def _fault(line: int, said: Mapping[str, str], moments: Mapping[str, float | None]) -> Fault | None:
    """The first thing that cannot be meant."""
    of_moments = (_moment_fault(line, name, said[name], moments[name]) for name in _MOMENTS)
    return _choice_fault(line, said) or next(filter(None, of_moments), None) or _text_fault(line, said)


def _choice_fault(line: int, said: Mapping[str, str]) -> Fault | None:
    if (country := said["country"]) and country not in COUNTRIES:
        return Fault(line, country, f"country {NO_COUNTRY_ZH}", f"country {NO_COUNTRY}")
    for name, kind in _CHOICES.items():
        if said[name] and said[name] not in set(kind):
            known = ", ".join(kind)
            return Fault(line, said[name], f"{name} 应为 {known}", f"{name} must be one of {known}")
    unknown = [one for one in said["statements"].split() if one not in set(Statement)]
    if unknown:
        known = ", ".join(Statement)
        return Fault(line, unknown[0], f"statements 应为 {known}", f"statements must be of {known}")
    return None


def _text_fault(line: int, said: Mapping[str, str]) -> Fault | None:
    if said["text_sha256"] and not _SHA256.fullmatch(said["text_sha256"].lower()):
        return Fault(line, said["text_sha256"], "text_sha256 应为 64 位十六进制", "text_sha256 must be 64 hexadecimal digits")
    for name, cell in said.items():
        if len(cell) > _LONGEST:
            return Fault(line, cell[:80], f"{name} 超过 {_LONGEST} 个字符", f"{name} has over {_LONGEST} characters")
    return None


def _moment_fault(line: int, name: str, cell: str, at: float | None) -> Fault | None:
    if not cell or (at is not None and can_be_meant(at)):
        return None
    if at is None:
        return Fault(line, cell, f"{name} 不是时间", f"{name} is no time")
    return Fault(line, cell, f"{name} {OUTSIDE_ZH}", f"{name} {OUTSIDE}")


def _details(said: Mapping[str, str], moments: Mapping[str, float | None], defaults: Details) -> Details:
    told: dict[str, Any] = {name: said[name] for name in (*_PLAIN, "source", "age_band", "country") if said[name]}
    told |= {"text_sha256": said["text_sha256"].lower()} if said["text_sha256"] else {}
    found = replace(defaults, **told)
    if said["statements"]:
        found = replace(found, statements=tuple(sorted(set(said["statements"].split()))))
    known: dict[str, Any] = {name: at for name in _OF_DETAILS if (at := moments[name]) is not None}
    return replace(found, **known)


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def own_row(event: ConsentEvent, keys: Iterable[str], person: Mapping[str, str]) -> list[str]:
    """An event as a row of our own export, safe for spreadsheets; `person` are the cells that tell who it is and from where."""
    details = event.details
    cells = {name: getattr(details, name) for name in (*_PLAIN, "source", "age_band", "country", "text_sha256")} | dict(person)
    cells |= {name: getattr(event, name) for name in ("id", "event", "purpose", "basis", "evidence", "by")}
    cells |= {"digest": event.digest.hex(), "keys": " ".join(sorted(keys))}
    cells |= {"at": _moment(event.at), "recorded_at": _moment(event.recorded_at), "statements": " ".join(details.statements)}
    cells |= {"relation_at": _moment(details.relation_at), "expires_at": _moment(details.expires_at)}
    cells |= {"asked_at": _moment(details.asked_at)}
    return [guarded(cells.get(name, "")) for name in OWN_COLUMNS]


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(bounded(at), UTC).isoformat()
