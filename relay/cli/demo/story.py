"""The story of the demo, chapter by chapter; each chapter says what must hold and checks it."""

import smtplib
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from email.message import EmailMessage
from html.parser import HTMLParser

import dkim
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console
from rich.markup import escape

from relay.cli.demo.stage import DOMAIN, LIMIT, SELECTOR, Stage
from relay.cli.output import text
from relay.keys import load_keys
from relay.records.kinds import Record
from relay.records.reading import Reader
from relay.records.search import found_by_id, verify

_console = Console(highlight=False, emoji=False, soft_wrap=True)
ADA = "ada@example.org"
_PAIR = b"List-Unsubscribe=One-Click"


class Broken(Exception):
    """Something that the demo promises did not hold."""


def tell(stage: Stage) -> bool:
    """Tell the whole story; False when a chapter did not hold."""
    try:
        for number, (chapter, zh, en) in enumerate(_CHAPTERS, 1):
            _console.print(f"\n[bold cyan]{number}. {text(zh, en)}[/]")
            chapter(stage)
    except Broken as fault:
        _console.print(f"[bold red]✗ {escape(str(fault))}[/]")
        return False
    _console.print("\n[bold green]" + text("✓ 全部成立。", "✓ All of it held.") + "[/]")
    return True


def _delivered(stage: Stage) -> None:
    original = _message(ADA)
    _expect(_send(stage, ADA, original) is None, "the first message was not accepted")
    taken = stage.provider.taken[-1]
    _expect(taken.identity == stage.login, "the copy came over another identity's connection")
    header, _, body = taken.data.partition(b"\r\n\r\n")
    _expect(original.partition(b"\r\n\r\n")[2] == body, "the body changed on its way")
    own = set(original.partition(b"\r\n\r\n")[0].split(b"\r\n"))
    for line in header.decode().split("\r\n"):
        added = line.encode() not in own
        _console.print(f"[green]+ {escape(line)}[/]" if added else f"  {escape(line)}")
    _console.print("\n" + "".join(f"  {escape(line)}\n" for line in body.decode().splitlines()), end="")


def _signed(stage: Stage) -> None:
    public = stage.dkim_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + b64encode(public)
    asked: list[str] = []

    def dns(name: bytes, timeout: float = 5) -> bytes:
        asked.append(name.decode())
        return record

    copy = stage.provider.taken[-1].data
    _expect(dkim.verify(copy, dnsfunc=dns), "the signature does not verify")
    _expect(asked == [f"{SELECTOR}._domainkey.{DOMAIN}."], f"the signature names another key: {asked}")
    _expect(not dkim.verify(copy.replace(b"One-Click", b"Two-Click"), dnsfunc=dns), "a changed field still verifies")
    _good(text(f"签名有效（{asked[0]}）；改动一个字节后即失效", f"valid ({asked[0]}), and no longer once a field is changed"))


def _unsubscribed(stage: Stage) -> None:
    url = _unsubscribe_url(stage)
    status, _ = _fetch(url)
    _console.print(f"  GET  {escape(url)} → {status}" + text("（只显示页面，不退订）", " (shows a page, changes nothing)"))
    status, _ = _fetch(url, _PAIR)
    _console.print(f"  POST {_PAIR.decode()} → {status}")
    _expect(status == 200, f"the POST was answered {status}")


def _refused(stage: Stage) -> None:
    before = len(stage.provider.taken)
    refusal = _send(stage, ADA, _message(ADA, subject="Another offer"))
    _expect(refusal is not None and refusal[0] == 550, f"the message was not refused: {refusal}")
    _expect(len(stage.provider.taken) == before, "something was sent all the same")
    reply = refusal[1] if refusal else ""
    _console.print(f"  [yellow]550 {escape(reply)}[/]")
    status, page = _fetch(reply.split()[-1])
    _expect(status == 200, f"the help page was answered {status}")
    words = _visible(page)
    _expect("退订" in words and "unsubscribed" in words.lower(), "the help page does not say what happened in both languages")
    for line in filter(None, map(str.strip, words.splitlines())):
        _console.print(f"  │ {escape(line)}")


def _limited(stage: Stage) -> None:
    for name in ("bob", "carol"):
        recipient = f"{name}@example.org"
        _expect(_send(stage, recipient, _message(recipient)) is None, f"{recipient} was refused")
    over = _send(stage, "dave@example.org", _message("dave@example.org"))
    _expect(over is not None and over[0] == 450 and " s" in over[1], f"the limit of {LIMIT} was not met: {over}")
    _console.print(f"  {LIMIT}: bob ✓ carol ✓ dave → [yellow]450 {escape(over[1] if over else '')}[/]")


def _recorded(stage: Stage) -> None:
    keys = load_keys(stage.data_path / "keys.toml")
    with Reader(stage.data_path / "records.db", keys) as reader:
        first = stage.provider.taken[0].data.partition(b"; \r\n")[0]
        submission = first.partition(b" id ")[2][:26].decode()
        for record in found_by_id(reader, submission):
            _console.print(f"  {record.kind.value:10} {record.id} {escape(_summary(record))}")
        verdict = verify(reader)
    _expect(verdict.broken is None and verdict.count > 0, f"the chain is broken: {verdict.broken}")
    _good(text(f"{verdict.count} 条记录，链完整", f"{verdict.count} records, the chain holds"))


def _counted(stage: Stage) -> None:
    status, page = _fetch(f"http://{stage.http['operators']}/metrics")
    wanted = ("relay_submissions_total{", "relay_recipients_total{", "relay_rule_objections_total{", "relay_suppressions_total{")
    lines = [line for line in page.splitlines() if line.startswith(wanted)]
    _expect(status == 200 and len(lines) >= len(wanted), "the metrics page lacks what was counted")
    for line in lines:
        _console.print(f"  {escape(line)}")


def _message(to: str, subject: str = "News from Example") -> bytes:
    message = EmailMessage()
    message["From"] = f"Example News <{Stage.login}>"
    message["To"] = to
    message["Subject"] = subject
    message.set_content("Hello,\n\nthis is our newsletter.\n")
    return message.as_bytes().replace(b"\n", b"\r\n")


def _send(stage: Stage, recipient: str, message: bytes) -> tuple[int, str] | None:
    """Send as any tool would; None when it was accepted, else the reply."""
    with smtplib.SMTP_SSL(*stage.submission, context=stage.tls_context(), timeout=30) as client:
        client.login(stage.login, stage.password)
        try:
            client.sendmail(stage.login, [recipient], message)
        except smtplib.SMTPDataError as refusal:
            return refusal.smtp_code, _words(refusal.smtp_error)
        except smtplib.SMTPRecipientsRefused as refused:
            code, error = next(iter(refused.recipients.values()))
            return code, _words(error)
    return None


def _words(error: bytes | str) -> str:
    return error.decode() if isinstance(error, bytes) else error


def _unsubscribe_url(stage: Stage) -> str:
    """The URL in the first copy's List-Unsubscribe."""
    return stage.provider.taken[0].data.partition(b"List-Unsubscribe: <")[2].partition(b">")[0].decode()


def _fetch(url: str, body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:  # noqa: S310 - http on 127.0.0.1
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("style", "title")
        if tag in ("p", "h1", "h2", "dt", "dd", "section"):
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data.replace("\n", " "))


def _visible(page: str) -> str:
    parser = _Text()
    parser.feed(page)
    return "".join(parser.words)


def _summary(record: Record) -> str:
    rulings = [ruling["action"] for ruling in record.facts.get("rulings", ())]
    outcomes = [outcome["state"] for outcome in record.facts.get("outcomes", ())]
    return ", ".join([*rulings, *outcomes])


def _good(words: str) -> None:
    _console.print(f"  [green]✓[/] {escape(words)}")


def _expect(held: bool, otherwise: str) -> None:
    if not held:
        raise Broken(otherwise)


_CHAPTERS: tuple[tuple[Callable[[Stage], None], str, str], ...] = (
    (
        _delivered,
        "普通 SMTP 客户端经 TLS 与 AUTH 发出一封邮件；上游收到的副本（+ 为中继添加）",
        "A plain SMTP client sends over TLS and AUTH; what the upstream got (+ marks what the relay added)",
    ),
    (_signed, "用独立的代码校验 DKIM 签名", "The DKIM signature verifies, with code that is not the relay's"),
    (_unsubscribed, "收件人一键退订（RFC 8058 的 POST）", "The recipient unsubscribes with one click, the POST of RFC 8058"),
    (
        _refused,
        "再发给同一收件人：被拒绝，并附有说明页",
        "The next message to that recipient is refused, with a page that says why",
    ),
    (_limited, "超过限速时，客户端被告知等待秒数", "A limit is met: the client is told how many seconds to wait"),
    (_recorded, "每一步都有记录，首尾相连、可校验", "Everything is on record, and the chain of records holds"),
    (_counted, "Prometheus 指标", "What Prometheus scrapes"),
)
