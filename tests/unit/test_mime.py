"""The parts of a message are found where they are, within bounds, and what was not looked at is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.message import Message
from relay.mail.parts.mime import MAX_DEPTH, MAX_PARTS, Attachment, Part, Structure, parse_parameters
from tests.support.corpus import shipped


def structure(content_type: str, *lines: str) -> Structure:
    text = "\r\n".join([f"From: ada@example.com\r\nContent-Type: {content_type}\r\n", *lines, ""])
    return Message.parse(text.encode()).structure


def types(found: Structure) -> list[str]:
    return [part.media_type for part in found.parts]


def names(name: str) -> list[tuple[str, str]]:
    return [(one.filename, one.media_type) for one in Message.parse(shipped(name)).attachments]


def test_a_message_without_a_type_is_plain_text():
    found = Message.parse(shipped("plain")).structure
    assert (types(found), found.is_complete) == (["text/plain"], True)


def test_nested_parts_are_found():
    assert types(Message.parse(shipped("nested-mime")).structure) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
        "message/rfc822",
        "multipart/mixed",
        "application/zip",
    ]


def test_attachments_of_nested_messages_count_and_both_names_of_a_part():
    assert names("nested-mime") == [
        ("发票.pdf", "application/pdf"),
        ("转发.eml", "message/rfc822"),
        ("inside.zip", "application/zip"),
    ]
    two = structure('application/zip; name="a.zip"', "x")
    assert two.attachments() == (Attachment("a.zip", "application/zip"),)
    parts = structure(
        "multipart/mixed; boundary=b",
        "--b",
        "Content-Type: text/plain; name=harmless.txt",
        "Content-Disposition: attachment; filename=harm.exe",
        "",
        "x",
        "--b--",
    )
    assert [one.filename for one in parts.attachments()] == ["harm.exe", "harmless.txt"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Content-Type: image/png", [("", "image/png")]),
        ("Content-Type: text/html", []),
        ("Content-Type: text/html; name=page.html", [("page.html", "text/html")]),
        ("Content-Disposition: attachment", [("", "text/plain")]),
        ("Content-Disposition: inline", []),
        ("Content-Disposition: inline; filename=a.txt", [("a.txt", "text/plain")]),
        ('Content-Disposition: ATTACHMENT; FileName="=?gbk?B?t6LGsS5wZGY=?="', [("发票.pdf", "text/plain")]),
        ("Content-Disposition: attachment; filename=my file.pdf", [("my file.pdf", "text/plain")]),
        ('Content-Disposition: attachment; filename="a\\"b;c.pdf"', [('a"b;c.pdf', "text/plain")]),
        ("Content-Disposition: attachment;\r\n filename=\r\n one.pdf", [("one.pdf", "text/plain")]),
        ("Content-Type: nonsense", []),
        ("Content-Type: Application/ZIP (a comment); name=a", [("a", "application/zip")]),
    ],
)
def test_what_a_reader_sees_as_a_file_is_an_attachment(header, expected):
    message = Message.parse(f"From: ada@example.com\r\n{header}\r\n\r\nx\r\n".encode())
    assert [(one.filename, one.media_type) for one in message.attachments] == expected


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        ("text/plain", ()),
        ("text/plain; charset=utf-8", (("charset", "utf-8"),)),
        ("text/plain;Charset = utf-8 ;\tx=y", (("charset", "utf-8"), ("x", "y"))),
        ('a/b; name="q\\\\\\"x"', (("name", 'q\\"x'),)),
        ("a/b; name=one; name=two", (("name", "one"), ("name", "two"))),
        ("a/b; name*0=one; name*1=two", (("name", "onetwo"),)),
        ("a/b; name*1=two; name*0=one", (("name", "onetwo"),)),
        ("a/b; name*=utf-8'en'%e2%82%ac", (("name", "€"),)),
        ("a/b; name*0*=utf-8''%e2%82; name*1*=%ac; name*2=100%41", (("name", "€100%41"),)),
        ("a/b; name*x=one", (("name*x", "one"),)),
        ('a/b; name="open', (("name", '"open'),)),
        ("a/b; =x; y", ()),
    ],
)
def test_parameters_are_read(value, parameters):
    assert parse_parameters(value) == parameters


def test_a_boundary_is_a_whole_line():
    found = structure(
        "multipart/mixed; boundary=b", "--bb", "", "no", "--b \t", "", "yes", "x--b", "--b--", "", "epilogue", "--b", "", "no"
    )
    assert types(found) == ["multipart/mixed", "text/plain"]
    part = found.parts[1]
    assert (part.end - part.start, found.is_complete) == (len("yes\r\nx--b"), True)


def test_an_unclosed_multipart_ends_with_its_parent():
    assert names("unclosed-boundary") == [("two.png", "image/png")]


@pytest.mark.parametrize(
    "content_type",
    ["multipart/mixed", "multipart/mixed; boundary=", "multipart/mixed; boundary=a; boundary=b", "multipart/mixed; boundary=é"],
)
def test_a_multipart_whose_parts_cannot_be_found_says_so(content_type):
    assert not structure(content_type, "--a", "", "x", "--a--").is_complete


def test_parts_without_a_header_are_text():
    found = structure("multipart/digest; boundary=b", "--b", "", "Subject: inner", "", "x", "--b--")
    assert types(found) == ["multipart/digest", "message/rfc822", "text/plain"]
    assert types(structure("multipart/mixed; boundary=b", "--b", "", "x", "--b--")) == ["multipart/mixed", "text/plain"]


def test_a_message_in_an_encoded_part_is_not_walked():
    found = structure(
        "multipart/mixed; boundary=b",
        "--b",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: base64",
        "",
        "eA==",
        "--b--",
    )
    assert types(found) == ["multipart/mixed", "message/rfc822"]


def test_depth_is_bounded():
    lines = [line for n in range(60) for line in (f"--b{n}", f"Content-Type: multipart/mixed; boundary=b{n + 1}", "")]
    found = structure("multipart/mixed; boundary=b0", *lines)
    assert (len(found.parts), found.is_complete) == (MAX_DEPTH + 1, False)


def test_what_was_not_walked_is_not_forgotten_at_the_next_part():
    lines = [line for n in range(MAX_DEPTH) for line in (f"--b{n}", f"Content-Type: multipart/mixed; boundary=b{n + 1}", "")]
    found = structure("multipart/mixed; boundary=b0", *lines, f"--b{MAX_DEPTH - 1}", "Content-Type: text/plain", "", "x")
    assert (types(found)[-1], found.is_complete) == ("text/plain", False)


def test_the_number_of_parts_is_bounded():
    found = structure("multipart/mixed; boundary=b", *["--b", "", "x"] * (MAX_PARTS * 3))
    assert (len(found.parts), found.is_complete) == (MAX_PARTS, False)


def test_look_alikes_are_bounded():
    found = structure("multipart/mixed; boundary=b", *["--bx"] * 20_000, "--b", "Content-Type: application/zip", "", "x", "--b--")
    assert (types(found), found.is_complete) == (["multipart/mixed"], False)


def test_the_header_of_a_part_is_bounded():
    found = structure(
        "multipart/mixed; boundary=b", "--b", "X: " + "y" * 70_000, "Content-Type: application/zip", "", "x", "--b--"
    )
    assert not found.is_complete


@pytest.mark.parametrize(
    "inner",
    [
        "multipart/signed; boundary=c",
        "multipart/encrypted; boundary=c",
        "application/pkcs7-mime",
        "application/X-PKCS7-mime; name=x",
    ],
)
def test_a_sealed_part_anywhere_seals_the_message(inner):
    assert structure("multipart/mixed; boundary=b", "--b", f"Content-Type: {inner}", "", "x", "--b--").is_signed_or_encrypted


PIECES = st.sampled_from(
    [
        "--b",
        "--b--",
        "--c",
        "--c--",
        "",
        "x",
        "Content-Type: multipart/mixed; boundary=c",
        "Content-Type: message/rfc822",
        "Content-Type: image/png",
        " folded",
    ]
)


@given(st.lists(PIECES, max_size=30))
def test_parts_stay_within_the_body_and_their_parents(lines):
    message = Message.parse(
        "\r\n".join(["From: ada@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n", *lines, ""]).encode()
    )
    open_parents: list[Part] = []
    for part in message.structure.parts:
        assert 0 <= part.header_start <= part.start <= part.end <= len(message.body)
        del open_parents[part.depth :]
        if open_parents:
            assert open_parents[-1].start <= part.header_start
            assert part.end <= open_parents[-1].end
        open_parents.append(part)
