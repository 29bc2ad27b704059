"""Where a message claims to have been: trace fields that only the servers on its way may write (RFC 5321 section 4.4)."""

from typing import Annotated

from pydantic import Field

from relay.mail.mailbox import is_at_or_below
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Domains, domain_fits

_PRIVATE = (".local", ".localdomain", ".localhost", ".lan", ".internal", ".intra", ".corp", ".home", ".private", ".test")


class Route(RuleTable):
    """Parameters of forged-route."""

    hosts: Annotated[Domains, Field(description="Servers of yours that hand mail on / 您自己的转发服务器")] = ()


def ask(case: Case, setting: Setting, parameters: Route) -> Finding | None:
    """Object to a Received field by somebody else's server, and to a Return-Path that is not the sender's."""
    message, identity = case.message, case.submission.identity
    if message is None:
        return None
    for host in message.received_by:
        if "." not in host or host.endswith(_PRIVATE) or host[0] == "[" or domain_fits(host, parameters.hosts):
            continue
        if not any(is_at_or_below(host, owned.rpartition("@")[2]) for owned in identity.owns):
            return Finding("Received", spots=(Spot("Received"),))
    given = message.return_path
    if given is None or identity.may_use(given):
        return None
    return Finding("Return-Path", spots=(Spot("Return-Path"),))


CHECK = Check(
    name="forged-route",
    summary="A Received field names a public server that is neither in the sender's domains nor in `hosts`, or a Return-Path"
    " that is not the sender's stands there",
    summary_zh="Received 字段写有既不属于发件人域名、也不在 `hosts` 中的公网服务器，或写有他人的 Return-Path",
    parameters=Route,
    ask=ask,
    reads=("sender.owns", "message.received_by", "message.return_path"),
    inspects=True,
    text="The message carries forged routing information",
    text_zh="邮件含有伪造的路由信息",
    fix="Send without Received and Return-Path fields, or name your own servers in the rule (hosts)",
    fix_zh="请去掉 Received、Return-Path 字段，或在规则的 hosts 中写明自己的服务器",
)
