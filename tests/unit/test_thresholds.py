"""When a rate warns, when it pauses, and what a pause says."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.cases.case import Action, Phase
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.deciding.decide import decide
from relay.policy.deciding.thresholds import excesses, objection_to
from relay.policy.sets.model import Rates, Thresholds
from relay.policy.suppressions.suppression import Reason
from relay.policy.telling.show import show
from tests.support.policies import a_case, a_policy, newsletter, noon

SHIPPED = Thresholds()
TODAY = date(2026, 11, 22)


def over(tally, thresholds=SHIPPED):
    return [(excess.measure.value, excess.pauses) for excess in excesses(tally, thresholds)]


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally(), []),
        (Tally(50, complaints=1), []),  # one complaint of fifty is a person
        (Tally(499, complaints=499), []),
        (Tally(1000, complaints=1), []),  # 0.1 % is not over 0.1 %
        (Tally(500, complaints=1), [("complaints", False)]),
        (Tally(1000, complaints=3), [("complaints", False)]),
        (Tally(1000, complaints=4), [("complaints", True)]),
        (Tally(1000, returned=20), []),
        (Tally(1000, returned=21), [("hard_bounces", False)]),
        (Tally(980, refused=20, returned=30), [("hard_bounces", False)]),  # 50 of 1000
        (Tally(980, refused=20, returned=31), [("hard_bounces", True)]),
        (Tally(0, refused=500), [("hard_bounces", True)]),
        (Tally(1000, returned=60, complaints=2), [("hard_bounces", True), ("complaints", False)]),
    ],
)
def test_rates_warn_and_pause(tally, expected):
    assert over(tally) == expected


def test_a_file_says_other_rates():
    held = Thresholds(minimum=10, complaints=Rates(warn="5%", pause="10%"))
    assert over(Tally(10, complaints=1), held) == [("complaints", False)]
    assert over(Tally(10, complaints=2), held) == [("complaints", True)]


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_rate_is_compared_exactly(delivered, complaints):
    held = Thresholds(minimum=1)
    expected = [] if 1000 * complaints <= delivered else [("complaints", 1000 * complaints > 3 * delivered)]
    assert over(Tally(delivered, complaints=complaints), held) == expected


def test_an_excess_says_the_numbers_in_both_languages():
    (excess,) = excesses(Tally(1210, complaints=5), SHIPPED)
    assert excess.text == "complaints 0.41% (5 of 1210 recipients in 7 days), over 0.3%"
    assert excess.text_zh == "投诉率 0.41%（7 天内 1210 位收件人中 5 位），超过 0.3%"


def a_pause(reason="complaints 0.41%, over 0.3%", reason_zh="投诉率 0.41%"):
    return Pause("newsletter", 1.0, "relay", Measure.COMPLAINTS, reason, reason_zh)


def test_a_pause_goes_on_the_wire_in_ascii_and_in_one_line():
    assert objection_to(a_pause()).text == "The stream newsletter is paused: complaints 0.41%, over 0.3%"
    for reason in ("投诉太多", "a\r\n250 OK", "\x00"):
        said = objection_to(a_pause(reason, reason))
        assert said.text == "The stream newsletter is paused: by an administrator"
        assert reason in said.text_zh
    assert len(objection_to(a_pause("x" * 900)).text) < 300


@pytest.mark.parametrize("policy", [a_policy(), newsletter(mode='"shadow"')], ids=["enforced", "shadow"])
def test_a_pause_defers_whatever_else_is_relaxed(policy):
    case = replace(a_case(), pause=a_pause())
    for phase in Phase:
        ruling = decide(policy, policy.stream("newsletter"), case, phase, noon(TODAY))
        objection = ruling.objections[0]
        assert (ruling.action, objection.rule, objection.reply_code) == (Action.DEFER, "paused", 451)


def test_a_refusal_is_graver_than_a_pause():
    policy = a_policy()
    ruling = decide(
        policy,
        policy.stream("newsletter"),
        replace(a_case(suppressed=Reason.UNSUBSCRIBE), pause=a_pause()),
        Phase.DATA,
        noon(TODAY),
    )
    assert [objection.rule for objection in ruling.objections] == ["base/suppression", "paused"]
    assert ruling.action is Action.REJECT


def test_the_thresholds_are_shown():
    said = [sentence for section in show(a_policy(), TODAY) for sentence in section.sentences]
    assert any(
        s.en == "newsletter: complaints over 0.1% warn, over 0.3% pause the stream; hard bounces over 2% warn, over 5% pause the"
        " stream (of the mail of 7 days, from 500 recipients on)."
        for s in said
    )
    assert any(s.zh.startswith("correspondence：投诉超过 0.1% 告警；硬退信超过 2% 告警（") for s in said)
