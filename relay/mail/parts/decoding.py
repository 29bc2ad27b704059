"""Encoded-words (RFC 2047), encoded parameters (RFC 2231) and raw 8-bit octets as text, for rules and people.

What cannot be decoded is shown as well as it can be and never raises: the
octets leave unchanged in any case.  Charsets come from a closed table, so
that a header cannot load codecs; the GB family is read as GB18030, its
superset, as senders confuse its names.
"""

import binascii
import codecs
import re
from urllib.parse import unquote_to_bytes

_CHARSETS = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8", "ansi_x3.4-1968": "utf-8",
    "gb18030": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb2312": "gb18030", "gb_2312-80": "gb18030", "cp936": "gb18030",
    "ms936": "gb18030", "windows-936": "gb18030", "euc-cn": "gb18030", "hz-gb-2312": "hz", "hz": "hz",
    "big5": "cp950", "big-5": "cp950", "cp950": "cp950", "x-x-big5": "cp950", "big5-hkscs": "big5hkscs", "big5hkscs": "big5hkscs",
    "iso-2022-jp": "iso2022_jp", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "cp932": "cp932",
    "windows-31j": "cp932", "euc-jp": "euc_jp", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949",
    "cp949": "cp949", "iso-2022-kr": "iso2022_kr", "koi8-r": "koi8_r", "koi8-u": "koi8_u", "tis-620": "tis_620",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "latin1": "latin-1", "macintosh": "mac_roman", "cp866": "cp866", "ibm866": "cp866",
} | {
    f"{prefix}8859-{n}": f"iso8859_{n}" for n in (*range(1, 12), *range(13, 17)) for prefix in ("iso-", "iso")
} | {
    f"{prefix}{n}": f"cp{n}" for n in range(1250, 1259) for prefix in ("windows-", "cp")
}  # fmt: skip

# RFC 2047 section 2; blanks inside the text are not allowed there but are common, and readers decode them.
_ENCODED_WORD = re.compile(r"=\?([!-<>@-~]{1,75})\?([BbQq])\?([^?\r\n]*)\?=")
_Q_OCTET = re.compile(rb"=([0-9A-Fa-f]{2})")
_CHARSET = rb"\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})"
_META = re.compile(rb"<meta[\s/][^<>]*?charset" + _CHARSET, re.IGNORECASE)
_HTTP_EQUIV = rb"http-equiv\s*=\s*[\"']?content-type[\"']?"
_CONTENT = rb"content\s*=\s*[\"'][^\"'<>]*?charset"
_PLAIN_META = re.compile(
    rb"<meta\s+(?:charset|"
    + _HTTP_EQUIV
    + rb"\s+"
    + _CONTENT
    + rb"|(?=[^<>]*"
    + _HTTP_EQUIV
    + rb")"
    + _CONTENT
    + rb")"
    + _CHARSET,
    re.IGNORECASE,
)
_PRESCAN = 1024  # octets of a page in which browsers look for its charset
_BOM = "\ufeff"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def charset_named(name: str) -> str:
    """The codec of a charset's name in mail; unknown names are read as UTF-8 (bad octets show as U+FFFD)."""
    return _CHARSETS.get(name.partition("*")[0].strip().lower(), "utf-8")  # RFC 2231 section 5: charset*language


def is_known_charset(name: str) -> bool:
    """Whether text in this charset is read as it is meant; "" is a guess that readers make too."""
    name = name.partition("*")[0].strip().lower()
    return not name or name in _CHARSETS


def decode_transfer(octets: bytes, encoding: str) -> bytes:
    """The octets of a part without their Content-Transfer-Encoding (RFC 2045 section 6), as lenient readers take it off."""
    if encoding == "base64":
        return decode_base64(octets)
    return _decode_quoted(octets) if encoding == "quoted-printable" else octets


def _decode_quoted(octets: bytes) -> bytes:
    """Blanks at the end of a line are none of its, behind a "=" too (RFC 2045 section 6.7 rule 3); `binascii` leaves them."""
    if b"= " in octets or b"=\t" in octets:
        octets = b"\r\n".join([line.rstrip(b" \t\r") for line in octets.split(b"\n")])
    return binascii.a2b_qp(octets)


def guessed_codec(octets: bytes) -> str:
    """UTF-8, else GB18030 (what undeclared 8-bit mail here is), else Latin-1."""
    for codec in ("utf-8", "gb18030"):
        try:
            octets.decode(codec)
        except UnicodeDecodeError:
            continue
        return codec
    return "latin-1"


def decode_octets(octets: bytes, charset: str = "") -> str:
    """Octets as text; without a charset as one guesses."""
    return octets.decode(charset_named(charset) if charset else guessed_codec(octets), "replace")


def decode_file(octets: bytes, charset: str, is_html: bool, is_saved: bool) -> tuple[str, bool]:
    """A text that may say its charset itself, and whether every reader takes it for the same.

    A mark of byte order and, in HTML, a meta element hold where the part names no charset, and in a file that people save,
    which loses what the part named.
    """
    is_marked = octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    said, is_plain = ("utf-16", b"\0" in octets) if is_marked else _in_meta(octets) if is_html else ("", True)
    if not said or (charset and not is_saved and not is_marked):
        return decode_octets(octets, charset), True
    if not is_known_charset(said):
        return decode_octets(octets, charset), False
    text, other = octets.decode(charset_named(said), "replace"), decode_octets(octets, charset)
    if text.lstrip(_BOM) == other.lstrip(_BOM):
        return other, True
    if charset:
        return other, False
    return text, is_plain and (is_marked or guessed_codec(octets) != "utf-8")


def _in_meta(octets: bytes) -> tuple[str, bool]:
    """The charset that a page says of itself, "" where it does not, and whether every browser finds it there.

    They look for it as in the HTML Living Standard (prescan), and in no comment.
    """
    found = _META.search(octets, 0, _PRESCAN)
    if found is None:
        return "", True
    name = found[1].decode().lower()
    is_plain = _PLAIN_META.match(octets, found.start(), _PRESCAN) is not None and b"<!--" not in octets[: found.start()]
    return "utf-8" if name.startswith("utf-16") else name, is_plain


def decode_unstructured(value: bytes) -> str:
    """The value of a field such as Subject as one line of text."""
    text = decode_octets(value)
    if "=?" in text:
        text = decode_words(text)
    return _CONTROL.sub(" ", text).strip()


def decode_words(text: str) -> str:
    """Decode the encoded-words of `text`; neighbours of one charset are joined first, as senders split characters."""
    runs: list[tuple[str, list[bytes]]] = []  # charset and octets; plain text has the charset ""
    end = 0
    for word in _ENCODED_WORD.finditer(text):
        between, charset = text[end : word.start()], word[1].lower()
        follows = bool(runs and runs[-1][0])
        if not (follows and not between.strip()):  # RFC 2047 section 6.2: white space between two words is not shown
            runs.append(("", [between.encode()]))
            follows = False
        if not (follows and runs[-1][0] == charset):
            runs.append((charset, []))
        runs[-1][1].append(_word_octets(word[2], word[3]))
        end = word.end()
    runs.append(("", [text[end:].encode()]))
    return "".join(decode_octets(b"".join(octets), charset or "utf-8") for charset, octets in runs)


def decode_extended(value: str) -> str:
    """An extended parameter value, charset'language'percent-encoded (RFC 2231 section 4)."""
    charset, mark, rest = value.partition("'")
    language, mark2, text = rest.partition("'")
    if not mark or not mark2 or len(language) > 35:
        return decode_octets(unquote_to_bytes(value))
    return decode_octets(unquote_to_bytes(text), charset or "utf-8")


def _word_octets(encoding: str, text: str) -> bytes:
    octets = text.encode()
    if encoding in "Bb":
        return decode_base64(octets)
    return _Q_OCTET.sub(lambda match: bytes([int(match[1], 16)]), octets.replace(b"_", b" "))


def decode_base64(octets: bytes) -> bytes:
    """BASE64 as lenient readers decode it: foreign octets and missing padding are passed over."""
    data = octets.rstrip(b"=\r\n \t")
    if b"=" not in data:
        try:
            return binascii.a2b_base64(data + b"==")  # passes over foreign octets too, in a fraction of the time
        except binascii.Error:
            pass  # one character too many
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
    kept = kept[:-1] if len(kept) % 4 == 1 else kept
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
