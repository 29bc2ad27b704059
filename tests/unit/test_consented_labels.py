"""A label that a law wants on mail nobody asked for is not written for those who agreed to it, and for nobody else left out."""

import pytest

from relay.policy.consents.consent import Ground
from relay.policy.telling.show import show
from tests.support.policies import a_policy
from tests.unit.test_decide import TODAY

LAW = """[pack]
version = "1"
[applies]
purpose = ["marketing"]
any = [{ recipient = "SG" }]
[[duty]]
id = "label"
do = "label"
label = "SG"
unless_consent = ["explicit", "separate"]
[[duty]]
id = "footer"
do = "footer"
show = ["reason"]
"""
POLICY = a_policy(changes={"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')}, law=LAW)
STREAM = POLICY.stream("newsletter")
SINGAPORE = frozenset({"SG"})


def ground(purpose: str = "marketing:newsletter", basis: str = "explicit") -> Ground:
    return Ground("mine/consent", purpose, "01J", 1.0, basis)


def owed(*grounds: Ground) -> list[str]:
    duties = STREAM.duties_for(SINGAPORE, frozenset(), STREAM.agreed(grounds))
    return [duty.name for duty in duties if duty.name.startswith("law/")]


@pytest.mark.parametrize(
    "grounds",
    [
        [],
        [ground(basis="legitimate_interest")],
        [ground(basis="guardian")],
        [ground("marketing:other")],
        [ground("marketing:newsletter:topic")],
        [ground("export:SG", "separate"), ground(basis="soft_opt_in")],
    ],
)
def test_who_agreed_to_nothing_or_to_something_else_is_told(grounds):
    assert owed(*grounds) == ["law/label", "law/footer"]


@pytest.mark.parametrize(
    "grounds",
    [
        [ground()],
        [ground("marketing", "separate")],
        [ground("export:SG", "separate"), ground(basis="legitimate_interest"), ground()],
    ],
)
def test_who_agreed_is_spared_the_label_and_nothing_else(grounds):
    assert owed(*grounds) == ["law/footer"]


def test_grounds_that_spare_of_nothing_do_not_part_copies():
    assert STREAM.agreed([ground(basis="soft_opt_in")]) == STREAM.agreed([]) == frozenset()
    assert a_policy().stream("newsletter").agreed([ground()]) == frozenset()


def test_people_are_told_whom_it_spares():
    said = {one.en for one in show(POLICY, TODAY)[0].sentences}
    assert any("begins with <ADV>, unless the recipient consented (explicit, separate)" in one for one in said)


def test_a_stream_of_explicit_mail_says_so():
    adult = a_policy(changes={"streams/newsletter.toml": ("adult = false", "adult = true")})
    sentence = "newsletter: its mail is sexually explicit."
    assert sentence in {one.en for one in show(adult, TODAY)[0].sentences}
    assert sentence not in {one.en for one in show(POLICY, TODAY)[0].sentences}
