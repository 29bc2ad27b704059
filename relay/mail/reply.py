"""An SMTP reply, as a value.

The class digit of the enhanced status code always equals the first digit of
the reply code (RFC 2034 section 4), so it is derived and cannot disagree.
Every text is printable ASCII (RFC 5321 section 4.2: textstring).
"""

import re
from dataclasses import dataclass

MAX_LINE = 510  # octets without CRLF, RFC 5321 section 4.5.3.1.5
MAX_LINES = 10
_RULE = re.compile(r"\[([a-z0-9/-]+)\] ")


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` 250, `detail` "1.5" (enhanced code without its class; "" for none), `text` one line per reply line."""

    code: int
    detail: str
    text: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: the same command may succeed later (RFC 5321 section 4.2.1)."""
        return 400 <= self.code < 500

    @property
    def status(self) -> str:
        """The enhanced status code, e.g. "5.7.1"; "" when there is none."""
        return f"{self.code // 100}.{self.detail}" if self.detail else ""

    @property
    def rule(self) -> str:
        """The rule that the reply names in brackets at its start; "" when it names none."""
        found = _RULE.match(self.text[0]) if self.text else None
        return found[1] if found else ""

    def lines(self) -> list[str]:
        """The reply as it goes on the wire, without line ends."""
        prefix = f"{self.code // 100}.{self.detail} " if self.detail else ""
        if len(self.text) == 1:  # as nearly all have
            return [f"{self.code} {prefix}{ascii_text(self.text[0])[: MAX_LINE - 4 - len(prefix)]}"]
        texts = [ascii_text(text)[: MAX_LINE - 4 - len(prefix)] for text in self.text[:MAX_LINES]] or [""]
        last = len(texts) - 1
        return [f"{self.code}{' ' if i == last else '-'}{prefix}{text}" for i, text in enumerate(texts)]

    def wire(self) -> bytes:
        """The reply's octets with CRLF line ends."""
        return ("\r\n".join(self.lines()) + "\r\n").encode("ascii")

    def __str__(self) -> str:
        return " / ".join(self.lines())


def reply(code: int, detail: str, *text: str) -> Reply:
    """Build a reply; `detail` is the enhanced code without its class digit."""
    return Reply(code, detail, text)


def parse_reply(wire: str) -> Reply:
    """Read a reply back from its wire form, as the ledger keeps it.

    Raises ValueError.
    """
    lines = wire.splitlines()
    if not lines or not all(re.match(r"[2-5]\d\d([ -]|$)", line) for line in lines):
        raise ValueError("this is not an SMTP reply")
    code = int(lines[0][:3])
    status = re.match(rf"{code // 100}\.(\d{{1,3}}\.\d{{1,3}})(?: |$)", lines[0][4:])
    skip = 4 + (len(status[0]) if status else 0)
    return Reply(code, status[1] if status else "", tuple(line[skip:] for line in lines))


def ascii_text(text: str) -> str:
    """Return `text` as printable ASCII in one line; anything else becomes `?`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)
