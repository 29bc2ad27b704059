"""The HTTP API for sign-up forms: a program that has the token records what people agreed to and asks what stands.

    POST /v1/consents         record one event of one mailbox
    POST /v1/consents/ask     ask the mailbox by mail to confirm (double opt-in)
    POST /v1/consents/check   is there a consent to this purpose?
    GET  /v1/openapi.json     what they take and answer

A fault names the field and the remedy in English and Chinese; a field that is
not in the document is refused, since a misspelt one would be evidence lost.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from relay import __version__
from relay.config import Config
from relay.doors.consents import ConsentDesk, ConsentIdTaken, ConsentsFull
from relay.doors.http import said_twice
from relay.doors.opt_in import NotServed, OptIn, TooManyRequests, Wish
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable
from relay.loglines import fault_text
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.consents.consent import ENDING, PURPOSE, AgeBand, Basis, ConsentEvent, Details, EventKind, Source, Statement
from relay.policy.consents.moment import OUTSIDE, OUTSIDE_ZH, bounded, can_be_meant
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.consents.residence import Country
from relay.policy.opting_in.opt_in import Language
from relay.records.consents import MOST_EVENTS, Said
from relay.telemetry import consents_refused_total, count_refusal
from relay.upstream.credentials import read_secret

_log = logging.getLogger("relay.doors")
BODY_OCTETS = 16 * 1024
BODY_SECONDS = 20.0
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ID = r"^[A-Za-z0-9._-]{8,64}$"


def _mailbox(text: str) -> str:
    try:
        return Mailbox.parse(text).wire
    except MailboxError:
        raise ValueError("not an e-mail address / 不是有效的邮箱地址") from None


def _rfc3339(at: object) -> object:
    """Neither a number nor half a moment: what is evidence says when, and in whose clock (RFC 3339 section 5.6)."""
    if not isinstance(at, str) or not _MOMENT.fullmatch(at):
        raise ValueError("expected a moment such as 2026-11-22T10:00:00+08:00 / 应如 2026-11-22T10:00:00+08:00")
    return at


def _within_bounds(at: datetime) -> datetime:
    if not can_be_meant(at.timestamp()):
        raise ValueError(f"{OUTSIDE} / {OUTSIDE_ZH}")
    return at


_EMAIL: dict[str, Any] = {"format": "email", "not": {"pattern": "=\\?"}}  # a local part with "=?" looks like an encoded-word
Address = Annotated[str, Field(max_length=320, examples=["ada@example.org"], json_schema_extra=_EMAIL), AfterValidator(_mailbox)]
Purpose = Annotated[str, Field(pattern=PURPOSE, examples=["marketing:newsletter"])]
Text = Annotated[str, Field(max_length=500)]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_rfc3339), AfterValidator(_within_bounds)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


T = TypeVar("T", bound=_Strict)


class ConsentRequest(_Strict):
    """One event of the consent ledger."""

    address: Address
    purpose: Purpose
    evidence: Annotated[str, Field(min_length=1, max_length=500, description="How, when, where; the person can read it")]
    event: EventKind = EventKind.GRANTED
    basis: Basis = Basis.EXPLICIT
    at: Annotated[Moment | None, Field(description="When the person said so; default: now")] = None
    id: (
        Annotated[
            str,
            Field(
                pattern=_ID,
                description="Names one event, not the subscription: the same event sent again is not recorded twice",
            ),
        ]
        | None
    ) = None
    source: Source = Source.FORM
    source_ref: Text = ""
    method: Text = ""
    notice_version: Text = ""
    text_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    language: Annotated[str, Field(max_length=35)] = ""
    controller: Text = ""
    statements: Annotated[list[Statement], Field(max_length=len(Statement))] = []
    age_band: AgeBand | None = None
    country: Annotated[Country | None, Field(description="Where the person is: whose law protects them")] = None
    relation_at: Moment | None = None
    expires_at: Moment | None = None
    ip: Annotated[str, Field(max_length=45, description="Kept sealed")] = ""
    user_agent: Annotated[Text, Field(description="Kept sealed")] = ""
    signer: Annotated[Text, Field(description="Kept sealed")] = ""
    lift: Annotated[bool, Field(description="Lift refusals that are older than this consent and no wider")] = False

    def said(self, now: float, by: str) -> Said:
        details = Details(
            self.source, self.source_ref, self.method, self.notice_version, self.text_sha256, self.language, self.controller,
            tuple(sorted(set(self.statements))), self.age_band or "", _moment(self.relation_at), _moment(self.expires_at),
            country=self.country or "",
        )  # fmt: skip
        origin = {name: value for name in ("ip", "user_agent", "signer") if (value := getattr(self, name))}
        at = now if self.at is None else self.at.timestamp()
        return Said(self.event.value, self.purpose, self.basis.value, at, self.evidence, by, details, origin)


class ConsentAnswer(_Strict):
    """What became of the event."""

    id: str
    new: bool
    refused_since: Annotated[AwareDatetime | None, Field(description="A refusal keeps such mail back since then all the same")]


class AskRequest(_Strict):
    """A sign-up that the person is to confirm from the mailbox."""

    address: Address
    form: Annotated[str, Field(max_length=31, description="The name of a [[form]] in config.toml", examples=["newsletter"])]
    language: Annotated[Language, Field(description="Of the mail; the other one follows below")] = "zh"
    evidence: Annotated[Text, Field(description="How, when, where; default: the page of the form")] = ""
    age_band: AgeBand | None = None
    country: Annotated[Country | None, Field(description="Where the person is; default: that of the form")] = None
    ip: Annotated[str, Field(max_length=45, description="Of the person, kept sealed; so many of one network in an hour")] = ""
    user_agent: Annotated[Text, Field(description="Kept sealed")] = ""

    def wish(self) -> Wish:
        origin = {name: value for name in ("ip", "user_agent") if (value := getattr(self, name))}
        return Wish(self.language, origin, "api", self.evidence, self.age_band or "", self.country or "")


class AskAnswer(_Strict):
    """What became of it; without a confirmation there is no consent."""

    sent: bool
    request: Annotated[str | None, Field(description="The id of the event that asks, where a mail was sent, or tried")]
    why: Annotated[
        Literal["", "asked", "stands", "too_many", "refused", "failed"],
        Field(description="Why none was sent: asked a moment ago, a confirmed consent stands, too many requests, a complaint"
              " or objection, the relay did not take the mail"),
    ]  # fmt: skip


class CheckRequest(_Strict):
    """Whether a mailbox may be written to for a purpose."""

    address: Address
    purpose: Purpose


class CheckAnswer(_Strict):
    """The consent that stands, else what the best one lacks."""

    stands: bool
    consent: str | None
    lacks: str


class Fault(_Strict):
    """One fault of a request."""

    field: str
    text: str


class Faults(_Strict):
    """Everything that is wrong with a request."""

    faults: list[Fault]


def _moment(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def read_token(config: Config) -> str:
    """The token of the API: one line that only the service's user may read. Raises ConfigurationError."""
    path = config.secret(config.consents.token_file)
    token = read_secret(path, f"[consents] token_file {path}")
    if not 32 <= len(token) <= 512 or not token.isascii():
        raise ConfigurationError(
            f"[consents] token_file {path}: expected 32 to 512 characters of ASCII; make them with: openssl rand -hex 32"
            " / 令牌应为 32 至 512 个 ASCII 字符"
        )
    return token


def consent_app(
    desk: ConsentDesk, token: str, clock: Callable[[], float], zone: Callable[[], tzinfo], opt_in: OptIn | None = None
) -> web.Application:
    """The API; Authorization: Bearer must carry `token`, `zone` is the organisation's. Without `opt_in` there are no forms."""

    async def record(request: web.Request) -> web.Response:
        asked = await _read(request, ConsentRequest)
        now = clock()
        said = asked.said(now, "api")
        if said.event in ENDING:  # it binds now, whatever the clock of whoever sent it says
            said = replace(said, at=min(said.at, now))
        to_come = [name for name, at in (("at", said.at), ("relation_at", said.details.relation_at)) if (at or 0.0) > now + 60]
        if to_come:
            return _faulty([Fault(field=name, text="has not come yet / 时间还没有到") for name in to_come])
        done = await desk.record(
            Mailbox.parse(asked.address), said, lifts=asked.lift, event_id=asked.id or "", is_dated=asked.at is not None
        )
        since = None if done.refused_since is None else datetime.fromtimestamp(bounded(done.refused_since), UTC)
        return _json(ConsentAnswer(id=done.id, new=done.is_new, refused_since=since), 201 if done.is_new else 200)

    async def ask(request: web.Request) -> web.Response:
        asked = await _read(request, AskRequest)
        form = opt_in.form(asked.form) if opt_in else None
        if opt_in is None or form is None:
            fault = Fault(field="form", text="there is no such [[form]] in config.toml / config.toml 中没有此表单")
            return _faulty([fault], 404)
        mailbox = Mailbox.parse(asked.address)
        await opt_in.admit(asked.ip, mailbox)
        done = await opt_in.ask(form, mailbox, asked.wish())
        if done.kept is not None:
            return _json(AskAnswer(sent=False, request=None, why=done.kept.value), 202)
        is_sent = await opt_in.send(done)
        return _json(AskAnswer(sent=is_sent, request=done.id, why="" if is_sent else "failed"), 202)

    async def check(request: web.Request) -> web.Response:
        asked = await _read(request, CheckRequest)
        events = await desk.events(Mailbox.parse(asked.address))
        needs = Needs(asked.purpose, zone=zone())
        found = grant_for(events, needs, datetime.fromtimestamp(clock(), needs.zone).date())
        if isinstance(found, ConsentEvent):
            return _json(CheckAnswer(stands=True, consent=found.id, lacks=""))
        return _json(CheckAnswer(stands=False, consent=None, lacks=found))

    async def document(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(openapi()), content_type="application/json")

    app = web.Application(client_max_size=BODY_OCTETS, middlewares=[_answering(token)])
    app.router.add_post("/v1/consents", record)
    app.router.add_post("/v1/consents/ask", ask)
    app.router.add_post("/v1/consents/check", check)
    app.router.add_get("/v1/openapi.json", document)
    return app


def _answering(token: str) -> Any:
    """Who has not the token is told nothing else; a fault of ours is told without details."""

    @web.middleware
    async def answer(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if request.path != "/v1/openapi.json" and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            count_refusal("http_token")
            text = "expected Authorization: Bearer and the token of [consents] token_file / 请求未带有效令牌"
            return _faulty([Fault(field="Authorization", text=text)], 401, {"WWW-Authenticate": "Bearer"})
        try:
            answered: web.StreamResponse = await handler(request)
        except _Invalid as fault:
            answered = _faulty(fault.faults, fault.status)
        except (ConsentIdTaken, ConsentsFull, TooManyRequests) as fault:
            answered = _not_taken(fault)
        except web.HTTPException as error:
            if error.status == 413:
                count_refusal("http_size")
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            answered = _faulty([Fault(field="", text=str(error.reason))], error.status, allowed)
        except (StoreUnavailable, RecordsUnavailable, NotServed) as fault:
            _log.warning("a consent was not recorded: %s", fault_text(fault))
            text = "nothing was recorded; try again later / 未登记，请稍后再试"
            answered = _faulty([Fault(field="", text=text)], 503, {"Retry-After": "10"})
        except Exception:  # noqa: BLE001 - law 9: a fault of ours has no details for a peer
            _log.exception("the consent API failed")
            answered = _faulty([Fault(field="", text="internal fault / 内部错误")], 500)
        return answered

    return answer


def _not_taken(fault: ConsentIdTaken | ConsentsFull | TooManyRequests) -> web.Response:
    """What there is no room for, and what is said already."""
    if isinstance(fault, ConsentIdTaken):
        consents_refused_total.labels("id_taken").inc()
        text = "names another event of this mailbox; nothing was recorded; give each event an id of its own"
        return _faulty([Fault(field="id", text=f"{text} / 该编号已用于此邮箱的另一事件，未登记；每个事件请用不同的编号")], 409)
    if isinstance(fault, TooManyRequests):
        field, text = "ip", "too many sign-ups in an hour from this network, or at all; nothing was sent / 登记过于频繁，未发送"
        if str(fault) == "domain":
            field, text = (
                "address",
                "too many at its domain did not answer; nothing was sent / 该域名未确认的登记过多，未发送",
            )
        return _faulty([Fault(field=field, text=text)], 429, {"Retry-After": "3600"})
    consents_refused_total.labels("too_many").inc()
    text = f"this mailbox has {MOST_EVENTS} events; nothing was recorded; withdrawals and objections are always taken"
    return _faulty([Fault(field="address", text=f"{text} / 此邮箱已有 {MOST_EVENTS} 个事件，未登记；撤回与反对不受此限")], 429)


class _Invalid(Exception):
    def __init__(self, faults: list[Fault], status: int) -> None:
        super().__init__("an invalid request")
        self.faults = faults
        self.status = status


async def _read(request: web.Request, kind: type[T]) -> T:
    """The body as this kind of table. Raises _Invalid."""
    if request.content_type != "application/json":
        raise _Invalid([Fault(field="Content-Type", text="expected application/json / 应为 application/json")], 415)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            octets = await request.read()
    except TimeoutError:
        count_refusal("http_time")
        raise _Invalid([Fault(field="", text="the body took too long / 请求体传输超时")], 408) from None
    try:
        asked = kind.model_validate_json(octets)
    except ValidationError as error:
        faults = [Fault(field=".".join(map(str, one["loc"])), text=one["msg"]) for one in error.errors(include_url=False)]
        raise _Invalid(faults[:20], 422) from None
    if twice := said_twice(octets):
        raise _Invalid([Fault(field=name, text="is said twice / 重复出现") for name in twice], 422)
    return asked


def _faulty(faults: list[Fault], status: int = 422, headers: dict[str, str] | None = None) -> web.Response:
    return _json(Faults(faults=faults), status, headers)


def _json(answer: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = answer.model_dump_json().encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    schemas: dict[str, Any] = {}
    for kind in (ConsentRequest, ConsentAnswer, AskRequest, AskAnswer, CheckRequest, CheckAnswer, Faults):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return {
        "openapi": "3.1.0",
        "info": {"title": "compliance-relay consents", "version": __version__},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
        "security": [{"token": []}],
        "paths": {
            "/v1/consents": {
                "post": _operation("Record one event", "ConsentRequest", "ConsentAnswer", ("200", "201"), ("409", "429"))
            },
            "/v1/consents/ask": {
                "post": _operation("Ask by mail to confirm", "AskRequest", "AskAnswer", ("202",), ("404", "429"))
            },
            "/v1/consents/check": {"post": _operation("Is there a consent?", "CheckRequest", "CheckAnswer", ("200",))},
        },
    }


def _operation(summary: str, asked: str, answered: str, good: tuple[str, ...], bad: tuple[str, ...] = ()) -> dict[str, Any]:
    faults = ("401", "408", *bad, "413", "415", "422", "500", "503")
    every = dict.fromkeys(good, answered) | dict.fromkeys(faults, "Faults")
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _content(asked)},
        "responses": {status: {"description": name, "content": _content(name)} for status, name in sorted(every.items())},
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
