"""A simple message in octets from what people write of it: fields, texts, attachments. The same input gives the same octets."""

import struct
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_BOUNDARY = "=_part_{}"
_WORD_OCTETS = 42  # of text in one encoded-word: with its frame fewer than 75 characters (RFC 2047 section 2)
_LINE = 76
_WITH_ADDRESSES = frozenset({"from", "sender", "reply-to", "to", "cc", "bcc"})
_FIRST_DAY = 0x21  # 1980-01-01, the first that a ZIP can tell


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that is sent along."""

    filename: str
    media_type: str
    octets: bytes


def compose(fields: Sequence[tuple[str, str]], text: str, html: str, attached: Sequence[Attached] = ()) -> bytes:
    """Return the message with CRLF. A text and HTML become alternatives; with files everything becomes one multipart/mixed.

    `fields` stand first, in their order; MIME fields are added unless they are among them.
    """
    texts = [_leaf(f"text/{kind}; charset=utf-8", content) for kind, content in (("plain", text), ("html", html)) if content]
    body = _multipart("alternative", texts, 1) if len(texts) > 1 else texts[0] if texts else _leaf("text/plain", "")
    if attached:
        body = _multipart("mixed", [body, *map(_file, attached)], 0)
    (mime, content) = body
    given = {name.lower() for name, _ in fields}
    supplied = [("MIME-Version", "1.0"), *mime]
    lines = [field_line(name, value) for name, value in (*fields, *(one for one in supplied if one[0].lower() not in given))]
    return ("".join(lines) + "\r\n" + content).encode("utf-8", "surrogateescape")


def zip_of(names: Iterable[str], *, is_locked: bool = False) -> bytes:
    """A ZIP of empty files (APPNOTE.TXT 4.3); `is_locked` says of each that a password locks it."""
    flags, files, directory = 0x0800 | is_locked, b"", b""
    count = 0
    for name in names:
        octets = name.encode()
        entry = struct.pack("<5H3L2H", 20, flags, 0, 0, _FIRST_DAY, 0, 0, 0, len(octets), 0)
        directory += b"PK\1\2\x14\0" + entry + struct.pack("<3H2L", 0, 0, 0, 0, len(files)) + octets
        files += b"PK\3\4" + entry + octets
        count += 1
    return files + directory + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), len(files), 0)


def field_line(name: str, value: str) -> str:
    """One field as a line; words that are not ASCII become encoded-words (RFC 2047)."""
    words = _words(value, has_addresses=name.lower() in _WITH_ADDRESSES)
    return f"{name}: {' '.join(words)}\r\n" if value else f"{name}:\r\n"


_Part = tuple[list[tuple[str, str]], str]


def _leaf(media_type: str, content: str) -> _Part:
    return [("Content-Type", media_type), ("Content-Transfer-Encoding", "base64")], _base64(_with_crlf(content).encode())


def _file(one: Attached) -> _Part:
    name = "\r\n ".join(_encoded(one.filename)) if not one.filename.isascii() else one.filename
    fields = [
        ("Content-Type", one.media_type),
        ("Content-Disposition", f'attachment; filename="{name}"'),
        ("Content-Transfer-Encoding", "base64"),
    ]
    return fields, _base64(one.octets)


def _multipart(kind: str, parts: Sequence[_Part], number: int) -> _Part:
    boundary = _BOUNDARY.format(number)
    written = [f"--{boundary}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + f"\r\n{body}\r\n" for fields, body in parts]
    return [("Content-Type", f'multipart/{kind}; boundary="{boundary}"')], "".join(written) + f"--{boundary}--\r\n"


def _with_crlf(content: str) -> str:
    return content.replace("\r\n", "\n").replace("\n", "\r\n")


def _base64(octets: bytes) -> str:
    encoded = b64encode(octets).decode()
    return "\r\n".join(encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)) + "\r\n"


def _words(value: str, *, has_addresses: bool) -> Iterator[str]:
    """The words of a field's value; neighbours that are not ASCII are encoded together, their blanks with them."""
    foreign: list[str] = []
    for word in value.split(" "):
        is_address = has_addresses and "@" in word  # no place for encoded-words (RFC 2047 section 5)
        if not word.isascii() and not is_address:
            foreign.append(word)
            continue
        if foreign:
            yield "\r\n ".join(_encoded(" ".join(foreign)))
            foreign.clear()
        yield word
    if foreign:
        yield "\r\n ".join(_encoded(" ".join(foreign)))


def _encoded(text: str) -> Iterator[str]:
    chunk = ""
    for character in text:
        if len((chunk + character).encode()) > _WORD_OCTETS:
            yield _word(chunk)
            chunk = ""
        chunk += character
    yield _word(chunk)


def _word(chunk: str) -> str:
    return f"=?utf-8?B?{b64encode(chunk.encode()).decode()}?="
