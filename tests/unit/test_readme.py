"""The two READMEs promise the same, and what they promise is there."""

import re
import unicodedata
from pathlib import Path

import pytest

from relay.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]


def code_blocks(text):
    return re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text):
    return [line.partition("#")[0].strip() for block in code_blocks(text) for line in block.splitlines() if line.startswith("$ ")]


def levels(text):
    """The depth of each heading; a line of a code block that begins with # is none."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [len(line.split()[0]) for line in prose.splitlines() if re.match(r"#{1,6} ", line)]


def test_both_have_the_same_headings_in_the_same_order():
    assert levels(ENGLISH) == levels(CHINESE)


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.zh.md")), ids=lambda p: p.name)
def test_every_chinese_document_has_the_chapters_of_its_twin(path):
    twin = path.with_name(path.name.replace(".zh.md", ".md")).read_text("utf-8")
    assert levels(path.read_text("utf-8")) == levels(twin)


def test_both_give_the_same_commands():
    assert commands(ENGLISH) == commands(CHINESE)
    assert "$ make demo" in commands(ENGLISH)
    assert "$ make test" in commands(ENGLISH)


def test_both_point_to_the_same_documents():
    def targets(text):
        found = set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", text)) - {"README.md", "README.zh-CN.md"}
        return sorted(target.replace(".zh.md", ".md") for target in found)

    assert targets(ENGLISH) == targets(CHINESE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_inside_the_project_leads_somewhere(path):
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_relay_verb_that_a_document_names_exists(path):
    for verb in re.findall(r"`relay ([a-z]+)\b", path.read_text("utf-8")):
        assert verb in VERBS, f"{path.name}: relay {verb}"


def picture(text):
    drawn = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    return str(drawn).splitlines()


def lines_drawn(picture):
    """Where each line of the picture has its strokes, and nothing behind the first letter."""
    return [[(place, stroke) for place, stroke in enumerate(line) if stroke in "│┌└┬┴▲▼"] for line in picture]


def test_the_pictures_are_the_same_and_line_up_in_every_font():
    assert lines_drawn(picture(ENGLISH)) == lines_drawn(picture(CHINESE))
    for line in picture(CHINESE):  # Chinese characters are about two columns wide: nothing is drawn behind them
        wide = [place for place, letter in enumerate(line) if unicodedata.east_asian_width(letter) in "WF"]
        assert not wide or not any(letter in "│┌└┬┴▲▼─" for letter in line[wide[0] :])
    columns = [{place for place, _ in strokes} for strokes in lines_drawn(picture(ENGLISH)) if strokes]
    assert set.union(*columns) == {1, 4, 8}  # the box, the way in, the way back


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_run_of_the_tests_is_shown_as_pytest_ends(text):
    (block,) = [block for block in code_blocks(text) if block.startswith("$ make test")]
    assert re.fullmatch(r"\$ make test\n\.\.\.\n\d{3,} passed(, \d+ skipped)? in \d+\.\d\ds \(\d+:\d\d:\d\d\)\n", block)
