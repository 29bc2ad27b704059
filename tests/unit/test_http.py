"""The three HTTP doors: what they answer, and what they never say."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from relay.config import Http
from relay.doors import http, serving
from relay.doors.background import Background
from relay.doors.http import BODY_OCTETS, HttpDoors, help_app, operations_app, public_app
from relay.doors.pages import HEADERS
from relay.doors.refusals import Offer
from relay.errors import RecordsUnavailable
from relay.loglines import JSONFormatter
from relay.records.explanations import Explanation
from relay.render.token import UnsubscribeToken
from tests.support.policies import a_policy
from tests.support.web import served

TOKEN = "A" * 70
PAIR = b"List-Unsubscribe=One-Click"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
ID = "01JD6Z4M0Q8V7KX3T5N2C9R1BF"
NOW = 1_795_000_000.0


class Refusals:
    """Knows one token; keeps what was refused, and by what."""

    def __init__(self):
        policy = a_policy()
        token = UnsubscribeToken(bytes(16), 1, bytes(4), True, ID)
        self.offer = Offer(token, "organisation", policy.stream("newsletter"), policy)
        self.refused: list[str] = []
        self.scopes: list[str] = []
        self.known: dict[str, float] = {}
        self.fault: Exception | None = None
        self.has_all_keys = True
        self.found = object()
        self.looked_up: list[object] = []

    def read(self, text):
        return self.offer if text == TOKEN else None

    async def background(self, offer, known=None):
        assert offer.token is self.offer.token
        self.looked_up.append(known)
        return Background(NOW, "a***@example.org", "news@example.com", None, self.known)

    async def may_be_new(self, text):
        return not self.has_all_keys

    async def refuse(self, offer, origin):
        assert offer.token is self.offer.token
        if self.fault:
            raise self.fault
        self.refused.append(origin)
        self.scopes.append(offer.scope)
        return self.found


@pytest.fixture
def refusals():
    return Refusals()


@pytest.fixture
async def public(refusals):
    async with served(public_app(refusals)) as web:
        yield web


@pytest.fixture
async def operators():
    async def metrics():
        return b"# HELP relay_x X\n"

    async def readiness():
        raise RuntimeError("the password is hunter2")

    async with served(operations_app(metrics, readiness, list)) as web:
        yield web


async def test_showing_changes_nothing(public, refusals):
    for method in ("GET", "HEAD"):
        answer = await public.ask(method, f"/u/{TOKEN}")
        assert answer.status == 200
        assert answer.head["content-type"] == "text/html; charset=utf-8"
        assert bool(answer.body) == (method == "GET")
    assert refusals.refused == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PAIR, "application/x-www-form-urlencoded"),
        (PAIR, "application/x-www-form-urlencoded; charset=UTF-8"),
        (MULTIPART, "multipart/form-data; boundary=x"),
        (PAIR + b"&via=else", "application/x-www-form-urlencoded"),
    ],
)
async def test_the_pair_refuses_again_and_again(public, refusals, body, kind):
    for _ in range(2):
        answer = await public.post(f"/u/{TOKEN}", body, kind)
        assert answer.status == 200
        assert (answer.body, answer.head["content-type"]) == ("已退订 / You are unsubscribed\n", "text/plain; charset=utf-8")
    assert refusals.refused == ["one_click"] * 2
    assert refusals.looked_up == []  # for a page that nobody would see
    assert refusals.scopes == ["organisation"] * 2  # the token's own


async def test_the_button_is_told_from_one_click(public, refusals):
    assert (await public.post(f"/u/{TOKEN}", PAIR + b"&via=page")).status == 200
    assert refusals.refused == ["page"]
    assert refusals.looked_up == [refusals.found]  # not once more


@pytest.mark.parametrize(
    ("choice", "own", "refused", "said"),
    [
        (b"", "stream:newsletter", "stream:newsletter", "已退订“新闻邮件”"),
        (b"&scope=stream", "stream:newsletter", "stream:newsletter", "已退订“新闻邮件”"),
        (b"&scope=organisation", "stream:newsletter", "organisation", "已退订"),
        (b"&scope=organisation", "organisation", "organisation", "已退订"),
        (b"&scope=stream", "organisation", "stream:newsletter", "已退订“新闻邮件”"),
    ],
)
async def test_the_page_lets_its_reader_choose_how_much(public, refusals, choice, own, refused, said):
    refusals.offer = replace(refusals.offer, scope=own)
    answer = await public.post(f"/u/{TOKEN}", PAIR + b"&via=page" + choice)
    assert answer.status == 200
    assert (refusals.refused, refusals.scopes) == (["page"], [refused])
    assert f"<h1>{said}</h1>" in answer.body


@pytest.mark.parametrize("choice", [b"everything", b"", b"stream&scope=organisation", b"Stream", b"stream%00", b"organisation+"])
async def test_a_choice_that_no_page_offers_is_400_and_changes_nothing(public, refusals, choice):
    answer = await public.post(f"/u/{TOKEN}?lang=en", PAIR + b"&scope=" + choice)
    assert answer.status == 400
    assert "The choice is none that the page offers" in answer.body
    assert "everything" not in answer.body
    assert refusals.refused == []


async def test_a_file_is_no_choice(public, refusals):
    part = b'--x\r\nContent-Disposition: form-data; name="scope"; filename="stream"\r\n\r\nstream\r\n'
    assert (await public.post(f"/u/{TOKEN}", part + MULTIPART, "multipart/form-data; boundary=x")).status == 400
    assert refusals.refused == []


async def test_what_is_refused_already_is_said_and_only_more_is_offered(public, refusals):
    refusals.known = {"stream:newsletter": NOW}
    page = (await public.get(f"/u/{TOKEN}")).body
    assert "自2026年11月18日起，a***@example.org 不再收到" in page
    assert 'name="scope" value="organisation"' in page
    assert 'value="stream"' not in page
    refusals.known = {"stream:newsletter": NOW, "organisation": NOW}
    assert "<button" not in (await public.get(f"/u/{TOKEN}")).body
    narrower = await public.post(f"/u/{TOKEN}", PAIR + b"&via=page&scope=stream")
    assert "<h1>已退订</h1>" in narrower.body  # all of it stays refused
    assert refusals.scopes == ["stream:newsletter"]


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [("", "en", "en"), ("", "zh", "zh-CN"), ("?lang=en", "zh", "en"), ("?lang=zh", "en", "zh-CN"), ("?lang=xx", "en", "en")],
)
async def test_a_page_is_in_the_language_of_its_link_else_of_its_reader(public, query, accepted, language):
    for path in (f"/u/{TOKEN}", "/u/forged"):
        page = (await public.get(f"{path}{query}", Accept_Language=accepted)).body
        assert f'<html lang="{language}">' in page
        assert f'<a href="?lang={"zh" if language == "en" else "en"}"' in page


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=Two-Click", "application/x-www-form-urlencoded"),
        (b"list-unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (PAIR, "text/plain"),
        (PAIR, "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"%FF=%FE", "application/x-www-form-urlencoded; charset=nonsense"),
        (MULTIPART, "multipart/form-data"),
        (b"--y\r\n", "multipart/form-data; boundary=x"),
        (MULTIPART[:40], "multipart/form-data; boundary=x"),
        (MULTIPART.replace(b"form-data; name", b"form-data; filename=a; name"), "multipart/form-data; boundary=x"),
    ],
)
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
async def test_anything_else_is_400_and_changes_nothing(public, refusals, body, kind):
    assert (await public.post(f"/u/{TOKEN}", body, kind)).status == 400
    assert refusals.refused == []


async def test_a_forged_token_is_404_with_one_page_for_all(public, refusals):
    pages = {(await public.get(f"/u/{token}")).body for token in ("x", TOKEN[:-1], "A" * 2000, "%00", "%E4%B8%AD")}
    answer = await public.post("/u/forged", PAIR + b"&scope=stream")
    assert answer.status == 404
    assert pages == {answer.body}
    assert "链接无效" in answer.body
    assert "This link does not work" in (await public.get("/u/forged?lang=en")).body
    assert refusals.refused == []


async def test_a_token_that_another_node_may_have_made_with_a_newer_key_is_not_called_forged(public, refusals):
    refusals.has_all_keys = False
    shown, posted = await public.get("/u/newer"), await public.post("/u/newer", PAIR)
    assert (shown.status, posted.status, posted.head["retry-after"]) == (503, 503, "60")
    assert refusals.refused == []


async def test_a_body_without_end_is_413(public, refusals):
    assert (await public.post(f"/u/{TOKEN}", PAIR + b"&x=" + b"a" * BODY_OCTETS)).status == 413
    part = MULTIPART.replace(b"One-Click", b"a" * BODY_OCTETS)
    assert (await public.post(f"/u/{TOKEN}", part, "multipart/form-data; boundary=x")).status == 413
    assert refusals.refused == []


async def test_a_body_that_never_comes_is_408(public, monkeypatch):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    request = f"POST /u/{TOKEN} HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: 20\r\nConnection: close\r\n\r\nList-"
    assert (await public.raw(request.encode())).status == 408


async def test_a_header_that_never_ends_is_given_up(refusals, monkeypatch):
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.1)
    async with served(public_app(refusals)) as web:
        reader, writer = await asyncio.open_connection(web.host, web.port)
        writer.write(b"GET /u/x HTTP/1.1\r\nHost: ")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_connections_are_bounded(refusals, monkeypatch):
    monkeypatch.setattr(serving, "CONNECTIONS", 1)
    async with served(public_app(refusals)) as web:
        _, first = await asyncio.open_connection(web.host, web.port)
        first.write(b"GET")
        while (await web.get("/u/x")).status != 503:
            await asyncio.sleep(0.01)
        first.close()
        await first.wait_closed()
        while (await web.get("/u/x")).status != 404:
            await asyncio.sleep(0.01)


async def test_what_could_not_be_written_down_is_not_confirmed(public, refusals, caplog):
    refusals.fault = RecordsUnavailable("/var/lib/relay has 3 octets left")
    answer = await public.post(f"/u/{TOKEN}", PAIR)
    assert answer.status == 503
    assert answer.head["retry-after"] == "60"
    assert "暂时无法退订" in answer.body
    assert "octets left" not in answer.body
    assert "octets left" in caplog.text


async def test_no_redirect_no_cookie_no_cache_and_nothing_loaded(public):
    for answer in (
        await public.get(f"/u/{TOKEN}"),
        await public.post(f"/u/{TOKEN}", PAIR),
        await public.post(f"/u/{TOKEN}"),
        await public.get("/u/forged"),
        await public.get("/"),
        await public.ask("PUT", f"/u/{TOKEN}"),
        await public.ask("GET", f"/u/{TOKEN}", Expect="100-weird"),
        await public.raw(b"NONSENSE\r\n\r\n"),
    ):
        assert {name: answer.head[name.lower()] for name in HEADERS} == HEADERS
        assert not 300 <= answer.status < 400
        assert {"set-cookie", "location"}.isdisjoint(answer.head)
        assert "<script" not in answer.body
        assert "http" not in answer.body.replace("http-equiv", "") or "privacy" in answer.body


@pytest.mark.parametrize(
    ("request_octets", "status"),
    [
        (b"EHLO <script>alert(1)</script>\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nNo colon <script>\r\n\r\n", 400),
        (b"GET /" + b"<script>" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"<script>" * 20 + b"\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 500),
    ],
)
async def test_a_fault_is_answered_with_its_number_only(operators, caplog, request_octets, status):
    with caplog.at_level(logging.INFO):
        answer = await operators.raw(request_octets)
    assert answer.status == status
    assert answer.body in ("400 Bad Request\n", "500 Internal fault\n")
    assert "aiohttp" not in str(answer.head).lower()
    log = "".join(JSONFormatter().format(record) for record in caplog.records)
    assert "<script" not in log
    assert "hunter2" not in log
    assert ("RuntimeError" in log) == (status == 500)  # the log has what the peer must not see


async def test_operators_see_metrics_and_health(operators):
    answer = await operators.get("/metrics")
    assert (answer.status, answer.body) == (200, "# HELP relay_x X\n")
    assert answer.head["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (await operators.get("/healthz")).body == "ok\n"
    assert (await operators.ask("HEAD", "/healthz")).status == 200
    assert (await operators.post("/metrics")).status == 405
    assert (await operators.get("/u/x")).status == 404  # every door has its own pages only


async def test_readiness_is_200_or_503_with_its_reasons():
    reasons: list[str] = []

    async def readiness():
        return reasons

    async def metrics():
        return b""

    async with served(operations_app(metrics, readiness, list)) as web:
        answer = await web.get("/readyz")
        assert (answer.status, answer.body) == (200, "ready\n")
        reasons += ["store: empty: restore the backup", "worker-1: not running"]
        answer = await web.get("/readyz")
        assert (answer.status, answer.body) == (503, "store: empty: restore the backup\nworker-1: not running\n")


async def test_an_explanation_that_is_not_there_is_404_and_only_ids_are_looked_up():
    asked = []

    async def explain(wanted: str) -> Explanation | None:
        asked.append(wanted)
        return None

    async with served(help_app(explain, lambda: UTC)) as web:
        for wanted in (ID, ID.lower(), "..%2F..%2Fetc%2Fpasswd", "%27%20OR%201=1", "A" * 300):
            answer = await web.get(f"/r/{wanted}")
            assert answer.status == 404
            assert "没有这条说明" in answer.body
            assert "passwd" not in answer.body
    assert asked == [ID]


async def test_the_doors_open_and_close_together(refusals):
    async def nothing(*_):
        return None

    addresses = Http(address="127.0.0.1:0", public_address="127.0.0.1:0", help_address="[::1]:0")
    doors = HttpDoors(
        addresses, metrics=nothing, readiness=nothing, remarks=list, refusals=refusals, explain=nothing, zone=lambda: UTC
    )
    await doors.open()
    bound = doors.addresses()
    assert list(bound) == ["operators", "recipients", "senders"]
    assert bound["senders"].startswith("[::1]:")
    await doors.aclose()
    host, _, port = bound["operators"].rpartition(":")
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(host, int(port))


async def test_an_explanation_has_its_time_in_the_organisations_zone():
    async def explain(wanted: str) -> Explanation | None:
        return Explanation(wanted, 1_795_000_000.0, "newsletter", "", ())

    async with served(help_app(explain, lambda: timezone(timedelta(hours=8)))) as web:
        answer = await web.get(f"/r/{ID}")
    assert answer.status == 200
    assert f"编号 {ID} · 2026-11-18 19:06:40 +0800" in answer.body
