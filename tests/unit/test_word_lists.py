"""The word lists on sentences that we wrote: what they find, what they leave alone, and how often they are wrong.

The sentences stand in sentences/, one in a line.  The lists and the sentences
have the same authors, so the rates are no promise for other people's mail; what
is found and missed is asserted exactly, so that no change goes unnoticed.
"""

from pathlib import Path

import pytest

from relay.policy.case import Phase
from relay.policy.decide import decide
from tests.support.policies import a_case, newsletter
from tests.unit.test_decide import NOW

SENTENCES = Path(__file__).with_name("sentences")
RULES = {
    "absolute": 'check = "absolute-terms"\ntiers = ["block", "evidence"]',
    "regulated": 'check = "regulated-terms"\nkinds = ["banned", "promises", "goods"]',
    "prohibited": 'check = "prohibited-content"\n'
    'categories = ["state-image", "gambling", "obscenity", "superstition", "violence-and-drugs"]',
    "figures": 'check = "unsourced-figures"\nkinds = ["figures", "prices"]',
    "promotional": 'check = "promotional-content"',
}
POLICY = newsletter("\n".join(f'[[rule]]\nid = "{name}"\n{rule}' for name, rule in RULES.items()))
STREAM = POLICY.stream("newsletter")
HEADER = "From: news@example.com\r\nSubject: News\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"

MISSED = {
    "absolute": [
        "ZUI JIA 选择，送礼有面。",
        "这品质，没谁了，天花板级别。",
        "别人都是弟弟，我们才是大哥大。",
        "地表&最&强净水器，今晚开抢。",
        "业内无人可比的做工，支持定制。",
        "口碑爆棚，全城第壹的烤鸭。",
    ],
    "figures": ["九成以上用户选择我们，占比92%。", "使用者表示皮肤更亮，占比87%。"],
}
"""What escapes: other scripts and turns of speech, and a figure in the clause after the word."""

FALSE_ALARMS = {"本产品并非万能，请按说明书使用。": ["absolute"]}
"""A word of the blocked tier that is denied still asks for evidence."""


def sentences(name: str) -> list[str]:
    lines = (SENTENCES / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def objecting(sentence: str) -> set[str]:
    """The rules on words that object to a mail with this sentence."""
    case = a_case((HEADER + sentence + "\r\n").encode())
    found = {objection.rule for objection in decide(POLICY, STREAM, case, Phase.DATA, NOW).objections}
    return {rule.removeprefix("newsletter/") for rule in found} & RULES.keys()


@pytest.mark.parametrize(
    ("name", "count"), [("absolute", 159), ("regulated", 60), ("prohibited", 40), ("figures", 43), ("promotional", 20)]
)
def test_what_a_list_misses(name, count):
    all_of_them = sentences(name)
    assert len(set(all_of_them)) == count
    assert [sentence for sentence in all_of_them if name not in objecting(sentence)] == MISSED.get(name, [])


def test_false_alarms_in_ordinary_mail():
    all_of_them = sentences("ordinary")
    assert len(set(all_of_them)) == 191
    found = {sentence: sorted(rules) for sentence in all_of_them if (rules := objecting(sentence))}
    assert found == FALSE_ALARMS


@pytest.mark.parametrize(("name", "rule"), [("sourced", "figures"), ("serving", "promotional")])
def test_what_the_other_side_of_a_rule_looks_like(name, rule):
    assert len(sentences(name)) == 20
    assert [sentence for sentence in sentences(name) if rule in objecting(sentence)] == []


@pytest.mark.parametrize("name", ["policies.md", "policies.zh.md"])
def test_the_rates_in_the_documents_are_these(name):
    document = (Path(__file__).resolve().parents[2] / "docs" / name).read_text("utf-8")
    written = [*RULES, "ordinary", "sourced", "serving"]
    wrong = {**{name: len(missed) for name, missed in MISSED.items()}, "ordinary": len(FALSE_ALARMS)}
    table = document[document.index("| sentences |" if name == "policies.md" else "| 语句 |") :].split("\n\n")[0]
    rows = [line.strip("|").split("|")[1:] for line in table.splitlines()[2:]]
    assert [(int(count), int(errors)) for count, errors in rows] == [(len(sentences(one)), wrong.get(one, 0)) for one in written]
