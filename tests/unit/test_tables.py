"""Rows come out of octets whatever program wrote them, and a bad one costs only itself."""

import json
import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.stores.tables import MAX_ROW, Fault, Lines, Row, lines, rows, table

PEOPLE = ["ada@example.com", "bob@example.com", "eve@example.com"]


def cells(octets: bytes, size: int = 7):
    """The cells of every row, read in small chunks."""
    chunks = [octets[i : i + size] for i in range(0, len(octets), size)]
    return [row.cells if isinstance(row, Row) else f"line {row.line}: {row.en}" for row in rows(chunks)]


def values(octets: bytes, size: int = 7):
    chunks = [octets[i : i + size] for i in range(0, len(octets), size)]
    return [(row.line, row.value) if isinstance(row, Row) else f"line {row.line}: {row.en}" for row in rows(chunks)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_line_ends_and_delimiters(end, encoding, delimiter):
    text = end.join(delimiter.join((who, "退订", str(n))) for n, who in enumerate(PEOPLE, 1)) + end
    assert cells(text.encode(encoding)) == [(who, "退订", str(n)) for n, who in enumerate(PEOPLE, 1)]


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=12), st.integers(1, 9))
def test_lines_do_not_depend_on_the_chunks(content, size):
    """Any chunking gives the same numbered lines, and together they are the file."""
    octets = b"".join(line + (b"\r\n", b"\n", b"\r")[i % 3] for i, line in enumerate(content))
    whole = list(lines([octets]))
    assert list(lines([octets[i : i + size] for i in range(0, len(octets), size)])) == whole
    assert b"".join(raw for _, raw in whole) == octets
    assert [number for number, _ in whole] == list(range(1, len(whole) + 1))


_PIECES = [
    b"\n",
    b"\r\n",
    b"\r",
    b'"',
    b',"',
    b'",',
    b",",
    b"# ",
    b" ",
    b"ada@example.com",
    "张三".encode(),
    "张三".encode("gb18030"),
    b"\xff",
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(_PIECES), max_size=120).map(b"".join), st.integers(1, 60))
def test_rows_that_are_read_apart_are_the_rows(octets, size):
    """Whatever is cut where: a part never ends inside a row, and no part needs to know what another one has seen."""
    octets = b"name,email\n" + octets
    chunks = [octets[i : i + size] for i in range(0, len(octets), size)]
    found = table(chunks)
    apart = [next(found)]
    for part in found.apart():
        apart += pickle.loads(pickle.dumps(part)).rows() if isinstance(part, Lines) else part
    assert apart == list(table(chunks))


def test_a_plain_table_is_read_apart_and_what_goes_over_lines_is_not():
    found = table([b"email\nada@example.com\n", b'bob@example.com\n"a\n', b'b"\neve@example.com\n', b"zoe@example.com\n"])
    assert next(found) == Row(1, b"email\n", ("email",), ",")
    kinds = [(part.number, len(part.raw)) if isinstance(part, Lines) else [row.line for row in part] for part in found.apart()]
    assert kinds == [(2, 1), [3, 4], (6, 1), (7, 1)]


def test_blank_lines_and_comments_are_left_out_but_counted():
    octets = b"\n# unsubscribed in 2026\nada@example.com\n\n#sharp@example.com\n"
    assert [(row.line, row.cells) for row in rows([octets]) if isinstance(row, Row)] == [
        (3, ("ada@example.com",)),
        (5, ("#sharp@example.com",)),
    ]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends():
    octets = b'ada@example.com,"550 5.1.1\r\nno such user, ""ada""",5.1.1\r\nbob@example.com,ok,\r\n'
    assert cells(octets) == [
        ("ada@example.com", '550 5.1.1\r\nno such user, "ada"', "5.1.1"),
        ("bob@example.com", "ok", ""),
    ]  # fmt: skip


def test_an_open_quote_costs_its_own_line_and_no_other():
    octets = b'"ada@example.com,BOUNCE\n' + b"".join(b"p%d@example.com,BOUNCE\n" % n for n in range(200))
    found = cells(octets)
    assert found[0] == "line 1: a quotation mark has no partner"
    assert found[1:] == [(f"p{n}@example.com", "BOUNCE") for n in range(200)]


def test_a_quote_in_the_middle_of_a_cell_is_a_quote():
    assert cells(b'ada@example.com,5" disk\nbob@example.com,x\n') == [("ada@example.com", '5" disk'), ("bob@example.com", "x")]


def test_a_quoted_local_part_keeps_its_quotes():
    assert cells(b'"john doe"@example.com\n') == [('"john doe"@example.com',)]


def test_octets_in_no_encoding_are_a_fault_with_their_line():
    assert cells(b"ada@example.com\n\xff\xfe\xff@example.com\nbob@example.com\n") == [
        ("ada@example.com",), "line 2: neither UTF-8 nor GB18030", ("bob@example.com",),
    ]  # fmt: skip


def test_an_endless_line_is_a_fault_in_bounded_memory():
    def chunks():
        yield b"ada@example.com\n"
        for _ in range(1000):
            yield b"x" * 65536
        yield b"\nbob@example.com\n"

    tracemalloc.start()
    found = list(table(chunks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [row.line for row in found] == [1, 2, 3]
    assert isinstance(found[1], Fault)
    assert peak < 20 * MAX_ROW


def test_an_empty_file_has_no_rows():
    assert cells(b"") == []
    assert cells(b"\xef\xbb\xbf\r\n \n") == []


OBJECTS = [{"email": who, "n": {"deep": [1, "}"]}} for who in PEOPLE]


@pytest.mark.parametrize("size", [1, 5, 4096])
@pytest.mark.parametrize(
    "octets",
    [
        json.dumps(OBJECTS).encode(),
        "\n".join(map(json.dumps, OBJECTS)).encode(),
        json.dumps({"Total": 3, "paging": {"next": "https://example.com/?a={b"}, "Items": OBJECTS, "More": {"x": 1}}).encode(),
        b"\xef\xbb\xbf \n" + json.dumps(OBJECTS, indent=2).encode(),
    ],
    ids=["array", "lines", "answer", "pretty"],
)
def test_json_as_services_write_it(octets, size):
    assert [value for _, value in values(octets, size)] == OBJECTS


def test_objects_are_named_by_their_lines():
    assert [line for line, _ in values(json.dumps(OBJECTS, indent=2).encode())] == [2, 11, 20]
    assert [line for line, _ in values("\n".join(map(json.dumps, OBJECTS)).encode())] == [1, 2, 3]


def test_a_broken_object_costs_only_itself():
    octets = b'{"email": "ada@example.com"}\n{"email": "bob@example.com", }\n{"email": "eve@example.com"}\n'
    assert values(octets) == [
        (1, {"email": "ada@example.com"}), "line 2: this is not valid JSON", (3, {"email": "eve@example.com"}),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 50, 1 << 16])
@pytest.mark.parametrize(
    "row",
    [
        b'{"attributes": {"name": "Bob"}, "email": "bob@example.com", }',
        b'{"name": "%b", "email": "bob@example.com", }' % (b"b" * 300),
        b'{"note": "{", "email": "bob@example.com", }',
    ],
    ids=["object before", "long before", "brace before"],
)
def test_a_broken_object_is_told_wherever_its_address_stands(row, size):
    told = values(b'{"email": "ada@example.com"}\n' + row + b'\n{"email": "eve@example.com"}\n', size)
    assert told == [(1, {"email": "ada@example.com"}), "line 2: this is not valid JSON", (3, {"email": "eve@example.com"})]


@pytest.mark.parametrize("value", [b"[" * 2000 + b"]" * 2000, b"1" * 5000], ids=["nested too deep", "too many digits"])
def test_what_python_does_not_read_costs_only_its_object(value):
    octets = b'{"email": "ada@example.com", "x": %b}\n{"email": "eve@example.com"}\n' % value
    assert values(octets) == ["line 1: this is not valid JSON", (2, {"email": "eve@example.com"})]


def test_json_that_ends_too_early_says_so():
    assert values(b'[{"email": "ada@example.com"}, {"email": "bob@exam') == [
        (1, {"email": "ada@example.com"}), "line 1: this is not valid JSON",
    ]  # fmt: skip


def test_a_great_answer_is_read_in_bounded_memory():
    def chunks():
        yield b'{"TotalCount": 50000, "Suppressions": ['
        for n in range(50):
            yield b",".join(b'{"EmailAddress": "p%d-%d@example.com"}' % (n, m) for m in range(1000)) + b","
        yield b"]}"

    tracemalloc.start()
    number = sum(isinstance(row, Row) for row in rows(chunks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 50_000
    assert peak < 2_000_000
