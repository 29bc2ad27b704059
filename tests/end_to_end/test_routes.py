"""More than one way upstream, and providers that do not take every mail: who gets it by which way, who reads why not."""

from email import message_from_bytes
from email.policy import default

import pytest
from prometheus_client import REGISTRY

from relay.errors import StoreUnavailable
from relay.ids import is_id
from relay.records.explanations import explain_record
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.service import NEWS, OFFICE, SHOP, message
from tests.support.upstream import EXTENSIONS, RecordingUpstream

ROBOT = "robot@example.com"
SIGNED = (
    b"From: office@example.com\r\nTo: ada@example.org\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"; micalg=pgp-sha256\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\xbd\xa0\r\n"
    b"--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
)
NOBODY = "127.0.0.1:1"


def table(name, address, provider="generic", auth="none"):
    return f'[[upstream]]\nname = "{name}"\nprovider = "{provider}"\naddresses = ["{address}"]\ntls = "none"\nauth = "{auth}"\n'


def going_by(*names):
    """Correspondence and service mail take these ways, in this order."""
    listed = ", ".join(f'"{name}"' for name in names)
    return {
        f"streams/{stream}.toml": [(r"upstream = \[\]", f"upstream = [{listed}]")] for stream in ("correspondence", "receipts")
    }


upstream = an_upstream()


def explained(house, reply):
    """What the page says that the reply names: the reasons of its first fate."""
    submission_id = reply.text[1].rpartition("/r/")[2]
    assert is_id(submission_id), reply
    line = house.line
    found = explain_record(line.config.data_path / "records.db", line.keys, submission_id, line._clock())
    assert found is not None
    reasons = found.fates[0].reasons
    assert all(reason.text["zh"] and reason.fix["zh"] and reason.fix["en"] for reason in reasons)
    assert found.fates[0].upstream_text == ""
    return [(reason.rule, reason.text["en"]) for reason in reasons]


# Failover -------------------------------------------------------------------------------------------------------------


def test_a_copy_fits_every_provider_that_may_carry_it(tmp_path, upstream):
    ways = table("first", NOBODY) + table("second", upstream.address, "netease")
    with LineHouse(tmp_path, upstream, upstreams=ways, policy=going_by("first", "second")) as house:
        assert house.send(SHOP, [f"{n}@example.org" for n in range(110)], message("all@example.org", SHOP)).code == 250
    assert sorted(len(delivery.recipients) for delivery in upstream.deliveries) == [36, 37, 37]


@pytest.mark.parametrize(
    ("second", "code"), [("generic", 250), ("netease", 554), ("unreachable", 451)], ids=["takes it", "neither", "out of reach"]
)
def test_what_one_provider_cannot_carry_the_next_may(tmp_path, upstream, second, code):
    ways = table("first", upstream.address, "netease")
    ways += table("second", NOBODY) if second == "unreachable" else table("second", upstream.address, second)
    with LineHouse(tmp_path, upstream, upstreams=ways, policy=going_by("first", "second")) as house:
        reply = house.send(OFFICE, ["ada@example.org"], SIGNED)
        assert reply.code == code
        if code == 554:
            assert reply.status == "5.6.3"
            assert [rule for rule, _ in explained(house, reply)] == ["base/encoding"]
    assert [delivery.recipients for delivery in upstream.deliveries] == ([["ada@example.org"]] if code == 250 else [])


class Deaf:
    """The store of a house whose first answer to `finish` gets lost on its way; it did what it was asked."""

    def __init__(self, store):
        self._store = store
        self.told = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def finish(self, key, settlements):
        await self._store.finish(key, settlements)
        self.told.append(list(settlements))
        if len(self.told) == 1:
            raise StoreUnavailable("timeout", "no answer came")


def test_no_other_way_is_tried_when_the_store_may_not_know_how_the_first_ended(tmp_path, upstream):
    """What is told again later would take the second way's claim away, and a resend could leave beside it."""
    with RecordingUpstream() as busy:
        busy.fault("MAIL", "421 4.3.2 busy", close=True)
        ways = table("first", busy.address) + table("second", upstream.address)
        with LineHouse(tmp_path, upstream, upstreams=ways, policy=going_by("first", "second")) as house:
            deaf = house.line.dispatcher.clearing.store = Deaf(house.line.store)
            mail = message("ada@example.org", OFFICE)
            assert house.send(OFFICE, ["ada@example.org"], mail).code == 451
            assert upstream.deliveries == []
            assert house.send(OFFICE, ["ada@example.org"], mail).code == 250
            busy.wait(lambda: deaf.told.count(deaf.told[0]) == 2)  # the settlement of the first try, told again
            assert len(upstream.deliveries) == 1


def test_who_needs_smtputf8_is_refused_alone_and_named_with_a_remedy(tmp_path):
    plain = tuple(extension for extension in EXTENSIONS if extension != "SMTPUTF8")
    with RecordingUpstream(extensions=plain) as upstream, LineHouse(tmp_path, upstream) as house:
        everybody = ["ada@example.org", "用户@example.org", "bob@example.org"]
        assert house.send(OFFICE, everybody, message("all@example.org", OFFICE), smtputf8=True).code == 250
        copy, report = upstream.deliveries
        assert copy.recipients == ["ada@example.org", "bob@example.org"]
        assert report.recipients == [OFFICE]
        told = next(message_from_bytes(report.data, policy=default).iter_parts()).get_content()
        assert "[base/smtputf8]" in told
        assert "请改用纯英文的邮箱地址" in told
        assert "Use an ASCII address" in told
        refused = house.send(OFFICE, everybody[1:2], message("all@example.org", OFFICE), smtputf8=True)
        assert refused.lines()[0].startswith("553-5.6.7 [base/smtputf8] ")  # now it is known, so RCPT says it
        assert [rule for rule, _ in explained(house, refused)] == ["base/smtputf8"]


# Senders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path):
    """A house whose relay holds the account of NEWS at two upstreams, and a robot that owns the domain."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    robots = [('identities = ."news@example.com".', f'identities = ["{ROBOT}"]')]
    houses = []

    def make(upstream, provider="generic", account=True):
        extra = f'[[account]]\nidentity = "{NEWS}"\nupstream = "up"\npassword_file = "{password}"\n' if account else ""
        way = table("up", upstream.address, provider, "account")
        house = LineHouse(tmp_path / "house", upstream, upstreams=way, extra=extra, policy={"streams/newsletter.toml": robots})
        houses.append(house)
        return house.__enter__()

    yield make
    for house in houses:
        house.__exit__()


@pytest.fixture
def closed():
    with RecordingUpstream(accounts={NEWS: "secret"}) as upstream:
        yield upstream


def test_a_null_reverse_path_leaves_by_the_account_of_the_author(held, closed):
    house = held(closed)
    assert house.send(ROBOT, ["ada@example.org"], message(), sender="").code == 250
    (delivery,) = closed.deliveries
    assert (delivery.identity, delivery.reverse_path) == (NEWS, "")
    reply = house.send(ROBOT, ["ada@example.org"], message(sender=OFFICE), sender="")
    assert (reply.code, reply.rule) == (451, "account")
    assert explained(house, reply) == [("account", "The relay has no account at the upstream server for this sender")]


@pytest.mark.parametrize("sender", ["", OFFICE])
def test_that_nobody_can_log_in_is_said_at_mail(held, closed, sender):
    house = held(closed, account=False)
    reply = house.run(house.begin(ROBOT, ["ada@example.org"], sender=sender))
    assert (reply.code, reply.rule) == (451, "account")
    assert [rule for rule, _ in explained(house, reply)] == ["account"]


def test_a_provider_that_knows_its_own_login_only(held, closed):
    house = held(closed, "netease")
    null = house.run(house.begin(ROBOT, ["ada@example.org"], sender=""))
    assert (null.code, null.status, null.rule) == (553, "5.7.1", "base/null-reverse-path")
    assert [rule for rule, _ in explained(house, null)] == ["base/null-reverse-path"]
    other = house.send(ROBOT, ["ada@example.org"], message(sender=OFFICE), sender=NEWS)
    assert (other.code, other.status, other.rule) == (550, "5.7.1", "base/login-only")
    assert [rule for rule, _ in explained(house, other)] == ["base/login-only"]
    assert closed.deliveries == []
    assert house.send(ROBOT, ["ada@example.org"], message(sender=NEWS), sender=NEWS).code == 250


@pytest.mark.parametrize(
    ("login", "sender", "rule"), [(NEWS, "boss@example.net", "base/ownership"), ("x@example.com", "x@example.com", "stream")]
)
def test_who_is_refused_at_mail_finds_rule_and_remedy(tmp_path, upstream, login, sender, rule):
    with LineHouse(tmp_path, upstream) as house:
        reply = house.run(house.begin(login, ["ada@example.org"], sender=sender))
        assert (reply.code // 100, reply.rule) == (5, rule)
        assert [found for found, _ in explained(house, reply)] == [rule]


# Octets and time ------------------------------------------------------------------------------------------------------


BOUNDS = '[smtp]\nmax_header_fields = 20\nmax_header_size = "2KiB"\nmax_received = 3\nmax_line_length = 998\n'


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ("header_fields", message(extra="X-A: b\r\n" * 20)),
        ("header_size", message(extra=f"X-A: {'b' * 900}\r\n" * 3)),
        ("received", message(extra="Received: from a by b; Mon, 1 Jan 2026 00:00:00 +0000\r\n" * 4)),
        ("line_length", message(body="x" * 999 + "\r\n")),
    ],
)
def test_a_bound_of_the_message_has_a_reply_a_page_and_a_metric(tmp_path, upstream, limit, data):
    def count():
        return REGISTRY.get_sample_value("relay_refused_by_limit_total", {"limit": limit}) or 0.0

    before = count()
    with LineHouse(tmp_path, upstream, extra=BOUNDS) as house:
        reply = house.send(NEWS, ["ada@example.org"], data)
        assert reply.code == 554
        assert [rule for rule, _ in explained(house, reply)] == [reply.rule]
    assert count() == before + 1


def test_the_report_takes_what_time_the_copies_have_left(tmp_path, upstream, monkeypatch):
    upstream.fault("RCPT", "550 5.1.1 gone", matching="bob@")
    with LineHouse(tmp_path, upstream) as house:
        ends = []
        carry, send = house.line.dispatcher.carry, house.line.dispatcher.send

        async def sent(consignment, recipients):
            ends.append((consignment.end, consignment.end - consignment.deadline))
            return await send(consignment, recipients)

        async def carried(consignment, *rest):
            ends.append((consignment.end, consignment.end - consignment.deadline))
            return await carry(consignment, *rest)

        monkeypatch.setattr(house.line.dispatcher, "send", sent)
        monkeypatch.setattr(house.line.dispatcher, "carry", carried)
        assert house.send(OFFICE, ["ada@example.org", "bob@example.org"], message(sender=OFFICE)).code == 250
        (copies_end, past_dot), (report_end, left) = ends
        assert past_dot == pytest.approx(house.line.config.delivery.past_dot)
        assert report_end == copies_end
        assert 0 < left < (house.line.config.delivery.patience + past_dot) / 2 + 0.001
