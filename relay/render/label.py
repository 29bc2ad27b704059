"""do = "label": the labels that laws want, written in front of the subject and nowhere else.

The octets of the subject stay as they came, encoded-words and folding
included, and the labels come before them.  Only where a label must stand
behind one that the subject has already is the whole subject written anew.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence

from relay.mail.decoding import charset_named, decode_unstructured
from relay.mail.fields import Field
from relay.policy.duty import Label
from relay.policy.labels import labels_of, without_labels, written

_SUBJECT = b"subject"
_LINE = 76  # RFC 2047 section 2: a line with an encoded-word, without CRLF
_FIRST_WORD = re.compile(rb"\s*=\?([!-<>@-~]{1,40})\?[BbQq]\?")
_AS_ASCII = frozenset({"us-ascii", "ascii"})
_NARROW = {"gb2312": "gb2312", "gbk": "gbk", "euc-kr": "euc_kr", "big5": "big5", "shift_jis": "shift_jis"}
"""Charsets that are read here as their superset; what is written must suit readers who do not."""


def labelled(fields: Sequence[Field], labels: Sequence[Label]) -> tuple[Field, ...]:
    """The fields with every one of the labels in front of the subject, in this order; as they are where nothing is missing."""
    place = next((number for number, field in enumerate(fields) if field.name == _SUBJECT), None)
    if place is None:
        return (*fields, Field(_SUBJECT, _field(written(labels, ""), b"", "utf-8")))
    subject = decode_unstructured(fields[place].value)
    present = labels_of(subject)
    missing = [label for label in labels if label not in present]
    if not missing:
        return tuple(fields)
    raw, charset = fields[place].raw, _charset(fields[place])
    if missing == list(labels[: len(missing)]):  # what the law wants behind them, if anything, stands there already
        octets = _field(written(missing, subject), _value(raw), charset)
    else:
        kept = [label for label in present if label not in labels]
        octets = _field(written([*labels, *kept], subject) + without_labels(subject), b"", charset)
    return (*fields[:place], Field(_SUBJECT, octets), *fields[place + 1 :])


def _charset(field: Field) -> str:
    """The charset of the subject's first word, as its writer names it; UTF-8 where it names none."""
    word = _FIRST_WORD.match(field.value)
    name = word[1].decode("ascii").partition("*")[0].lower() if word else ""
    return name if name and name not in _AS_ASCII else "utf-8"


def _value(raw: bytes) -> bytes:
    """What stands behind the colon, its folding included, without blanks in front and the final CRLF."""
    return raw.partition(b":")[2].lstrip(b" \t").removesuffix(b"\r\n")


def _field(text: str, rest: bytes, charset: str) -> bytes:
    """A Subject that begins with `text` and goes on with the octets of `rest`."""
    if rest and not rest.lstrip().startswith(b"=?"):
        text = text.rstrip(" ")  # the blank before plain words is shown, that between two encoded-words is not
    lines = b"Subject: " + b"\r\n ".join(_lines(text) if text.isascii() else _encoded_words(text, charset))
    if not rest or rest.startswith(b"\r\n"):
        return lines.rstrip(b" ") + rest + b"\r\n"
    last = lines.rpartition(b"\r\n")[2].rstrip(b" ")
    blank = b" " if len(last) + 1 + len(rest.partition(b"\r\n")[0]) <= _LINE else b"\r\n "
    return lines.rstrip(b" ") + blank + rest + b"\r\n"


def _lines(text: str) -> list[bytes]:
    """ASCII in lines of 76; a word that is longer stays whole."""
    lines, column = [""], len("Subject: ")
    for word in text.split(" "):
        if column + len(word) > _LINE and lines[-1].strip():
            lines.append("")
            column = 1
        lines[-1] += word + " "
        column += len(word) + 1
    return [line.rstrip(" ").encode() for line in lines]


def _encoded_words(text: str, charset: str) -> Iterator[bytes]:
    """The text as encoded-words in this charset where it has all the characters, else in UTF-8 (RFC 2047)."""
    codec = _NARROW.get(charset, charset_named(charset))
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        charset = codec = "utf-8"
    head = b"=?%s?B?" % charset.encode()
    room = _LINE - len("Subject: ") - len(head) - len(b"?=")
    piece = ""
    for character in text:
        if len(b64encode((piece + character).encode(codec))) > room and piece:
            yield head + b64encode(piece.encode(codec)) + b"?="
            piece = ""
        piece += character
    yield head + b64encode(piece.encode(codec)) + b"?="
