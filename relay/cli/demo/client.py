"""What people use in the demo: a mail client, a browser. Nothing of the relay's own."""

import smtplib
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser

from relay.cli.demo.stage import Stage

_PATIENCE_SECONDS = 60.0
_browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the office does not reach 127.0.0.1
_BLOCKS = ("p", "h1", "h2", "dt", "dd", "section")


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply that decided over a message, as it came over the wire."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """As a mail client's log shows them: a hyphen after the code on all lines but the last."""
        *first, last = self.text.split("\n")
        return [*(f"{self.code}-{line}" for line in first), f"{self.code} {last}"]


def compose(recipient: str, subject: str = "News from Example") -> bytes:
    """A newsletter as a script would write it: without Date, Message-ID, signature or unsubscribe link."""
    message = EmailMessage()
    message["From"] = f"Example News <{Stage.login}>"
    message["To"] = recipient
    message["Subject"] = subject
    message.set_content("Hello,\n\nthis is our newsletter.\n")
    return message.as_bytes().replace(b"\n", b"\r\n")


def send(stage: Stage, recipient: str, message: bytes) -> Answer:
    """Send with the standard library's client over TLS and AUTH.

    Raises smtplib.SMTPException and OSError.
    """
    with smtplib.SMTP_SSL(*stage.submission, context=stage.tls_context(), timeout=_PATIENCE_SECONDS) as client:
        client.login(stage.login, stage.password)
        for code, said in (client.mail(stage.login), client.rcpt(recipient)):
            if code != 250:
                return Answer(code, said.decode())
        code, said = client.data(message)
    return Answer(code, said.decode())


def fetch(url: str, body: bytes | None = None) -> tuple[int, str]:
    """GET, or POST with a body; the status and the page.

    Raises OSError.
    """
    try:
        with _browser.open(url, body, timeout=_PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def visible(page: str) -> list[str]:
    """The lines that a reader of the page sees, without the link to the other language."""
    parser = _Text()
    parser.feed(page)
    return [" ".join(line.split()) for line in "".join(parser.words).splitlines() if line.strip()]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("style", "title") or "hreflang" in dict(attrs)
        if tag in _BLOCKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data.replace("\n", " "))
