"""Template fields that nobody filled in, before the reader sees them."""

from relay.mail.content import Content
from relay.policy.case import Case, Spot
from relay.policy.placeholders import placeholders, unfilled
from relay.policy.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.table import Strings

_MOST_SHOWN = 60  # characters of a field in the detail


class Placeholders(RuleTable):
    """Parameters of placeholders."""

    allow: Strings = ()


def ask(case: Case, setting: Setting, parameters: Placeholders) -> Finding | None:
    """Object to the first field that is left open in what people see, or in what a link leads to."""
    if case.message is None:
        return None
    content = case.message.content
    for field, where, spot in content.once(_open_fields):
        if field not in parameters.allow:
            return Finding(f"{field[:_MOST_SHOWN]} in {where}", spots=(spot,))
    return None if content.is_complete else UNREAD_PARTS


def _open_fields(content: Content) -> list[tuple[str, str, Spot]]:
    """Every field that is left open, and where."""
    found = [
        (text.shown[start:end], text.where, Spot(text.where, start, end))
        for text in content.texts
        for start, end in placeholders(text.shown)
    ]
    if next(unfilled("\n".join(link.href for link in content.links)), None) is None:  # the one look is that at all of them
        return found
    in_links = ((link, span) for link in content.links for span in unfilled(link.href))
    return found + [(link.href[start:end], f"a link of {link.where}", Spot(link.where)) for link, (start, end) in in_links]


CHECK = Check(
    name="placeholders",
    summary="A field of a template is not filled in, such as {{name}}, %%name%% or ${name}, or a greeting has no name;"
    " `allow` lists what may stand",
    summary_zh="模板变量未替换，如 {{name}}、%%name%%、${name}，或称呼中缺少姓名；`allow` 列出允许保留的写法",
    parameters=Placeholders,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="A field of the template is not filled in",
    text_zh="模板变量未替换",
    fix="Fill in every field, or give it a default in your sending tool",
    fix_zh="请填写所有变量，或在发送工具中设置默认值",
)
