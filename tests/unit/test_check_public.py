"""`relay check --public` against a real public door: our relay, somebody else's page, and nothing at all."""

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from aiohttp import web

from relay.cli import check_public
from relay.cli.findings import Findings
from relay.config import parse_config
from relay.doors.http import public_app
from relay.doors.refusals import Refusals
from relay.keys import new_keys
from relay.render.token import make_token, read_token
from tests.support.findings import names_no_place
from tests.support.policies import a_policy
from tests.support.records import has_all_keys
from tests.unit.test_token import TOKEN

KEYS = new_keys(date(2026, 11, 21))


@contextmanager
def serving(app):
    """The app on a free port of 127.0.0.1, on a thread of its own; its base URL."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), []

    async def serve():
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def our_door(keys=KEYS):
    """The real public door. It has no records and no store: whatever would suppress somebody fails."""
    return public_app(Refusals(keys, None, None, a_policy, has_all_keys, clock=lambda: 0.0, entropy=bytes))  # type: ignore[arg-type]


def forwarding(answer):
    """A site that answers every path in the same way."""

    async def handle(_):
        return answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def checked(base, privacy_url=""):
    text = f'''
hostname = "relay.example.com"
[[listen]]
name = "submission"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "up"
addresses = ["127.0.0.1:1"]
[unsubscribe]
base_url = "{base}"
'''
    policy = a_policy()
    policy = replace(policy, organisation=policy.organisation.model_copy(update={"privacy_url": privacy_url}))
    findings = Findings()
    check_public.try_out(parse_config(text.encode(), "config.toml", Path("/nowhere")), policy, KEYS, findings)
    assert [text for both in findings.faults + findings.to_do for text in both if names_no_place(text)] == []
    return findings


def test_our_own_door_is_known_and_takes_refusals():
    with serving(our_door()) as base:
        findings = checked(base)
    assert [en for _, en in findings.fine] == [
        f"{base}/u/check is answered by this relay",
        f"POST {base}/u/... takes one-click refusals (the token tried stands for nobody)",
    ]
    assert findings.faults == []


def test_a_prefix_may_stand_before_it():
    app = web.Application()
    app.add_subapp("/mail", our_door())
    with serving(app) as base:
        assert len(checked(f"{base}/mail").fine) == 2


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (forwarding(lambda: web.Response(text="Welcome")), "something answers that is not this relay"),
        (forwarding(lambda: web.Response(status=502)), "HTTP 502"),
        (forwarding(lambda: web.Response(status=301, headers={"Location": "/elsewhere"})), "it redirects (301)"),
        (forwarding(lambda: web.Response(body=bytes(100))), "something answers that is not this relay"),
    ],
)
def test_whatever_else_answers_is_not_taken_for_it(app, said):
    with serving(app) as base:
        findings = checked(base)
    assert findings.fine == []
    assert [said in en for _, en in findings.faults] == [True, True]


def test_a_relay_with_other_keys_is_not_this_one():
    with serving(our_door(new_keys(date(2026, 1, 1)))) as base:
        findings = checked(base)
    assert ["not this relay" in en or "HTTP 404" in en for _, en in findings.faults] == [True, True]


def test_an_address_where_nobody_listens():
    with serving(our_door()) as base:
        pass
    assert ["无法访问" in zh and "cannot be reached" in en for zh, en in checked(base).faults] == [True, True]


def test_without_an_address_it_is_still_to_do():
    assert "docs/unsubscribe-url.md" in checked("").to_do[0][1]


@pytest.mark.parametrize(("status", "found"), [(200, True), (404, False)])
def test_the_privacy_notice_is_opened(status, found):
    with serving(forwarding(lambda: web.Response(status=status, text="Privacy"))) as base:
        findings = checked("", f"{base}/privacy")
    assert any(f"privacy notice {base}/privacy" == en for _, en in findings.fine) is found
    assert any(f"cannot be opened (HTTP {status})" in en for _, en in findings.to_do) is not found


def test_a_canary_reads_back_as_one_and_as_nothing_else():
    canary = replace(TOKEN, whole_organisation=False, is_canary=True)
    assert read_token(make_token(canary, KEYS.tokens.keys[0]), KEYS.tokens.keys) == canary
    assert not read_token(make_token(TOKEN, KEYS.tokens.keys[0]), KEYS.tokens.keys).is_canary


@pytest.mark.parametrize("nonce", ["", "abc", "A" * 32, "0" * 33, "x" * 32])
def test_only_a_nonce_is_answered(nonce):
    with serving(our_door()) as base:
        assert check_public._fetch(f"{base}/u/check?nonce={nonce}").status == 404
