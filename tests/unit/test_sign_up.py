"""The public door of double opt-in: what it answers to a form, to a scanner, to strangers who come too often."""

import asyncio
import os
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.config import Http
from relay.doors.http import BODY_OCTETS, public_app
from relay.doors.opt_in import MOST_FROM_NETWORK
from relay.doors.pace import HOUR, Pace
from relay.doors.refusals import Refusals
from relay.doors.sign_up import client_address, sign_up_routes
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.telemetry import consent_requests_total
from tests.support.opt_in import ADA, WORDS, Desk
from tests.support.policies import a_policy
from tests.support.records import KEYS, has_all_keys, opened
from tests.support.stores import new_sqlite
from tests.support.waiting import until
from tests.support.web import Web, served

FORM, PRESS = "/u/sign-up/newsletter", {"confirm": "yes", "lang": "en"}
TRUSTED = Http().forwarded_from


class Door(Desk):
    """The door on a free port, before a desk."""

    web: Web

    async def post(self, path, fields, **head):
        return await self.web.post(path, urlencode(fields).encode(), **head)

    async def sign_up(self, address=ADA, path=FORM, **head):
        """Post the form, and wait until whatever follows from it is done."""
        answer = await self.post(path, {"email": address, "lang": "en"}, **head)
        while any(task.get_name() == "sign-up" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
        return answer

    @property
    def link(self):
        return f"/u/confirm/{self.line.token()}"


@pytest.fixture
async def door(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    with opened(tmp_path / "records.db", clock=clock) as records:
        door = Door(records, store, clock)
        refusals = Refusals(KEYS, records, lambda: store, lambda: door.policy, has_all_keys, clock=clock, entropy=os.urandom)
        async with served(public_app(refusals, sign_up_routes(door.opt_in, TRUSTED))) as door.web:
            yield door
    await store.aclose()


async def test_the_form_is_shown_with_its_words_and_posted_as_a_browser_does(door):
    for reader in ("zh", "en"):
        page = await door.web.get(f"{FORM}?lang={reader}")
        assert (page.status, WORDS[reader] in page.body) == (200, True)
        assert "form-action 'self'" in page.head["content-security-policy"]
    answer = await door.sign_up()
    assert (answer.status, "Look into your mailbox" in answer.body) == (200, True)
    assert "set-cookie" not in answer.head
    assert [recipient for _, recipient, _ in door.line.mails] == [ADA]


async def test_the_answer_tells_nothing_of_the_mailbox(door):
    new = await door.sign_up()
    asked = await door.sign_up()
    await door.post(door.link, PRESS)
    stands = await door.sign_up()
    assert new.body == asked.body == stands.body
    assert len(door.line.mails) == 1


async def test_only_the_button_confirms(door):
    await door.sign_up()
    link = door.link
    for method in ("GET", "HEAD"):
        shown = await door.web.ask(method, link)
        assert shown.status == 200
    assert "我同意，确认登记" in (await door.web.get(link)).body
    assert ADA not in shown.body
    assert (await door.web.ask("PUT", link)).status == 405
    for fields in ({}, {"confirm": "no"}, {"List-Unsubscribe": "One-Click"}):
        answer = await door.post(link, fields)
        assert answer.status == 400
        assert "confirm=yes" in answer.body
    assert [event.event for event in await door.events()] == ["requested"]
    pressed = await door.post(link, PRESS)
    assert (pressed.status, "Confirmed" in pressed.body, WORDS["en"] in pressed.body) == (200, True, True)
    assert [event.event for event in await door.events()] == ["requested", "confirmed"]
    assert "已确认" in (await door.web.get(link)).body


async def test_an_expired_link_says_so_and_a_foreign_one_is_unknown(door):
    await door.sign_up()
    link = door.link
    door.clock.pass_(8 * 86400)
    for answer in (await door.web.get(link), await door.post(link, PRESS)):
        assert (answer.status, "链接已过期" in answer.body) == (410, True)
    for path in ("/u/confirm/abc", link[:-1], f"{link}A"):
        for answer in (await door.web.get(path), await door.post(path, PRESS)):
            assert (answer.status, "链接无效" in answer.body) == (404, True)


@pytest.mark.parametrize(
    "typed", ["", "ada", "ada@", "<script>@x", "ada@example.org, bob@example.org", "a@b.example\r\nBcc: c@d"]
)
async def test_what_is_no_address_is_said_and_shown_again_harmlessly(door, typed):
    answer = await door.sign_up(typed)
    assert answer.status == 400
    assert "<script>" not in answer.body
    assert (door.line.mails, await door.events()) == ([], ())


async def test_a_form_that_is_not_public_is_no_door(door):
    assert (await door.web.get("/u/sign-up/inside")).status == 404
    assert (await door.sign_up(path="/u/sign-up/inside")).status == 404
    assert (await door.sign_up(path="/u/sign-up/nothing")).status == 404
    assert door.line.mails == []


async def test_a_network_and_all_together_have_a_bound_for_each_hour(door):
    before = {one: counted(one) for one in ("network", "everybody")}
    answers = [await door.post(FORM, {"email": "x"}, X_Forwarded_For="192.0.2.1") for _ in range(3)]
    assert {answer.status for answer in answers} == {400}  # a slip counts for nothing
    for number in range(MOST_FROM_NETWORK):
        answer = await door.sign_up(f"a{number}@example.org", X_Forwarded_For=f"192.0.2.{number}")
        assert answer.status == 200
    kept = await door.sign_up("late@example.org", X_Forwarded_For="192.0.2.200")
    assert (kept.status, kept.head["retry-after"], "登记过于频繁" in kept.body) == (429, "3600", True)
    assert (await door.sign_up("other@example.org", X_Forwarded_For="192.0.3.1")).status == 200
    assert counted("network") == before["network"] + 1
    assert len(door.line.mails) == MOST_FROM_NETWORK + 1
    door.clock.pass_(HOUR + 1)
    assert (await door.sign_up("late@example.org", X_Forwarded_For="192.0.2.200")).status == 200


def counted(result):
    return consent_requests_total.labels(result)._value.get()


def test_all_networks_together_have_a_bound_of_their_own():
    pace = Pace(2, 5)
    told = [pace.refusal(f"10.{number}.0.1", 0.0) for number in range(7)]
    assert told == [""] * 5 + ["everybody"] * 2
    assert pace.refusal("10.9.0.1", HOUR) == ""


@given(
    st.lists(
        st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.77", "2001:db8::1", "2001:db8:0:ff::1", "", "x"]), st.floats(0, 500))
    )
)
def test_no_network_passes_its_bound_in_any_hour(steps):
    pace, now, passed = Pace(3, 8), 0.0, []
    groups = {"192.0.2.1": "a", "192.0.2.77": "a", "2001:db8::1": "b", "2001:db8:0:ff::1": "b", "": "", "x": ""}
    for address, seconds in steps:
        now += seconds
        if not pace.refusal(address, now):
            passed.append((groups[address], now))
        recent = [group for group, at in passed if at > now - HOUR]
        assert len(recent) <= 8
        assert all(recent.count(group) <= 3 for group in recent)


@pytest.mark.parametrize(
    ("peer", "forwarded", "told"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["192.0.2.1"], "203.0.113.5"),  # a stranger's word
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.1, 192.0.2.1"], "192.0.2.1"),  # the first was the client's own word
        ("127.0.0.1", ["10.0.0.1", "2001:DB8::1"], "2001:db8::1"),
        ("127.0.0.1", [], ""),
        ("127.0.0.1", ["unknown"], ""),
        ("127.0.0.1", ["<script>"], ""),
        ("", ["192.0.2.1"], ""),
    ],
)
def test_whose_word_on_the_address_is_taken(peer, forwarded, told):
    assert client_address(peer, forwarded, TRUSTED) == told


async def test_without_a_stream_that_serves_nobody_is_asked(door):
    purpose = {"streams/receipts.toml": ('purpose = "service"', 'purpose = "marketing"')}
    door.policy = a_policy(changes=purpose)
    assert (await door.sign_up()).status == 503
    assert (door.line.mails, await door.events()) == ([], ())


async def test_store_or_records_that_are_away_are_503_and_say_no_more(door, monkeypatch, caplog):
    await door.sign_up()
    link = door.link

    async def down(*_):
        raise StoreUnavailable("unreachable", "redis at 10.0.0.7 is down")

    monkeypatch.setattr(door.store, "consents", down)
    for answer in (await door.web.get(link), await door.post(link, PRESS)):
        assert answer.status == 503
        assert "10.0.0.7" not in answer.body
    before = counted("failed")
    assert (await door.sign_up("bob@example.org")).status == 200
    assert "a sign-up was lost" in caplog.text
    assert counted("failed") == before + 1
    monkeypatch.setattr(door.store, "check", down)
    assert (await door.sign_up("bob@example.org")).status == 503
    monkeypatch.undo()
    assert "bob" not in caplog.text

    def full():
        raise RecordsUnavailable("full")

    monkeypatch.setattr(door.records, "check", full)
    assert (await door.sign_up("bob@example.org")).status == 503


async def test_a_browser_that_calls_itself_by_strange_octets_is_let_through(door):
    async def raw(path, body):
        head = b"POST %b HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nUser-Agent: \xff\xfe" % path.encode() + b"A" * 600
        kind = b"\r\nX-Forwarded-For: \xff\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
        return await door.web.raw(head + kind % len(body) + body)

    assert (await raw(FORM, f"email={ADA}".encode())).status == 200
    await until(lambda: door.line.mails)
    assert (await raw(door.link, b"confirm=yes")).status == 200
    assert [event.event for event in await door.events()] == ["requested", "confirmed"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from([FORM, "/u/confirm/abc"]), st.booleans())
async def test_whatever_is_posted_the_door_stands(door, octets, path, is_field):
    body = b"email=" + octets + b"&confirm=" + octets if is_field else octets
    answer = await door.web.post(path, body)
    assert answer.status in (200, 400, 404, 429)


async def test_bodies_that_are_no_form(door):
    assert (await door.web.post(FORM, b"x" * (BODY_OCTETS + 1))).status == 413
    assert (await door.web.post(FORM, b"{}", "application/json")).status == 400
    multipart = b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nada@example.org\r\n--x--\r\n'
    assert (await door.web.post(FORM, multipart, "multipart/form-data; boundary=x")).status == 200
    await until(lambda: door.line.mails)
