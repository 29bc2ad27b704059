"""Who a message says it is from, and where an answer to it goes."""

import re
import unicodedata
from typing import Annotated

from pydantic import Field

from relay.mail.mailbox import Mailbox, is_at_or_below
from relay.mail.words.folding import one_form
from relay.policy.cases.case import Case, Spot
from relay.policy.checks.subject import REPLY, hidden_character
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Strings

_ADDRESS = re.compile(r"[^\s@<>\"'(),;:：，；]{1,64}@[^\s@<>\"'(),;:：，；]{1,253}")
_DOMAIN = re.compile(r"(?<![\w.@-])(?:[a-z0-9-]{1,63}+\.){1,5}(?:com|cn|org|gov|edu)(?![\w-])")
_COUNTER = re.compile(r"[(\[（【]\s*+[0-9]{1,3}\s*+[)\]）】]")
_BADGES = frozenset("✓✔✅☑🗸🗹🔵🔒🔐🛡Ⓥⓥ")
_LIKE_LATIN = ("CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN", "LISU", "COPTIC")
_FROM = (Spot("From"),)
NO_REPLY = (
    "noreply", "no-reply", "no_reply", "no.reply", "donotreply", "do-not-reply", "do_not_reply", "do.not.reply",
    "dontreply", "noresponse", "no-response", "unmonitored", "devnull", "nobody",
)  # fmt: skip
"""Local parts of mailboxes that nobody reads, as people name them; what follows (noreply-news) does not matter."""


def ask_name(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object to a display name that stands for somebody or something else than the author."""
    message = case.message
    if message is None or not message.authors:
        return None  # one-from and ownership object
    raw = message.author_name
    if not raw:
        return None
    name, author = one_form(raw).casefold(), message.authors[0]
    found = _foreign(name, author, _own_names(setting))
    if found:
        return Finding(found, spots=_FROM)
    if _COUNTER.search(name):
        return Finding("a counter", spots=_FROM)
    if REPLY.match(name):
        return Finding("a reply prefix", spots=_FROM)
    if not _BADGES.isdisjoint(raw):
        return Finding("a badge", spots=_FROM)
    if hidden_character(raw):
        return Finding("hidden characters", spots=_FROM)
    return Finding("letters of two scripts in one word", spots=_FROM) if _is_mixed(raw) else None


def _own_names(setting: Setting) -> str:
    facts = setting.facts
    return "\n".join((facts.legal_name.zh, facts.legal_name.en, *(mark.text for mark in facts.mark))).casefold()


def _foreign(name: str, author: Mailbox, own: str) -> str:
    """What of the name is an address or a domain of somebody else."""
    for found in _ADDRESS.findall(name):
        if found.rstrip(".") != author.key:
            return "another address"
    for found in _DOMAIN.findall(_ADDRESS.sub(" ", name)):
        related = is_at_or_below(author.domain, found) or is_at_or_below(found, author.domain)
        if not related and found not in own:
            return "another domain"
    return ""


def _is_mixed(name: str) -> bool:
    """Whether a word mixes Latin letters with letters that look like them."""
    if name.isascii():
        return False
    for word in name.split():
        names = [unicodedata.name(character, "") for character in word if character.isalpha()]
        if any(one.startswith("LATIN") for one in names) and any(one.startswith(_LIKE_LATIN) for one in names):
            return True
    return False


class ReplyAddress(RuleTable):
    """Parameters of reply-address."""

    local_parts: Annotated[Strings, Field(min_length=1)] = NO_REPLY
    or_refusal_mailbox: bool = False


def ask_reply(case: Case, setting: Setting, parameters: ReplyAddress) -> Finding | None:
    """Object when answers go to a mailbox that says that nobody reads it."""
    message = case.message
    if message is None or (parameters.or_refusal_mailbox and setting.facts.refusal_mailbox):
        return None
    where = message.reply_to if message.reply_to is not None else message.authors
    for mailbox in where or ():
        local_part = mailbox.key.rpartition("@")[0]
        if local_part.startswith(parameters.local_parts):
            name = "Reply-To" if message.reply_to is not None else "From"
            return Finding(name, spots=(Spot(name),))
    return None


NAME = Check(
    name="deceptive-sender",
    summary="The name beside From shows an address or a domain of somebody else, a counter, `Re:`, a badge,"
    " hidden characters, or look-alike letters",
    summary_zh="发件人名称含有他人的地址或域名、计数、`Re:`、认证标记、隐藏字符或形近字母",
    parameters=RuleTable,
    ask=ask_name,
    reads=("message.from", "message.from_name", "organisation.legal_name", "organisation.mark"),
    inspects=True,
    text="The name beside the From address is misleading",
    text_zh="发件人名称具有误导性",
    fix="Write the name of your organisation or brand, and nothing else, into From",
    fix_zh="发件人名称请只写单位或品牌名称",
)

REPLY_ADDRESS = Check(
    name="reply-address",
    summary="Answers go to a mailbox whose name begins with one of `local_parts` (noreply and the like), unless"
    " `or_refusal_mailbox` is true and organisation.toml has a refusal_mailbox",
    summary_zh="回复地址以 `local_parts` 之一开头（如 noreply）；`or_refusal_mailbox` 为 true 且 organisation.toml 填有"
    " refusal_mailbox 时除外",
    parameters=ReplyAddress,
    ask=ask_reply,
    reads=("message.from", "message.reply_to", "organisation.refusal_mailbox"),
    text="Nobody reads the address that answers go to",
    text_zh="回复地址无人查看",
    fix="Send from, or set Reply-To to, a mailbox that somebody reads",
    fix_zh="请使用有人查看的发件地址或回复地址（Reply-To）",
)
