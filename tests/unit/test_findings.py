"""What `relay check` found, as people read it; and every text that it can find, held against what it has to name."""

import ast
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from relay.cli import (
    check_certificate,
    check_dns,
    check_mailboxes,
    check_public,
    check_resolvers,
    check_store,
    check_upstreams,
    findings,
    inspection,
)
from relay.cli.findings import Findings, show
from relay.cli.inspection import unknown_country
from relay.cli.output import understand_language
from tests.support.findings import names_no_place

WRITTEN_ELSEWHERE = {"(fault, fault)", "(line, line)", "(*unknown_country(name, packs))"}  # test_inspection reads them as found


def template(node: ast.expr) -> str:
    """A text as the source has it; what is filled in stands in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(template, parts))
        case ast.FormattedValue(value=filled):
            return f"{{{ast.unparse(filled)}}}"
    return ""


def texts(module: ModuleType) -> list[tuple[str, list[str]]]:
    """Every call that adds a fault or something to do: its arguments, and both texts."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [call.args for call in calls if ast.unparse(call.func) in ("findings.wrong", "findings.later")]
    return [(f"({', '.join(map(ast.unparse, both))})", [template(one) for one in both]) for both in found]


@pytest.mark.parametrize(
    ("module", "least"),
    [
        (inspection, 13),
        (check_certificate, 4),
        (check_store, 9),
        (findings, 1),
        (check_dns, 10),
        (check_mailboxes, 3),
        (check_public, 6),
        (check_resolvers, 2),
        (check_upstreams, 1),
    ],
)
def test_every_finding_names_a_command_a_file_or_a_section(module, least):
    every = texts(module)
    assert len(every) >= least
    own = [both for source, both in every if source not in WRITTEN_ELSEWHERE]
    assert [text for both in own for text in both if names_no_place(text)] == []


def test_the_one_that_a_function_writes_names_its_section():
    assert [text for text in unknown_country("up", ["cn-email"]) if names_no_place(text)] == []


def shown(lang, findings):
    @click.command()
    def command():
        show(findings)

    understand_language(command)
    return CliRunner().invoke(command, ["--lang", lang], catch_exceptions=False).output


FAULT, LATER, FINE = ("错", "wrong"), ("待办", "to do"), ("好", "fine")


@pytest.mark.parametrize(
    ("findings", "english", "chinese"),
    [
        (Findings([FINE]), "✓ fine\nEverything is in place.\n", "✓ 好\n一切就绪。\n"),
        (Findings([], [], [LATER, LATER]), "\nStill to do:\n  1. to do\n  2. to do\n", "\n尚待完成：\n  1. 待办\n  2. 待办\n"),
        (
            Findings([FINE], [FAULT]),
            "✓ fine\n\nStill to do, what is wrong (✗) first:\n  1. ✗ wrong\n",
            "✓ 好\n\n尚待完成，先处理错误（✗）：\n  1. ✗ 错\n",
        ),
        (
            Findings([], [FAULT, FAULT], [LATER]),
            "\nStill to do, what is wrong (✗) first:\n  1. ✗ wrong\n  2. ✗ wrong\n  3. to do\n",
            "\n尚待完成，先处理错误（✗）：\n  1. ✗ 错\n  2. ✗ 错\n  3. 待办\n",
        ),
    ],
)
def test_one_list_has_all_that_wants_a_hand_and_faults_come_first(findings, english, chinese):
    assert (shown("en", findings), shown("zh", findings)) == (english, chinese)
