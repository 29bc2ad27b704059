"""The guides: both languages give the same commands, and every `relay` command in them is run here (or where TRIED says)."""

import re
import shlex
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli.main import root
from relay.config import load_config
from relay.toml import parse_toml
from tests.support.beginner import begin

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = ("install", "clients", "unsubscribe-url")
MESSAGE = (
    "From: news@qingshan.test\r\nTo: ada@example.org\r\nSubject: News\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain\r\n\r\nHello\r\n"
)

# What each command ends with in a folder after `relay init --private-ca`, in this order. Elsewhere: a test that runs it.
TRIED = {
    "init --private-ca": "tests/unit/test_init.py",
    "init --answers answers.toml --private-ca": "tests/end_to_end/test_first_afternoon.py",
    "serve": "tests/end_to_end/test_first_afternoon.py",
    "check --dns": "tests/unit/test_check_dns.py",
    "check --public": "tests/unit/test_check_public.py",
    "check": 1,
    'suppress add ada@example.org --reason objection --note "by telephone"': 0,
    'suppress add ada@example.org --reason unsubscribe --note "by mail, 21 November"': 0,
    'policy apply /etc/relay/policies --reason "two more accounts"': 0,
    'policy apply policies --reason "the shop\'s account"': 0,
    "explain message.eml": 1,
    "records search ada@example.org": 0,
    "records verify": 0,
    "tls private-ca": 0,
    "suppress export --out /var/backups/relay/refusals.csv --in-force": 0,
    "backup /var/backups/relay/before-upgrade.backup": 0,
    "backup /var/backups/relay/today.backup": 0,
    'keys rotate tokens --by "Wang Min"': 0,
    "restore /var/backups/relay/today.backup": 0,
}


def guide(name, language):
    return (DOCS / f"{name}{'.zh' if language == 'zh' else ''}.md").read_text("utf-8")


def blocks(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(text):
    """The commands of a guide, without what stands behind #."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in lines]


def verb_of(command):
    """What stands behind `relay` and its --config; None for other commands."""
    found = re.fullmatch(r"(?:sudo (?:-u relay )?)?relay (?:--config /etc/relay/config\.toml )?(.+)", command)
    return found[1] if found else None


ALL = sorted({verb for name in GUIDES for command in typed(guide(name, "en")) if (verb := verb_of(command))})


@pytest.mark.parametrize("name", GUIDES)
def test_both_languages_give_the_same(name):
    english, chinese = guide(name, "en"), guide(name, "zh")
    assert typed(english) == typed(chinese)
    headings = [[line.split()[0] for line in text.splitlines() if re.match(r"#{1,6} ", line)] for text in (english, chinese)]
    assert headings[0] == headings[1]
    for kind in ("toml", "ini", "text", "python", "nginx"):
        ours = [[re.sub(r"\s*#.*", "", block) for block in blocks(text, kind)] for text in (english, chinese)]
        assert ours[0] == ours[1]


def test_every_command_is_in_the_table():
    assert set(ALL) == set(TRIED)


@pytest.mark.parametrize("place", sorted({place for place in TRIED.values() if isinstance(place, str)}))
def test_what_is_tried_elsewhere_is_tried_there(place):
    text = (DOCS.parent / place).read_text("utf-8")
    for command, tried in TRIED.items():
        if tried == place:
            assert any(word in text for word in (f"relay {command}", command.split()[-1])), command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guides")
    begin(folder, "--private-ca")
    (folder / "backups").mkdir()
    (folder / "message.eml").write_bytes(MESSAGE.encode())
    return folder


def test_every_command_does_what_it_says(folder):
    """In the order of the table: a later one needs what an earlier one left."""
    for command, wanted in TRIED.items():
        if isinstance(wanted, str):
            continue
        if command.startswith("restore"):
            (folder / "data").rename(folder / "data.old")
        here = command.replace("/etc/relay", str(folder)).replace("/var/backups/relay", str(folder / "backups"))
        with chdir(folder):
            done = CliRunner().invoke(root, ["--lang", "en", *shlex.split(here)], catch_exceptions=False)
        assert done.exit_code == wanted, f"{command}: {done.output}"
    with chdir(folder):
        listed = CliRunner().invoke(root, ["--lang", "en", "suppress", "check", "ada@example.org"])
    assert "objection" in listed.output, "the restored list is not the one that was backed up"


def test_the_answers_of_the_guide_are_taken(tmp_path):
    (block,) = (block for block in blocks(guide("install", "en"), "toml") if "provider" in block)
    (tmp_path / "answers.toml").write_text(block, "utf-8")
    with chdir(tmp_path):
        done = CliRunner().invoke(root, ["init", "--answers", "answers.toml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert load_config(str(tmp_path / "config.toml")).unsubscribe.base_url == "https://www.example.com/mail"


def test_the_path_of_the_guide_is_the_one_that_init_prints(tmp_path):
    said = begin(tmp_path, public_url="https://www.example.com/mail")
    location = blocks(guide("unsubscribe-url", "en"), "nginx")[0].splitlines()[:3]
    for line in location:
        assert line.strip() in said
    (block,) = blocks(guide("unsubscribe-url", "en"), "toml")
    assert parse_toml(block.encode(), "guide")["unsubscribe"]["base_url"] == "https://www.example.com/mail"
