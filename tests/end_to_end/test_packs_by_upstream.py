"""A pack that applies by the upstream's country binds what may leave by a server there, and nothing else.

The real line with two upstreams: `home`, whose provider is in CN, and `abroad`, of which nothing says where it is
unless its table does.  Explain foretells what the line does.
"""

import json

import pytest

from relay.explain import explain
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import CLIENT, LineHouse
from tests.support.service import NEWS, OFFICE, SHOP, message

ADA, BLOCKED = "ada@example.org", "zoe@blocked.example"
PACK = """[pack]
version = "1"
[applies]
any = [{ upstream = "CN" }]
[[rule]]
id = "words"
check = "subject-words"
words = ["lottery"]
[[rule]]
id = "nobody-there"
check = "domains"
deny = ["blocked.example"]
[[duty]]
id = "plain"
do = "remove-fields"
fields = ["X-Mailer"]
"""
LOTTERY = message(ADA, SHOP, subject="Lottery")
MAILER = message(ADA, SHOP, extra="X-Mailer: Foxmail\r\n")


def table(name, address, provider, more=""):
    head = f'[[upstream]]\nname = "{name}"\nprovider = "{provider}"\naddresses = ["{address}"]\n'
    return f'{head}tls = "none"\nauth = "none"\n{more}\n'


upstream = an_upstream()


@pytest.fixture
def make(tmp_path, upstream):
    """A house whose service mail takes `ways`, whatever else leaves at home; every stream uses the pack."""
    houses = []

    def build(*ways, where=""):
        tables = table("abroad", upstream.address, "generic", where) + table("home", upstream.address, "netease")
        streams = {"receipts": ways, "correspondence": ["home"], "newsletter": ["home"]}
        policy = {
            f"streams/{stream}.toml": [
                (r'(?m)^packs = \["base"', 'packs = ["base", "host"'),
                (r"upstream = \[\]", f"upstream = {json.dumps(names)}"),
            ]
            for stream, names in streams.items()
        }
        house = LineHouse(tmp_path / "house", upstream, upstreams=tables, policy=policy)
        house.relay.write_policy("packs/host.toml", PACK)
        houses.append(house)
        return house.__enter__()

    yield build
    for house in houses:
        house.__exit__()


def foretold(house, login, recipient, data):
    """The action, and what explain says of each of the pack's rules."""

    async def ask():
        submission = await house.begin(login, [recipient], admitted_only=False)
        stream = house.line.take_sender(submission.identity, CLIENT.listener, submission.reverse_path)
        return await explain(house.line, submission, house.line.reader.parse(data), stream)

    (one,) = house.run(ask())
    return one, {asked.rule: asked.why for asked in one.ruling.asked if asked.rule.startswith("host/")}


ASKED = {"host/words": "asked", "host/nobody-there": "asked"}
LEFT_OUT = dict.fromkeys(ASKED, "does not apply: only upstream servers in CN")


@pytest.mark.parametrize(
    ("ways", "where", "countries"),
    [
        (["abroad"], "", ["ZZ"]),  # nobody said where
        (["abroad"], 'country = "SG"', ["SG"]),
        (["home"], "", ["CN"]),
        (["abroad", "home"], "", ["CN", "ZZ"]),  # it leaves abroad, and may fail over
        (["abroad"], 'country = "CN"', ["CN"]),
    ],
)
def test_a_pack_binds_what_may_leave_by_a_server_in_its_country(make, upstream, ways, where, countries):
    house, binds = make(*ways, where=where), "CN" in countries
    for data, objects in ((LOTTERY, True), (MAILER, False)):
        one, rules = foretold(house, SHOP, ADA, data)
        assert rules == (ASKED if binds else LEFT_OUT)
        reply = house.send(SHOP, [ADA], data)
        assert reply.code == (550 if binds and objects else 250)
        assert (one.reply.rule if one.reply else "") == reply.rule == ("host/words" if binds and objects else "")
        written = records(house.relay, kind="received")[-1]
        assert written["upstream_countries"] == countries
        assert [ruling["action"] for ruling in written["rulings"]] == [one.ruling.action.word]
    delivered = upstream.accepted[-1].data
    assert (b"X-Mailer" in delivered) is not binds
    assert (b"X-Mailer" in one.copy.header) is not binds
    assert len(upstream.accepted) == (1 if binds else 2)


def test_streams_of_one_set_are_bound_by_their_own_ways(make, upstream):
    house = make("abroad")
    for login, code in ((NEWS, 550), (SHOP, 250)):
        data = message(ADA, login, subject="Lottery")
        one, rules = foretold(house, login, ADA, data)
        assert (rules, house.send(login, [ADA], data).code) == (LEFT_OUT if code == 250 else ASKED, code)
        assert (one.copy is not None) is (code == 250)
    assert [delivery.reverse_path for delivery in upstream.accepted] == [SHOP]


@pytest.mark.parametrize(("login", "code"), [(SHOP, 250), (OFFICE, 550)])
def test_what_needs_no_message_is_said_at_rcpt(make, login, code):
    house = make("abroad")
    one, _ = foretold(house, login, BLOCKED, message(BLOCKED, login))
    reply = house.run(house.begin(login, [BLOCKED]))
    assert getattr(reply, "code", 250) == code
    assert (one.reply is None) is (code == 250)
    if code == 550:
        assert reply.rule == one.reply.rule == "host/nobody-there"
        assert records(house.relay, kind="refused")[-1]["rule"] == "host/nobody-there"
