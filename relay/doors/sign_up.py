"""What people see of double opt-in, below /u/ on the public door: a form to sign up, and the page where they confirm.

    GET  /u/sign-up/{form}    the form as a page, where config.toml says `public`
    POST /u/sign-up/{form}    ask by mail; a plain HTML form on any website can post here
    GET  /u/confirm/{token}   show what is to be confirmed; changes nothing, whoever follows the link
    POST /u/confirm/{token}   with confirm=yes, as the page's button posts it: record the consent

The form can only ever ask.  Its answer is the same whether the address is
new, confirmed already, or must not be asked: it tells nobody about another.
"""

import ipaddress
import logging
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from relay.doors.consents import ConsentsFull
from relay.doors.http import Handler, answer_page, read_form, say
from relay.doors.opt_in import NotServed, OptIn, Request, State, TooManyRequests, Wish
from relay.doors.pages import language
from relay.doors.preferences import sender_facts
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.hosts import Network
from relay.loglines import fault_text
from relay.mail.mailbox import Mailbox, MailboxError, mask
from relay.policy.opting_in.opt_in import Language, SignUp
from relay.policy.sets.policy_set import PolicySet
from relay.tasks import spawn
from relay.telemetry import consent_requests_total

_log = logging.getLogger("relay.doors")
_LONGEST = 320  # of an address


def sign_up_routes(opt_in: OptIn, trusted: Sequence[Network]) -> list[web.RouteDef]:
    """The routes; `trusted` are the reverse proxies that say where a request came from."""
    pages = _Pages(opt_in, trusted)
    return [
        web.get("/u/sign-up/{form}", _told(pages.show_form)),
        web.post("/u/sign-up/{form}", _told(pages.ask)),
        web.get("/u/confirm/{token}", _told(pages.show_request)),
        web.post("/u/confirm/{token}", _told(pages.confirm)),
    ]


class _Pages:
    def __init__(self, opt_in: OptIn, trusted: Sequence[Network]) -> None:
        self._opt_in, self._trusted = opt_in, trusted

    def _public(self, request: web.Request) -> SignUp | None:
        form = self._opt_in.form(request.match_info["form"])
        return form if form is not None and form.public else None

    async def show_form(self, request: web.Request) -> web.StreamResponse:
        form = self._public(request)
        return _form_page(request, 200, form, self._opt_in.policy()) if form else _no_form(request)

    async def ask(self, request: web.Request) -> web.StreamResponse:
        form = self._public(request)
        if form is None:
            return _no_form(request)
        fields = await read_form(request)
        typed, reader = _text(fields, "email").strip()[: _LONGEST + 1], _reader(request, _text(fields, "lang"))
        try:
            mailbox = Mailbox.parse(typed)
        except MailboxError:
            return _form_page(request, 400, form, self._opt_in.policy(), typed=typed, reader=reader)
        origin = self._origin(request)
        await self._opt_in.admit(origin.get("ip", ""), mailbox)
        spawn(_ask(self._opt_in, form, mailbox, Wish(reader, origin, "form")), "sign-up")
        return _look(request, reader, mailbox)

    async def show_request(self, request: web.Request) -> web.StreamResponse:
        found = await self._opt_in.request(request.match_info["token"])
        return _request_page(request, found, found.state) if found else _no_request(request)

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        found = await self._opt_in.request(request.match_info["token"])
        if found is None:
            return _no_request(request)
        fields = await read_form(request)
        if _text(fields, "confirm") != "yes":
            return _not_pressed(request)
        reader = _reader(request, _text(fields, "lang"))
        state = await self._opt_in.confirm(found, reader, self._origin(request))
        return _request_page(request, found, state, reader)

    def _origin(self, request: web.Request) -> dict[str, str]:
        """Where the request came from, as far as that is known."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        agent = request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()  # it may be any octets
        told = {"ip": client_address(request.remote or "", forwarded, self._trusted), "user_agent": agent[:500]}
        return {name: value for name, value in told.items() if value}


async def _ask(opt_in: OptIn, form: SignUp, mailbox: Mailbox, wish: Wish) -> None:
    """After the answer, so that the time it takes tells nothing of the mailbox either."""
    try:
        asked = await opt_in.ask(form, mailbox, wish)
        if asked.kept is None:
            await opt_in.send(asked)
    except (StoreUnavailable, RecordsUnavailable) as fault:
        consent_requests_total.labels("failed").inc()
        _log.warning("a sign-up was lost: %s", fault_text(fault))


def _told(handler: Handler) -> Handler:
    """The handler, with a page for what it raises."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except TooManyRequests:
            return _too_many(request)
        except (NotServed, StoreUnavailable, RecordsUnavailable, ConsentsFull) as fault:
            _log.warning("a sign-up page has to wait: %s", fault_text(fault))
            return _later(request)

    return answer


# What is asked -----------------------------------------------------------------------------------------------------------


def _text(fields: dict[str, list[Any]], name: str) -> str:
    """The one value of a field; "" where there is none, or it is a file."""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _reader(request: web.Request, wanted: str = "") -> Language:
    found = language(wanted or request.query.get("lang", ""), request.headers.get("Accept-Language", ""))
    return "en" if found == "en" else "zh"


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The peer's address; behind a trusted proxy the last one that it forwarded for, "" where it did not say."""
    try:
        if not any(ipaddress.ip_address(peer) in network for network in trusted):
            return peer
        return str(ipaddress.ip_address(forwarded[-1].rpartition(",")[2].strip())) if forwarded else ""
    except ValueError:
        return ""


# What is answered ---------------------------------------------------------------------------------------------------------


def _facts(form: SignUp | None, policy: PolicySet, mailbox: Mailbox | None = None, state: str = "") -> dict[str, Any]:
    """Everything that the pages say; of what was confirmed by a form that is gone, not the words."""
    return {
        **sender_facts(policy.organisation),
        "words": {"zh": form.said("zh"), "en": form.said("en")} if form else None,
        "page": form.page if form else "",
        "recipient": mask(mailbox.key) if mailbox else "",
        "state": str(state),
    }


def _form_page(
    request: web.Request, status: int, form: SignUp, policy: PolicySet, *, typed: str = "", reader: str = ""
) -> web.Response:
    return answer_page(request, "sign_up.html", status, reader=reader, **_facts(form, policy), typed=typed, name=form.name)


def _request_page(request: web.Request, found: Request, state: State, reader: str = "") -> web.Response:
    if state is State.EXPIRED:
        return _expired(request)
    return answer_page(request, "confirm.html", 200, reader=reader, **_facts(found.form, found.policy, found.mailbox, state))


def _look(request: web.Request, reader: str, mailbox: Mailbox) -> web.Response:
    address = mailbox.wire
    zh = f"如果 {address} 可以登记，几分钟内会收到一封确认邮件：请打开其中的链接，点击按钮。在此之前没有登记任何同意。"
    en = (
        f"If {address} can be signed up, a mail arrives there in a few minutes: open its link and press the button. Until then"
        " no consent is recorded."
    )
    return say(
        request, 200, reader=reader,
        zh=("请查收邮件", f"{zh}没有收到？请查看垃圾邮件箱。"),
        en=("Look into your mailbox", f"{en} Nothing there? Look into the folder for spam."),
    )  # fmt: skip


def _no_form(request: web.Request) -> web.Response:
    return say(
        request, 404,
        zh=("没有这个表单", "网址不正确，或此表单已停用。"),
        en=("No such form", "The address is wrong, or the form is no longer in use."),
    )  # fmt: skip


def _no_request(request: web.Request) -> web.Response:
    return say(
        request, 404,
        zh=("链接无效", "这个确认链接不完整或不是我们发出的。请使用邮件中的完整链接，或重新登记。"),
        en=("This link does not work", "It is incomplete or not ours. Use the whole link of the mail, or sign up again."),
    )  # fmt: skip


def _expired(request: web.Request) -> web.Response:
    return say(
        request, 410,
        zh=("链接已过期", "没有登记任何同意。如果仍然愿意，请重新登记。"),
        en=("This link has expired", "No consent was recorded. If you still want to, sign up again."),
    )  # fmt: skip


def _not_pressed(request: web.Request) -> web.Response:
    return say(
        request, 400,
        zh=("没有确认", "请求缺少 confirm=yes，未作任何更改。请重新打开邮件中的链接，在页面上点击按钮。"),
        en=("Nothing was changed", "The request lacks confirm=yes. Open the link of the mail again and press the button there."),
    )  # fmt: skip


def _too_many(request: web.Request) -> web.Response:
    return say(
        request, 429,
        zh=("登记过于频繁", "来自同一网络的登记，或同一域名下未经确认的登记太多，没有发送邮件。请过一小时再试。"),
        en=(
            "Too many sign-ups",
            "Too many came from one network, or to one domain that does not answer, and no mail was sent. Try again in an hour.",
        ),
        headers={"Retry-After": "3600"},
    )  # fmt: skip


def _later(request: web.Request) -> web.Response:
    return say(
        request, 503,
        zh=("暂时无法处理", "系统暂时无法保存您的请求，请稍后再试。"),
        en=("Not possible right now", "Your request could not be saved. Please try again later."),
        headers={"Retry-After": "60"},
    )  # fmt: skip
