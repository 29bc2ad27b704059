"""organisation.toml: what an organisation vouches for, and what checks are told of it."""

from dataclasses import replace
from datetime import date

import pytest

from relay.policy.cases.case import Phase
from relay.policy.checks import CHECKS
from relay.policy.deciding.decide import decide
from relay.policy.telling.difference import difference
from relay.policy.telling.inputs import FACTS
from relay.policy.telling.show import show
from tests.support.policies import a_case, a_policy, a_setting, newsletter, noon

LICENCE = '[[licence]]\ntype = "health-food"\nnumber = "G20260001"\nuntil = 2026-12-31\n'
CLAIM = '[[claim]]\ntext = "华东地区销量第一"\nevidence = "contracts/17.pdf"\ncountries = ["CN"]\nuntil = 2026-12-31\n'
MARK = '[[mark]]\ntext = "第一味"\nnumber = "12345678"\nclass = 30\n'
TRANSFER = '[[transfer]]\nto = ["SG", "US"]\nbasis = "exempt"\nreference = "R 1"\nuntil = 2026-12-31\n'
LAST, AFTER = date(2026, 12, 31), date(2027, 1, 1)


def vouching(*tables: str):
    return a_policy(added={"organisation.toml": "\n" + "\n".join(tables)})


def test_what_has_ended_proves_nothing():
    facts = vouching(LICENCE, CLAIM).organisation
    assert [one.number for one in facts.licences(LAST)] == ["G20260001"]
    assert [one.text for one in facts.claims(LAST)] == ["华东地区销量第一"]
    assert (facts.licences(AFTER), facts.claims(AFTER)) == ((), ())
    transfers = vouching(TRANSFER).organisation.transfers
    assert (len(transfers(LAST)), transfers(AFTER)) == (1, ())


def test_a_check_is_told_who_sends_and_the_organisation_s_day(monkeypatch):
    told = []
    monkeypatch.setitem(CHECKS, "size", replace(CHECKS["size"], ask=lambda case, setting, _: told.append(setting)))
    policy = newsletter('[[rule]]\nid = "told"\ncheck = "size"\nabove_mb = 1\n')
    stream = policy.stream("newsletter")
    decide(policy, stream, a_case(), Phase.DATA, noon(LAST))
    assert told == [replace(stream.setting, today=LAST)]
    assert told[0].facts == policy.organisation
    assert told[0].facts.legal_name.en == "Example Company Ltd."


def test_where_nobody_says_the_day_everything_has_ended():
    setting = vouching(LICENCE, CLAIM).stream("newsletter").setting
    assert (setting.facts.licences(setting.today), setting.facts.claims(setting.today)) == ((), ())


def test_people_who_ask_see_what_a_check_was_told():
    setting = a_setting(contact="400 000 0000", mark=[{"text": "第一味", "number": "12345678", "class": 30}])
    seen = {name: FACTS[f"organisation.{name}"].of(a_case(), setting) for name in ("country", "contact", "mark")}
    assert seen == {
        "country": "CN",
        "contact": "400 000 0000",
        "mark": [{"text": "第一味", "number": "12345678", "class": 30}],
    }


@pytest.mark.parametrize(("table", "key"), [(LICENCE, "licence"), (CLAIM, "claim"), (MARK, "mark"), (TRANSFER, "transfer")])
def test_what_is_vouched_for_makes_a_set_laxer(table, key):
    [added] = difference(a_policy(), vouching(table))
    [removed] = difference(vouching(table), a_policy())
    assert (added.laxer, removed.laxer) == (True, False)
    assert key in added.text_en
    assert key in added.text_zh


@pytest.mark.parametrize(
    ("table", "day", "en", "zh"),
    [
        (LICENCE, LAST, "Advertising for health-food: licence G20260001, until 2026-12-31.",
         "health-food 类广告：批文 G20260001，至 2026-12-31。"),
        (LICENCE, AFTER, "Advertising for health-food: licence G20260001, ended on 2026-12-31, no longer in effect.",
         "health-food 类广告：批文 G20260001，已于 2026-12-31 失效。"),
        (CLAIM, LAST, 'The words "华东地区销量第一" for recipients in CN: proof in contracts/17.pdf, until 2026-12-31.',
         "用语“华东地区销量第一”（CN 的收件人）：证明材料 contracts/17.pdf，至 2026-12-31。"),
        (TRANSFER, AFTER, "Personal data may leave for SG, US: exempt, R 1, ended on 2026-12-31, no longer in effect.",
         "个人信息可传输至 SG, US：exempt，R 1，已于 2026-12-31 失效。"),
        (MARK, LAST, '"第一味" is a trade mark: 12345678, class 30.', "“第一味”为注册商标：12345678，第 30 类。"),
    ],
)  # fmt: skip
def test_what_is_vouched_for_is_shown_as_a_relaxation(table, day, en, zh):
    sentences = show(vouching(table), day)[1].sentences
    assert [(one.en, one.zh) for one in sentences] == [(en, zh)]
