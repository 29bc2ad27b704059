"""The three HTTP doors: for operators, for recipients, for the people who send.

They are separate addresses because their readers are: metrics stay inside,
/u/ is published to the world by a reverse proxy, /r/ is for the office.  None
of them sets a cookie, redirects, or answers with the text of an exception.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, tzinfo
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay.config import Http
from relay.doors.pages import language, page
from relay.doors.preferences import chosen, facts
from relay.doors.refusals import Offer, Refusals
from relay.doors.serving import Site
from relay.errors import RecordsUnavailable
from relay.ids import is_id
from relay.records.explanations import Explanation
from relay.telemetry import Bound, count_refusal

_log = logging.getLogger("relay.doors")
BODY_OCTETS = 16 * 1024  # a one-click POST has 30
BODY_SECONDS = 20.0
_BOUNDS: dict[int, Bound] = {413: "http_size", 408: "http_time"}
_NO_BODY = (
    ValueError, AssertionError, LookupError, RuntimeError, HttpProcessingError, web.RequestPayloadError, ConnectionError,
)  # fmt: skip
"""What aiohttp raises on bodies that are malformed, and on those that end because the client went away."""
PAIR = ("List-Unsubscribe", "One-Click")  # RFC 8058 section 3.1
PAGE = "page"  # the origin of a refusal that a person said on the page
DONE = "已退订 / You are unsubscribed\n"  # to a mail provider's program, which shows it to nobody

Metrics = Callable[[], Awaitable[bytes]]
Readiness = Callable[[], Awaitable[list[str]]]
Remarks = Callable[[], list[str]]
Explain = Callable[[str], Awaitable[Explanation | None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpDoors:
    """All three, opened together and closed together, with the API for consents where there is one."""

    def __init__(
        self,
        http: Http,
        *,
        metrics: Metrics,
        readiness: Readiness,
        remarks: Remarks,
        refusals: Refusals,
        explain: Explain,
        zone: Callable[[], tzinfo],
        consents: Site | None = None,
        sign_up: Sequence[web.RouteDef] = (),
    ) -> None:
        self._sites = {
            "operators": Site(http.address, operations_app(metrics, readiness, remarks)),
            "recipients": Site(http.public_address, public_app(refusals, sign_up)),
            "senders": Site(http.help_address, help_app(explain, zone)),
        }
        if consents is not None:
            self._sites["consents"] = consents

    async def open(self) -> None:
        """Listen on every address. Raises OSError when one is taken."""
        for site in self._sites.values():
            await site.open()

    def addresses(self) -> dict[str, str]:
        """Where each door listens, with the ports that were taken."""
        return {name: site.address for name, site in self._sites.items()}

    async def aclose(self) -> None:
        for site in self._sites.values():
            await site.aclose()


def operations_app(metrics: Metrics, readiness: Readiness, remarks: Remarks) -> web.Application:
    """/metrics for Prometheus, /healthz: the process lives, /readyz: mail can flow, or why not, and what else to know."""

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def show_readiness(_: web.Request) -> web.Response:
        reasons = await readiness()
        return web.Response(text="\n".join([*(reasons or ["ready"]), *remarks()]) + "\n", status=503 if reasons else 200)

    app = _application()
    app.router.add_get("/metrics", show_metrics)
    app.router.add_get("/healthz", show_health)
    app.router.add_get("/readyz", show_readiness)
    return app


def public_app(refusals: Refusals, routes: Sequence[web.RouteDef] = ()) -> web.Application:
    """/u/{token}: GET shows, POST with the RFC 8058 pair refuses; nothing else changes anything.

    Only the page's own form has more: `scope`, what its reader chose, and `via`; it alone is answered with a page.

    `routes` are those of sign-ups.  /u/check answers a nonce and a canary's POST answers without refusing, both for
    `relay check --public`.
    """

    async def unread(request: web.Request) -> web.Response:
        return _later(request) if await refusals.may_be_new(request.match_info["token"]) else _unknown(request)

    async def show(request: web.Request) -> web.Response:
        offer = refusals.read(request.match_info["token"])
        if offer is None:
            return await unread(request)
        said = facts(offer, await refusals.background(offer))
        return answer_page(request, "unsubscribed.html" if said["state"] else "unsubscribe.html", 200, **said)

    async def check(request: web.Request) -> web.Response:
        answer = refusals.answer_check(request.query.get("nonce", ""))
        return _unknown(request) if answer is None else web.Response(text=f"{answer}\n")

    async def refuse(request: web.Request) -> web.Response:
        offer = refusals.read(request.match_info["token"])
        if offer is None:
            return await unread(request)
        wish = await _wish(request, offer)
        if isinstance(wish, web.Response):
            return wish
        wanted, origin = wish
        if offer.is_canary:
            return web.Response(text=f"{refusals.answer_canary(request.match_info['token'])}\n")
        return await _carry_out(request, refusals, wanted, origin)

    app = _application()
    app.router.add_get("/u/check", check)
    app.router.add_get("/u/{token}", show)
    app.router.add_post("/u/{token}", refuse)
    app.router.add_routes(routes)
    return app


def help_app(explain: Explain, zone: Callable[[], tzinfo]) -> web.Application:
    """/r/{id}: why a mail was refused, and what to do; for 30 days, addresses masked. Times are the organisation's."""

    async def show(request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        explanation = await explain(wanted) if is_id(wanted) else None
        if explanation is None:
            return say(
                request, 404,
                zh=("没有这条说明", "编号不正确，或已超过 30 天。请联系管理员查询记录。"),
                en=("No such explanation", "The number is wrong or older than 30 days. Ask your administrator."),
            )  # fmt: skip
        time = datetime.fromtimestamp(explanation.at, zone()).strftime("%Y-%m-%d %H:%M:%S %z")
        return answer_page(request, "explanation.html", 200, explanation=explanation, time=time)

    app = _application()
    app.router.add_get("/r/{id}", show)
    return app


def _application() -> web.Application:
    return web.Application(client_max_size=BODY_OCTETS, middlewares=[_answer_faults])


@web.middleware
async def _answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Law 9: a fault of ours is a page without details; the details go to the log."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if bound := _BOUNDS.get(error.status):
            count_refusal(bound)
        return web.Response(status=error.status, text=f"{error.status} {error.reason}\n", headers=_allowed(error))
    except Exception:  # noqa: BLE001 - the last resort of a door
        _log.exception("a page failed")
        return web.Response(status=500, text="500 Internal fault\n")


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


async def read_form(request: web.Request) -> dict[str, list[Any]]:
    """The POST's fields, urlencoded or multipart (RFC 8058 section 3.1 allows both); empty when it is neither."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            posted = await request.post()
            return {name: posted.getall(name) for name in posted}
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    except _NO_BODY as error:
        raise web.HTTPBadRequest from error


async def _wish(request: web.Request, offer: Offer) -> tuple[Offer, str] | web.Response:
    """What the POST refuses, and where it was said; the answer that changes nothing when that cannot be told."""
    form = await read_form(request)
    if PAIR[1] not in form.get(PAIR[0], []):
        return _not_understood(request, "请求缺少 List-Unsubscribe=One-Click", "The request lacks List-Unsubscribe=One-Click")
    wanted = chosen(offer, form.get("scope", []))
    if wanted is None:
        return _not_understood(request, "无法识别所选的范围", "The choice is none that the page offers")
    return wanted, PAGE if "page" in form.get("via", []) else "one_click"


async def _carry_out(request: web.Request, refusals: Refusals, wanted: Offer, origin: str) -> web.Response:
    """Refuse, and say so: to a person with all that the page tells, to a program in a line that costs nothing."""
    try:
        recipient = await refusals.refuse(wanted, origin)
    except RecordsUnavailable:
        _log.exception("a refusal could not be written down")
        return _later(request)
    if origin != PAGE:
        return web.Response(text=DONE)
    said = facts(wanted, await refusals.background(wanted, recipient), wanted.scope)
    return answer_page(request, "unsubscribed.html", 200, **said)


def _not_understood(request: web.Request, zh: str, en: str) -> web.Response:
    """A POST that no page and no mail provider sends."""
    return say(
        request, 400,
        zh=("没有退订", f"{zh}，未作任何更改。请重新打开邮件中的退订链接，在页面上点击按钮。"),
        en=("Nothing was changed", f"{en}. Open the link in the mail again and press the button on its page."),
    )  # fmt: skip


def _unknown(request: web.Request) -> web.Response:
    return say(
        request, 404,
        zh=("链接无效", "这个退订链接不完整或不是我们发出的。请使用邮件中的完整链接，或直接回复邮件并写明“退订”。"),
        en=("This link does not work", "It is incomplete or not ours. Use the whole link, or reply “unsubscribe” to the mail."),
    )  # fmt: skip


def _later(request: web.Request) -> web.Response:
    return say(
        request, 503,
        zh=("暂时无法退订", "系统暂时无法保存您的请求，请稍后再试，或回复邮件告知我们。"),
        en=("Not possible right now", "Your request could not be saved. Please try again later, or reply to the mail."),
        headers={"Retry-After": "60"},
    )  # fmt: skip


def say(
    request: web.Request,
    status: int,
    *,
    zh: tuple[str, str],
    en: tuple[str, str],
    reader: str = "",
    headers: dict[str, str] | None = None,
) -> web.Response:
    """A page of a heading and a sentence."""
    title = {"zh": zh[0], "en": en[0]}
    text = {"zh": zh[1], "en": en[1]}
    return answer_page(request, "message.html", status, reader=reader, headers=headers, title=title, text=text)


def answer_page(
    request: web.Request, template: str, status: int, *, reader: str = "", headers: dict[str, str] | None = None, **facts: Any
) -> web.Response:
    """A page in the language of its reader."""
    reader = reader or language(request.query.get("lang", ""), request.headers.get("Accept-Language", ""))
    text = page(template, reader, **facts)
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def said_twice(octets: bytes) -> list[str]:
    """The names that stand twice in a flat table of JSON: nobody knows which of them is meant (RFC 8259 section 4)."""
    names = Counter(name for name, _ in json.loads(octets, object_pairs_hook=list))
    return [name for name, times in names.items() if times > 1]
