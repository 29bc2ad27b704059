"""What a footer says, as lines of text and as HTML, in Chinese or English."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from html import escape

from relay.policy.duty import FooterPart
from relay.render.letterhead import Language, Letterhead

LINK = "\0"
"""Stands for the recipient's own unsubscribe link until it is known; no mail has this character."""

_WORDS: dict[str, dict[Language, str]] = {
    "advertisement": {"zh": "本邮件为广告。", "en": "This message is an advertisement."},
    "reason": {
        "zh": "您收到此邮件，是因为您的地址在{name}的“{title}”收件名单中。",
        "en": 'You receive this mail because {name} has your address on the list "{title}".',
    },
    "unsubscribe": {"zh": "退订（免费，立即生效）：", "en": "Unsubscribe (free, takes effect at once): "},
    "unsubscribe link": {"zh": "点击此处退订", "en": "click here to unsubscribe"},
    "refusal-mailbox": {"zh": "拒收邮件请写信至：", "en": "To refuse further mail, write to: "},
    "identity": {"zh": "发件单位：", "en": "Sent by: "},
    "address": {"zh": "通信地址：", "en": "Postal address: "},
    "contact": {"zh": "联系方式：", "en": "Contact: "},
    "privacy": {"zh": "隐私政策：", "en": "Privacy notice: "},
    "nobody": {"zh": "本单位", "en": "the sender"},
}

# Style sheets of the mail cannot hide what says !important in its own place.
_BOX = (
    "display:block!important;visibility:visible!important;opacity:1!important;clear:both;height:auto!important;"
    "max-height:none!important;overflow:visible!important;margin:24px 0 0;padding:12px 8px;border-top:1px solid #8a8a8a;"
    "background:#ffffff!important;color:#333333!important;font:14px/1.6 Arial,'Microsoft YaHei',sans-serif!important;"
    "text-align:left;text-indent:0;word-break:break-word"
)
_ANCHOR = (
    "display:inline-block!important;visibility:visible!important;color:#0b4fb3!important;"
    "font-size:14px!important;text-decoration:underline!important"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: words, then what they lead to, as text or as a link ("" when there is none)."""

    words: str
    link: str = ""
    anchor: str = ""
    facts: tuple[str, ...] = ()  # a text that has one of these says it already


def footer_lines(parts: Collection[FooterPart], letterhead: Letterhead, language: Language, reason: str = "") -> Iterator[Line]:
    """The lines for these parts. What organisation.toml says in the other language only is said in that."""
    name, title, words = _said(letterhead.legal_name, language), _said(letterhead.title, language), _words(language)
    address, mailbox, privacy = _said(letterhead.postal_address, language), letterhead.refusal_mailbox, letterhead.privacy_url
    why = reason or words["reason"].format(name=name or words["nobody"], title=title)
    lines = {
        "advertisement": Line(words["advertisement"], facts=(words["advertisement"],)),
        "reason": Line(why, facts=(why,)),
        "unsubscribe": Line(words["unsubscribe"], LINK, words["unsubscribe link"]),
        "refusal-mailbox": Line(words["refusal-mailbox"], f"mailto:{mailbox}", mailbox, (mailbox,)),
        "identity": Line(words["identity"] + name, facts=_all(letterhead.legal_name)),
        "address": Line(words["address"] + address, facts=_all(letterhead.postal_address)),
        "contact": Line(words["contact"] + letterhead.contact, facts=(letterhead.contact,)),
        "privacy": Line(words["privacy"], privacy, privacy, (privacy,)),
    }
    return (lines[part] for part in _ORDER if part in parts)


_ORDER: tuple[FooterPart, ...] = (
    "advertisement", "reason", "unsubscribe", "refusal-mailbox", "identity", "address", "contact", "privacy",
)  # fmt: skip


def _words(language: Language) -> dict[str, str]:
    return {name: texts[language] for name, texts in _WORDS.items()}


def _all(texts: dict[Language, str]) -> tuple[str, ...]:
    return tuple(filter(None, texts.values()))


def _said(texts: dict[Language, str], language: Language) -> str:
    other: Language = "en" if language == "zh" else "zh"
    return texts[language] or texts[other]


def as_text(lines: Iterable[Line]) -> str:
    """Lines of text under a rule. A link stands alone in its line, so that no reader takes what follows for a part of it."""
    written = ["", "-" * 40]
    for line in lines:
        if line.link == LINK:
            written += [line.words.rstrip(), LINK]
        else:
            written.append(line.words + (line.anchor or line.link))
    return "\n".join(written) + "\n"


def as_html(lines: Iterable[Line], language: Language) -> str:
    """A block of its own, all ASCII but for what stands in the facts."""
    tag = "zh-CN" if language == "zh" else "en"
    said = "<br>\n".join(map(_inline, lines))
    return f'<div lang="{tag}" dir="ltr" style="{_BOX}">\n{said}\n</div>\n'


def _inline(line: Line) -> str:
    words = escape(line.words)
    if not line.link:
        return words
    href = LINK if line.link == LINK else escape(line.link)
    return f'{words}<a href="{href}" style="{_ANCHOR}">{escape(line.anchor)}</a>'
