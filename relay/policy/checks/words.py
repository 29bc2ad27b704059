"""Words in the subject, as people read them: width, case and hidden marks do not matter."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from relay.mail.words.folding import caseless
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting


def _word(text: str) -> str:
    folded = caseless(text).strip()
    if not folded:
        raise ValueError("an empty word is in every subject / 不能填写空词")
    return folded


class Words(RuleTable):
    """Parameters of subject-words."""

    words: Annotated[tuple[Annotated[str, AfterValidator(_word)], ...], Field(strict=False, min_length=1)]


def ask(case: Case, setting: Setting, parameters: Words) -> Finding | None:
    """Object to the first listed word."""
    found = _pattern(parameters.words).search(caseless(case.message.subject)) if case.message else None
    return Finding(found[0], spots=(_spot(case.message.subject, found[0]),)) if case.message and found else None


def _spot(subject: str, word: str) -> Spot:
    """Where the word stands as it is written; the whole subject where it is disguised."""
    start = subject.casefold().find(word)
    return Spot("subject", start, start + len(word)) if subject[start : start + len(word)].casefold() == word else Spot("subject")


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words; Latin words whole ("sex" is not in "Essex"), Chinese anywhere, because it has no spaces."""
    return re.compile("|".join(_bounded(word) for word in sorted(words, key=len, reverse=True)))


def _bounded(word: str) -> str:
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", word) else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", word) else ""
    return before + re.escape(word) + after


CHECK = Check(
    name="subject-words",
    summary="The subject has one of `words`; case, width and hidden characters do not matter, Latin words match whole",
    summary_zh="主题包含 `words` 中的词；忽略大小写、全角半角和隐藏字符，英文按整词匹配",
    parameters=Words,
    ask=ask,
    reads=("message.subject",),
    inspects=True,
    text="The subject has a word that this stream does not send",
    text_zh="主题中含有不允许的词语",
    fix="Write another subject",
    fix_zh="请修改主题",
)
