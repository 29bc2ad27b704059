"""What no advertisement may show: state symbols and organs, gambling, obscenity, superstition, drugs, terms that take rights."""

from typing import Annotated, Literal

from pydantic import Field

from relay.policy.cases.case import Case
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, Setting
from relay.policy.words.lexicon import hits_of, seen
from relay.policy.words.listed import ListedWords


class ProhibitedContent(ListedWords):
    """Parameters of prohibited-content."""

    categories: Annotated[
        tuple[Literal["state-image", "gambling", "obscenity", "superstition", "violence-and-drugs", "forced-terms"], ...],
        Field(strict=False, min_length=1),
    ]


def ask(case: Case, setting: Setting, parameters: ProhibitedContent) -> Finding | None:
    """Object to the words of the categories."""
    if case.message is None:
        return None
    content = case.message.content
    found = seen(hit for hit in hits_of(content).get("prohibited", ()) if hit.term.group in parameters.categories)
    return found or (None if content.is_complete else UNREAD_PARTS)


CHECK = Check(
    name="prohibited-content",
    summary="Words of the `categories` state-image, gambling, obscenity, superstition, violence-and-drugs, forced-terms",
    summary_zh="含有 `categories` 所列类别的用语：state-image（国家机关与标志）、gambling（赌博）、obscenity（淫秽）、"
    "superstition（迷信）、violence-and-drugs（暴力与毒品）、forced-terms（排除消费者权利的格式条款）",
    parameters=ProhibitedContent,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="Content that no advertisement may show",
    text_zh="含禁止发布的广告内容",
    fix="Take the words out",
    fix_zh="请删除相关内容",
)
