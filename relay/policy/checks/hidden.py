"""Text that is in the mail and that nobody sees: receivers read it as an attempt to evade their filters."""

import re
from collections import defaultdict
from typing import Annotated

from pydantic import Field

from relay.mail.words.sight import Hidden
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting

HIDDEN = ", hidden"
"""What follows the place of a part in the place of what it hides."""

_BETWEEN = re.compile(r"[\W_]++")


class HiddenText(RuleTable):
    """Parameters of hidden-text."""

    more_than: Annotated[int, Field(ge=0, le=100_000, description="Hidden letters that are let through / 允许的隐藏文字数")] = 20
    preheader: Annotated[int, Field(ge=0, le=1000, description="Letters of one hidden summary / 允许的预览文字数")] = 200


def ask(case: Case, setting: Setting, parameters: HiddenText) -> Finding | None:
    """Object to hidden letters that stand nowhere else in sight, one summary for the list of mails aside."""
    if case.message is None:
        return None
    content = case.message.content
    pieces: dict[str, list[tuple[int, Hidden]]] = defaultdict(list)
    for hidden in content.hidden:
        if count := len(_letters(hidden.text.shown)):
            pieces[hidden.text.where.removesuffix(HIDDEN)].append((count, hidden))
    for where, found in pieces.items():
        if _letters_of(_beside_summary(found, parameters)) > parameters.more_than:
            shown = next((text.shown for text in content.texts if text.where == where), "")
            unseen = _beside_summary(_not_in_sight(found, shown), parameters)
            if (count := _letters_of(unseen)) > parameters.more_than:
                return Finding(f"{count} letters, by {unseen[-1][1].how}, in {where}", spots=(Spot(where),))
    return None if content.is_complete else UNREAD_PARTS


def _letters_of(found: list[tuple[int, Hidden]]) -> int:
    return sum(count for count, _ in found)


def _beside_summary(found: list[tuple[int, Hidden]], parameters: HiddenText) -> list[tuple[int, Hidden]]:
    """From the shortest to the longest, less the longest summary that is let through."""
    ordered = sorted(found, key=lambda piece: piece[0])
    summary = max((place for place, (count, _) in enumerate(ordered) if count <= parameters.preheader), default=-1)
    return [piece for place, piece in enumerate(ordered) if place != summary]


def _not_in_sight(found: list[tuple[int, Hidden]], shown: str) -> list[tuple[int, Hidden]]:
    """Without what the part also shows: a menu that small screens show in another place."""
    in_sight = _letters(shown)
    return [(count, hidden) for count, hidden in found if _letters(hidden.text.shown) not in in_sight]


def _letters(text: str) -> str:
    """What of a text says something, for telling whether it stands in another."""
    return _BETWEEN.sub("", text).casefold()


CHECK = Check(
    name="hidden-text",
    summary="HTML hides more than `more_than` letters (default 20) that are not also in sight, one summary of up to `preheader`"
    " letters (default 200) aside",
    summary_zh="HTML 中隐藏了超过 `more_than` 个（默认 20）别处看不到的文字；不超过 `preheader` 个（默认 200）的一段预览文字除外",
    parameters=HiddenText,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="The message hides text from its readers",
    text_zh="邮件含有读者看不见的隐藏文字",
    fix="Remove text that is hidden by style, size or colour",
    fix_zh="请删除用样式、字号或颜色隐藏的文字",
)
