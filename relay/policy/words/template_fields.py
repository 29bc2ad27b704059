"""Fields of a template that nobody filled in, and greetings that lost their name.

Each is looked for by the letters that it begins with; behind them a bounded
pattern is matched in place, so the work is a few searches of the text.

Marks that stand for other things too, {}, % and [], are fields only around a
usual name of one; [NAME] in capitals only, and not in a row of brackets, which
asks readers to fill them in themselves.
"""

import re
from collections.abc import Iterator
from itertools import chain

_SYNTAXES = {
    "{{": re.compile(r"\{\{\{?[^{}\r\n]{1,80}\}?\}\}"),
    "{%": re.compile(r"\{%[^{}%\r\n]{1,80}%\}"),
    "*|": re.compile(r"\*\|[^|\r\n]{1,80}\|\*"),
    "%%": re.compile(r"%%[A-Za-z_][^%\s]{0,80}%%"),
    "${": re.compile(r"\$\{[^{}\r\n]{1,80}\}"),
    "<%": re.compile(r"<%[^%>\r\n]{1,80}%>"),
    "[[": re.compile(r"\[\[[A-Za-z_][^\[\]\r\n]{0,80}\]\]"),
}
"""Of Mustache, Jinja, Mailchimp, Salesforce, JavaScript, ERB and Acoustic, by what they begin with."""

_PERSON = (
    r"(?:(?:your|user|customer|client|recipient|contact|member|subscriber)[ _-]?)?"
    r"(?:(?:first|last|full|nick|given|family)[ _-]?)?name|[fl]name"
)
_PERSON_ZH = "姓名|名字|昵称|称呼|[用会客]户?员?名|(?:客户|用户|会员|收件人)(?:姓名|名称|昵称)"
_OTHERS = (
    r"e-?mail(?:[ _-]?address)?|company(?:[ _-]?name)?|salutation|coupon(?:[ _-]?code)?|order[ _-]?(?:id|no|number)"
    r"|unsubscribe(?:[ _-]?(?:link|url))?|公司名称|订单号|手机号|邮箱|退订链接"
)
_NAME = rf"(?:(?:user|contact|customer|member|subscriber|recipient)\.)?(?:{_PERSON}|{_PERSON_ZH}|{_OTHERS})"
_IN_LINKS = {
    "{": re.compile(rf"\{{(?<![{{$%#\\]\{{) ?{_NAME} ?\}}(?!\}})", re.IGNORECASE),
    "%": re.compile(rf"%(?<!%%)(?!user[ _-]?name){_NAME}%(?!%)", re.IGNORECASE),
}
_LONE = {
    "{": re.compile(rf"\{{(?<![A-Za-z0-9{{$%#/\\]\{{) ?{_NAME} ?\}}(?!\}})", re.IGNORECASE),
    "%": _IN_LINKS["%"],
    "[": re.compile(
        r"\[(?<![\[\]]\[)(?<!\] \[)(?:INSERT )?(?:(?:YOUR|CUSTOMER|CLIENT|RECIPIENT|CONTACT|MEMBER|SUBSCRIBER)[ _-]?)?"
        r"(?:(?:FIRST|LAST|FULL)[ _-]?)?(?:NAME|(?<=\[)[FL]NAME)(?: HERE)?\](?! ?[\[(:：\]])"
    ),
}
"""Of the sending tools that have one mark only. /users/{name} describes an address; %USERNAME% is a computer's own."""

_CLOSING = str.maketrans({"{": "}", "[": "]", "<": ">", "$": ""})

_GREETINGS = ("dear", "hi", "hello", "尊敬的", "亲爱的", "您好", "你好", "致")
_FIRST = (*_GREETINGS, "null", "undefined", "none", "nan", "n/a", "(null)")
_NULL = r"(?:null|undefined|none|(?-i:NaN|nan)|n/a|\(null\))"  # Nan is a name
_TITLE = r"(?:(?:mr|mrs|ms|miss|dr)\b\.?[ \t]{0,3})?"
_NOBODY = re.compile(
    rf"[ \t]{{0,3}}[,，:：!！]|[ \t]{{0,3}}{_TITLE}{_NULL}(?:[ \t]{{1,3}}{_NULL}){{0,2}}[ \t]{{0,3}}"
    r"(?:[,，:：!！.。]|先生|女士|小姐|用户|客户|会员|您好|你好|\Z)"
    rf"|[ \t]{{0,3}}{_TITLE}[\[【〔<(（](?:insert )?(?:{_PERSON}|{_PERSON_ZH})(?: here)?[\]】〕>)）]",
    re.IGNORECASE,
)
_LONGEST = 80  # characters behind a greeting, more than any of these has
_NULL_FIRST = re.compile(rf"{_NULL}[ \t]{{0,3}}[,，]?[ \t]{{0,3}}(?:您好|你好)", re.IGNORECASE)
_MAY_STAND_ALONE = frozenset({"hi", "hello", "您好", "你好", "致"})
"""“Hello,” greets nobody by name and means it; “Hello ,” and “Hello null,” had one."""


def syntax_of(field: str) -> str:
    """How a field is written, without what is in it, which may be about a person: "{{...}}"; "" for a greeting."""
    begins = next((begins for begins in (*_SYNTAXES, *_LONE) if field.startswith(begins)), "")
    return f"{begins}...{begins[::-1].translate(_CLOSING)}" if begins else ""


def unfilled(text: str, *, in_link: bool = False) -> Iterator[tuple[int, int]]:
    """Where template fields stand in a text, or in what a link leads to."""
    for begins, pattern in _SYNTAXES.items():
        if begins[0] not in text or begins[1] not in text:  # a search for one character takes next to nothing
            continue
        place = text.find(begins)
        while place >= 0:
            match = pattern.match(text, place)
            if match:
                yield match.span()
            place = text.find(begins, match.end() if match else place + 1)
    for mark, pattern in (_IN_LINKS if in_link else _LONE).items():
        if mark in text:
            yield from (match.span() for match in pattern.finditer(text))


def nameless(text: str) -> Iterator[tuple[int, int]]:
    """Where a greeting of a letter's beginning greets nobody: “Dear ,”, “尊敬的：”, “Hi null,”, “Dear [Name],”."""
    start = 0
    for line in text[:2000].splitlines(keepends=True)[:40]:
        greeting = line.lstrip().casefold()
        if not greeting.startswith(_FIRST):
            start += len(line)
            continue
        indent = len(line) - len(line.lstrip())
        if greeting.startswith(_GREETINGS):
            word = next(word for word in _GREETINGS if greeting.startswith(word))
            rest = line[indent + len(word) : indent + len(word) + _LONGEST].rstrip("\r\n")
            if (match := _NOBODY.match(rest)) and not (word in _MAY_STAND_ALONE and len(match[0]) == 1):
                yield start + indent, start + indent + len(word) + match.end()
        elif match := _NULL_FIRST.match(line, indent):
            yield start + indent, start + match.end()
        start += len(line)


def template_fields(text: str) -> list[tuple[int, int]]:
    """Both, in their order, those inside others left out."""
    fields: list[tuple[int, int]] = []
    for start, end in sorted(chain(unfilled(text), nameless(text)), key=lambda field: (field[0], -field[1])):
        if not fields or start >= fields[-1][1]:
            fields.append((start, end))
    return fields
