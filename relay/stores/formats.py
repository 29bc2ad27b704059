"""What the rows of a suppression list mean: our own export, those of SES, SendGrid, Mailgun and Postmark, plain lists.

The format is told by the names of the columns (or of the members of a JSON
object), by what stands in the second column where there are no names, or by
the person who imports.  Nothing is looked up or written here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

from relay.policy.consents.moment import bounded, parse_moment
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.stores.tables import Fault, Lines, Row, Table, rows

OWN_COLUMNS = (
    "address", "digest", "keys", "scope", "reason", "origin", "at", "expires_at", "lifted_at", "lifted_by", "note", "again_at",
)  # fmt: skip
"""The columns of an export. Where no address is known, the digest stands for it; `keys` says which keys made it."""


class Listed(NamedTuple):
    """One mailbox of a list. What the list does not say is None or ""; `reason` None is for the importer to say."""

    line: int
    address: str
    reason: Reason | None = None
    at: float | None = None
    scope: str = ""
    note: str = ""
    expires_at: float | None = None
    digest: bytes = b""
    keys: frozenset[str] = frozenset()
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is no suppression: lifted, still subscribed, a passing failure."""

    line: int
    zh: str
    en: str


_OBJECTS = 4000  # of JSON in one part
_OUR_WORDS = frozenset(reason.value for reason in Reason)
_SES_WORDS = {"BOUNCE": Reason.HARD_BOUNCE, "COMPLAINT": Reason.COMPLAINT}

Read = Listed | LeftOut | Fault
Values = Mapping[str, str]
When = Callable[[str], float | None]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a list in their order, with what it takes to read them apart from all others."""

    name: str  # of the format; "auto": each row tells
    columns: tuple[str, ...]
    rows: "Lines | list[Row | Fault]"

    def read(self, zone: tzinfo) -> Iterator[tuple[str, Read]]:
        """What the rows mean; each item comes with the name of the format that it was read as.

        A time without a zone is in `zone`; a day alone is its last second, since every row refuses something.
        """
        when = partial(parse_moment, zone=zone, is_end=True)
        rows = self.rows.rows() if isinstance(self.rows, Lines) else self.rows
        for row in rows:
            if isinstance(row, Fault):
                yield self.name, row
            elif row.value is None:
                yield self.name, _FORMATS[self.name].read(row.line, dict(zip(self.columns, row.cells, strict=False)), when)
            else:
                values = {folded(key): _text(value) for key, value in row.value.items()}
                chosen = self.name if self.name != "auto" else _by_names(values.keys())
                yield chosen, _FORMATS[chosen].read(row.line, values, when)


def parts_of(chunks: Iterable[bytes], name: str = "auto") -> Iterator[Part]:
    """A list in parts that can be read at the same time; those of a table are about as long as a chunk."""
    found = rows(chunks)
    if not isinstance(found, Table):
        while objects := list(islice(found, _OBJECTS)):
            yield Part(name, (), objects)
        return
    first = next(found, None)
    while isinstance(first, Fault):
        yield Part(name, (), [first])
        first = next(found, None)
    if first is None:
        return
    second = next(found, None)
    name, columns, is_headed = _layout(first, second, name)
    head = [second] if is_headed else [first, second]
    yield Part(name, columns, [row for row in head if row is not None])
    for part in found.apart():
        yield Part(name, columns, part)


def address_column(first: Row, second: Row | Fault | None) -> tuple[int | None, bool]:
    """Which column of a table has the addresses, judged by its first rows, and whether the first is a heading."""
    if (column := _with_at(first)) is not None:
        return column, False
    names = [folded(cell) for cell in first.cells]
    named = next((names.index(wanted) for wanted in _ADDRESS_NAMES if wanted in names), None)
    if named is None and isinstance(second, Row):
        named = _with_at(second)
    return named, named is not None


def _with_at(row: Row) -> int | None:
    return next((i for i, cell in enumerate(row.cells) if "@" in cell), None)


def own_row(entry: Suppression, address: str, keys: Iterable[str]) -> list[str]:
    """An entry as a row of our own export, safe for spreadsheets."""
    whole = [
        address, entry.digest.hex(), " ".join(sorted(keys)), entry.scope, entry.reason.value, entry.origin, _moment(entry.at),
        _moment(entry.expires_at), _moment(entry.lifted_at), entry.lifted_by, entry.note, _moment(entry.again_at),
    ]  # fmt: skip
    return [guarded(cell) for cell in whole]


_FORMULA = re.compile(r"[\t\r\n]|\s*(?:[=@＝＠]|[+\-＋－](?![\d\s().,-]*$))")  # East Asian spreadsheets know the wide signs


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet might run the cell, as it stands or trimmed; numbers and telephone numbers are none."""
    return _FORMULA.match(cell) is not None


def guarded(cell: str) -> str:
    """Keep a spreadsheet from running the cell as a formula; `unguarded` takes the mark off again."""
    return f"'{cell}" if is_formula(cell) or cell.startswith("'") else cell


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell.removeprefix("'")


# Formats -------------------------------------------------------------------------------------------------------------


def _own(line: int, values: Values, when: When) -> Read:
    values = {name: unguarded(value) for name, value in values.items()}
    if values.get("liftedat"):
        return LeftOut(line, "已解除的记录", "was lifted")
    reason = values.get("reason", "")
    if reason not in _OUR_WORDS:
        return Fault(line, reason, f"原因“{reason}”未知", f'there is no reason "{reason}"; known are {", ".join(Reason)}')
    try:
        digest = bytes.fromhex(values.get("digest", ""))
    except ValueError:
        digest = b""
    return Listed(
        line,
        values.get("address", ""),
        Reason(reason),
        when(values.get("at", "")),
        values.get("scope", "") or ORGANISATION,
        values.get("note", "") or values.get("origin", ""),
        when(values.get("expiresat", "")),
        digest,
        frozenset(values.get("keys", "").split()),
        when(values.get("againat", "")),
    )


def _ses(line: int, values: Values, when: When) -> Read:
    said = values.get("reason", "")
    reason = Reason(said) if said in _OUR_WORDS else _SES_WORDS.get(said.upper())
    if reason is None:
        return Fault(line, said, "原因应为 BOUNCE 或 COMPLAINT", "expected BOUNCE or COMPLAINT")
    return Listed(line, values.get("emailaddress", ""), reason, when(values.get("lastupdatetime", "")))


def _ses_contacts(line: int, values: Values, when: When) -> Read:
    address = values.get("emailaddress", "")
    if values.get("unsubscribeall", "").lower() in ("true", "1", "yes"):
        return Listed(line, address, Reason.UNSUBSCRIBE, when(values.get("lastupdatedtimestamp", "")))
    topics = [name.partition(".")[2] for name, value in values.items() if name.startswith("topic") and value == "OPT_OUT"]
    if topics:
        return Fault(
            line, address, f"仅退订主题 {', '.join(topics)}；请单独导入并用 --stream 指明邮件流",
            f"opted out of {', '.join(topics)} only: import those separately with --stream",
        )  # fmt: skip
    return LeftOut(line, "仍在订阅", "still subscribed")


def _mailgun(line: int, values: Values, when: When) -> Read:
    reason = None  # the list of complaints says nothing but addresses
    if values.get("code") or values.get("error"):
        reason = Reason.HARD_BOUNCE
    elif values.get("tags") or values.get("tag"):
        reason = Reason.UNSUBSCRIBE
    note = " ".join(filter(None, (values.get("code", ""), values.get("error", ""))))
    return Listed(line, values.get("address", ""), reason, when(values.get("createdat", "")), note=note)


def _sendgrid(line: int, values: Values, when: When) -> Read:
    status, why = values.get("status", ""), values.get("reason", "")
    if status.startswith("4"):
        return LeftOut(line, f"暂时性失败（{status}）", f"a passing failure ({status})")
    if "ip" in values:
        reason = Reason.COMPLAINT
    elif "reason" in values or "status" in values:
        reason = Reason.HARD_BOUNCE
    else:
        reason = Reason.UNSUBSCRIBE
    note = " ".join(filter(None, (status, why)))
    return Listed(line, values.get("email", ""), reason, when(values.get("created", "")), note=note)


def _postmark(line: int, values: Values, when: When) -> Read:
    said, origin = values.get("suppressionreason", ""), values.get("origin", "")
    reasons = {"HardBounce": Reason.HARD_BOUNCE, "SpamComplaint": Reason.COMPLAINT}
    if said == "ManualSuppression":
        reason: Reason | None = Reason.UNSUBSCRIBE if origin == "Recipient" else Reason.MANUAL
    else:
        reason = reasons.get(said)
    if reason is None:
        return Fault(line, said, f"未知的 SuppressionReason“{said}”", f'SuppressionReason "{said}" is not known')
    return Listed(line, values.get("emailaddress", ""), reason, when(values.get("createdat", "")))


def _plain(line: int, values: Values, when: When) -> Read:
    address_name, time_names = _told_by(tuple(values))
    said = values.get("reason", "").lower()
    reason = Reason(said) if said in _OUR_WORDS else None
    at = next(filter(None, (when(values[name]) for name in time_names)), None) if time_names else None
    return Listed(line, values.get(address_name, ""), reason, at)


@lru_cache(maxsize=8)  # the rows of a list have the same columns
def _told_by(names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Which of the columns has the address, and which may have a time."""
    return next((name for name in _ADDRESS_NAMES if name in names), ""), [name for name in _TIME_NAMES if name in names]


_ADDRESS_NAMES = (
    "email", "emailaddress", "address", "mail", "mailaddress", "recipient", "mailbox",
    "邮箱", "邮箱地址", "电子邮箱", "电子邮件", "电子邮件地址", "邮件地址", "收件人",
)  # fmt: skip
_TIME_NAMES = ("at", "createdat", "created", "date", "time", "unsubscribedat")


@dataclass(frozen=True, slots=True)
class _Format:
    """`names` that a row must have to be of this format: all of one of the sets; `bare` are its columns without heading."""

    read: Callable[[int, Values, When], Read]
    names: tuple[frozenset[str], ...]
    bare: tuple[str, ...]
    is_exact: bool = False  # no other columns either: a list of all customers has an address and a date too

    def fits(self, present: frozenset[str]) -> bool:
        return any(needed == present if self.is_exact else needed <= present for needed in self.names)


def _sets(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split()) for one in names)


_FORMATS: dict[str, _Format] = {
    "own": _Format(_own, _sets("address digest scope reason"), tuple(name.replace("_", "") for name in OWN_COLUMNS)),
    "ses-contacts": _Format(_ses_contacts, _sets("emailaddress unsubscribeall"), ("emailaddress", "unsubscribeall")),
    "postmark": _Format(
        _postmark, _sets("emailaddress suppressionreason"), ("emailaddress", "suppressionreason", "origin", "createdat")
    ),
    "ses": _Format(_ses, _sets("emailaddress reason"), ("emailaddress", "reason")),
    "mailgun": _Format(
        _mailgun,
        _sets("address code", "address error", "address tags", "address tag", "address createdat"),
        ("address", "code", "error", "createdat"),
    ),
    "sendgrid": _Format(
        _sendgrid,
        _sets("email created", "email created ip", "email created reason", "email created reason status"),
        ("email",),
        is_exact=True,
    ),
    "plain": _Format(_plain, (), ("email",)),
}
FORMATS = tuple(_FORMATS)
"""The names of the formats, for --format."""


def _layout(first: Row, second: Row | Fault | None, name: str) -> tuple[str, tuple[str, ...], bool]:
    """The format of a table, the names of its columns, and whether its first row is a heading."""
    column, is_headed = address_column(first, second)
    names = tuple(map(folded, first.cells))
    if is_headed and column is not None:
        if names[column] not in _ADDRESS_NAMES:
            names = (*names[:column], "email", *names[column + 1 :])
        return name if name != "auto" else _by_names(names), names, True
    if name == "auto":
        is_ses = len(first.cells) == 2 and first.cells[1].upper() in ("BOUNCE", "COMPLAINT")
        name = "ses" if is_ses else "plain"
    if name == "plain":
        return name, tuple("email" if i == (column or 0) else f"column{i}" for i in range(len(first.cells))), False
    return name, _FORMATS[name].bare, False


def _by_names(names: Iterable[str]) -> str:
    present = frozenset(names)
    return next((name for name, one in _FORMATS.items() if one.fits(present)), "plain")


def folded(name: str) -> str:
    """A column's name without case, blanks and joints: "Email Address", "email_address" and "emailAddress" are one."""
    return re.sub(r"[\s_-]", "", name).lower()


def _text(value: object) -> str:
    """A member of a JSON object as a table would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(bounded(at), UTC).isoformat()
