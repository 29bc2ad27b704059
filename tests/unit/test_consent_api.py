"""The API for sign-up forms: who has the token records, who has not is told nothing, and what is wrong is named."""

import os
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.config import parse_config
from relay.doors.consent_api import BODY_OCTETS, consent_app, openapi, read_token
from relay.doors.consents import ConsentDesk
from relay.errors import ConfigurationError, StoreUnavailable
from relay.policy.consent import EventKind
from relay.records.kinds import Kind
from relay.records.search import Query, search
from tests.support.clocks import Clock
from tests.support.records import KEYS, opened
from tests.support.small import SMALL_CONFIG
from tests.support.stores import START, new_sqlite
from tests.support.web import served

TOKEN = "0123456789abcdef" * 2
ADA, NEWS = "ada@example.org", "marketing:newsletter"
FORM = {"address": ADA, "purpose": NEWS, "evidence": "form on example.com/join"}


class House:
    """The application on a free port, its store and its records."""

    def __init__(self, store, records, web):
        self.store, self.records, self.web = store, records, web

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
        async with served(consent_app(desk, TOKEN, clock)) as web:
            yield House(store, records, web)
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


async def test_the_same_id_twice_is_one_event(house):
    first, again = [await house.post("/v1/consents", FORM | {"id": "signup-000017"}) for _ in range(2)]
    assert (first[0], again[0], again[1]["new"]) == (201, 200, False)
    assert len(house.told(Kind.CONSENT)) == 1


async def test_a_withdrawal_suppresses_and_a_later_consent_lifts_when_asked_to(house):
    at = "2026-11-01T00:00:00Z"
    await house.post("/v1/consents", FORM | {"event": "withdrawn", "at": at})
    assert [facts["origin"] for facts in house.told(Kind.SUPPRESSED)] == ["api"]
    status, kept = await house.post("/v1/consents", FORM)
    assert (status, kept["refused_since"]) == (201, at)
    _, lifted = await house.post("/v1/consents", FORM | {"lift": True})
    assert lifted["refused_since"] is None
    assert await house.store.find([KEYS.addresses.digests(ADA)]) == [()]


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
        ({"at": "2099-01-01T00:00:00Z"}, "at"),
        ({"text_sha256": "abc"}, "text_sha256"),
        ({"statements": ["ticked"]}, "statements.0"),
        ({"id": "x"}, "id"),
        ({"method": "x" * 501}, "method"),
        ({"age_band": "old"}, "age_band"),
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


async def test_the_document_describes_what_is_there(house):
    answer = await house.web.get("/v1/openapi.json")
    document = orjson.loads(answer.body)
    assert (answer.status, document) == (200, orjson.loads(orjson.dumps(openapi())))
    schemas = document["components"]["schemas"]
    assert schemas["ConsentRequest"]["additionalProperties"] is False
    assert schemas["ConsentRequest"]["required"] == ["address", "purpose", "evidence"]
    assert set(schemas["EventKind"]["enum"]) == set(EventKind)
    assert set(document["paths"]) == {"/v1/consents", "/v1/consents/check"}
    refs = [part.partition('"')[0] for part in orjson.dumps(document).decode().split('"#/components/schemas/')[1:]]
    assert refs
    assert set(refs) <= set(schemas)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40) | st.sampled_from([ADA, NEWS, "granted", "withdrawn", "2026-01-01T00:00:00Z", "unticked", "form"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_FIELDS = sorted(openapi()["components"]["schemas"]["ConsentRequest"]["properties"])
_BODIES = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=8).map(lambda one: FORM | one) | _VALUES


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_BODIES, path=st.sampled_from(["/v1/consents", "/v1/consents/check"]))
async def test_whatever_comes_the_answer_is_one_that_the_document_names(house, body, path):
    try:
        octets = orjson.dumps(body)
    except TypeError:  # integers beyond 64 bits
        octets = repr(body).encode("utf-8", "replace")
    status, answer = await house.post(path, octets)
    described = openapi()["paths"][path]["post"]["responses"]
    assert str(status) in described
    assert status < 500, answer
    name = described[str(status)]["description"]
    assert set(answer) == set(openapi()["components"]["schemas"][name]["properties"])


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
