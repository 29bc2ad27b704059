"""Whatever the code refuses by itself is explained: no rule speaks on the wire that has no words for people."""

import ast
import re
from pathlib import Path

import pytest

from relay.mail import replies
from relay.mail.reply import Reply
from relay.records.wording import OWN_RULES, both, detail_words, own_rule_texts, scope_words, sentence
from tests.support.policies import newsletter

RELAY = Path(__file__).resolve().parents[2] / "relay"
SPEAKERS = {"RenderingImpossible", "MessageError", "refused", "deferred"}
OF_POLICY = {rule.name for rule in newsletter().stream("newsletter").rules}
"""Rules of policy files speak with the words of those files."""


def constants(tree: ast.Module) -> dict[str, str]:
    """Names of a module that stand for a text."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


TREES = {path: ast.parse(path.read_text("utf-8")) for path in RELAY.rglob("*.py")}
TEXTS = {name: text for tree in TREES.values() for name, text in constants(tree).items()}
NAMES = {name: text for name, text in TEXTS.items() if re.fullmatch(r"base/[a-z0-9-]+", text)}
NAMES |= {f"{name}_RULE": NAMES["RULE"] for name in ("ONE_CLICK",)}  # as render.copy imports it


def named() -> set[str]:
    """The first argument of every call that refuses: what it is, or what its name stands for."""
    found = set()
    for path, tree in TREES.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in SPEAKERS and path.name != "reply_table.py":
                rule = call.args[0]
                found.add(rule.value if isinstance(rule, ast.Constant) else NAMES.get(getattr(rule, "id", ""), ""))
    return {rule for rule in found if isinstance(rule, str)} - {""}


def test_every_rule_that_the_code_names_has_words():
    said = named()
    assert {"base/signature", "base/one-click", "base/smtputf8", "base/loop", "base/encoding", "limit"} <= said
    constants_of_the_door = {reply.rule for reply in vars(replies).values() if isinstance(reply, Reply)} - {""}
    assert {"stream", "account", "base/login-only"} <= constants_of_the_door
    assert said | constants_of_the_door | (set(replies.RULE_CODES) - OF_POLICY) <= set(OWN_RULES)


@pytest.mark.parametrize("rule", OWN_RULES)
def test_the_words_are_there_in_both_languages(rule):
    for text in OWN_RULES[rule]:
        assert text["en"].isascii()
        assert not text["zh"].isascii()
        assert not text["zh"].endswith("。")
        assert not text["en"].endswith(".")


def test_a_rule_without_words_is_shown_by_its_reply():
    text, fix = own_rule_texts("base/unheard-of", "550 5.7.1 [base/unheard-of] no")
    assert "550 5.7.1 [base/unheard-of] no" in text["zh"]
    assert fix["zh"]
    assert fix["en"]


@pytest.mark.parametrize(
    ("octets", "zh", "en"),
    [
        (33538048, "上限为 33538048 字节（31.9 MB）。请改为", "The limit is 33538048 octets (31.9 MB). Send a link"),
        (1024**2, "上限为 1048576 字节（1.0 MB）。", "The limit is 1048576 octets (1.0 MB). "),
        (1024**2 - 1, "上限为 1048575 字节。", "The limit is 1048575 octets. "),
    ],
)
def test_a_remedy_says_how_much_is_allowed(octets, zh, en):
    _, fix = own_rule_texts("base/size", "552 5.3.4 [base/size] too large", octets)
    assert fix["zh"].startswith(zh)
    assert fix["en"].startswith(en)


@pytest.mark.parametrize(
    ("rule", "detail", "zh"),
    [
        ("base/mass-disclosure", "2 shown, 1 allowed", "显示 2 个，限 1 个"),
        ("base/suppression", "unsubscribe", "收件人退订"),
        ("content/hidden-text", "12 letters, by colour, in html part 1", "HTML 第 1 部分隐藏 12 个文字（颜色）"),
        ("content/placeholders", "{{...}} in a link of html part 1", "HTML 第 1 部分的链接含 {{...}}"),
        (
            "content/personal-data",
            "cn-id 1 (110***********002X), cn-mobile 2 (138******78) in attachment 2 (.csv)",
            "附件 2（.csv）：居民身份证号码 1 个（110***********002X）、手机号码 2 个（138******78）",
        ),
        ("content/links", "mismatch: shows a.example, leads to b.example", "显示为 a.example，实际指向 b.example"),
        ("service/promotional-content", "7 points: offer, sale x2, 3 more", "7 分：offer, sale x2，另有 3 个"),
        ("sg/label", "no label of SG", "缺少 SG 的广告标识"),
        ("base/subject-visible", "zero width space", "含看不见的字符 U+200B"),
        ("cn-marketing/subject", "empty", "主题为空"),
        ("base/generated", "45% of 60", "60 个收件人中的 45%"),
        ("base/size", "14.2 MB", "14.2 MB"),
        ("office/words", "unsubscribe", "unsubscribe"),
        ("base/mass-disclosure", "2 of 1", "2 of 1"),  # as an earlier relay recorded it
    ],
)
def test_what_a_rule_saw_is_said_in_chinese_where_there_are_words(rule, detail, zh):
    assert detail_words(rule, detail) == {"zh": zh, "en": detail}


def test_how_far_a_suppression_reaches_is_said_in_words():
    assert scope_words("organisation") == {"zh": "所有邮件流", "en": "all streams"}
    assert scope_words("stream:newsletter") == {"zh": "邮件流 newsletter", "en": "stream newsletter"}


def test_a_report_says_text_and_remedy_in_one_line():
    assert sentence(both("甲", "A"), both("乙", "B")) == {"zh": "甲。乙", "en": "A. B"}
    assert sentence(both("甲", "A"), both("", "")) == {"zh": "甲", "en": "A"}
