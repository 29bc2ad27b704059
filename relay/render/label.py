"""do = "label": the labels that laws want, written in front of the subject and nowhere else.

The octets of the subject stay as they came, encoded-words and folding
included, and the labels come before them.  Only where a label must stand
behind one that the subject has already, or stands behind Re: already, is the
whole subject written anew.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence

from relay.mail.parts.decoding import charset_named, decode_unstructured
from relay.mail.parts.fields import Field
from relay.policy.checks.subject import REPLY
from relay.policy.rules.duty import Label
from relay.policy.words.labels import Mark, marks_of, without_labels, written

_SUBJECT = b"subject"
_READ = 200  # characters of a subject in which prefixes of answers are looked for
_LINE = 76  # RFC 2047 section 2: a line with an encoded-word, without CRLF
_FIRST_WORD = re.compile(rb"\s*=\?([!-<>@-~]{1,40})\?[BbQq]\?")
_AS_ASCII = frozenset({"us-ascii", "ascii"})
_NARROW = {"gb2312": "gb2312", "gbk": "gbk", "euc-kr": "euc_kr", "big5": "big5", "shift_jis": "shift_jis"}
"""Charsets that are read here as their superset; what is written must suit readers who do not."""


def labelled(fields: Sequence[Field], labels: Sequence[Label]) -> tuple[Field, ...]:
    """The fields with the labels in front of the subject, in this order, each once; as they are where they are right."""
    place = next((number for number, field in enumerate(fields) if field.name == _SUBJECT), None)
    if place is None:
        return (*fields, Field(_SUBJECT, _field(written(labels, ""), b"", "utf-8")))
    subject = decode_unstructured(fields[place].value)
    marks, wanted = marks_of(subject), [Mark(label) for label in labels]
    missing = _missing(marks, wanted)
    if missing == []:
        return tuple(fields)
    raw, charset, rest = fields[place].raw, _charset(fields[place]), without_labels(subject)
    said_once = _said_once(rest, labels)
    if missing is not None and said_once == rest:
        octets = _field(written(missing, subject), _value(raw), charset)
    else:
        kept = dict.fromkeys(mark.label for mark in marks if mark.label not in labels)
        octets = _field(written([*labels, *kept], said_once) + said_once, b"", charset)
    return (*fields[:place], Field(_SUBJECT, octets), *fields[place + 1 :])


def _said_once(subject: str, labels: Sequence[Label]) -> str:
    """The subject without those of the labels that stand behind Re: or Fwd:, where no law looks for them."""
    place = 0
    while found := REPLY.match(subject, place, _READ):
        place = found.end()
    behind = subject[place:]
    marks = marks_of(behind) if place else ()
    if all(mark.label not in labels for mark in marks):
        return subject
    kept = [mark.label for mark in marks if mark.label not in labels]
    return f"{subject[:place]} {written(kept, behind)}{without_labels(behind)}"


def _missing(marks: Sequence[Mark], wanted: Sequence[Mark]) -> list[Label] | None:
    """The labels to put in front of the others as they stand; None where these stand otherwise than is wanted."""
    present = [mark for mark in marks if mark.label in {label for label, _ in wanted}]
    lacking = len(wanted) - len(present)
    if present != list(wanted[lacking:]) or present != list(marks[: len(present)]):
        return None
    return [label for label, _ in wanted[:lacking]]


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
