"""The HTTP API for sign-up forms: a program that has the token records what people agreed to and asks what stands.

    POST /v1/consents         record one event of one mailbox
    POST /v1/consents/check   is there a consent to this purpose?
    GET  /v1/openapi.json     what both take and answer

A fault names the field and the remedy in English and Chinese; a field that is
not in the document is refused, since a misspelt one would be evidence lost.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from relay import __version__
from relay.config import Config
from relay.doors.consents import ConsentDesk
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.consent import PURPOSE, AgeBand, Basis, ConsentEvent, Details, EventKind, Needs, Source, Statement, grant_for
from relay.records.consents import Said
from relay.telemetry import count_refusal, fault_text
from relay.upstream.credentials import read_secret

_log = logging.getLogger("relay.doors")
BODY_OCTETS = 16 * 1024
BODY_SECONDS = 20.0
_ID = r"^[A-Za-z0-9._-]{8,64}$"


def _mailbox(text: str) -> str:
    try:
        return Mailbox.parse(text).wire
    except MailboxError:
        raise ValueError("not an e-mail address / 不是有效的邮箱地址") from None


Address = Annotated[str, Field(max_length=320, examples=["ada@example.org"]), AfterValidator(_mailbox)]
Purpose = Annotated[str, Field(pattern=PURPOSE, examples=["marketing:newsletter"])]
Text = Annotated[str, Field(max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=_Strict)


class ConsentRequest(_Strict):
    """One event of the consent ledger."""

    address: Address
    purpose: Purpose
    evidence: Annotated[str, Field(min_length=1, max_length=500, description="How, when, where; the person can read it")]
    event: EventKind = EventKind.GRANTED
    basis: Basis = Basis.EXPLICIT
    at: Annotated[AwareDatetime | None, Field(description="When the person said so; default: now")] = None
    id: Annotated[str, Field(pattern=_ID, description="Names the event: sent again, it is not recorded twice")] | None = None
    source: Source = Source.FORM
    source_ref: Text = ""
    method: Text = ""
    notice_version: Text = ""
    text_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    language: Annotated[str, Field(max_length=35)] = ""
    controller: Text = ""
    statements: Annotated[list[Statement], Field(max_length=len(Statement))] = []
    age_band: AgeBand | None = None
    relation_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    ip: Annotated[str, Field(max_length=45, description="Kept sealed")] = ""
    user_agent: Annotated[Text, Field(description="Kept sealed")] = ""
    signer: Annotated[Text, Field(description="Kept sealed")] = ""
    lift: Annotated[bool, Field(description="Lift refusals that are older than this consent and no wider")] = False

    def said(self, now: float, by: str) -> Said:
        details = Details(
            self.source, self.source_ref, self.method, self.notice_version, self.text_sha256, self.language, self.controller,
            tuple(sorted(set(self.statements))), self.age_band or "", _moment(self.relation_at), _moment(self.expires_at),
        )  # fmt: skip
        origin = {name: value for name in ("ip", "user_agent", "signer") if (value := getattr(self, name))}
        at = now if self.at is None else self.at.timestamp()
        return Said(self.event.value, self.purpose, self.basis.value, at, self.evidence, by, details, origin)


class ConsentAnswer(_Strict):
    """What became of the event."""

    id: str
    new: bool
    refused_since: Annotated[AwareDatetime | None, Field(description="A refusal keeps such mail back since then all the same")]


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


def consent_app(desk: ConsentDesk, token: str, clock: Callable[[], float]) -> web.Application:
    """The API; `token` is what Authorization: Bearer must carry."""

    async def record(request: web.Request) -> web.Response:
        asked = await _read(request, ConsentRequest)
        now = clock()
        said = asked.said(now, "api")
        if said.at > now + 60:
            return _faulty([Fault(field="at", text="has not come yet / 时间还没有到")])
        done = await desk.record(Mailbox.parse(asked.address), said, lifts=asked.lift, event_id=asked.id or "")
        since = None if done.refused_since is None else datetime.fromtimestamp(done.refused_since, UTC)
        return _json(ConsentAnswer(id=done.id, new=done.is_new, refused_since=since), 201 if done.is_new else 200)

    async def check(request: web.Request) -> web.Response:
        asked = await _read(request, CheckRequest)
        events = await desk.events(Mailbox.parse(asked.address))
        found = grant_for(events, Needs(asked.purpose), datetime.fromtimestamp(clock(), UTC).date())
        if isinstance(found, ConsentEvent):
            return _json(CheckAnswer(stands=True, consent=found.id, lacks=""))
        return _json(CheckAnswer(stands=False, consent=None, lacks=found))

    async def document(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(openapi()), content_type="application/json")

    app = web.Application(client_max_size=BODY_OCTETS, middlewares=[_answering(token)])
    app.router.add_post("/v1/consents", record)
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
        except web.HTTPException as error:
            if error.status == 413:
                count_refusal("http_size")
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            answered = _faulty([Fault(field="", text=str(error.reason))], error.status, allowed)
        except (StoreUnavailable, RecordsUnavailable) as fault:
            _log.warning("a consent was not recorded: %s", fault_text(fault))
            text = "nothing was recorded; try again later / 未登记，请稍后再试"
            answered = _faulty([Fault(field="", text=text)], 503, {"Retry-After": "10"})
        except Exception:  # noqa: BLE001 - law 9: a fault of ours has no details for a peer
            _log.exception("the consent API failed")
            answered = _faulty([Fault(field="", text="internal fault / 内部错误")], 500)
        return answered

    return answer


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
        return kind.model_validate_json(octets)
    except ValidationError as error:
        faults = [Fault(field=".".join(map(str, one["loc"])), text=one["msg"]) for one in error.errors(include_url=False)]
        raise _Invalid(faults[:20], 422) from None


def _faulty(faults: list[Fault], status: int = 422, headers: dict[str, str] | None = None) -> web.Response:
    return _json(Faults(faults=faults), status, headers)


def _json(answer: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = answer.model_dump_json().encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    schemas: dict[str, Any] = {}
    for kind in (ConsentRequest, ConsentAnswer, CheckRequest, CheckAnswer, Faults):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return {
        "openapi": "3.1.0",
        "info": {"title": "compliance-relay consents", "version": __version__},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
        "security": [{"token": []}],
        "paths": {
            "/v1/consents": {"post": _operation("Record one event", "ConsentRequest", "ConsentAnswer", ("200", "201"))},
            "/v1/consents/check": {"post": _operation("Is there a consent?", "CheckRequest", "CheckAnswer", ("200",))},
        },
    }


def _operation(summary: str, asked: str, answered: str, good: tuple[str, ...]) -> dict[str, Any]:
    every = dict.fromkeys(good, answered) | dict.fromkeys(("401", "408", "413", "415", "422", "500", "503"), "Faults")
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _content(asked)},
        "responses": {status: {"description": name, "content": _content(name)} for status, name in sorted(every.items())},
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
