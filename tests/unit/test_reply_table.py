"""The table of replies is complete, and docs/replies.md says what it says."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from relay.mail import replies
from relay.mail.reply import Reply
from relay.mail.reply_table import ALL, SECTIONS, reference
from relay.policy.checks import CHECKS
from relay.upstream.outcome import UpstreamReply, outcome_of
from relay.upstream.profile import load_profiles

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


def test_every_check_with_its_own_code_is_in_the_table():
    """Codes that a check brings itself, and those that it gives to what it found."""
    shown = {(row.example.rule, row.example.code, row.example.status) for row in ALL if row.name == "refused"}
    own = {
        (f"base/{name}", check.reply_code, f"5.{code}")
        for name, check in CHECKS.items()
        for code in {check.code, *_codes_found_by(check)}
    }
    missing = {one for one in own - shown if one[1:] != (550, "5.7.1")}
    assert not missing


def _codes_found_by(check) -> set[str]:
    """What `check` may write as the second value of a Finding."""
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(check.ask))) if isinstance(node, ast.Call))
    findings = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding" and len(call.args) > 1]
    nodes = [node for call in findings for node in ast.walk(call.args[1]) if isinstance(node, ast.Constant)]
    codes = {node.value for node in nodes if isinstance(node.value, str)}
    assert len(codes) == len({node.value for node in nodes})
    return codes


REPLY_MAKERS = {"Reply", "reply"}
NOT_SENT = {
    "relay/mail/reply.py",  # the value itself, and what reads one back from the ledger
    "relay/mail/replies.py",  # every reply of ours
    "relay/records/reference.py",  # examples in docs/records.md
}


def test_nobody_else_makes_replies():
    """`UpstreamReply` is another class: what a provider said, never sent as it is."""
    makers = set()
    for path in (ROOT / "relay").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        named = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        names = {func.id if isinstance(func, ast.Name) else getattr(func, "attr", "") for func in named}
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "relay.mail.reply"
            for alias in node.names
            if alias.name in REPLY_MAKERS
        }
        if names & imported or "Reply" in names:
            makers.add(path.relative_to(ROOT).as_posix())
    assert makers == NOT_SENT


def test_nobody_writes_a_reply_as_octets():
    """The recording upstream of `relay demo` plays a provider; all else that looks like a reply goes through `Reply`."""
    written = re.compile(r"""b?f?["'][2-5]\d\d[ -][^"']*\\r\\n""")
    found = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "relay").rglob("*.py") if written.search(path.read_text("utf-8"))
    }
    assert found == {"relay/cli/demo/upstream.py"}


@pytest.mark.parametrize("row", ALL, ids=lambda row: f"{row.name}-{row.example.code}")
def test_every_row_says_when_and_what_to_do(row):
    for text in (row.when, row.client):
        assert text[0].isupper() or text[0] in "`["
        assert text.endswith((".", ")"))
        assert "|" not in text


def test_the_document_is_the_table():
    assert DOCUMENT.read_text("utf-8") == reference(), WRITE_AGAIN


def test_what_is_said_of_a_throttle_is_what_is_answered():
    answered = outcome_of(load_profiles()["netease"], UpstreamReply(550, ("MI:SFQ too many",)), before_dot=True).reply
    (row,) = [row for row in ALL if row.name == "upstream_said"]
    assert f"A throttle that it words as 550 is answered with {answered.code}" in row.when
    assert answered.is_transient


def test_every_section_has_a_heading_in_the_document():
    headings = [line[3:] for line in reference().splitlines() if line.startswith("## ")]
    assert headings == [title for title, _ in SECTIONS]
