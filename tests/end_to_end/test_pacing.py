"""The line keeps the pace of a stream: its hours, its warm-up, and what marketing leaves to other mail."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from relay.stores.held import Why
from tests.support.courier import CourierHouse
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.service import NEWS, OFFICE, SHOP, message

HOME = ZoneInfo("Asia/Shanghai")
AFTERNOON = datetime(2027, 1, 15, 16, 30, tzinfo=HOME)
upstream = an_upstream()


def paced(*lines: str, refusals: str = "report"):
    """The shipped policy with these lines in [limits] of the newsletter, whose clients come back by themselves."""
    limits = "\n".join(('over = "defer"', *lines))
    return {"streams/newsletter.toml": [(r'over = "\w+"', limits), (r'refusals = "\w+"', f'refusals = "{refusals}"')]}


def around(first: int, last: int) -> str:
    """Hours that begin and end so many hours from those at `AFTERNOON`."""
    begin, end = (AFTERNOON + timedelta(hours=number) for number in (first, last))
    return f'hours = "{begin:%H:00}-{end:%H:00}"\nhours_zone = "organisation"'


def held(*lines: str):
    """The shipped policy with these lines in [limits] of the newsletter."""
    limits = "\n".join(('over = "hold"', *lines))
    return {"streams/newsletter.toml": [(r'over = "hold"', limits)]}


def post(house, login, *recipients):
    return house.send(login, recipients, message(recipients[0], login))


@pytest.mark.parametrize("refusals", ["report", "rcpt"])
def test_outside_its_hours_a_stream_sends_nothing_and_says_when(tmp_path, upstream, refusals):
    with LineHouse(tmp_path, upstream, policy=paced(around(2, 4), refusals=refusals), clock=AFTERNOON.timestamp) as house:
        reply = post(house, NEWS, "ada@example.org")
        assert (reply.code, reply.status, reply.rule) == (451, "4.7.1", "base/hours")
        assert reply.text[0].endswith(" in 5400 s")
        assert post(house, SHOP, "ada@example.org").code == 250
        assert post(house, OFFICE, "ada@example.org").code == 250
    assert upstream.recipients == ["ada@example.org"] * 2


def test_inside_its_hours_a_stream_sends(tmp_path, upstream):
    with LineHouse(tmp_path, upstream, policy=paced(around(-1, 2)), clock=AFTERNOON.timestamp) as house:
        assert post(house, NEWS, "ada@example.org").code == 250


@pytest.mark.parametrize(("days_before", "most"), [(0, 2), (1, 3), (2, 4), (3, 6)])
def test_a_warm_up_lets_as_many_leave_as_its_day_allows(tmp_path, upstream, days_before, most):
    people = [f"p{number}@example.org" for number in range(most + 1)]
    with LineHouse(tmp_path, upstream, policy=paced('warm_up = "2/day x1.5"'), clock=AFTERNOON.timestamp) as house:
        store = house.line.store
        for number in range(days_before):
            house.run(store.note_sending("newsletter", f"2020-01-0{number + 1}"))
        for one in people[:-1]:
            assert post(house, NEWS, one).code == 250
        reply = post(house, NEWS, people[-1])
        assert (reply.code, reply.rule) == (450, "limit")
        assert f"newsletter: warm-up day {days_before + 1} {most}/day reached" in str(reply)
        assert post(house, SHOP, people[-1]).code == 250
        days = house.run(store.sending_days(["newsletter"]))["newsletter"]
        assert (days.days, days.last) == (days_before + 1, "2027-01-15")
        assert house.run(house.mend()) == ""
        assert "warm-up day" in str(post(house, NEWS, people[-1]))


def test_a_stream_that_never_warmed_up_counts_no_days(tmp_path, upstream):
    with LineHouse(tmp_path, upstream) as house:
        assert post(house, NEWS, "ada@example.org").code == 250
        assert house.run(house.line.store.sending_days(["newsletter"]))["newsletter"].days == 0


def test_the_last_tenth_of_an_upstreams_limit_is_not_for_marketing(tmp_path, upstream):
    table = f'[[upstream]]\nname = "up"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "none"\nlimits = ["10/hour"]\n'
    with LineHouse(tmp_path, upstream, upstreams=table, policy=paced()) as house:
        assert [post(house, NEWS, f"p{number}@example.org").code for number in range(10)] == [250] * 9 + [450]
        assert "upstream up 10/hour (marketing: 9) reached" in str(post(house, NEWS, "ada@example.org"))
        assert post(house, SHOP, "ada@example.org").code == 250
        assert post(house, NEWS, "bob@example.org").code == 450
    assert len(upstream.recipients) == 10


def test_only_marketing_leaves_the_last_connection_to_others(tmp_path, upstream, monkeypatch):
    asked = {}
    with LineHouse(tmp_path, upstream) as house:
        lease = house.line.upstreams.lease

        def listening(upstream_name, identity, *facts, leaves_one=False):
            asked[identity] = leaves_one
            return lease(upstream_name, identity, *facts, leaves_one=leaves_one)

        monkeypatch.setattr(house.line.upstreams, "lease", listening)
        assert [post(house, login, "ada@example.org").code for login in (NEWS, SHOP, OFFICE)] == [250] * 3
    assert asked == {NEWS: True, SHOP: False, OFFICE: False}


# What is held ---------------------------------------------------------------------------------------------------------

FRIDAY_EVENING = datetime(2027, 1, 15, 20, 0, tzinfo=HOME)
MONDAY = datetime(2027, 1, 18, 9, 0, tzinfo=HOME)
OFFICE_HOURS = held('hours = "Mon-Fri 09:00-18:00"')


@pytest.mark.parametrize("refusals", ["report", "rcpt"])
def test_what_comes_on_friday_evening_leaves_on_monday_morning(tmp_path, upstream, refusals):
    policy = OFFICE_HOURS["streams/newsletter.toml"] + [(r'refusals = "\w+"', f'refusals = "{refusals}"')]
    with CourierHouse(tmp_path, upstream, policy={"streams/newsletter.toml": policy}) as house:
        house.clock.now = FRIDAY_EVENING.timestamp()
        reply = post(house, NEWS, "ada@example.org", "bob@example.org")
        assert (reply.code, reply.text[0].split(", ", 1)[1]) == (250, "0 delivered, 2 held, 0 left out")
        assert post(house, SHOP, "ada@example.org").code == 250
        assert house.whys() == {Why.HOURS: 2}
        house.settled((MONDAY - FRIDAY_EVENING).total_seconds() - 1)
        assert upstream.recipients == ["ada@example.org"]
        house.turn(1)
        house.wait_empty()
    assert upstream.recipients == ["ada@example.org"] * 2 + ["bob@example.org"]


def test_each_recipient_waits_for_a_morning_of_their_own(tmp_path, upstream):
    with CourierHouse(tmp_path, upstream, policy=held('hours = "09:00-21:00"')) as house:
        house.clock.now = datetime(2027, 1, 15, 12, 0, tzinfo=HOME).timestamp()
        reply = post(house, NEWS, "ada@example.cn", "bob@example.de", "eve@example.jp", "kim@example.com.br")
        assert reply.text[0].split(", ", 1)[1] == "2 delivered, 2 held, 0 left out"
        house.settled(4 * 3600)  # nine o'clock in Berlin
        assert upstream.recipients == ["ada@example.cn", "bob@example.de", "eve@example.jp"]


def test_a_warm_up_spreads_a_campaign_over_days(tmp_path, upstream):
    people = [f"p{number}@example.org" for number in range(8)]
    with CourierHouse(tmp_path, upstream, policy=held('warm_up = "2/day x1.5"')) as house:
        house.clock.now = datetime(2027, 1, 15, 10, 0, tzinfo=HOME).timestamp()
        assert post(house, NEWS, *people).text[0].split(", ", 1)[1] == "2 delivered, 6 held, 0 left out"
        house.clock.now = datetime(2027, 1, 16, 0, 0, 1, tzinfo=HOME).timestamp()
        house.settled(0)
        assert len(upstream.recipients) == 5
        assert house.whys() == {Why.LIMIT: 3}


def test_a_rule_that_holds_keeps_service_mail_for_a_person(tmp_path, upstream):
    rule = '[[rule]]\nid = "look"\ncheck = "domains"\ndeny = ["example.org"]\naction = "hold"\n'
    policy = {"streams/receipts.toml": [(r"\Z", "\n" + rule.replace("\\", ""))]}
    with CourierHouse(tmp_path, upstream, policy=policy) as house:
        reply = post(house, SHOP, "ada@example.org")
        assert (reply.code, reply.text[0].split(", ", 1)[1]) == (250, "0 delivered, 1 held, 0 left out")
        assert house.whys() == {Why.RULE: 1}
        house.settled(3600)
        assert house.whys() == {Why.RULE: 1}
    assert upstream.recipients == []
