"""The guides: both languages show the same files, and what they show can be used. Their commands: test_doc_commands.py."""

import re
from contextlib import chdir

import pytest
from click.testing import CliRunner

from relay.cli.main import root
from relay.config import load_config
from relay.toml import parse_toml
from tests.support.beginner import begin
from tests.support.documents import DOCUMENTS, ROOT, blocks, is_chinese, name_of, twin_of

PAIRS = [(path, twin) for path in DOCUMENTS if not is_chinese(path) and (twin := twin_of(path))]


def guide(name):
    return (ROOT / "docs" / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[name_of(english) for english, _ in PAIRS])
def test_both_languages_show_the_same(english, chinese):
    texts = [path.read_text("utf-8") for path in (english, chinese)]
    outside = [re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL) for text in texts]
    headings = [[line.split()[0] for line in text.splitlines() if re.match(r"#{1,6} ", line)] for text in outside]
    assert headings[0] == headings[1]
    for kind in ("toml", "ini", "python", "nginx", "yaml", "json"):
        ours = [[re.sub(r"\s*#.*", "", block) for block in blocks(text, kind)] for text in texts]
        assert ours[0] == ours[1]
    rows = [[len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")] for text in outside]
    assert rows[0] == rows[1], "a table has more rows or columns in one language"


def test_the_answers_of_the_guide_are_taken(tmp_path):
    (block,) = (block for block in blocks(guide("install"), "toml") if "provider" in block)
    (tmp_path / "answers.toml").write_text(block, "utf-8")
    with chdir(tmp_path):
        done = CliRunner().invoke(root, ["init", "--answers", "answers.toml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert load_config(str(tmp_path / "config.toml")).unsubscribe.base_url == "https://www.example.com/mail"


def test_the_path_of_the_guide_is_the_one_that_init_prints(tmp_path):
    said = begin(tmp_path, public_url="https://www.example.com/mail")
    location = blocks(guide("unsubscribe-url"), "nginx")[0].splitlines()[:3]
    for line in location:
        assert line.strip() in said
    (block,) = blocks(guide("unsubscribe-url"), "toml")
    assert parse_toml(block.encode(), "guide")["unsubscribe"]["base_url"] == "https://www.example.com/mail"


def test_the_limits_of_the_netease_guide_are_taken(tmp_path):
    begin(tmp_path)
    config = tmp_path / "config.toml"
    (block,) = blocks(guide("netease"), "toml")
    replaced, count = re.subn(r"\[\[upstream\]\]\n.*?\n\n", lambda _: f"{block}\n", config.read_text("utf-8"), flags=re.DOTALL)
    assert count == 1
    config.write_text(replaced, "utf-8")
    assert load_config(str(config)).upstream[0].limits == ("30/minute", "2000/day")
