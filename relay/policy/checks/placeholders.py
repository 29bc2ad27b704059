"""Template fields that nobody filled in, before the reader sees them."""

from relay.mail.words.content import Content
from relay.mail.words.sight import Sight, Text
from relay.policy.cases.case import MOST_SPOTS, Case, Spot
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Strings
from relay.policy.words.template_fields import syntax_of, template_fields, unfilled


class Placeholders(RuleTable):
    """Parameters of placeholders."""

    allow: Strings = ()


def ask(case: Case, setting: Setting, parameters: Placeholders) -> Finding | None:
    """Object to fields that are left open in what people see, or in what a link leads to."""
    if case.message is None:
        return None
    content = case.message.content
    found = [one for one in content.once(_open_fields) if one[0] not in parameters.allow]
    if found:
        field, where, _ = found[0]
        spots = tuple(spot for _, _, spot in found[:MOST_SPOTS])
        return Finding(f"{syntax_of(field) or 'a greeting without a name'} in {where}", spots=spots)
    return None if content.is_complete else UNREAD_PARTS


def _open_fields(content: Content) -> list[tuple[str, str, Spot]]:
    """Every field that is left open, and where."""
    found = [
        (text.shown[start:end], text.where, Spot(text.where, start, end))
        for text in (*content.texts, *content.names)
        for start, end in text.once(_fields_of)
    ]
    return found + [one for sight in content.sights for one in sight.once(_in_links)]


def _fields_of(text: Text) -> list[tuple[int, int]]:
    return template_fields(text.shown)


def _in_links(sight: Sight) -> list[tuple[str, str, Spot]]:
    if next(unfilled("\n".join([link.href for link in sight.links]), in_link=True), None) is None:  # one look at all of them
        return []
    fields = ((link, span) for link in sight.links for span in unfilled(link.href, in_link=True))
    return [(link.href[start:end], f"a link of {link.where}", Spot(link.where)) for link, (start, end) in fields]


CHECK = Check(
    name="placeholders",
    summary="A field of a template is not filled in, such as {{name}}, %%name%% or ${name}, a usual one such as {name}, %name% or"
    " [NAME], or a greeting has no name (Dear null); `allow` lists what may stand",
    summary_zh="模板变量未替换，如 {{name}}、%%name%%、${name}，以及常用变量 {name}、%name%、[NAME]；"
    "或称呼中缺少姓名（Dear null）；`allow` 列出允许保留的写法",
    parameters=Placeholders,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="A field of the template is not filled in",
    text_zh="模板变量未替换",
    fix="Fill in every field, or give it a default in your sending tool",
    fix_zh="请填写所有变量，或在发送工具中设置默认值",
)
