"""What archives and office documents hold, told from their directories; nothing is unpacked."""

import io
import itertools
import quopri
import struct
import zipfile
from base64 import encodebytes
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.message import Message
from relay.mail.parts import archives
from relay.mail.parts.archives import Archive, look_into
from relay.mail.parts.decoding import decode_transfer
from relay.mail.parts.slices import HEAD, SLICE, decoded_slices
from relay.policy.rehearsing.compose import Attached, compose, zip_of

UNREADABLE = Archive(is_readable=False)
COMPOUND = bytes.fromhex("d0cf11e0a1b11ae1")
MACROS = "_VBA_PROJECT".encode("utf-16-le")


def zipped(*names: str, comment: bytes = b"", content: bytes = b"") -> bytes:
    """As Python's own library writes it."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name in names:
            archive.writestr(name, content)
    return octets.getvalue()


def looked_into(octets: bytes, name: str = "a.bin"):
    message = Message.parse(compose([("From", "a@example.com")], "Hello.", "", [Attached(name, "application/zip", octets)]))
    return [enclosed.archive for enclosed in message.archives]


def test_what_others_write_is_read():
    assert looked_into(zipped("a.txt", "子/说明.exe", comment=b"PK and so on")) == [Archive(("a.txt", "子/说明.exe"))]
    assert looked_into(zipped()) == [Archive()]


_BLANK = {"base64": b"\r\n", "quoted-printable": b"=\r\n"}


@pytest.mark.parametrize("encoding", _BLANK)
@pytest.mark.parametrize("blanks", [1, HEAD // 2 - 1, HEAD, SLICE])
def test_blank_lines_in_front_hide_nothing(encoding, blanks):
    """They decode to nothing, and the first octets that tell what a file is come late or in pieces."""
    octets = zipped("word/vbaProject.bin")
    encoded = encodebytes(octets) if encoding == "base64" else quopri.encodestring(octets, quotetabs=True)
    body = _BLANK[encoding] * blanks + encoded.replace(b"\n", b"\r\n")
    slices = decoded_slices(body, 0, len(body), encoding)
    assert slices is not None
    assert look_into(slices, is_named=False) == Archive(("word/vbaProject.bin",), has_macros=True)


MACRO_DOCUMENT = zipped("[Content_Types].xml", "word/vbaProject.bin")


@pytest.mark.parametrize("before", [b"\0", b"\n", b"PK", bytes(HEAD - 2), b"\r\n" * SLICE, bytes(SLICE * 3 // 4 * 2 + 767)])
@pytest.mark.parametrize("name", ["offer.docx", "OFFER.XLSM ", "a.odt"])
def test_what_stands_before_a_zip_hides_no_document(before, name):
    """Programs find its directory from the end."""
    assert looked_into(before + MACRO_DOCUMENT, name) == [UNREADABLE]


def test_a_zip_that_is_shifted_is_no_other_file():
    assert looked_into(b"\0" + MACRO_DOCUMENT, "offer.doc") == [UNREADABLE]
    assert looked_into(b"%PDF-1.7 PK", "offer.pdf") == []
    assert looked_into(b"name,price\r\n" * 10_000, "offer.xlsx") == []  # no program takes it for one


def test_a_document_of_yesterday_under_the_name_of_today_is_looked_into():
    assert looked_into(COMPOUND + bytes(600), "offer.docx") == []
    assert looked_into(COMPOUND + bytes(600) + MACROS, "offer.docx") == [Archive(has_macros=True)]


def with_base64(encoded: bytes, name: str = "a.bin"):
    """What is found of an attachment whose base64 is this."""
    raw = compose([("From", "a@example.com")], "Hello.", "", [Attached(name, "application/octet-stream", b"abc")])
    assert raw.count(b"\r\n\r\nYWJj") == 1
    return [one.archive for one in Message.parse(raw.replace(b"\r\n\r\nYWJj", b"\r\n\r\n" + encoded)).archives]


@pytest.mark.parametrize("before", [b"AA==", b"AAA=\r\n", b"QQ==QUI=", b"=AA="])
def test_padding_inside_base64_hides_nothing(before):
    """Some readers pass over it, some stop there, and some begin anew behind it."""
    encoded = encodebytes(MACRO_DOCUMENT).replace(b"\n", b"\r\n")
    assert with_base64(before + encoded) == [UNREADABLE]
    assert with_base64(before + encoded, "offer.docx") == [UNREADABLE]
    assert with_base64(before + encodebytes(b"%PDF-1.7 and so on").replace(b"\n", b"\r\n")) == []


def test_padding_at_the_end_is_none_inside():
    for length in (4, 5, 6):
        octets = zipped("a.txt", comment=bytes(length))
        assert with_base64(encodebytes(octets).replace(b"\n", b"\r\n") + b"\r\n =\r\n") == [Archive(("a.txt",))]


def test_what_we_write_is_read_by_others():
    with zipfile.ZipFile(io.BytesIO(zip_of(["a.txt", "子/说明.exe"]))) as archive:
        assert archive.namelist() == ["a.txt", "子/说明.exe"]
        assert archive.testzip() is None


def test_a_name_is_read_in_the_charset_of_those_who_pack():
    octets = zip_of(["xxxx.exe"]).replace(b"xxxx.exe", "安装.exe".encode("gbk")).replace(b"\x14\0\0\x08", b"\x14\0\0\0")
    assert looked_into(octets) == [Archive(("安装.exe",))]


def test_a_second_name_is_a_name_too():
    """Info-ZIP's field of the Unicode path: some readers show that name, and others the first."""
    octets = zipped("a.txt")
    extra = struct.pack("<2HBL", 0x7075, 5 + len(b"b.exe"), 1, 0) + b"b.exe"
    place = octets.rfind(b"PK\1\2")
    entry = bytearray(octets[place : place + 46 + 5])
    entry[30:32] = struct.pack("<H", len(extra))
    end = bytearray(octets[octets.rfind(b"PK\5\6") :])
    end[12:16] = struct.pack("<L", len(entry) + len(extra))
    assert looked_into(octets[:place] + bytes(entry) + extra + bytes(end)) == [Archive(("a.txt", "b.exe"))]


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
def test_a_lock_is_seen(flag):
    octets = zip_of(["a.pdf"]).replace(b"\x14\0\0\x08", b"\x14\0" + struct.pack("<H", 0x0800 | flag))
    assert looked_into(octets) == [Archive(("a.pdf",), is_locked=True)]


def rewritten(octets: bytes, place: int, form: str, value: int) -> bytes:
    """With another number at this place of the record that ends it."""
    end = octets.rfind(b"PK\5\6")
    changed = bytearray(octets)
    struct.pack_into(form, changed, end + place, value)
    return bytes(changed)


WHOLE = zipped("a.txt", "b.txt")


@pytest.mark.parametrize(
    "octets",
    [
        WHOLE[:-1],
        WHOLE[:40],
        WHOLE + b"\0",
        b"MZ" + bytes(20) + WHOLE,  # one that unpacks itself is no ZIP at its beginning, and its name says what it is
        WHOLE + WHOLE,
        rewritten(WHOLE, 8, "<H", 1),
        rewritten(rewritten(WHOLE, 8, "<H", 1), 10, "<H", 1),
        rewritten(rewritten(WHOLE, 8, "<H", 3), 10, "<H", 3),
        rewritten(rewritten(WHOLE, 8, "<H", 0xFFFF), 10, "<H", 0xFFFF),
        rewritten(WHOLE, 4, "<H", 1),
        rewritten(WHOLE, 12, "<L", 0xFFFFFFFF),
        rewritten(WHOLE, 16, "<L", 0),
        rewritten(WHOLE, 20, "<H", 0) + zip_of([])[:0] + b"PK\5\6",
        WHOLE.replace(b"PK\1\2", b"PK\1\3"),
        zipped("a.txt", comment=zip_of([])),
    ],
    ids=itertools.count(),  # not by their octets, in which the time is
)
def test_a_directory_that_readers_could_read_in_two_ways_is_not_read(octets):
    assert looked_into(octets, "a.zip") == [UNREADABLE]


def test_a_directory_beyond_the_bounds_is_not_read(monkeypatch):
    many = zip_of(str(number) for number in range(archives.MAX_ENTRIES + 1))
    assert looked_into(many) == [UNREADABLE]
    monkeypatch.setattr(archives, "_KEPT", 1024)
    assert looked_into(zip_of(f"{number:0100}" for number in range(2000))) == [UNREADABLE]


def test_no_more_archives_are_looked_into_than_the_bound():
    files = [Attached(f"{number}.zip", "application/zip", zipped("a")) for number in range(archives.MAX_ARCHIVES + 2)]
    found = Message.parse(compose([("From", "a@example.com")], "Hello.", "", files)).archives
    assert [one.archive.is_readable for one in found].count(False) == 2


def test_what_is_packed_tight_is_not_unpacked():
    """A thousand times as much inside as outside; only names are read."""
    octets = zipped(*(f"{number}.txt" for number in range(20)), content=bytes(1024**2))
    assert len(octets) < 30_000
    (found,) = looked_into(octets)
    assert found == Archive(tuple(f"{number}.txt" for number in range(20)))


@pytest.mark.parametrize(
    ("octets", "name", "found"),
    [
        (b"Rar!\x1a\x07\x01\0", "photo.jpg", [UNREADABLE]),
        (b"7z\xbc\xaf\x27\x1c", "photo.jpg", [UNREADABLE]),
        (b"\x1f\x8b\x08", "photo.jpg", [UNREADABLE]),
        (bytes(257) + b"ustar\x0000", "photo.jpg", [UNREADABLE]),
        (b"anything", "DISK.ISO", [UNREADABLE]),
        (COMPOUND + bytes(600), "disk.zip", [UNREADABLE]),
        (b"%PDF-1.7", "photo.jpg", []),
        (b"", "a.zip", []),
    ],
)
def test_archives_of_other_kinds_are_known_and_not_read(octets, name, found):
    assert looked_into(octets, name) == found


@pytest.mark.parametrize("length", [0, HEAD, SLICE, SLICE * 3 // 4 - 5, SLICE + 7])
def test_macros_are_found_wherever_they_stand(length):
    assert looked_into(COMPOUND + bytes(length) + MACROS + bytes(5000)) == [Archive(has_macros=True)]
    assert looked_into(COMPOUND + bytes(length) + MACROS[:-2]) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["[Content_Types].xml", "word/VBAPROJECT.BIN"], True),
        (["[Content_Types].xml", "xl\\vbaProject.bin"], True),
        (["xl/macrosheets/sheet1.xml"], True),
        (["mimetype", "Basic/Standard/Module1.xml"], True),
        (["mimetype", "Scripts/python/a.py"], True),
        (["Basic/Module1.xml", "scripts/a.py"], False),
        (["[Content_Types].xml", "word/document.xml"], False),
    ],
)
def test_macros_of_office_documents(names, found):
    assert [one.has_macros for one in looked_into(zip_of(names))] == [found]


def test_a_part_in_an_unknown_encoding_cannot_be_looked_into():
    raw = compose([("From", "a@example.com")], "Hello.", "", [Attached("a.doc", "application/msword", b"x")])
    raw = raw.replace(b"Content-Transfer-Encoding: base64\r\n\r\neA==", b"Content-Transfer-Encoding: x-uuencode\r\n\r\neA==")
    assert [one.archive for one in Message.parse(raw).archives] == [UNREADABLE]


ENCODE: dict[str, Callable[[bytes], bytes]] = {"base64": encodebytes, "quoted-printable": quopri.encodestring, "8bit": bytes}


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(1, 9), st.sampled_from(["base64", "quoted-printable", "8bit"]))
def test_slices_are_the_whole(start, times, encoding):
    octets = start * times * 200
    body = ENCODE[encoding](octets)
    body = body.replace(b"\n", b"\r\n") if encoding == "base64" else body
    slices = decoded_slices(b"before" + body + b"behind", 6, 6 + len(body), encoding)
    assert slices is not None
    assert b"".join(slices) == decode_transfer(body, encoding)


def test_nothing_is_found_in_nothing():
    assert look_into([], True) is None
