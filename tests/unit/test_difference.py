"""difference(): what changed, and which lines somebody must look at because they are laxer."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.policy.sets.parse import parse_policies
from relay.policy.telling.difference import difference
from tests.support.policies import a_policy, newsletter, shipped_files

RULE = '[[rule]]\nid = "mine"\ncheck = "size"\nabove_mb = 5\naction = "{}"\n'
OVERRIDE = '[[override]]\nrule = "base/attachment-types"\naction = "{}"\nreason = "r"\nby = "b"\nuntil = 2027-01-31\n'
EXEMPT = (
    '[[exempt]]\nrecipients = ["qa@example.org"]\nrules = ["base/attachment-types"]\nreason = "r"\nby = "b"\nuntil = 2027-01-31\n'
)
BASE, NEWS, FACTS = "packs/base.toml", "streams/newsletter.toml", "organisation.toml"
MATCH = 'identities = ["news@example.com"]'


def pacing(lines: str):
    """The shipped set with more lines in [limits] of the newsletter."""
    return a_policy(changes={NEWS: ('over = "hold"', f'over = "hold"\n{lines}')})


# name, the change from the shipped set, laxer when made, laxer when undone
CHANGES = [
    ("rule added", newsletter(RULE.format("reject")), False, True),
    ("override added", newsletter(OVERRIDE.format("warn")), True, False),
    ("exemption added", a_policy(added={FACTS: EXEMPT}), True, False),
    ("shadow", newsletter(mode='"shadow"'), True, False),
    ("signing off", newsletter(required="false"), True, False),
    ("one-click off", newsletter(one_click="false"), True, False),
    ("refusals bind one stream", newsletter(scope='"stream"'), True, False),
    ("a program chooses", newsletter(personalised="true"), False, True),
    ("sexually explicit", newsletter(adult="true"), False, True),
    ("title", newsletter(title='{ en = "News" }'), False, False),
    ("existing", newsletter(existing='"reject"'), False, True),
    ("time zone", a_policy(changes={FACTS: ("Asia/Shanghai", "Europe/London")}), True, True),
    ("refusals", newsletter(refusals='"rcpt"'), False, False),
    ("upstream", newsletter(upstream='["ses"]'), False, False),
    ("limit added", newsletter(identity='["5/hour"]'), False, True),
    ("hours set", pacing('hours = "09:00-21:00"'), False, True),
    ("warm-up set", pacing('warm_up = "200/day x1.5"'), False, True),
    ("over", newsletter(over='"defer"'), False, False),
    ("reserve smaller", a_policy(changes={FACTS: ('reserve = "10%"', 'reserve = "5%"')}), True, False),
    ("threshold raised", newsletter(complaints='{ warn = "0.1%", pause = "0.5%" }'), True, False),
    ("warning raised", newsletter(hard_bounces='{ warn = "3%", pause = "5%" }'), True, False),
    ("minimum raised", newsletter(minimum="1000"), True, False),
    ("window longer", newsletter(window='"14d"'), True, True),
    ("purpose", newsletter(purpose='"service"', one_click="false"), True, False),
    (
        "attachment rule down",
        a_policy(changes={BASE: ('"wsh",\n]\naction = "reject"', '"wsh",\n]\naction = "warn"')}),
        True,
        False,
    ),
    ("attachment list shorter", a_policy(changes={BASE: (' "wsh",', "")}), True, True),
    ("text only", a_policy(changes={BASE: ("From must name exactly one sender address", "One sender, please")}), False, False),
    ("duty shorter", a_policy(changes={BASE: ('["X-Internal-*", "X-Relay-*"]', '["X-Relay-*"]')}), True, False),
    ("marketing takes less", a_policy(changes={NEWS: (MATCH, 'identities = ["other@example.com"]')}), True, True),
    ("marketing takes more", a_policy(changes={NEWS: (MATCH, MATCH.replace("]", ', "b@example.com"]'))}), True, True),
    (
        "people take more",
        a_policy(
            changes={"streams/correspondence.toml": ('["someone@example.com"]', '["someone@example.com", "b@example.com"]')}
        ),
        True,
        False,
    ),
    ("order", a_policy(changes={FACTS: ('["newsletter", "receipts", ', '["receipts", "newsletter", ')}), True, True),
    ("records kept longer", a_policy(changes={FACTS: ('records = "3y"', 'records = "5y"')}), False, True),
    ("name", a_policy(changes={FACTS: ("示例公司", "真实公司")}), False, False),
    ("country", a_policy(changes={FACTS: ('country = "CN"', 'country = "US"')}), True, True),
    ("fewer jurisdictions", a_policy(changes={FACTS: ('unknown_recipient = ["CN"]', "unknown_recipient = []")}), True, False),
]


@pytest.mark.parametrize(("changed", "made", "undone"), [change[1:] for change in CHANGES], ids=[change[0] for change in CHANGES])
def test_a_change_is_told_and_marked_when_laxer(changed, made, undone):
    shipped = a_policy()
    forward, back = difference(shipped, changed), difference(changed, shipped)
    assert forward
    assert back
    assert any(change.laxer for change in forward) is made
    assert any(change.laxer for change in back) is undone
    for change in (*forward, *back):
        assert change.text_zh
        assert change.text_en.isascii()


def test_the_same_set_has_no_difference():
    assert difference(a_policy(), a_policy()) == ()


def test_the_first_set_brings_its_streams():
    assert [change.text_en for change in difference(None, a_policy())] == [
        "newsletter: new stream (marketing)",
        "receipts: new stream (service)",
        "correspondence: new stream (correspondence)",
    ]


@given(*[st.sampled_from(["reject", "defer", "hold", "warn"])] * 2)
@settings(max_examples=16)
def test_a_lower_action_is_laxer_and_a_higher_one_is_not(before, after):
    order = ["warn", "hold", "defer", "reject"]
    changes = difference(newsletter(RULE.format(before)), newsletter(RULE.format(after)))
    assert [change.laxer for change in changes] == ([] if before == after else [order.index(after) < order.index(before)])


HARDER_AND_LESS = [
    (RULE.format("defer"), RULE.format("reject").replace("5", "500")),
    (
        '[[rule]]\nid = "mine"\ncheck = "domains"\ndeny = ["a.example", "b.example"]\naction = "defer"\n',
        '[[rule]]\nid = "mine"\ncheck = "domains"\ndeny = ["b.example"]\naction = "reject"\n',
    ),
]


@pytest.mark.parametrize(("before", "after"), HARDER_AND_LESS, ids=["size", "domains"])
def test_a_graver_rule_that_objects_to_less_is_two_changes(before, after):
    graver, less = difference(newsletter(before), newsletter(after))
    assert (graver.text_en, graver.laxer) == ("newsletter: rule newsletter/mine: defer -> reject", False)
    assert (less.text_en, less.laxer) == ("newsletter: rule newsletter/mine objects to other things; look at it", True)


def test_a_graver_rule_in_other_words_is_two_changes():
    said = 'text = "Too big"\ntext_zh = "太大"\n'
    changes = difference(newsletter(RULE.format("defer")), newsletter(RULE.format("reject") + said))
    assert [(change.text_en.partition("mine")[2], change.laxer) for change in changes] == [
        (": defer -> reject", False),
        (" says it in other words", False),
    ]


PACK = '[pack]\nversion = "1"\nreviewed_on = 2026-11-01\nexpires_on = {}\n'


@pytest.mark.parametrize(("pack", "laxer"), [(PACK.format("2028-01-01"), True), (PACK.format("2027-01-01"), False)])
def test_a_pack_that_lives_longer_without_a_review_is_laxer(pack, laxer):
    before = a_policy(law=PACK.format("2027-06-01"))
    assert [change.laxer for change in difference(before, a_policy(law=pack))] == [laxer]


def test_a_reviewed_pack_may_live_longer():
    reviewed = PACK.format("2028-01-01").replace("2026-11-01", "2027-05-01")
    assert not any(change.laxer for change in difference(a_policy(law=PACK.format("2027-06-01")), a_policy(law=reviewed)))


BULK = 'purpose = "marketing"\npacks = ["base"]\nmatch = {{ identities = ["bulk@example.com"] }}\nmode = "{}"\n'


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("order", ['"bulk", "newsletter", "receipts", ', '"newsletter", "receipts", "bulk", '])
def test_a_new_stream_is_laxer_whatever_it_is_for(mode, order):
    """Its mail went through a stream behind it, with packs and rules of its own, or was refused."""
    files = {name: octets.decode() for name, octets in shipped_files().items()} | {"streams/bulk.toml": BULK.format(mode)}
    files[FACTS] = files[FACTS].replace('"newsletter", "receipts", ', order)
    (change,) = difference(a_policy(), parse_policies({name: text.encode() for name, text in files.items()}))
    assert (change.text_en, change.laxer) == ("bulk: new stream (marketing)", True)


@pytest.mark.parametrize(
    ("before", "after", "laxer"),
    [
        ('hours = "09:00-21:00"', 'hours = "09:00-18:00"', False),
        ('hours = "09:00-21:00"', 'hours = "09:00-22:00"', True),
        ('hours = "09:00-21:00"', 'hours = "08:00-20:00"', True),
        ('hours = "09:00-21:00"', 'hours = ["Mon-Fri 09:00-21:00", "Sun 10:00-12:00"]', False),
        ('hours = "Mon-Fri 09:00-21:00"', 'hours = "09:00-21:00"', True),
        ('hours = "09:00-21:00"', 'hours = "09:00-21:00"\nhours_zone = "organisation"', True),
        ('warm_up = "200/day x1.5"', 'warm_up = "100/day x1.5"', False),
        ('warm_up = "200/day x1.5"', 'warm_up = "201/day x1.2"', True),
        ('warm_up = "200/day x1.5"', 'warm_up = "100/day x1.6"', True),
    ],
)
def test_a_pace_is_laxer_when_anything_may_leave_earlier(before, after, laxer):
    (change,) = difference(pacing(before), pacing(after))
    assert change.laxer is laxer


def test_a_pace_is_told_as_it_is_written():
    forward = difference(pacing(""), pacing('hours = ["Mon-Fri 09:00-18:00", "Sat 10:00-12:00"]\nwarm_up = "200/day x1.5"'))
    assert [change.text_en for change in forward] == [
        "newsletter: sends in the hours - -> Mon-Fri 09:00-18:00, Sat 10:00-12:00",
        "newsletter: warm-up: - -> 200/day x1.5",
    ]


STAR = '"*" = ["20/minute"]'


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (STAR, STAR + ', "qq.com" = ["100000/minute"]', [("qq.com per minute: 20/minute -> 100000/minute", True)]),
        (STAR, STAR + ', "qq.com" = []', [("qq.com per minute: 20/minute -> -", True)]),
        (STAR, STAR + ', "qq.com" = ["5/minute"]', [("qq.com per minute: 20/minute -> 5/minute", False)]),
        (STAR, STAR + ', "qq.com" = ["20/minute"]', []),
        (
            STAR,
            STAR + ', "qq.com" = ["5/day"]',
            [("qq.com per day: - -> 5/day", False), ("qq.com per minute: 20/minute -> -", True)],
        ),
        (STAR + ', "qq.com" = ["5/minute"]', STAR, [("qq.com per minute: 5/minute -> 20/minute", True)]),
        (STAR + ', "qq.com" = ["50/minute"]', STAR, [("qq.com per minute: 50/minute -> 20/minute", False)]),
        (STAR, "", [("* per minute: 20/minute -> -", True)]),
    ],
)
def test_limits_of_a_domain_are_compared_as_they_bind(before, after, lines):
    """A domain that is named has its own limits, be they none; every other has those of "*"."""
    old, new = (newsletter(recipient_domain=f"{{ {table} }}") for table in (before, after))
    told = [(change.text_en.removeprefix("newsletter: limit recipient_domain "), change.laxer) for change in difference(old, new)]
    assert told == lines


@pytest.mark.parametrize(("limit", "laxer"), [("6/hour", True), ("4/hour", False)])
def test_a_raised_limit_is_laxer(limit, laxer):
    (change,) = difference(newsletter(identity='["5/hour"]'), newsletter(identity=f'["{limit}"]'))
    assert change.laxer is laxer


BY_UPSTREAM = '[pack]\nversion = "1"\n[applies]\nany = [{ upstream = "CN" }]\n'
BY_RECIPIENT = BY_UPSTREAM.replace("upstream", "recipient")


@pytest.mark.parametrize(
    ("law", "before", "after", "laxer"),
    [
        (BY_UPSTREAM, '["netease"]', '["ses"]', True),
        (BY_UPSTREAM, '["netease", "ses"]', '["ses"]', True),
        (BY_UPSTREAM, "[]", '["ses"]', True),  # the first of config.toml may be anywhere
        (BY_UPSTREAM, '["netease"]', '["ses", "netease"]', False),
        (BY_RECIPIENT, '["netease"]', '["ses"]', False),
    ],
)
def test_mail_that_leaves_elsewhere_may_escape_a_pack_by_upstream(law, before, after, laxer):
    files = {name: octets.decode() for name, octets in shipped_files().items()} | {"packs/law.toml": law}
    files[NEWS] = files[NEWS].replace('packs = ["base"]', 'packs = ["base", "law"]')

    def leaving_by(names: str):
        changed = files | {NEWS: files[NEWS].replace("upstream = []", f"upstream = {names}")}
        return parse_policies({name: text.encode() for name, text in changed.items()})

    (change,) = difference(leaving_by(before), leaving_by(after))
    assert change.laxer is laxer
    assert change.text_en == f"newsletter: leaves by {', '.join(re.findall('[a-z]+', after))}"


def test_a_pack_that_applies_elsewhere_is_laxer():
    (change,) = difference(a_policy(law=BY_UPSTREAM), a_policy(law=BY_RECIPIENT))
    assert (change.text_en, change.laxer) == ("pack law: applies in other cases", True)


LISTED = ('packs = ["base"]', 'packs = ["base", "kr", "gmail-yahoo-bulk"]')


def test_what_mail_waited_for_is_laxer_when_it_is_there():
    """organisation.toml had no telephone number, and the pack of Korea kept all its mail back (451)."""
    without = a_policy(changes={NEWS: LISTED})
    with_it = a_policy(changes={NEWS: LISTED, FACTS: ('contact = ""', 'contact = "+82 2 5555 0100"')})
    told = difference(without, with_it)
    assert [(one.text_en, one.laxer) for one in told] == [
        ("organisation: contact changed", False),
        ("organisation.toml: contact is there now: mail waited for it by kr/organisation", True),
    ]
    assert "kr/organisation" in told[1].text_zh
    assert not any(change.laxer for change in difference(with_it, without))


def test_a_stream_that_begins_to_offer_what_a_rule_waited_for_is_laxer():
    rule, unsigned = "gmail-yahoo-bulk", newsletter(required="false", packs=LISTED[1].partition(" = ")[2], one_click="false")
    signing = newsletter(required="true", packs=LISTED[1].partition(" = ")[2], one_click="false")
    laxer = [change.text_en for change in difference(unsigned, signing) if change.laxer]
    assert laxer
    assert all(one.startswith("streams/newsletter.toml: [signing] required is there now") and rule in one for one in laxer)


def test_a_pack_that_is_gone_is_told_once():
    """What it waited for is not there now."""
    laxer = [change.text_en for change in difference(a_policy(changes={NEWS: LISTED}), a_policy()) if change.laxer]
    assert [text for text in laxer if "is there now" in text] == []
    assert "newsletter: pack kr removed" in laxer
