"""docs/policies.md, its Chinese twin and the shipped files say what the code does."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from relay.policy.checks import CHECKS
from relay.policy.detectors import PERSONAL, SECRETS
from relay.policy.rehearsing.rehearsal_file import CaseTable, CopyTable
from relay.policy.rules.duty import DUTIES
from relay.policy.rules.expression import FUNCTIONS, MAX_LENGTH, VARIABLES
from relay.policy.rules.organisation import Regulated, SharedLimits, TransferBasis
from relay.policy.rules.rule import RuleTable
from relay.policy.sets.model import Thresholds
from relay.policy.sets.parse import parse_policies
from relay.policy.telling.schema import KINDS, schema
from relay.policy.telling.show import examples_left
from relay.policy.telling.standing import used_packs, wants
from relay.render.rehearsing import require_cases_to_hold
from tests.support.policies import a_policy, newsletter, shipped_files

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENGLISH, CHINESE = ((DOCS / name).read_text("utf-8") for name in ("policies.md", "policies.zh.md"))


def rows_after(document: str, heading: str) -> list[list[str]]:
    """The cells of the first table whose header row begins so."""
    table = document[document.index(heading) :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.split("\n")[2:]]


def test_the_tables_of_checks_are_complete():
    english, chinese = [], []
    for check in CHECKS.values():
        keys = ", ".join(f"`{key}`" for key in check.parameters.model_fields if key not in RuleTable.model_fields) or "-"
        if check.guards:
            read = "protected", "受保护"
        elif check.inspects:
            read = "content", "内容"
        else:
            read = ("at RCPT", "RCPT 时") if check.phase == "rcpt" else ("message", "邮件")
        english.append([f"`{check.name}`", keys, read[0], check.summary])
        chinese.append([f"`{check.name}`", keys, read[1], check.summary_zh])
    assert rows_after(ENGLISH, "| check |") == english
    assert rows_after(CHINESE, "| 检查 |") == chinese


def test_the_tables_of_data_are_complete():
    for document, heading, of_secrets, words, title in (
        (ENGLISH, "| type | what |", "| type of `secrets`", ", ", "title"),
        (CHINESE, "| 类型 | 含义 |", "| `secrets` 的类型", "、", "title_zh"),
    ):
        assert rows_after(document, heading) == [
            [f"`{kind.name}`", getattr(kind, title), words.join(kind.words[:4]) or "-"] for kind in PERSONAL.values()
        ]
        assert rows_after(document, of_secrets) == [[f"`{kind.name}`", getattr(kind, title)] for kind in SECRETS.values()]


def test_the_tables_of_variables_are_complete():
    rows = [(f"`{v.name}`", v.type, f"`{json.dumps(v.example, ensure_ascii=False)}`") for v in VARIABLES]
    assert rows_after(ENGLISH, "| name |") == [[*row, v.meaning] for row, v in zip(rows, VARIABLES, strict=True)]
    assert rows_after(CHINESE, "| 名称 |") == [[*row, v.meaning_zh] for row, v in zip(rows, VARIABLES, strict=True)]


def test_functions_and_bounds_are_named():
    for document, before, after, bound in (
        (ENGLISH, "Functions: ", ";", "At most {}"),
        (CHINESE, "函数：", "；", "最多 {} 个字符"),
    ):
        listed = document.partition(before)[2].partition(after)[0]
        assert set(re.findall(r"`(\w+)`", listed)) == FUNCTIONS
        assert bound.format(MAX_LENGTH) in document.replace("\n", " ")


def in_place(tables):
    """The shipped set without the newsletter's own [limits] and [thresholds]."""
    files = shipped_files()
    name = "streams/newsletter.toml"
    files[name] = files[name].partition(b"[limits]")[0] + tables.encode()
    return files


def without_limits(organisation: bytes) -> bytes:
    """What organisation.toml says without its [limits], which have comments before and after."""
    return organisation.replace(b"[limits]\n", b"").replace(b'reserve = "10%"\n', b"")


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_examples_load(document):
    """Every TOML block is valid in the place that it names."""
    blocks = re.findall(r"```toml\n(?!\[stream\])(.*?)```", document, re.DOTALL)
    assert len(blocks) == 11
    for block in blocks[:2]:
        assert newsletter(block).stream("newsletter").rules[-1].name.startswith("newsletter/")
    override, _, exempt = blocks[2].partition("[[exempt]]")
    size = '[[rule]]\nid = "size"\ncheck = "size"\nabove_mb = 5\n'
    policy = a_policy(added={"streams/newsletter.toml": override + size, "organisation.toml": f"[[exempt]]{exempt}"})
    assert list(policy.stream("newsletter").overrides) == ["base/attachment-types"]
    limits = parse_policies(in_place(blocks[3])).stream("newsletter").limits
    assert (len(limits.hours), str(limits.warm_up), limits.over) == (2, "200/day x1.5", "hold")
    shared = shipped_files() | {"organisation.toml": without_limits(shipped_files()["organisation.toml"]) + blocks[4].encode()}
    assert parse_policies(shared).organisation.limits == SharedLimits()
    assert parse_policies(in_place(blocks[5])).stream("newsletter").thresholds == Thresholds()
    vouched = blocks[6].partition("[[licence]]")
    told = a_policy(
        changes={"organisation.toml": ('contact = ""', vouched[0])}, added={"organisation.toml": "\n" + vouched[1] + vouched[2]}
    ).organisation
    assert (told.contact, len(told.licence), len(told.claim), len(told.mark), len(told.transfer)) == (
        "+86 21 0000 0000",
        1,
        1,
        1,
        1,
    )
    assert all(f"`{name}`" in document for name in get_args(Regulated) + get_args(TransferBasis))
    expiring = '[pack]\nversion = "1"\nexpires_on = 2027-01-01\n'
    uses = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "cn-marketing"]')}
    lasting = a_policy(changes=uses, added={"organisation.toml": "\n" + blocks[7]}, **{"cn-marketing": expiring + blocks[8]})
    assert used_packs(lasting) == {"cn-marketing": date(2027, 12, 31)}
    assert wants(lasting) == ()
    law = a_policy(law=f'[pack]\nversion = "1"\n{blocks[9]}').packs["law"]
    assert [condition.upstream for condition in law.applies.any] == [None, "CN", None]
    (footer,) = a_policy(law=f'[pack]\nversion = "1"\n{blocks[10]}').packs["law"].duty
    assert (footer.do, footer.recipient_countries, footer.if_impossible) == ("footer", ("FR",), "reject")
    assert all(f"`{do}`" in document for do in DUTIES)


@pytest.mark.parametrize("document", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_example_of_cases_holds(document):
    (block,) = re.findall(r"```toml\n(\[stream\].*?)```", document, re.DOTALL)
    assert require_cases_to_hold(shipped_files() | {"tests/mine.toml": block.encode()}) == 5 + require_cases_to_hold(
        shipped_files()
    )


@pytest.mark.parametrize(("document", "heading"), [(ENGLISH, "| key | what it says"), (CHINESE, "| 键 | 含义")], ids=["en", "zh"])
def test_the_table_of_cases_is_complete(document, heading):
    listed = [key for row in rows_after(document, heading) for key in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(field.alias or name for name, field in CaseTable.model_fields.items())


@pytest.mark.parametrize(("document", "heading"), [(ENGLISH, "| in `copy`"), (CHINESE, "| `copy` 中的键")], ids=["en", "zh"])
def test_the_table_of_copies_is_complete(document, heading):
    listed = [key for row in rows_after(document, heading) for key in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(CopyTable.model_fields)


# The shipped files ---------------------------------------------------------------------------------------------------


def test_the_shipped_set_surprises_nobody():
    policy = a_policy()
    assert [(s.name, s.purpose, s.mode) for s in policy.streams] == [
        ("newsletter", "marketing", "enforce"),
        ("receipts", "service", "enforce"),
        ("correspondence", "correspondence", "enforce"),
    ]
    for stream in policy.streams:
        assert (stream.limits.identity, stream.limits.recipient, stream.limits.recipient_domain) == ((), (), {})
        assert (stream.limits.hours, stream.limits.warm_up, stream.limits.over) == ((), None, "hold")
        assert [pack.name for pack in stream.packs] == ["base"]
        assert not stream.overrides
        assert all(stream.match.lists[:1]), "nobody falls into a stream undeclared"
    assert policy.packs["base"].pack.expires_on is None


def test_what_the_shipped_files_only_propose_can_be_switched_on():
    files = shipped_files()
    text = files["streams/newsletter.toml"].decode()
    for key in ("hours", "hours_zone", "warm_up"):
        assert f"\n# {key} = " in text
        text = text.replace(f"\n# {key} = ", f"\n{key} = ")
    limits = parse_policies(files | {"streams/newsletter.toml": text.encode()}).stream("newsletter").limits
    assert ([str(span) for span in limits.hours], limits.hours_zone) == (["Mon-Fri 09:00-21:00", "Sat 10:00-18:00"], "recipient")
    assert str(limits.warm_up) == "200/day x1.5"


def test_what_is_still_the_example_is_named():
    assert examples_left(a_policy()) == [
        "organisation.toml: legal_name: 示例公司",
        "organisation.toml: legal_name: Example Company Ltd.",
        "organisation.toml: postal_address: 示例路 1 号",
        "organisation.toml: postal_address: 1 Example Road",
        "organisation.toml: refusal_mailbox: unsubscribe@example.com",
        "organisation.toml: privacy_url: https://www.example.com/privacy",
        "streams/newsletter.toml: match.identities: news@example.com",
        "streams/receipts.toml: match.identities: receipts@example.com",
        "streams/correspondence.toml: match.identities: someone@example.com",
    ]


def test_every_shipped_rule_speaks_both_languages():
    for stream in a_policy().streams:
        for rule in stream.rules:
            assert rule.text.isascii()
            assert rule.fix.isascii()
            assert not rule.text_zh.isascii()
            assert not rule.fix_zh.isascii()


@pytest.mark.parametrize("name", sorted(shipped_files()))
def test_every_shipped_key_is_explained_in_both_languages(name):
    text = shipped_files()[name].decode()
    comments = "".join(line for line in text.split("\n") if line.startswith("#"))
    assert re.search(r"[\u4e00-\u9fff]", comments)
    assert re.search(r"[A-Za-z]{3} [a-z]{2}", comments)


# JSON Schema ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [("organisation", "organisation"), ("stream", "streams/newsletter"), ("pack", "packs/base"), ("tests", "tests/base")],
)
def test_the_schema_knows_every_key_of_the_shipped_files(kind, name):
    properties = schema(kind)["properties"]
    assert set(tomllib.loads(shipped_files()[f"{name}.toml"].decode())) <= set(properties)
    assert set(properties) == set(KINDS[kind].model_fields)
    json.dumps(schema(kind))


def test_the_schema_knows_every_key_of_a_case():
    document = schema("tests")
    case = document["properties"]["case"]["items"]
    assert set(case["required"]) == {"name", "expect"}
    used = {key for one in tomllib.loads(shipped_files()["tests/base.toml"].decode())["case"] for key in one}
    assert {"from", "suppressions", "attachments"} <= used <= set(case["properties"])
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(document)))
    assert references <= set(document["$defs"])


def test_the_schema_explains_every_condition_of_a_pack():
    conditions = schema("pack")["$defs"]["Condition"]["properties"]
    assert set(conditions) == {"organisation", "recipient", "upstream"}
    assert all("国家" in condition["description"] for condition in conditions.values())


def test_the_schema_has_a_rule_for_every_check_and_for_cel():
    kinds = schema("stream")["properties"]["rule"]["items"]["anyOf"]
    assert [kind["title"] for kind in kinds] == [*CHECKS, "when"]
    size = next(kind for kind in kinds if kind["title"] == "size")
    assert (size["properties"]["check"]["const"], size["required"]) == ("size", ["above_mb", "check", "id"])
