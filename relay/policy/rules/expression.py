"""CEL expressions in rules (`when = "..."`), the last resort where no check fits.

An expression is true when the rule objects.  It is compiled and tried against
three example mails when the policy is loaded, so that a misspelt variable, a
wrong type or a field that may be missing is found there and not in a session
at night.  What still goes wrong while mail flows raises, and the line answers
451.  Length and nesting are bounded, so that no expression holds up the mail.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.cases.case import Case
from relay.policy.rules.cel_runtime import compile_cel

MAX_LENGTH = 1000
FUNCTIONS = frozenset({"contains", "double", "endsWith", "has", "int", "matches", "size", "startsWith", "string"})
"""The functions that a rule may call; operators and the macros all, exists, exists_one, filter, map come with the language."""

_STRINGS = re.compile(r'r?"(?:\\.|[^"\\])*"|r?\'(?:\\.|[^\'\\])*\'')
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)")


_MEMBER = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)")


class ExpressionError(ValueError):
    """The expression cannot be used; the text says why, in English and Chinese."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One name that expressions may use, for the documentation and for the trial at load."""

    name: str
    type: str
    example: Any
    meaning: str
    meaning_zh: str


VARIABLES = (
    Variable("recipient.address", "string", "lei@mail.example.com", "the recipient's mailbox, folded", "收件人地址（已规范化）"),
    Variable("recipient.domain", "string", "mail.example.com", "its domain in lower case", "收件人域名（小写）"),
    Variable("recipient.countries", "list of string", ["CN"], "countries whose law may apply", "可能适用其法律的国家"),
    Variable("sender.identity", "string", "news@example.com", "who logged in", "登录身份"),
    Variable("sender.listener", "string", "submission", "the [[listen]] it came by", "邮件进入的监听端口名"),
    Variable("sender.reverse_path", "string", "news@example.com", "MAIL FROM, empty when null", "MAIL FROM 地址，可为空"),
    Variable("stream.name", "string", "newsletter", "the stream", "邮件流名称"),
    Variable("stream.purpose", "string", "marketing", "its purpose", "邮件流用途"),
    Variable("message.subject", "string", "Spring 春季", "the decoded subject", "解码后的主题"),
    Variable("message.from_address", "string", "news@example.com", "the first From mailbox, empty when unreadable", "发件人地址"),
    Variable("message.from_domain", "string", "example.com", "its domain", "发件人域名"),
    Variable("message.size", "int", 48213, "octets of the whole message", "整封邮件的字节数"),
    Variable("message.recipients", "int", 1, "recipients of this submission", "本次提交的收件人数"),
    Variable("message.addressees", "int", 1, "mailboxes that everybody sees in To and Cc", "收件人与抄送中可见的地址数"),
    Variable("message.automatic", "bool", False, "Auto-Submitted says that a machine wrote it", "是否为自动生成的邮件"),
    Variable("message.sealed", "bool", False, "signed or encrypted (S/MIME, OpenPGP)", "是否已签名或加密"),
    Variable(
        "message.attachments",
        "list of map",
        [{"name": "offer.pdf", "extension": "pdf", "media_type": "application/pdf"}],
        "name, extension (lower case, no dot), media_type",
        "附件：name 文件名、extension 扩展名（小写）、media_type 类型",
    ),
    Variable(
        "message.fields",
        "map of string",
        {"subject": "Spring 春季", "x-campaign": "spring"},
        "first field of each name in lower case; test `'x-campaign' in message.fields` before you read it",
        "各邮件头的首个值（名称小写）；读取前先判断 `'x-campaign' in message.fields`",
    ),
)
"""Every variable; docs/policies.md is kept equal by a test."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    `variables` are the top-level names that it mentions, `reads` the members
    of `message` among them, so that only those are worked out.  `scope` is how
    far one answer reaches: "message" (the same for every recipient), "domain"
    (it looks at nothing of the recipient but the domain) or "recipient".
    """

    text: str
    variables: frozenset[str]
    reads: frozenset[str]
    scope: str
    program: Any = field(compare=False, repr=False)

    @property
    def is_on_parts(self) -> bool:
        """Whether what it says is not to be believed when the parts of a message could not all be found."""
        return not self.reads.isdisjoint(_ON_PARTS)

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Evaluate on facts that have every name in `variables`.

        Raises whatever CEL raises, and TypeError when the result is not true or false.
        """
        result = self.program.execute({name: facts[name] for name in self.variables})
        if not isinstance(result, bool):
            raise TypeError(f"the expression gave {type(result).__name__}, not true or false")
        return result


def compile_expression(text: str) -> Expression:
    """Compile the expression and try it on the example mails.

    Raises ExpressionError.
    """
    _bounded(text)
    try:
        program = compile_cel(text)
    except ValueError as error:
        raise ExpressionError(f"not a CEL expression: {_one_line(error)} / 表达式语法错误") from None
    bare = _STRINGS.sub('""', text)
    bound = set(_MACRO.findall(bare))
    known = {variable.name.partition(".")[0] for variable in VARIABLES}
    mentioned = frozenset(program.variables()) - (bound - known)
    _names_known(mentioned - known, "variable", "变量", sorted(known))
    for table, member in _MEMBER.findall(bare):
        if table in known:
            beside = [variable.name for variable in VARIABLES if variable.name.startswith(f"{table}.")]
            _names_known({f"{table}.{member}"} - set(beside), "variable", "变量", beside)
    called = {name for name in program.functions() if name.isidentifier() and not name.startswith("_")}
    _names_known(called - FUNCTIONS, "function", "函数", sorted(FUNCTIONS))
    expression = Expression(text, mentioned, _reads(bare), _scope(bare, mentioned), program)
    for facts in (EXAMPLE, EMPTY_EXAMPLE, FULL_EXAMPLE):
        _try(expression, facts)
    return expression


def message_fact(name: str, case: Case) -> Any:
    """What expressions see as `message.NAME`.

    Raises ValueError when there is no message yet.
    """
    if case.message is None:
        raise ValueError("an expression on the message was asked before there was one")
    return _MESSAGE_FACTS[name](case.message, case)


def _author(message: Message) -> Mailbox | None:
    return message.authors[0] if message.authors else None


def _attachments(message: Message) -> list[dict[str, str]]:
    return [
        {"name": a.filename or "", "extension": extension(a.filename or ""), "media_type": a.media_type}
        for a in message.attachments
    ]


def _fields(message: Message) -> dict[str, str]:
    names = dict.fromkeys(one.name.decode("latin-1") for one in message.fields)
    return {name: message.text(name) or "" for name in names}


_MESSAGE_FACTS: dict[str, Callable[[Message, Case], Any]] = {
    "subject": lambda message, _: message.subject,
    "from_address": lambda message, _: author.key if (author := _author(message)) else "",
    "from_domain": lambda message, _: author.domain if (author := _author(message)) else "",
    "size": lambda message, _: message.size,
    "recipients": lambda _, case: len(case.submission.recipients),
    "addressees": lambda message, _: message.addressees,
    "automatic": lambda message, _: message.auto_submitted,
    "sealed": lambda message, _: message.is_signed_or_encrypted,
    "attachments": lambda message, _: _attachments(message),
    "fields": lambda message, _: _fields(message),
}

_ON_PARTS = frozenset({"sealed", "attachments"})
"""Those of them that come from the parts of a message."""


def recipient_facts(case: Case) -> dict[str, Any]:
    """What expressions see of the recipient."""
    mailbox = case.recipient.mailbox
    return {"address": mailbox.key, "domain": mailbox.domain, "countries": sorted(case.jurisdictions)}


def sender_facts(case: Case) -> dict[str, Any]:
    """What expressions see of the session."""
    submission = case.submission
    return {
        "identity": submission.identity.name,
        "listener": submission.client.listener,
        "reverse_path": submission.reverse_path.key if submission.reverse_path else "",
    }


def extension(filename: str) -> str:
    """The last extension in lower case without its dot; trailing dots and spaces do not hide it (Windows drops them)."""
    trimmed = filename.rstrip(". \t").casefold()
    return trimmed.rpartition(".")[2] if "." in trimmed else ""


def _example(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for variable in VARIABLES:
        table, _, key = variable.name.partition(".")
        facts.setdefault(table, {})[key] = changes.get(key, variable.example)
    return facts


EXAMPLE = _example()
EMPTY_EXAMPLE = _example(
    reverse_path="", countries=[], subject="", from_address="", from_domain="", size=0, addressees=0, attachments=[], fields={}
)
FULL_EXAMPLE = _example(
    domain="qq.com",
    address="1@qq.com",
    countries=["CN", "US"],
    identity="listener:scripts",
    size=40_000_000,
    recipients=500,
    addressees=80,
    automatic=True,
    sealed=True,
    purpose="service",
    attachments=[{"name": "", "extension": "", "media_type": "text/calendar"}] * 2,
)


def _reads(bare: str) -> frozenset[str]:
    """The members of `message` in an expression whose texts are blanked; all of them where it is used as a whole."""
    members = [member for table, member in _MEMBER.findall(bare) if table == "message"]
    whole = len(re.findall(r"\bmessage\b", bare)) != len(members)
    return frozenset(_MESSAGE_FACTS if whole else members)


def _scope(bare: str, mentioned: frozenset[str]) -> str:
    if "recipient" not in mentioned:
        return "message"
    looks = [member for table, member in _MEMBER.findall(bare) if table == "recipient"]
    return "domain" if len(re.findall(r"\brecipient\b", bare)) == looks.count("domain") else "recipient"


def _try(expression: Expression, facts: Mapping[str, Any]) -> None:
    try:
        expression.holds(facts)
    except KeyError as error:
        raise ExpressionError(
            f"{error} is not there in every mail; test with has(...) or 'name' in ... before you read it"
            f" / 并非每封邮件都有 {error}，读取前请先判断是否存在"
        ) from None
    except (TypeError, RuntimeError, ValueError, ArithmeticError, IndexError) as error:
        raise ExpressionError(f"does not work on an example mail: {_one_line(error)} / 用示例邮件试算失败") from None


def _bounded(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters / 表达式超过 {MAX_LENGTH} 个字符")
    bare = _STRINGS.sub('""', text)
    for macro in _MACRO.finditer(bare):
        if _MACRO.search(bare, macro.end(), _closing(bare, macro.end())):
            raise ExpressionError("exists, all, map and filter do not nest here / 不允许嵌套使用 exists、all、map、filter")


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that is open at `start` closes."""
    depth = 1
    for position in range(start, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0:
            return position
    return len(text)


def _names_known(unknown: frozenset[str] | set[str], kind: str, kind_zh: str, known: list[str]) -> None:
    if unknown:
        name, listed = min(unknown), ", ".join(known)
        raise ExpressionError(f'there is no {kind} "{name}"; there are {listed} / 没有{kind_zh} "{name}"')


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
