"""Where addresses come from, as far as a list of recipients shows it."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Phase
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Strings

ROLES = (
    "abuse", "admin", "administrator", "billing", "compliance", "dns", "ftp", "hostmaster", "legal", "list", "mailer-daemon",
    "news", "noc", "noreply", "no-reply", "null", "postmaster", "privacy", "registrar", "root", "security", "spam",
    "support", "sysadmin", "trouble", "usenet", "uucp", "webmaster", "www",
)  # fmt: skip
"""RFC 2142 and custom: mailboxes of an office, not of a person who could have agreed."""
_NUMBER = re.compile(r"[0-9]++")


class Generated(RuleTable):
    """Parameters of generated-addresses."""

    from_recipients: Annotated[int, Field(ge=2, description="A shorter list shows nothing / 名单更短时不判断")] = 20
    above_percent: Annotated[int, Field(ge=1, le=99)] = 30


def ask_generated(case: Case, setting: Setting, parameters: Generated) -> Finding | None:
    """Object when many recipients are numbered one after the other, as only a program numbers them."""
    recipients = case.submission.recipients
    if len(recipients) < parameters.from_recipients:
        return None
    percent = 100 * _numbered(recipient.mailbox.key for recipient in recipients) / len(recipients)
    return Finding(f"{percent:.0f}% of {len(recipients)}") if percent > parameters.above_percent else None


def _numbered(keys: Iterable[str]) -> int:
    """How many have a neighbour: the same address with the next number."""
    numbers: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    for key in keys:
        local_part, _, domain = key.rpartition("@")
        found = list(_NUMBER.finditer(local_part))
        if found and len(found[-1][0]) <= 18:
            last = found[-1]
            frame = f"{local_part[: last.start()]}#{local_part[last.end() :]}@{domain}"
            numbers[(frame, len(last[0]), domain)].add(int(last[0]))
    return sum(number - 1 in some or number + 1 in some for some in numbers.values() for number in some)


class Roles(RuleTable):
    """Parameters of role-addresses."""

    local_parts: Annotated[Strings, Field(min_length=1)] = ROLES


def ask_role(case: Case, setting: Setting, parameters: Roles) -> Finding | None:
    """Object to the mailbox of an office."""
    local_part = case.recipient.key.rpartition("@")[0].partition("+")[0]
    return Finding(local_part) if local_part in parameters.local_parts else None


GENERATED = Check(
    name="generated-addresses",
    summary="Of `from_recipients` recipients or more (default 20), more than `above_percent` (default 30) are numbered one after"
    " the other",
    summary_zh="收件人不少于 `from_recipients`（默认 20）位，且超过 `above_percent`%（默认 30）的地址为连续编号",
    parameters=Generated,
    ask=ask_generated,
    reads=("message.recipients",),
    text="The recipients look generated, not collected",
    text_zh="收件地址疑似由程序编造",
    fix="Send only to people who gave you their address",
    fix_zh="请只向主动提供地址的人发送",
)

ROLE = Check(
    name="role-addresses",
    summary="The recipient's local part is one of `local_parts` (abuse, postmaster and other offices): no person agreed",
    summary_zh="收件地址的本地部分在 `local_parts` 中（abuse、postmaster 等岗位邮箱），并非个人同意接收",
    parameters=Roles,
    ask=ask_role,
    reads=("recipient.address",),
    phase=Phase.RCPT,
    scope="recipient",
    text="This is the address of an office, not of a person who subscribed",
    text_zh="这是岗位邮箱，不是订阅者本人的地址",
    fix="Remove the address from the list",
    fix_zh="请从名单中删除该地址",
)
