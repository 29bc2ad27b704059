"""The running text of a mail: parts decoded, HTML as lines, what the writer added apart from what is quoted.

For mails that come in, not for those that leave; nothing here raises on bad
input, every part is read up to a bound, and the work grows with its length
only.
"""

import re
import unicodedata

from relay.mail.incoming.markup import lines_of_html
from relay.mail.message import Message
from relay.mail.parts.mime import Part

MAX_PART = 256 * 1024
"""Octets read of one part."""

_MAX_LINE = 2000  # characters of a line that are brought to one form: accents without end would take time without end

_ORIGINAL = (
    r"original message|original mail|原始邮件|原邮件|原始郵件|回复的原邮件|回复邮件|邮件原件|回覆郵件|転送|元のメッセージ"
    r"|ursprüngliche nachricht|message d'origine|mensaje original|forwarded message|转发邮件信息|转发的邮件"
)
_QUOTED = re.compile(
    rf"[>|｜]|[-_=*|\s]{{0,60}}(?:{_ORIGINAL})[-_=*|:：\s]{{0,60}}$|[_-]{{10,}}$"
    r"|(?:发件人|寄件者|寄件人|發件人|from|von|de|差出人)\s*[:：]"
    r"|(?:on|at|am|le|el)\s.{5,250}(?:wrote|schrieb|a écrit|escribió)\s*[:：]?$"
    r"|.{0,250}(?:写道|寫道|のメール|님이 작성)\s*[:：]?$",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    r"--\s?$|(?:发自|發自|来自我的|來自我的|從我的|来自\S{0,12}邮箱|签名由|sent from|get outlook|von meinem|gesendet von"
    r"|envoyé de|enviado desde)",
    re.IGNORECASE,
)


def octets_of(message: Message, part: Part) -> bytes:
    """The decoded octets of a leaf part, at most MAX_PART of the encoded ones."""
    return part.octets(message.body, MAX_PART)


def text_of_part(message: Message, part: Part) -> str:
    """A leaf part as text, HTML still as it is."""
    return part.text(octets_of(message, part))


def readable_text(message: Message) -> str:
    """The first running text that is no attachment: plain where there is one with words in it, else HTML as lines."""
    html = ""
    for part in message.structure.parts:
        if not part.is_leaf or part.in_attached_message or part.header(b"content-disposition").lower().startswith("attachment"):
            continue
        if part.media_type == "text/plain" and (text := text_of_part(message, part)).strip():
            return text
        if part.media_type == "text/html" and not html:
            html = lines_of_html(text_of_part(message, part))
    return html


def own_lines(text: str) -> list[str]:
    """What the writer of an answer added: the lines before the quoted mail and the signature, empty ones left out."""
    lines = [_plain(line) for line in text.splitlines()[:500]]
    own: list[str] = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line and (_QUOTED.match(line[:600]) or _QUOTED.match(f"{line} {following}"[:600]) or _SIGNATURE.match(line)):
            break
        if line:
            own.append(line)
    return own


def _plain(line: str) -> str:
    return (unicodedata.normalize("NFKC", line) if len(line) <= _MAX_LINE else line).strip()
