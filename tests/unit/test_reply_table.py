"""The table of replies is complete, and docs/replies.md says what it says."""

import inspect
import re
from pathlib import Path

import pytest

from relay.mail import replies
from relay.mail.reply import Reply
from relay.mail.reply_table import ALL, SECTIONS, reference

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "replies.md"
WRITE_AGAIN = "write it again: Path('docs/replies.md').write_text(relay.mail.reply_table.reference(), 'utf-8')"

CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
FUNCTIONS = {
    name
    for name, value in vars(replies).items()
    if inspect.isfunction(value) and value.__module__ == replies.__name__ and not name.startswith("_")
}


def test_every_reply_is_in_the_table():
    assert {row.name for row in ALL} == set(CONSTANTS) | FUNCTIONS


def test_every_constant_is_there_once_with_its_own_text():
    rows = [row for row in ALL if row.name in CONSTANTS]
    assert len(rows) == len(CONSTANTS)
    assert all(row.example is CONSTANTS[row.name] for row in rows)


def test_every_reply_is_sent_by_somebody():
    own = {"replies.py", "reply_table.py"}
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "relay").rglob("*.py") if path.name not in own)
    sent = set(re.findall(r"\breplies\.(\w+)", sources))
    assert set(CONSTANTS) | FUNCTIONS <= sent


def test_no_two_replies_read_the_same():
    wires = [row.example.wire() for row in ALL]
    assert len(set(wires)) == len(wires)


def test_every_rule_with_its_own_code_is_in_the_table():
    shown = {rule for row in ALL if row.name == "refused" for rule in replies.RULE_CODES if f"[{rule}]" in row.example.text[0]}
    assert shown == set(replies.RULE_CODES)


@pytest.mark.parametrize("row", ALL, ids=lambda row: f"{row.name}-{row.example.code}")
def test_every_row_says_when_and_what_to_do(row):
    for text in (row.when, row.client):
        assert text[0].isupper() or text[0] in "`["
        assert text.endswith((".", ")"))
        assert "|" not in text


def test_the_document_is_the_table():
    assert DOCUMENT.read_text("utf-8") == reference(), WRITE_AGAIN


def test_every_section_has_a_heading_in_the_document():
    headings = [line[3:] for line in reference().splitlines() if line.startswith("## ")]
    assert headings == [title for title, _ in SECTIONS]
