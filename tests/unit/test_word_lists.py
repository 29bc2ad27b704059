"""The word lists on sentences that we wrote: what they find, what they leave alone, and how often they are wrong.

The sentences stand in sentences/, one in a line: for each list some that it
should find, and ordinary mail that comes near them.  The lists and the sentences
have the same authors, so the rates are no promise for other people's mail; what
is found and missed is asserted exactly, so that no change goes unnoticed.
"""

import re
from itertools import combinations
from pathlib import Path

import pytest

from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from relay.policy.rehearsing.compose import field_line
from relay.policy.words.lexicon import all_terms
from relay.policy.words.terms import read_list
from tests.support.policies import a_case, a_policy, newsletter
from tests.unit.test_decide import NOW

SENTENCES = Path(__file__).with_name("sentences")
RULES = {
    "absolute": 'check = "absolute-terms"\ntiers = ["block", "evidence"]',
    "regulated": 'check = "regulated-terms"\nkinds = ["banned", "promises", "goods"]',
    "prohibited": 'check = "prohibited-content"\n'
    'categories = ["state-image", "gambling", "obscenity", "superstition", "violence-and-drugs", "forced-terms"]',
    "figures": 'check = "unsourced-figures"\nkinds = ["figures", "prices"]',
    "promotional": 'check = "promotional-content"',
    "transactional": 'check = "transactional-subject"',
}
LISTS = sorted({term.lexicon for term in all_terms()})
POLICY = newsletter("\n".join(f'[[rule]]\nid = "{name}"\n{rule}' for name, rule in RULES.items()))
STREAM = POLICY.stream("newsletter")
HEADER = "From: news@example.com\r\nSubject: News\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"

SIDES = {
    "absolute": ("absolute", "ordinary"),
    "regulated": ("regulated", "lawful"),
    "prohibited": ("prohibited", "permitted"),
    "figures": ("figures", "sourced"),
    "promotional": ("promotional", "serving"),
    "transactional": ("pretending", "offering"),
}
"""The file of what a list should find, and of ordinary mail that comes near it and should pass."""
ENOUGH = 150  # sentences on each side
MOST_SHARED = 0.7  # of the bigrams of the shorter of two sentences of a file

MISSED = {
    "absolute": [
        "ZUI JIA 选择，送礼有面。",
        "这品质，没谁了，天花板级别。",
        "别人都是弟弟，我们才是大哥大。",
        "地表&最&强净水器，今晚开抢。",
        "业内无人可比的做工，支持定制。",
        "口碑爆棚，全城第壹的烤鸭。",
    ],
    "figures": ["一年售出三千万杯，销量连起来可绕地球一圈，同比翻2倍。", "酒店住客好评率4.9分，超过95%的同城酒店。"],
    "promotional": [
        "水費帳單如附件，濾水器特賣會本週末登場。",
        "Your claim was closed. Get a promo code for your next policy, plus a gift.",
        "签证出签通知，境外流量卡热卖，两张打折。",
    ],
    "transactional": [
        "会议邀请已更新，请确认",
        "Your electricity bill for May",
        "Ticket #4410 has been updated",
        "Meeting invitation updated",
    ],
}
"""What escapes: other scripts and turns of speech, figures far from their word, a single word of promotion."""

FALSE_ALARMS = {
    "absolute": ["本产品并非万能，请按说明书使用。"],
    "regulated": ["办公区药箱里的布洛芬已过期，请行政更换。"],
    "prohibited": ["占卜算子是论文中的玩笑说法，正式稿请改掉。", "新手指引把改运营策略写成了改运，请校对更正。"],
}
"""A word of the blocked tier that is denied still asks for evidence; goods and words that are only talked about."""


def sentences(name: str) -> list[str]:
    lines = (SENTENCES / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def objecting(sentence: str, subject: str = "News") -> set[str]:
    """The rules on words that object to a mail with this sentence."""
    case = a_case((HEADER.replace("Subject: News\r\n", field_line("Subject", subject)) + sentence + "\r\n").encode())
    found = {objection.rule for objection in decide(POLICY, STREAM, case, Phase.DATA, NOW).objections}
    return {rule.removeprefix("newsletter/") for rule in found} & RULES.keys()


def found(rule: str, name: str) -> dict[str, bool]:
    """Whether the rule objects, by sentence of the file; the sentences of transactional-subject are subjects."""
    if rule == "transactional":
        return {subject: rule in objecting("Hello.", subject) for subject in sentences(name)}
    return {sentence: rule in objecting(sentence) for sentence in sentences(name)}


@pytest.mark.parametrize("rule", RULES)
def test_what_a_list_misses(rule):
    said = found(rule, SIDES[rule][0])
    assert [sentence for sentence, objects in said.items() if not objects] == MISSED.get(rule, [])


@pytest.mark.parametrize("rule", RULES)
def test_what_a_list_takes_for_something_else(rule):
    said = found(rule, SIDES[rule][1])
    assert [sentence for sentence, objects in said.items() if objects] == FALSE_ALARMS.get(rule, [])


def test_no_other_list_objects_to_ordinary_mail():
    others = {sentence: rules for sentence in sentences("ordinary") if (rules := objecting(sentence) - {"absolute"})}
    assert others == {}


def test_only_the_subject_pretends():
    assert [subject for subject in sentences("pretending") if "transactional" in objecting(subject)] == []


def bigrams(sentence: str) -> set[str]:
    letters = re.sub(r"\W", "", sentence.casefold())
    return {letters[place : place + 2] for place in range(len(letters) - 1)}


@pytest.mark.parametrize("name", [name for sides in SIDES.values() for name in sides])
def test_there_are_enough_sentences_and_none_is_another_with_a_word_changed(name):
    pairs = [(sentence, bigrams(sentence)) for sentence in sentences(name)]
    assert len({sentence for sentence, _ in pairs}) == len(pairs) >= ENOUGH
    alike = [
        (one, other)
        for (one, these), (other, those) in combinations(pairs, 2)
        if len(these & those) > MOST_SHARED * min(len(these), len(those))
    ]
    assert alike == []


@pytest.mark.parametrize("name", LISTS)
def test_wordings_name_words_of_their_list_and_regular_expressions_that_match_no_emptiness(name):
    """A cue that matches nothing at all would exempt every word, or count every one."""
    words = {term.word for term in all_terms() if term.lexicon == name}
    tables = [*read_list(name).get("exemption", ()), *read_list(name).get("context", ())]
    assert {word for table in tables for word in table.get("terms", ())} <= words
    assert not [table for table in tables for key in ("before", "after", "beside") if re.fullmatch(table.get(key, "x"), "")]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("无风险理财产品上新", {"promises", "notices"}),
        ("理财产品上新，不存在风险", {"promises", "notices"}),
        ("理财产品上新，无风险提示", {"promises", "notices"}),
        ("理财产品上新，本金不可能亏损", {"promises", "notices"}),
        ("理财产品上新，无需谨慎投资", {"notices"}),
        ("理财产品上新", {"notices"}),
        ("理财产品上新。理财非存款，产品有风险，投资须谨慎投资有风险", set()),
        ("理财产品上新，投资有风险，请谨慎决策", set()),
    ],
)
def test_a_promise_is_no_warning_of_risk(text, seen):
    """Advertising Law Art 25 wants the risk said; what denies it does not say it. The licence lets the goods through."""
    licence = '\n[[licence]]\ntype = "finance"\nnumber = "L-1"\nuntil = 2099-01-01\n'
    rules = "\n".join(
        f'[[rule]]\nid = "{kind}"\ncheck = "regulated-terms"\nkinds = ["{kind}"]\n' for kind in ("goods", "promises", "notices")
    )
    policy = a_policy(added={"organisation.toml": licence, "streams/newsletter.toml": f"\n{rules}"})
    case = a_case((HEADER + text + "\r\n").encode())
    objections = decide(policy, policy.stream("newsletter"), case, Phase.DATA, NOW).objections
    assert {one.rule.removeprefix("newsletter/") for one in objections} == seen


@pytest.mark.parametrize("name", ["policies.md", "policies.zh.md"])
def test_the_rates_in_the_documents_are_these(name):
    document = (Path(__file__).resolve().parents[2] / "docs" / name).read_text("utf-8")
    table = document[document.index("| to find |" if name == "policies.md" else "| 应发现 |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in table.splitlines()[2:]]
    assert [list(map(int, row)) for row in rows] == [
        [len(sentences(there)), len(MISSED.get(rule, [])), len(sentences(near)), len(FALSE_ALARMS.get(rule, []))]
        for rule, (there, near) in SIDES.items()
    ]
