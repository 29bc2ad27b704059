"""Folders of a mailbox as LIST names them (RFC 3501 sections 7.2.2 and 5.1.3), and which of them are for junk (RFC 6154)."""

import re
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass

_LIST = re.compile(rb'\* LIST \(([^)]*)\) (?:NIL|"(\\?[^"])") ?(.*)$', re.IGNORECASE)
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")
_JUNK = frozenset({"junk", "junk e-mail", "junk email", "junk mail", "spam", "bulk mail", "垃圾邮件", "垃圾郵件", "垃圾箱"})


@dataclass(frozen=True, slots=True)
class Folder:
    """`name` is the server's own, for SELECT; `shown` what people read; a folder that `opens` has mails."""

    name: str
    shown: str
    is_junk: bool
    opens: bool = True


def read_folder(text: bytes, literals: tuple[bytes, ...]) -> Folder | None:
    """What one answer to LIST says; None for another answer, or a name that cannot be asked for."""
    match = _LIST.match(text)
    if match is None:
        return None
    flags = {flag.lower() for flag in match[1].split()}
    name = _unquoted(match[3].strip()) if not literals else literals[0]
    if not name or not name.isascii() or any(octet < 32 for octet in name):
        return None
    shown = decoded(name.decode("ascii"))
    delimiter = (match[2] or b"").lstrip(b"\\").decode("ascii", "replace")
    last = shown.rpartition(delimiter)[2] if delimiter else shown
    is_junk = rb"\junk" in flags or last.casefold() in _JUNK
    return Folder(name.decode("ascii"), shown, is_junk, opens=flags.isdisjoint({rb"\noselect", rb"\nonexistent"}))


def decoded(name: str) -> str:
    """A folder's name out of modified UTF-7; as it is when it is none."""

    def plain(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        padded = match[1].replace(",", "/") + "=" * (-len(match[1]) % 4)
        return b64decode(padded, validate=True).decode("utf-16-be")

    try:
        return _SHIFTED.sub(plain, name)
    except (Error, UnicodeDecodeError):
        return name


def _unquoted(name: bytes) -> bytes:
    if name.startswith(b'"') and name.endswith(b'"') and len(name) > 1:
        return re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return name
