"""What a subject pretends: to be an answer, to be nothing, to be other words than are seen."""

import re
import unicodedata

from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.words.labels import plain, without_labels

REPLY = re.compile(
    r"\s*+(?:re|r[eé]f|fwd?|fw|aw|antw|wg|rv|tr|sv|vs|vl|odp|enc|res|回复|回覆|答复|答覆|回信|转发|轉發|转寄|轉寄)"
    r"\s*+(?:\[\d{1,3}\]|\(\d{1,3}\))?\s*+[:：]",
    re.IGNORECASE,
)
"""What mail programs put before the subject of an answer or of what is passed on, in the form NFKC."""

_SUBJECT = (Spot("subject"),)
_SHOWN = 2000  # characters of a subject: nobody is shown more, and each takes a microsecond
_JOINERS = frozenset("\u200c\u200d")
_MARKS_OF_DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2067\u2068\u2069")


def hidden_character(text: str) -> str:
    """The name of the first character that nobody sees and that writing has no need of, "" without one."""
    if text.isascii():
        return ""
    right_to_left = None
    for position, character in enumerate(text):
        if unicodedata.category(character) != "Cf":
            continue
        if character in _JOINERS and position and ord(text[position - 1]) > 0x2FF:
            continue  # between emoji, Indic and Arabic letters
        if character in _MARKS_OF_DIRECTION:
            if right_to_left is None:
                right_to_left = any(
                    unicodedata.bidirectional(one) in ("R", "AL") and unicodedata.category(one) != "Cf" for one in text
                )
            if right_to_left:
                continue
        return unicodedata.name(character, f"U+{ord(character):04X}")
    return ""


def ask_reply(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object to the look of an answer where nothing is answered."""
    message = case.message
    if message is None or message.refers:
        return None
    found = REPLY.match(plain(without_labels(message.subject)[:_SHOWN]))  # a label of advertising law changes nothing
    return Finding(found[0].strip(), spots=_SUBJECT) if found else None


def ask_visible(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object to a subject that is empty or has characters nobody sees."""
    if case.message is None:
        return None
    subject = case.message.subject.strip()
    if not subject:
        return Finding("empty", spots=_SUBJECT)
    hidden = hidden_character(subject[:_SHOWN])
    return Finding(hidden.lower(), spots=_SUBJECT) if hidden else None


FAKE_REPLY = Check(
    name="fake-reply",
    summary="The subject begins like an answer (`Re:`, `Fwd:`, in Chinese too), and neither In-Reply-To nor References is there",
    summary_zh="主题以回复或转发的前缀开头（`Re:`、`Fwd:`、`回复：`），但没有 In-Reply-To 或 References",
    parameters=RuleTable,
    ask=ask_reply,
    reads=("message.subject", "message.refers"),
    inspects=True,
    text="The subject pretends to be a reply or a forwarded message",
    text_zh="主题使用虚假的回复或转发前缀",
    fix="Take the prefix off, or answer a message",
    fix_zh="请去掉该前缀，或真正回复一封邮件",
)

VISIBLE = Check(
    name="subject-visible",
    summary="The subject is empty, or has characters that nobody sees",
    summary_zh="主题为空，或含有看不见的字符",
    parameters=RuleTable,
    ask=ask_visible,
    reads=("message.subject",),
    inspects=True,
    text="The subject is empty or has hidden characters",
    text_zh="主题为空或含有隐藏字符",
    fix="Write a subject that says what the message is about",
    fix_zh="请写明邮件主题，并去掉隐藏字符",
)
