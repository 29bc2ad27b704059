"""The language of the command, and how it ends."""

import errno
import json
import os
import re
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from relay.cli.output import (
    CONFIGURATION,
    FINDINGS,
    OK,
    UNREACHABLE,
    USAGE,
    counted,
    emit_json,
    fail,
    language,
    say,
    understand_language,
    write_new,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"


@click.group()
def main() -> None:
    """Stands for the command with its options."""


@main.command()
def greet() -> None:
    """Say which language is spoken."""
    say("中文", "English")


@main.command()
def end() -> None:
    """End with a finding."""
    fail(FINDINGS, "找到了", "found")


@main.command()
def facts() -> None:
    """Print facts."""
    emit_json({"day": date(2026, 11, 20), "名": 1})


understand_language(main)


@pytest.mark.parametrize(
    ("environment", "arguments", "says"),
    [
        ({"LANG": "zh_CN.UTF-8"}, ["greet"], "中文"),
        ({"LANG": "C.UTF-8"}, ["greet"], "English"),
        ({"LANG": ""}, ["greet"], "English"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, ["greet"], "English"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "", "LC_MESSAGES": "zh_TW"}, ["greet"], "中文"),
        ({"LANG": "en_US.UTF-8", "RELAY_LANG": "zh"}, ["greet"], "中文"),
        ({"RELAY_LANG": "zh"}, ["--lang", "en", "greet"], "English"),
        ({"RELAY_LANG": "en"}, ["--lang", "ZH", "greet"], "中文"),
        ({}, ["--lang", "en", "greet", "--lang", "zh"], "中文"),
    ],
)
def test_the_nearest_wish_decides_the_language(environment, arguments, says):
    names = dict.fromkeys(("RELAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))
    assert CliRunner(env={**names, **environment}).invoke(main, arguments).output == f"{says}\n"


def test_outside_a_command_the_environment_decides(monkeypatch):
    monkeypatch.setenv("RELAY_LANG", "zh")
    assert language() == "zh"


def test_a_fault_goes_to_stderr_with_its_exit_code():
    result = CliRunner().invoke(main, ["--lang", "en", "end"])
    assert (result.exit_code, result.stdout, result.stderr) == (FINDINGS, "", "found\n")


def test_half_a_file_is_taken_away_again(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(click.exceptions.Exit) as end:
        write_new(tmp_path / "evidence.zip", b"PK")
    assert end.value.exit_code == FINDINGS
    assert list(tmp_path.iterdir()) == []


def test_machines_get_one_json_document():
    assert json.loads(CliRunner().invoke(main, ["facts"]).stdout) == {"day": "2026-11-20", "名": 1}


@pytest.mark.parametrize(("number", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (2000, "2,000 entries")])
def test_a_number_agrees_with_its_noun(number, said):
    assert counted(number, "entry", "entries") == said
    assert counted(number, "day") == said.replace("entries", "days").replace("entry", "day")


@pytest.mark.parametrize(
    ("guide", "every"), [("install.md", r"exit codes: (0 [^.]+)\."), ("install.zh.md", r"退出码之一结束：(0 [^。]+)。")]
)
def test_the_guide_names_every_exit_code(guide, every):
    text = (DOCS / guide).read_text("utf-8").replace("\n", " ")
    (said,) = re.findall(every, text)
    assert [int(code) for code in re.findall(r"\d", said)] == [OK, FINDINGS, USAGE, CONFIGURATION, UNREACHABLE]
