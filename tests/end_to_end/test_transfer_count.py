"""How many persons' data leave the country in a year is counted where copies leave, and what explain foretells is what happens.

The real line with two upstreams: `abroad` in SG, `home` in CN.  The ground is for fewer than eleven persons here.
"""

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from relay.explain import explain, foretell
from relay.policy.cases.transfers import Transferred
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import CLIENT, LineHouse
from tests.support.service import SHOP, message

RULE = "receipts/few-abroad"
COUNTING = """
[[rule]]
id = "few-abroad"
check = "transfer-count"
from_countries = ["CN"]
bases = ["exempt"]
below = { exempt = 11 }
below_sensitive = { exempt = 1 }
action = "reject"
"""
GROUND = """
[[transfer]]
to = ["SG"]
basis = "exempt"
reference = "2026-0017"
until = 2099-12-31
"""

upstream = an_upstream()


def table(name, address, country):
    return f'[[upstream]]\nname = "{name}"\naddresses = ["{address}"]\ntls = "none"\nauth = "none"\ncountry = "{country}"\n\n'


@pytest.fixture
def make(tmp_path, upstream):
    houses = []

    def build(way="abroad", ground=GROUND, rule=COUNTING, streams=(), **options):
        receipts = [(r"upstream = \[\]", f'upstream = ["{way}"]'), (r"\Z", lambda _: rule), *streams]
        policy = {"streams/receipts.toml": receipts, "organisation.toml": [(r"\Z", lambda _: ground)]}
        tables = table("home", upstream.address, "CN") + table("abroad", upstream.address, "SG")
        house = LineHouse(tmp_path / "house", upstream, upstreams=tables, policy=policy, **options)
        houses.append(house)
        return house.__enter__()

    yield build
    for house in houses:
        house.__exit__()


def persons(first, last):
    return [f"person{number}@example.org" for number in range(first, last + 1)]


def counted(house):
    return house.run(house.line.store.transfer_years())


def this_year(ordinary=0, sensitive=0):
    return [Transferred(datetime.now(ZoneInfo("Asia/Shanghai")).year, ordinary, sensitive)]


def foretold(house, recipients):
    """What explain and the dry run say; they say the same."""

    async def ask():
        submission = await house.begin(SHOP, recipients, admitted_only=False)
        stream = house.line.take_sender(submission.identity, CLIENT.listener, submission.reverse_path)
        mail = house.line.reader.parse(message(recipients[0], SHOP))
        long = await explain(house.line, submission, mail, stream)
        return long, await foretell(house.line, submission, mail, stream)

    explained, tried = house.run(ask())
    assert [one.ruling for one in explained] == [one.ruling for one in tried]
    return {one.ruling.recipient.mailbox.wire: one.rule for one in explained}


def send(house, recipients, number=0):
    return house.send(SHOP, recipients, message(recipients[0], SHOP, subject=f"Receipt {number}"))


def outcomes(house):
    """The rule that stopped each recipient, "" of those who got the mail, by the records."""
    return {
        record["people"][one["person"]]: one["rule"]
        for record in records(house.relay, kind="finished")
        for one in record["outcomes"]
    }


def test_the_last_person_leaves_and_nobody_after_them(make, upstream):
    house = make()
    assert send(house, persons(1, 10)).code == 250
    assert counted(house) == this_year(10)
    assert foretold(house, persons(10, 11)) == {"person10@example.org": "", "person11@example.org": RULE}
    refused = send(house, persons(11, 11), 1)
    assert (refused.code, refused.rule) == (550, RULE)
    assert "Too many persons' data left the country this year" in str(refused)
    assert send(house, persons(10, 10), 2).code == 250  # was counted before
    assert counted(house) == this_year(10)
    assert [len(mail.recipients) for mail in upstream.accepted] == [10, 1]


def test_in_one_message_the_last_places_go_to_as_many(make, upstream):
    house = make()
    assert send(house, persons(1, 8)).code == 250
    assert set(foretold(house, persons(9, 12)).values()) == {""}  # each of them alone may leave
    send(house, persons(9, 12), 1)
    rules = outcomes(house)
    assert sorted(rules[who] for who in persons(9, 12)) == ["", "", RULE, RULE]
    assert counted(house) == this_year(10)


def test_explain_the_dry_run_and_the_line_agree_at_every_step(make):
    """Mails to one of sixteen people, by chance: what is foretold is what becomes of them."""
    house, chance = make(), random.Random(20261122)
    known: set[str] = set()
    for number in range(40):
        (who,) = persons(*[chance.randint(1, 16)] * 2)
        said = foretold(house, [who])[who]
        reply = send(house, [who], number)
        assert (reply.code, reply.rule) == ((250, "") if not said else (550, RULE))
        assert bool(said) == (who not in known and len(known) == 10)
        known |= set() if said else {who}
        assert counted(house) == this_year(len(known))
    assert len(known) == 10


def test_it_is_written_down_once_when_four_fifths_and_when_all_is_reached(make):
    house = make()
    for number in range(1, 12):
        send(house, persons(number, number), number)
        send(house, persons(number, number), -number)  # who was counted says it no second time
    said = [(one["persons"], one["share"], one["below"], one["basis"]) for one in records(house.relay, kind="threshold")]
    assert said == [(9, "80 %", 11, "exempt"), (10, "100 %", 11, "exempt")]


def test_mail_by_a_server_at_home_counts_nobody(make):
    house = make("home")
    assert send(house, persons(1, 12)).code == 250
    assert counted(house) == []


def test_what_is_necessary_counts_nobody(make):
    house = make(ground=GROUND.replace('"exempt"', '"exempt-necessary"'), rule=COUNTING + 'uncounted = ["exempt-necessary"]\n')
    assert send(house, persons(1, 12)).code == 250
    assert counted(house) == []


def test_who_left_otherwise_takes_places(make):
    year = datetime.now(ZoneInfo("Asia/Shanghai")).year
    house = make(ground=f"{GROUND}\n[[transferred]]\nyear = {year}\nordinary = 8\n")
    assert send(house, persons(1, 2)).code == 250
    assert foretold(house, persons(3, 3)) == {"person3@example.org": RULE}
    assert send(house, persons(3, 3), 1).code == 550
    assert counted(house) == this_year(2)


def test_a_stream_with_sensitive_data_counts_apart(make):
    rule = COUNTING.replace("below_sensitive = { exempt = 1 }", "below_sensitive = { exempt = 3 }")
    house = make(rule=rule, streams=[(r"(?m)^mode = ", "sensitive = true\nmode = ")])
    assert send(house, persons(1, 2)).code == 250
    assert counted(house) == this_year(0, 2)
    assert send(house, persons(3, 3), 1).code == 550


def test_a_rule_that_only_observes_counts_and_stops_nobody(make):
    house = make(streams=[(r'mode = "enforce"', 'mode = "shadow"')])
    assert send(house, persons(1, 12)).code == 250
    assert send(house, persons(13, 13), 1).code == 250
    assert counted(house) == this_year(13)
    (record,) = (one for one in records(house.relay, kind="received") if "person13@example.org" in one["people"])
    (objection,) = record["rulings"][0]["objections"]
    assert (objection["rule"], objection["observed"], objection["detail"]) == (
        RULE,
        "shadow",
        "12 persons this year, exempt is for fewer than 11",
    )


def test_a_rule_that_defers_lets_the_client_come_back(make):
    house = make(rule=COUNTING.replace('"reject"', '"defer"'))
    assert send(house, persons(1, 10)).code == 250
    assert send(house, persons(11, 11), 1).code == 451


def test_a_new_year_begins_at_nobody_where_the_organisation_is(make):
    zone = ZoneInfo("Asia/Shanghai")
    now = [datetime(2026, 12, 31, 23, 59, tzinfo=zone).timestamp()]
    house = make(clock=lambda: now[0])
    assert send(house, persons(1, 10)).code == 250
    assert send(house, persons(11, 11), 1).code == 550
    now[0] += 120
    assert send(house, persons(11, 11), 2).code == 250
    assert counted(house) == [Transferred(2026, 10), Transferred(2027, 1)]


def test_relay_transfers_says_where_the_counts_stand(make):
    house = make()
    assert send(house, persons(1, 9)).code == 250
    said = house.relay.command("transfers").stdout
    assert "ordinary data of 9 persons left the country" in said
    assert "exempt (SG, ordinary data): fewer than 11, 1 left" in said
    checked = house.relay.command("check").stdout
    assert "the ground exempt is for fewer than 11, so 1 more may be written to by servers abroad" in checked
    assert "exempt（SG，一般个人信息）：须少于 11 人，还可 1 人" in house.relay.command("transfers", lang="zh").stdout
