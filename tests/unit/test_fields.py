"""Header fields: raw octets kept, values unfolded, faults named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.parts.fields import Field, FieldError, read_fields, readable_fields, split_fields, structure_defects


def test_a_field_keeps_its_folding_and_shows_its_value_in_one_line():
    (field,) = read_fields(b"Subject:  one\r\n two\r\n\tthree \r\n")
    assert field == Field(b"subject", b"Subject:  one\r\n two\r\n\tthree \r\n")
    assert field.value == b"one two\tthree"


@given(st.lists(st.from_regex(rb"[A-Za-z-]{1,9}:[^\r\n]{0,20}(\r\n[ \t][^\r\n]{0,9}){0,3}\r\n", fullmatch=True)))
def test_fields_are_the_octets_they_came_from(raws):
    header = b"".join(raws)
    assert split_fields(header) == raws
    assert b"".join(field.raw for field in read_fields(header)) == header


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (b" folded\r\n", "white space"),
        (b"\tfolded\r\n", "white space"),
        (b"From ada@example.com Sat Nov 21 09:30:00 2026\r\nA: b\r\n", "mbox"),
        (b">From ada@example.com Sat Nov 21 09:30:00 2026\r\nA: b\r\n", "mbox"),
        (b"Hello\r\n", "does not start"),
        (b": no name\r\n", "does not start"),
        (b"Two words: x\r\n", "does not start"),
        (b"A: b\r\nHello\r\n", "header field 2"),
        (b"A: b\r\nFrom ada: x\r\n", "header field 2"),
    ],
)
def test_a_line_that_is_no_field_is_named(header, word):
    with pytest.raises(FieldError, match=word):
        read_fields(header)


@given(
    st.lists(st.sampled_from([b"a", b"From", b":", b" ", b"\t", b"\xff", b"\x7f", b"\r\n", b"\r\n ", b"\r\n\t"])).map(b"".join)
)
def test_a_name_is_what_stands_before_the_first_colon(octets):
    """Line by line, as the standard says it; a line that begins with white space belongs to the one above."""
    read, lines = readable_fields(octets + b"\r\n"), (octets + b"\r\n").split(b"\r\n")[:-1]
    starts = [n for n, line in enumerate(lines) if n == 0 or line[:1] not in (b" ", b"\t")]
    raws = [b"".join(line + b"\r\n" for line in lines[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    names = [(raw.partition(b":")[0].rstrip(b" \t"), raw) for raw in raws if b":" in raw.split(b"\r\n")[0]]
    fits = [(name.lower(), raw) for name, raw in names if name and all(33 <= octet != 127 for octet in name)]
    assert [(field.name, field.raw) for field in read] == fits


def test_the_headers_of_parts_are_read_as_far_as_they_can_be():
    assert [field.name for field in readable_fields(b" x\r\nA: b\r\nnonsense\r\nC : d\r\n")] == [b"a", b"c"]


@pytest.mark.parametrize(
    ("header", "defects"),
    [
        (b"From: a\r\n", []),
        (b"From: a\r\nMIME-Version: 1.0\r\nMIME-Version: 1.0\r\n", []),
        (b"", ["no-from"]),
        (b"From: a\r\nFROM: b\r\n", ["two-from"]),
        (b"From: a\r\nTo: b\r\nto: c\r\n", ["duplicate-to"]),
        (b"From\t: a\r\n", ["obsolete-colon-space"]),
        (b"From: a\r\nX-\xff: b\r\n", ["8bit-field-name"]),
        (b"From: a\r\n  \r\n", ["blank-folded-line"]),
        (b"From: a\r\n\t\r\n b\r\n", ["blank-folded-line"]),
        (b"From:\r\n a\r\n", []),
    ],
)
def test_what_rfc_5322_forbids_is_named(header, defects):
    assert structure_defects(read_fields(header)) == defects
