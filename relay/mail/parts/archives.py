"""What files are that hold others: archives, office documents, and what stands in the directory of a ZIP.

Nothing is unpacked.  Of a ZIP its directory is read (APPNOTE.TXT 4.3), which
names every file and says whether a password locks it; an office document of
today is a ZIP, one of yesterday a compound file (MS-CFB) in which the streams
of macros are looked for by their names.  What cannot be read to the end is
said (`Archive.is_readable`): a rule must not take "not read" for "not there".
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from relay.mail.parts.decoding import decode_octets
from relay.mail.parts.mime import Attachment, Part, Structure, attachments_of
from relay.mail.parts.slices import decoded_slices, head_behind_padding

MAX_DIRECTORY = 1024**2
"""Octets of a directory that are read."""

MAX_ENTRIES = 10_000
"""Files of one archive that are looked at."""

MAX_ARCHIVES = 100
"""Archives of one message that are looked into."""

SUFFIXES = frozenset(
    {
        "zip", "zipx", "rar", "7z", "gz", "tgz", "bz2", "tbz", "tbz2", "xz", "txz", "zst", "tar", "lz", "lzma", "lzh", "lha",
        "arj", "ace", "cab", "z", "cpio", "iso", "img", "vhd", "vhdx", "alz", "egg",
    }
)  # fmt: skip
"""How the names of archives end."""

ZIPPED = frozenset(
    {
        "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xlsb", "xltx", "xltm", "xlam", "pptx", "pptm", "potx", "potm", "ppsx",
        "ppsm", "ppam", "sldx", "sldm", "vsdx", "vsdm", "odt", "ods", "odp", "odg", "ott", "ots", "otp", "epub", "jar", "apk",
    }
)  # fmt: skip
"""How the names of files end that are a ZIP to every program that opens them."""

_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_COMPOUND = bytes.fromhex("d0cf11e0a1b11ae1")
_CLOSED = (
    b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"MSCF", b"\x60\xea",
    b"\x1f\x9d", b"LZIP", b"ALZ\1", b"EGGA",
)  # fmt: skip
_MACRO_STREAM, _LOCKED_STREAM = ("_VBA_PROJECT".encode("utf-16-le"), "EncryptedPackage".encode("utf-16-le"))
_MACRO_FILE = "vbaproject.bin"
_MACRO_FOLDERS = ("xl/macrosheets/",)  # of Excel 4
_OPEN_DOCUMENT, _OPEN_DOCUMENT_FOLDERS = "mimetype", ("basic/", "scripts/")
_TAR, _TAR_PLACE = b"ustar", 257
_HEAD = 512  # octets from the start that tell what a file is
_END, _END_LENGTH, _MAX_COMMENT = b"PK\5\6", 22, 65535
_ENTRY, _ENTRY_LENGTH = b"PK\1\2", 46
_LOCKED = 0x0001 | 0x0040 | 0x2000  # a password, strong encryption, a directory that is encrypted itself
_UTF8 = 0x0800
_UNICODE_PATH = 0x7075  # the field of Info-ZIP in which some readers look for the name
_KEPT = MAX_DIRECTORY + _END_LENGTH + _MAX_COMMENT
_LONGEST_MARK = max(len(_MACRO_STREAM), len(_LOCKED_STREAM))


@dataclass(frozen=True, slots=True)
class Archive:
    """What was found in a file that holds others.

    `names` are those of the files inside; `is_locked` says that a password locks one of them, or all of it.
    """

    names: tuple[str, ...] = ()
    is_locked: bool = False
    has_macros: bool = False
    is_readable: bool = True


_UNREADABLE = Archive(is_readable=False)


@dataclass(frozen=True, slots=True)
class Enclosed:
    """An attachment that holds other files."""

    attachment: Attachment
    archive: Archive


def archives_of(structure: Structure, body: bytes) -> tuple[Enclosed, ...]:
    """The attachments that hold others, in order; those beyond the bounds cannot be read."""
    found: list[Enclosed] = []
    for part in structure.parts:
        files = attachments_of(part) if part.is_leaf else []
        if not files:
            continue
        archive = _UNREADABLE if len(found) >= MAX_ARCHIVES else _look_at(body, part, [file.filename for file in files])
        if archive is not None:
            found.append(Enclosed(files[0], archive))
    return tuple(found)


def _look_at(body: bytes, part: Part, names: Iterable[str]) -> Archive | None:
    slices, endings = decoded_slices(body, part.start, part.end, part.encoding), {_ending(name) for name in names}
    if slices is None:
        return _UNREADABLE
    is_named, is_zipped = not endings.isdisjoint(SUFFIXES), not endings.isdisjoint(ZIPPED)
    found = look_into(slices, is_named, is_zipped=is_zipped)
    other = head_behind_padding(body, part.start, part.end) if part.encoding == "base64" else b""
    if not other:
        return found
    return _UNREADABLE if found or look_into([other], is_named, is_zipped=is_zipped) else None


def look_into(slices: Iterable[bytes], is_named: bool, *, is_zipped: bool = False) -> Archive | None:
    """What the file is, None where it holds no others.

    `is_named` says that its name is that of an archive, `is_zipped` that of a document which is a ZIP.
    """
    pieces = iter(slices)
    head = b""
    while len(head) < _HEAD and (piece := next(pieces, None)) is not None:
        head += piece  # blank lines in front of base64 are slices of nothing
    if not head:
        return None
    if head.startswith(_ZIP):
        return _read_zip(*_tail(head, pieces))
    if head.startswith(_COMPOUND):
        return _read_compound(head, pieces) or (_UNREADABLE if is_named else None)
    if is_named or head.startswith(_CLOSED) or head.startswith(_TAR, _TAR_PLACE):
        return _UNREADABLE
    is_shifted = _ZIP[0] in head or (is_zipped and _has_zip(head, pieces))
    return _UNREADABLE if is_shifted else None


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is an archive."""
    return _ending(name) in SUFFIXES


def _ending(name: str) -> str:
    return name.rpartition(".")[2].strip().lower()


def _has_zip(head: bytes, pieces: Iterator[bytes]) -> bool:
    """Whether a ZIP begins somewhere: programs look for its directory from the end, and pass over what is in front."""
    end = head
    for piece in pieces:
        seen = end[-3:] + piece
        if _ZIP[0] in seen:
            return True
        end = seen
    return False


def _tail(head: bytes, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The last octets, in which the directory of a ZIP is, and how many there are in all."""
    kept, held, length = [head], len(head), len(head)
    for piece in pieces:
        kept.append(piece)
        held += len(piece)
        length += len(piece)
        while held - len(kept[0]) >= _KEPT:
            held -= len(kept.pop(0))
    return b"".join(kept), length


def _read_zip(tail: bytes, length: int) -> Archive:
    """Read the directory. One that readers could find in two places, or that is not the whole of it, is none."""
    end = tail.rfind(_END)
    if end < 0 or end + _END_LENGTH > len(tail):
        return _UNREADABLE
    disk, first_disk, here, count, size, offset, comment = struct.unpack_from("<4H2LH", tail, end + 4)
    start = end - size
    is_whole = end + _END_LENGTH + comment == len(tail) and length - len(tail) + start == offset
    if disk or first_disk or here != count or count > MAX_ENTRIES or start < 0 or not is_whole:
        return _UNREADABLE
    return _read_entries(tail[start:end], count)


def _read_entries(directory: bytes, count: int) -> Archive:
    names: list[str] = []
    is_locked, place = False, 0
    for _ in range(count):
        if not directory.startswith(_ENTRY, place) or place + _ENTRY_LENGTH > len(directory):
            return _UNREADABLE
        flags, = struct.unpack_from("<H", directory, place + 8)  # fmt: skip
        name, extra, comment = struct.unpack_from("<3H", directory, place + 28)
        begin = place + _ENTRY_LENGTH
        place = begin + name + extra + comment
        if place > len(directory):
            return _UNREADABLE
        is_locked = is_locked or bool(flags & _LOCKED)
        names.append(decode_octets(directory[begin : begin + name], "utf-8" if flags & _UTF8 else ""))
        names += _other_names(directory[begin + name : begin + name + extra])
    if place != len(directory):
        return _UNREADABLE
    return Archive(tuple(names), is_locked, _has_macros(names))


def _other_names(extra: bytes) -> Iterator[str]:
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, place)
        if kind == _UNICODE_PATH:
            yield decode_octets(extra[place + 9 : place + 4 + size], "utf-8")
        place += 4 + size


def _has_macros(names: Iterable[str]) -> bool:
    folded = [name.replace("\\", "/").lower() for name in names]
    folders = _MACRO_FOLDERS + (_OPEN_DOCUMENT_FOLDERS if _OPEN_DOCUMENT in folded else ())
    return any(name.endswith(_MACRO_FILE) or name.startswith(folders) for name in folded)


def _read_compound(head: bytes, pieces: Iterator[bytes]) -> Archive | None:
    """A document of Office 97 with macros, or one of today that a password locks; None for any other."""
    has_macros = is_locked = False
    end = b""
    for piece in chain([head], pieces):
        seen = end + piece
        has_macros = has_macros or _MACRO_STREAM in seen
        is_locked = is_locked or _LOCKED_STREAM in seen
        end = seen[-_LONGEST_MARK:]
    return Archive(is_locked=is_locked, has_macros=has_macros) if has_macros or is_locked else None
