"""Subjects of advertising that sound like service mail: an order, a bill, a warning."""

from relay.policy.cases.case import Case
from relay.policy.rules.rule import Check, Finding, Setting
from relay.policy.words.lexicon import hits_of, seen
from relay.policy.words.listed import ListedWords
from relay.policy.words.terms import TermHit

_SUBJECT = "subject"


def ask(case: Case, setting: Setting, parameters: ListedWords) -> Finding | None:
    """Object to such a subject; one that says what is on offer pretends nothing."""
    if case.message is None:
        return None
    found = hits_of(case.message.content)
    if any(map(_is_in_subject, found.get("promotional", ()))):
        return None
    return seen(filter(_is_in_subject, found.get("transactional", ())))


def _is_in_subject(hit: TermHit) -> bool:
    return hit.text.where == _SUBJECT


CHECK = Check(
    name="transactional-subject",
    summary="The subject sounds like an order, a bill, a parcel or a warning, and has no word of promotion",
    summary_zh="主题像订单、账单、快递或安全警告，且没有任何推广用语",
    parameters=ListedWords,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="The subject sounds like service mail",
    text_zh="主题像服务通知",
    fix="Say in the subject what the message offers; real notices go through a service stream",
    fix_zh="请在主题中写明推广内容；真正的通知请使用服务邮件流",
)
