"""The story of the demo, chapter by chapter; each chapter says what must hold and checks it."""

import smtplib
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime

import dkim
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console
from rich.markup import escape

from relay.cli.demo.client import Answer, compose, fetch, send, visible
from relay.cli.demo.stage import DOMAIN, LIMIT, SELECTOR, Stage
from relay.cli.output import language, text
from relay.keys import load_keys
from relay.records.kinds import Kind, Record
from relay.records.reading import Reader
from relay.records.search import Query, search, verify
from relay.records.wording import KINDS

_console = Console(highlight=False, emoji=False, soft_wrap=True)
ADA = "ada@example.org"
_PAIR = b"List-Unsubscribe=One-Click"
_PATIENCE_SECONDS = 10.0
_COUNTED = (
    "relay_submissions_total{",
    "relay_recipients_total{",
    "relay_rule_objections_total{",
    "relay_suppressions_total{",
)


class Broken(Exception):
    """Something that the demo promises did not hold."""


def tell(stage: Stage) -> bool:
    """Tell the whole story; False when a chapter did not hold."""
    try:
        for number, (chapter, zh, en) in enumerate(_CHAPTERS, 1):
            _console.print(f"\n[bold cyan]{number}. {escape(text(zh, en))}[/]")
            chapter(stage)
    except (Broken, smtplib.SMTPException, OSError) as fault:
        _console.print(f"[bold red]✗ {escape(str(fault))}[/]")
        return False
    _console.print("\n[bold green]" + text("✓ 以上全部成立。", "✓ All of it held.") + "[/]")
    return True


# The chapters --------------------------------------------------------------------------------------------------------


def _delivered(stage: Stage) -> None:
    original = compose(ADA)
    answer = send(stage, ADA, original)
    _expect(answer.code == 250, f"the first message was not accepted: {answer}")
    taken = stage.provider.taken[-1]
    _expect(taken.identity == stage.login, "the copy came over another identity's connection")
    header, _, body = taken.data.partition(b"\r\n\r\n")
    _expect(body == original.partition(b"\r\n\r\n")[2], "the body changed on its way")
    own = original.partition(b"\r\n\r\n")[0].split(b"\r\n")
    _expect([line for line in header.split(b"\r\n") if line in own] == own, "a field of the client's changed on its way")
    for line in header.split(b"\r\n"):
        shown = escape(line.decode("utf-8", "replace"))
        _console.print(f"  {shown}" if line in own else f"[green]+ {shown}[/]")
    _console.print()
    for words in body.decode("utf-8", "replace").splitlines():
        _console.print(f"  {escape(words)}".rstrip())
    _console.print(text("\n客户端收到的答复：", "\nWhat the client was told:"))
    _show(answer)


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
    _expect(not dkim.verify(copy.replace(b"Hello", b"Hullo"), dnsfunc=dns), "a changed body still verifies")
    _good(
        text(
            f"签名有效，公钥取自 {asked[0]}；退订字段或正文改动后即失效",
            f"valid, with the key of {asked[0]}; no longer once the unsubscribe fields or the body are changed",
        )
    )


def _unsubscribed(stage: Stage) -> None:
    url = stage.provider.taken[0].data.partition(b"List-Unsubscribe: <")[2].partition(b">")[0].decode()
    status, page = fetch(url)
    _console.print(f"  GET  {escape(url)}")
    _expect(not _on_record(stage, Kind.SUPPRESSED), "the GET suppressed somebody")
    _expect(status == 200 and "<button" in page, f"the GET was answered {status} without a button")
    _good(text(f"{status}：显示退订页面，仅打开不会退订", f"{status}: a page with a button; opening it changes nothing"))
    status, _ = fetch(url, _PAIR)
    _console.print(f"  POST {_PAIR.decode()}")
    _expect(
        status == 200 and len(_on_record(stage, Kind.SUPPRESSED)) == 1, f"the POST was answered {status} and did not suppress"
    )
    _good(text(f"{status}：已退订", f"{status}: unsubscribed"))


def _refused(stage: Stage) -> None:
    before = len(stage.provider.taken)
    answer = send(stage, ADA, compose(ADA, subject="Another offer"))
    _expect(answer.code == 550, f"the message was not refused: {answer}")
    _expect(len(stage.provider.taken) == before, "something was sent all the same")
    _show(answer)
    words = []
    for reader in ("zh", "en"):
        status, page = fetch(f"{answer.text.split()[-1]}?lang={reader}")
        _expect(status == 200, f"the help page was answered {status}")
        words += visible(page)
    _expect(any("已退订" in line for line in words), "the help page does not say in Chinese what happened")
    _expect(any("has unsubscribed" in line for line in words), "the help page does not say in English what happened")
    _console.print(text("这个链接打开后（中文、英文）：", "What that link shows, in Chinese and in English:"))
    for line in words:
        _console.print(f"  │ {escape(line)}")


def _limited(stage: Stage) -> None:
    for name in ("bob", "carol", "dave"):
        recipient = f"{name}@example.org"
        answer = send(stage, recipient, compose(recipient))
        wanted = 450 if name == "dave" else 250
        _expect(answer.code == wanted, f"{recipient}, with a limit of {LIMIT}: {answer}")
        _console.print(f"  {recipient}")
        _show(answer)


def _recorded(stage: Stage) -> None:
    keys = load_keys(stage.data_path / "keys.toml")
    with Reader(stage.data_path / "records.db", keys) as reader:
        trail = [entry.record for entry in search(reader, Query(mailbox=ADA))]
        verdict = verify(reader)
    for record in trail:
        moment = datetime.fromtimestamp(record.at).astimezone().isoformat(" ", "seconds")
        _console.print(f"  {moment}  {escape(KINDS[record.kind][language()])}{escape(_summary(record))}")
    kinds = [record.kind for record in trail]
    _expect(kinds[:3] == [Kind.RECEIVED, Kind.FINISHED, Kind.SUPPRESSED], f"the records do not tell the story: {kinds}")
    _expect(Kind.RECEIVED in kinds[3:], "the refusal is not on record")
    _expect(verdict.broken is None, f"the chain is broken: {verdict.broken}")
    _good(
        text(f"共 {verdict.count} 条记录，哈希链完好", f"{verdict.count} records in all, and the chain of their hashes is whole")
    )


def _counted(stage: Stage) -> None:
    submissions, end = len(_on_record(stage, Kind.RECEIVED)), time.monotonic() + _PATIENCE_SECONDS
    while True:  # a busy worker tells a moment later what it has counted
        status, page = fetch(f"http://{stage.http['operators']}/metrics")
        _expect(status == 200, f"the metrics page was answered {status}")
        lines = [line for line in page.splitlines() if line.startswith(_COUNTED)]
        counted = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(_COUNTED[0]))
        if counted == submissions or time.monotonic() > end:
            break
        time.sleep(0.1)
    for name in _COUNTED:
        _expect(any(line.startswith(name) for line in lines), f"the metrics page has no {name[:-1]}")
    _expect(counted == submissions, f"the metrics page counts {counted:g} submissions of {submissions} on record")
    _expect("@" not in page, "the metrics page shows an address")
    for line in lines:
        _console.print(f"  {escape(line)}")


# Small things --------------------------------------------------------------------------------------------------------


def _on_record(stage: Stage, kind: Kind) -> list[Record]:
    with Reader(stage.data_path / "records.db", load_keys(stage.data_path / "keys.toml")) as reader:
        return [entry.record for entry in search(reader, Query(kinds=frozenset({kind})))]


def _summary(record: Record) -> str:
    words = [
        *(ruling["action"] for ruling in record.facts.get("rulings", ())),
        *(outcome["state"] for outcome in record.facts.get("outcomes", ())),
        *([record.facts["reason"]] if record.kind is Kind.SUPPRESSED else []),
    ]
    return f"{text('：', ': ')}{', '.join(words)}" if words else ""


def _show(answer: Answer) -> None:
    colour = "green" if answer.code == 250 else "yellow"
    for line in answer.lines:
        _console.print(f"    [{colour}]{escape(line)}[/]")


def _good(words: str) -> None:
    _console.print(f"  [green]✓[/] {escape(words)}")


def _expect(held: bool, otherwise: str) -> None:
    if not held:
        raise Broken(otherwise)


_CHAPTERS: tuple[tuple[Callable[[Stage], None], str, str], ...] = (
    (
        _delivered,
        "普通的 SMTP 客户端经 TLS 和登录发出一封邮件。服务商收到的副本（+ 是中继添加的）：",
        "A plain SMTP client logs in over TLS and sends a message. What the provider got (+ is what the relay added):",
    ),
    (
        _signed,
        "像收件方那样，用 dkimpy 校验 DKIM 签名",
        "The DKIM signature, verified with dkimpy as a receiver would",
    ),
    (
        _unsubscribed,
        "收件人一键退订：RFC 8058 的 POST",
        "The recipient unsubscribes with one click: the POST of RFC 8058",
    ),
    (
        _refused,
        "再发给同一收件人：被拒绝，答复中的链接说明原因和办法",
        "The next message to that recipient is refused, with a link that says why and what to do",
    ),
    (
        _limited,
        f"每分钟限发 3 封（{LIMIT}）：第四封被推迟，并告知等待秒数",
        f"Three a minute is the limit ({LIMIT}): the fourth is put off, with the seconds to wait",
    ),
    (
        _recorded,
        f"关于 {ADA} 的全部记录",
        f"Everything on record about {ADA}",
    ),
    (
        _counted,
        "Prometheus 指标（不含任何地址）",
        "What Prometheus scrapes (never an address)",
    ),
)
