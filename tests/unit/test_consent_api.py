"""The API for sign-up forms: who has the token records, who has not is told nothing, and what is wrong is named."""

import asyncio
import os
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson
import pytest

from relay.config import parse_config
from relay.doors.consent_api import BODY_OCTETS, consent_app, openapi, read_token
from relay.doors.consents import ConsentDesk
from relay.doors.opt_in import MOST_FROM_NETWORK, UNANSWERED_AT_DOMAIN
from relay.errors import ConfigurationError, StoreUnavailable
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import Details, EventKind
from relay.policy.consents.residence import residence_of
from relay.records.consents import MOST_EVENTS, Said, new_event, origin_of
from relay.records.kinds import Kind
from relay.records.search import Query, search
from relay.telemetry import consents_refused_total
from tests.support.clocks import Clock
from tests.support.opt_in import Desk
from tests.support.policies import a_policy
from tests.support.records import KEYS, opened
from tests.support.small import SMALL_CONFIG
from tests.support.stores import START, new_sqlite
from tests.support.web import served

TOKEN = "0123456789abcdef" * 2
SHANGHAI = ZoneInfo("Asia/Shanghai")
ADA, NEWS = "ada@example.org", "marketing:newsletter"
FORM = {"address": ADA, "purpose": NEWS, "evidence": "form on example.com/join"}


class House:
    """The application on a free port, its store and its records."""

    def __init__(self, store, records, web, clock):
        self.store, self.records, self.web, self.clock = store, records, web, clock

    async def post(self, path, body, token=TOKEN, content_type="application/json"):
        octets = body if isinstance(body, bytes) else orjson.dumps(body)
        fields = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await self.web.post(path, octets, content_type, **fields)
        return answer.status, orjson.loads(answer.body)

    def told(self, kind):
        return [entry.record.facts for entry in search(self.records.reader, Query()) if entry.record.kind is kind]


@pytest.fixture
async def house(tmp_path):
    clock = Clock(START)
    store = await new_sqlite(tmp_path, clock)
    with opened(tmp_path / "records.db", clock=clock) as records:
        desk = ConsentDesk(KEYS, records, lambda: store, origin="api", clock=clock, entropy=os.urandom)
        async with served(consent_app(desk, TOKEN, clock, lambda: SHANGHAI)) as web:
            yield House(store, records, web, clock)
    await store.aclose()


async def test_a_sign_up_is_recorded_with_its_proof_and_stands(house):
    proof = {
        "source_ref": "https://example.com/join", "method": "checkbox", "notice_version": "2026-1", "text_sha256": "ab" * 32,
        "statements": ["unticked"], "ip": "192.0.2.9", "at": "2026-11-20T10:00:00+08:00",
    }  # fmt: skip
    status, answer = await house.post("/v1/consents", FORM | proof)
    assert (status, answer["new"], answer["refused_since"]) == (201, True, None)
    ((event,),) = await house.store.consents([KEYS.addresses.digests(ADA)])
    assert (event.id, event.purpose, event.evidence, event.by) == (answer["id"], NEWS, FORM["evidence"], "api")
    assert event.at == datetime(2026, 11, 20, 2, tzinfo=UTC).timestamp()
    assert (event.details.source, event.details.lacking) == ("form", frozenset())
    assert "192.0.2.9" not in event.said
    (facts,) = house.told(Kind.CONSENT)
    assert (facts["consent_id"], facts["lacks"]) == (event.id, [])
    asked = {"address": "ADA@example.ORG", "purpose": NEWS}
    assert await house.post("/v1/consents/check", asked) == (200, {"stands": True, "consent": event.id, "lacks": ""})
    wider = {"address": ADA, "purpose": "marketing"}
    lacks = f"given for {NEWS}, not marketing"
    assert await house.post("/v1/consents/check", wider) == (200, {"stands": False, "consent": None, "lacks": lacks})


async def test_of_a_field_that_is_said_twice_nobody_knows_which_is_meant(house):
    """Parsers take the last one: a withdrawal before a grant was recorded as the grant."""
    twice = b'{"address": "ada@example.org", "purpose": "marketing", "evidence": "x", "event": "withdrawn", "event": "granted"}'
    status, answer = await house.post("/v1/consents", twice)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (422, ["event"])
    assert await house.store.consents([KEYS.addresses.digests(ADA)]) == [()]
    twice = b'{"address": "ada@example.org", "purpose": "marketing", "purpose": "share:Partner"}'
    status, answer = await house.post("/v1/consents/check", twice)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (422, ["purpose"])


async def test_the_same_id_twice_is_one_event(house):
    first, again = [await house.post("/v1/consents", FORM | {"id": "signup-000017"}) for _ in range(2)]
    assert (first[0], again[0], again[1]["new"]) == (201, 200, False)
    assert len(house.told(Kind.CONSENT)) == 1


async def test_a_form_that_calls_grant_and_withdrawal_the_same_is_told_and_loses_nothing_quietly(house):
    """It takes the number of the subscription for an id."""
    before = counted("id_taken")
    name = {"id": "subscription-17"}
    assert (await house.post("/v1/consents", FORM | name))[0] == 201
    changes = ({"event": "withdrawn"}, {"purpose": "share:Partner"}, {"evidence": "other form"}, {"basis": "separate"},
               {"at": "2026-11-20T10:00:00Z"}, {"expires_at": "2031-01-01T00:00:00Z"}, {"statements": ["corporate"]})  # fmt: skip
    for change in changes:
        status, answer = await house.post("/v1/consents", FORM | name | change)
        assert (status, [fault["field"] for fault in answer["faults"]]) == (409, ["id"])
    assert counted("id_taken") == before + len(changes)
    ((event,),) = await house.store.consents([KEYS.addresses.digests(ADA)])
    assert event.event == "granted"
    assert (house.told(Kind.SUPPRESSED), len(house.told(Kind.CONSENT))) == ([], 1)
    assert (await house.post("/v1/consents", FORM | {"id": "withdrawal-17", "event": "withdrawn"}))[0] == 201
    assert (await house.post("/v1/consents", FORM | name | {"address": "bob@example.org"}))[0] == 201


async def test_an_event_that_is_sent_again_without_a_time_is_the_same_until_the_contrary_was_said(house):
    end, asked = FORM | {"id": "withdrawal-1", "event": "withdrawn"}, FORM | {"id": "asked-17", "event": "requested"}
    assert (await house.post("/v1/consents", asked))[0] == 201
    assert [(await house.post("/v1/consents", FORM | {"id": "sign-up-1"}))[0] for _ in range(2)] == [201, 200]
    house.clock.pass_(100)
    assert (await house.post("/v1/consents", FORM | {"id": "sign-up-1"}))[0] == 200
    assert (await house.post("/v1/consents", asked))[0] == 200  # that they agreed is an answer to it, no contrary
    assert [(await house.post("/v1/consents", end))[0] for _ in range(2)] == [201, 200]
    house.clock.pass_(100)
    assert (await house.post("/v1/consents", end))[0] == 200
    assert (await house.post("/v1/consents", FORM | {"id": "sign-up-1"}))[
        0
    ] == 409  # they agree again: that is an event of its own
    assert (await house.post("/v1/consents", FORM | {"id": "sign-up-2"}))[0] == 201
    house.clock.pass_(100)
    assert (await house.post("/v1/consents", end))[0] == 409
    assert (await house.post("/v1/consents", end | {"id": "withdrawal-2"}))[0] == 201
    assert (await house.post("/v1/consents/check", {"address": ADA, "purpose": NEWS}))[1]["stands"] is False


async def test_of_two_events_under_one_id_at_the_same_moment_one_is_told_no(house):
    told = [FORM | {"id": "subscription-17", "event": event} for event in ("granted", "withdrawn")]
    answers = await asyncio.gather(*(house.post("/v1/consents", one) for one in told))
    assert sorted(status for status, _ in answers) == [201, 409]
    assert len((await house.store.consents([KEYS.addresses.digests(ADA)]))[0]) == 1


async def test_a_mailbox_has_so_many_events_and_its_withdrawal_is_always_taken(house):
    """A form on a public page is there for everybody: whoever types the address of a victim fills that ledger alone."""
    told = [Said("requested", NEWS, "explicit", float(n), "form", "api", Details(), {}) for n in range(MOST_EVENTS - 1)]
    await house.store.record_consents([new_event(KEYS, Mailbox.parse(ADA), one, 1.0) for one in told])
    before = counted("too_many")
    assert (await house.post("/v1/consents", FORM | {"id": "sign-up-1"}))[0] == 201
    status, answer = await house.post("/v1/consents", FORM)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (429, ["address"])
    assert counted("too_many") == before + 1
    assert (await house.post("/v1/consents", FORM | {"id": "sign-up-1"}))[0] == 200
    assert (await house.post("/v1/consents", FORM | {"event": "withdrawn"}))[0] == 201
    assert (await house.post("/v1/consents", FORM | {"event": "objected"}))[0] == 201
    assert (await house.post("/v1/consents", FORM))[0] == 429  # ends make no room, and take none
    assert (await house.post("/v1/consents", FORM | {"address": "bob@example.org"}))[0] == 201
    assert len((await house.store.consents([KEYS.addresses.digests(ADA)]))[0]) == MOST_EVENTS + 2


def counted(reason):
    return consents_refused_total.labels(reason)._value.get()


async def test_a_withdrawal_suppresses_and_a_later_consent_lifts_when_asked_to(house):
    at = "2026-11-01T00:00:00Z"
    await house.post("/v1/consents", FORM | {"event": "withdrawn", "at": at})
    assert [facts["origin"] for facts in house.told(Kind.SUPPRESSED)] == ["api"]
    status, kept = await house.post("/v1/consents", FORM)
    assert (status, kept["refused_since"]) == (201, at)
    _, lifted = await house.post("/v1/consents", FORM | {"lift": True})
    assert lifted["refused_since"] is None
    assert await house.store.find([KEYS.addresses.digests(ADA)]) == [()]


async def test_what_stands_is_asked_of_the_organisations_day_as_the_line_asks_it(house):
    """At 16:00 in London the day on which the consent ended is over in Shanghai."""
    await house.post("/v1/consents", FORM | {"expires_at": "2027-01-31T10:00:00+08:00"})
    house.clock.now = datetime(2027, 1, 31, 15, 59, tzinfo=UTC).timestamp()
    assert (await house.post("/v1/consents/check", {"address": ADA, "purpose": NEWS}))[1]["stands"]
    house.clock.now = datetime(2027, 1, 31, 16, 0, tzinfo=UTC).timestamp()
    assert not (await house.post("/v1/consents/check", {"address": ADA, "purpose": NEWS}))[1]["stands"]


async def test_a_withdrawal_from_a_clock_that_is_ahead_counts_from_now(house):
    status, _ = await house.post("/v1/consents", FORM | {"event": "withdrawn", "at": "2099-01-01T00:00:00Z"})
    assert status == 201
    ((event,),) = await house.store.consents([KEYS.addresses.digests(ADA)])
    assert event.at == house.clock()
    assert [facts["origin"] for facts in house.told(Kind.SUPPRESSED)] == ["api"]


@pytest.mark.parametrize("token", [None, "", "wrong" * 8, TOKEN[:-1], TOKEN + "0", "令牌"])
@pytest.mark.parametrize("path", ["/v1/consents", "/v1/consents/check", "/v1/nothing"])
async def test_without_the_token_nothing_is_told(house, token, path):
    status, answer = await house.post(path, FORM, token=token)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (401, ["Authorization"])
    assert await house.store.consents([KEYS.addresses.digests(ADA)]) == [()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"adress": ADA}, "adress"),
        ({"address": "ada"}, "address"),
        ({"address": None}, "address"),
        ({"purpose": "News Letter"}, "purpose"),
        ({"evidence": ""}, "evidence"),
        ({"event": "agreed"}, "event"),
        ({"basis": "because"}, "basis"),
        ({"at": "2026-11-20T10:00:00"}, "at"),  # whose clock?
        ({"at": "2026-11-20T10:00Z"}, "at"),
        ({"at": "1760000000"}, "at"),
        ({"at": 1760000000}, "at"),
        ({"lift": "yes"}, "lift"),
        ({"evidence": 7}, "evidence"),
        ({"at": "2099-01-01T00:00:00Z"}, "at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
        ({"at": "1969-12-31T00:00:00Z"}, "at"),
        ({"relation_at": "2099-01-01T00:00:00Z"}, "relation_at"),
        ({"relation_at": "9999-01-01T00:00:00Z", "basis": "implied_purchase"}, "relation_at"),
        ({"expires_at": "9999-12-31T23:59:59.9999999Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-05:00"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"text_sha256": "abc"}, "text_sha256"),
        ({"statements": ["ticked"]}, "statements.0"),
        ({"id": "x"}, "id"),
        ({"method": "x" * 501}, "method"),
        ({"age_band": "old"}, "age_band"),
        ({"country": "UK"}, "country"),
        ({"country": "kr"}, "country"),
        ({"country": ""}, "country"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_recorded(house, change, field):
    status, answer = await house.post("/v1/consents", FORM | change)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (422, [field])
    assert answer["faults"][0]["text"]
    assert await house.store.consents([KEYS.addresses.digests(ADA)]) == [()]


async def test_bodies_that_are_no_request(house):
    assert (await house.post("/v1/consents", FORM, content_type="text/plain"))[0] == 415
    assert (await house.post("/v1/consents", b"{"))[0] == 422
    assert (await house.post("/v1/consents", b"[" * 5000))[0] == 422
    assert (await house.post("/v1/consents", b" " * (BODY_OCTETS + 1)))[0] == 413
    assert (await house.post("/v1/nothing", FORM))[0] == 404


async def test_a_store_that_is_away_is_503_and_says_no_more(house, monkeypatch):
    async def down(*_):
        raise StoreUnavailable("unreachable", "redis at 10.0.0.7 is down")

    monkeypatch.setattr(house.store, "record_consents", down)
    status, answer = await house.post("/v1/consents", FORM)
    assert status == 503
    assert "10.0.0.7" not in str(answer)


@pytest.fixture
async def asking(tmp_path, clock):
    """The API beside forms that ask to confirm."""
    store = await new_sqlite(tmp_path, clock)
    with opened(tmp_path / "records.db", clock=clock) as records:
        desk = Desk(records, store, clock)
        async with served(consent_app(desk.consents, TOKEN, clock, lambda: SHANGHAI, desk.opt_in)) as web:
            yield House(store, records, web, clock), desk
    await store.aclose()


ASK = {"address": ADA, "form": "newsletter", "language": "en", "ip": "192.0.2.9", "age_band": "adult", "evidence": "at the fair"}


async def test_a_program_asks_by_mail_and_hears_why_when_none_is_sent(asking):
    house, desk = asking
    status, answer = await house.post("/v1/consents/ask", ASK)
    assert (status, answer["sent"], answer["why"]) == (202, True, "")
    (asked,) = await desk.events()
    assert (asked.id, asked.event, asked.by, asked.evidence) == (answer["request"], "requested", "api", "at the fair")
    assert await desk.press(ip="198.51.100.4") == "confirmed"
    confirmed = (await desk.events())[-1]
    assert confirmed.details.age_band == "adult"
    assert origin_of(KEYS, confirmed) == {"ip": "198.51.100.4", "asked_ip": "192.0.2.9"}
    assert (await house.post("/v1/consents/ask", ASK))[1] == {"sent": False, "request": None, "why": "stands"}
    desk.line.reply = (550, "5.1.1")
    status, answer = await house.post("/v1/consents/ask", ASK | {"address": "bob@example.org"})
    assert (status, answer["sent"], answer["why"]) == (202, False, "failed")
    assert (await house.post("/v1/consents/ask", ASK | {"address": "bob@example.org"}))[1]["why"] == "asked"


async def test_a_program_says_where_the_person_is(asking):
    house, desk = asking
    told = FORM | {"address": "bob@example.org", "country": "KR"}
    assert (await house.post("/v1/consents", told))[0] == 201
    assert [event.country for event in await desk.events("bob@example.org")] == ["KR"]
    assert (await house.post("/v1/consents/ask", ASK | {"country": "DE"}))[0] == 202
    assert residence_of(await desk.events()) is None, "anybody can ask"
    assert await desk.press() == "confirmed"
    found = residence_of(await desk.events())
    assert found is not None
    assert found.countries == {"DE"}
    status, answer = await house.post("/v1/consents/ask", ASK | {"country": "Germany"})
    assert (status, [fault["field"] for fault in answer["faults"]]) == (422, ["country"])
    codes = openapi()["components"]["schemas"]["ConsentRequest"]["properties"]["country"]["anyOf"][0]["enum"]
    assert (codes, len(codes)) == (sorted(codes), 249)


async def test_a_program_is_told_which_form_or_network_it_was(asking):
    house, desk = asking
    status, answer = await house.post("/v1/consents/ask", ASK | {"form": "other"})
    assert (status, [fault["field"] for fault in answer["faults"]]) == (404, ["form"])
    for number in range(MOST_FROM_NETWORK):
        assert (await house.post("/v1/consents/ask", ASK | {"address": f"a{number}@example.org"}))[0] == 202
    status, answer = await house.post("/v1/consents/ask", ASK)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (429, ["ip"])
    desk.policy = a_policy(changes={"streams/receipts.toml": ('purpose = "service"', 'purpose = "marketing"')})
    assert (await house.post("/v1/consents/ask", ASK | {"ip": "192.0.3.1"}))[0] == 503
    assert len(desk.line.mails) == MOST_FROM_NETWORK


async def test_a_program_is_told_that_nobody_answers_at_the_domain(asking):
    house, desk = asking
    for number in range(UNANSWERED_AT_DOMAIN):
        one = {"address": f"a{number}@example.org", "ip": f"198.51.{number}.1"}
        assert (await house.post("/v1/consents/ask", ASK | one))[1]["sent"] is True
    status, answer = await house.post("/v1/consents/ask", ASK | {"address": "b@example.org", "ip": "203.0.113.1"})
    assert (status, [fault["field"] for fault in answer["faults"]]) == (429, ["address"])
    assert len(desk.line.mails) == UNANSWERED_AT_DOMAIN


async def test_without_a_form_nobody_can_be_asked(house):
    status, answer = await house.post("/v1/consents/ask", ASK)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (404, ["form"])


async def test_the_document_describes_what_is_there(house):
    answer = await house.web.get("/v1/openapi.json")
    document = orjson.loads(answer.body)
    assert (answer.status, document) == (200, orjson.loads(orjson.dumps(openapi())))
    schemas = document["components"]["schemas"]
    assert schemas["ConsentRequest"]["additionalProperties"] is False
    assert schemas["ConsentRequest"]["required"] == ["address", "purpose", "evidence"]
    assert set(schemas["EventKind"]["enum"]) == set(EventKind)
    assert set(document["paths"]) == {"/v1/consents", "/v1/consents/ask", "/v1/consents/check"}
    refs = [part.partition('"')[0] for part in orjson.dumps(document).decode().split('"#/components/schemas/')[1:]]
    assert refs
    assert set(refs) <= set(schemas)


@pytest.mark.parametrize("octets", [b"", b"short\n", "令牌".encode() * 16, b"x" * 600])
def test_a_token_must_be_one_that_nobody_guesses(tmp_path, octets):
    config = _config(tmp_path, octets)
    with pytest.raises(ConfigurationError, match="openssl rand"):
        read_token(config)
    (tmp_path / "token").write_bytes(TOKEN.encode() + b"\n")
    assert read_token(config) == TOKEN
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_token(config)


def _config(folder, octets):
    (folder / "token").write_bytes(octets)
    (folder / "token").chmod(0o600)
    more = '[consents]\naddress = "127.0.0.1:0"\ntoken_file = "token"\n'
    return parse_config((SMALL_CONFIG + more).encode(), "config.toml", folder)
