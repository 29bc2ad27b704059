"""The arguments of MAIL and RCPT, read strictly (RFC 5321 section 4.1.2, RFC 3461, RFC 1870, RFC 6152, RFC 6531).

A path is written in angle brackets and holds one mailbox that `Mailbox` takes:
an address in another spelling (encoded-words, comments, no brackets) could
mean one person to our stores and another to the upstream.  A source route is
dropped, as RFC 5321 appendix C asks.  The case of every value is kept.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.reply import Reply

_ROUTE = r"(?:@[A-Za-z0-9.-]+(?:,@[A-Za-z0-9.-]+)*:)?"
_PATH = rf' *<{_ROUTE}((?:"(?:[^"\\]|\\.)*"|[^"<> ])*)>'
_FROM = re.compile(f"[Ff][Rr][Oo][Mm]:{_PATH}")
_TO = re.compile(f"[Tt][Oo]:{_PATH}")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-~\u0080-\U0010ffff]|\+[0-9A-F]{2})*")  # RFC 6533 section 3
_SURROGATES = re.compile("[\ud800-\udfff]")  # octets that are not UTF-8
_MAX_ENVID, _MAX_ORCPT = 100, 500  # RFC 3461 sections 4.4 and 4.2
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})

Values = Mapping[str, str | None]
Known = Mapping[str, Callable[[str | None], bool]]
_NO_VALUES: Values = {}


class Unacceptable(Exception):
    """The command is answered with `reply` and nothing else happens."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Mail(NamedTuple):
    """What MAIL said. `reverse_path` is None when null, `size` None when not declared."""

    reverse_path: Mailbox | None
    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


def parse_mail(argument: str, *, extended: bool) -> Mail:
    """Read what follows MAIL; without `extended` (HELO) there are no parameters.

    Raises Unacceptable.
    """
    path, values = _split(argument, _FROM, replies.MAIL_SYNTAX, _MAIL_PARAMETERS if extended else {})
    smtputf8 = "SMTPUTF8" in values
    mailbox = _mailbox(path, smtputf8, replies.BAD_SENDER, _sender) if path else None
    if not values:
        return Mail(mailbox)
    return Mail(
        reverse_path=mailbox,
        size=int(values["SIZE"] or 0) if "SIZE" in values else None,
        body=(values.get("BODY") or "7BIT").upper(),
        smtputf8=smtputf8,
        ret=(values.get("RET") or "").upper() or None,
        envid=values.get("ENVID"),
    )


def parse_rcpt(argument: str, *, extended: bool, smtputf8: bool) -> Recipient:
    """Read what follows RCPT; `smtputf8` is what MAIL declared.

    Raises Unacceptable.
    """
    path, values = _split(argument, _TO, replies.RCPT_SYNTAX, _RCPT_PARAMETERS if extended else {})
    mailbox = _mailbox(path, smtputf8, replies.BAD_RECIPIENT, Mailbox.parse)
    notify = values.get("NOTIFY")
    return Recipient(mailbox, frozenset(notify.upper().split(",")) if notify else None, values.get("ORCPT"))


def _split(argument: str, path: re.Pattern[str], syntax: Reply, known: Known) -> tuple[str, Values]:
    match = path.match(argument)
    if match is None:
        raise Unacceptable(syntax)
    rest = argument[match.end() :]
    if not rest:
        return match[1], _NO_VALUES
    if rest[0] != " ":
        raise Unacceptable(syntax)
    return match[1], _parameters(rest, known)


def _parameters(text: str, known: Known) -> Values:
    values: dict[str, str | None] = {}
    for word in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise Unacceptable(replies.BAD_PARAMETER)
        keyword, value = match[1].upper(), match[2]
        if keyword not in known:
            raise Unacceptable(replies.UNKNOWN_PARAMETER)
        if keyword in values or not known[keyword](value):
            raise Unacceptable(replies.BAD_PARAMETER)
        values[keyword] = value
    return values


def _mailbox(path: str, smtputf8: bool, bad: Reply, parse: Callable[[str], Mailbox]) -> Mailbox:
    if not path.isascii():
        if _SURROGATES.search(path):
            raise Unacceptable(bad)
        if not smtputf8:
            raise Unacceptable(replies.NEEDS_SMTPUTF8)
    try:
        return parse(path)
    except MailboxError:
        raise Unacceptable(bad) from None


@lru_cache(maxsize=256)
def _sender(path: str) -> Mailbox:
    """A reverse-path; the same few send most of the mail."""
    return Mailbox.parse(path)


def _is_envid(value: str | None) -> bool:
    return value is not None and len(value) <= _MAX_ENVID and bool(_XTEXT.fullmatch(value))


def _is_notify(value: str | None) -> bool:
    words = (value or "").upper().split(",")
    return words == ["NEVER"] or (set(words) <= _NOTIFY and len(words) == len(set(words)))


def _is_orcpt(value: str | None) -> bool:
    kind, _, address = (value or "").partition(";")
    if len(value or "") > _MAX_ORCPT or not kind or not address or not kind.replace("-", "").isalnum() or not kind.isascii():
        return False
    return bool((_UTF8_ADDRESS if kind.lower() == "utf-8" else _XTEXT).fullmatch(address))


_MAIL_PARAMETERS: Known = {
    "SIZE": lambda value: bool(re.fullmatch(r"[0-9]{1,20}", value or "")),
    "BODY": lambda value: (value or "").upper() in ("7BIT", "8BITMIME"),
    "SMTPUTF8": lambda value: value is None,
    "RET": lambda value: (value or "").upper() in ("FULL", "HDRS"),
    "ENVID": _is_envid,
    "AUTH": lambda value: bool(_XTEXT.fullmatch(value or "=")),  # taken and not believed: RFC 4954 section 5
}
_RCPT_PARAMETERS: Known = {"NOTIFY": _is_notify, "ORCPT": _is_orcpt}
