"""What lists of other systems say of whether somebody still agrees, in columns that are none of ours.

A list of subscribers that was taken out of another system holds those too who
left it, and says so in a column of its own: `status`, `unsubscribed_at`,
`accepts_marketing`.  Such a row must not become a consent because --event says
`granted` (doubt never permits), so what is not known to mean "yes" is no
consent either.  Names and values are compared without case, blanks and joints.
"""

from collections.abc import Iterator, Mapping

from relay.stores.formats import folded


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NO = _words("0 0.0 false f no n none null nil never 否 无 不 未 没有 0000000000:00:00 00000000")

_STATUS = _words(
    "status state subscriptionstatus substatus subscriberstatus subscribestatus emailstatus contactstatus memberstatus userstatus"
    " marketingstatus emailmarketingstatus marketingemailstatus optinstatus consentstatus mailstatus"
    " 状态 订阅状态 用户状态 邮箱状态 邮件状态 会员状态 联系人状态 同意状态"
)
"""Columns that say in one word how somebody stands."""

_STANDS = _words(
    "1 true yes y active enabled subscribed subscriber confirmed verified optedin optin doubleoptin granted consented agreed"
    " valid 是 有效 正常 启用 已启用 活跃 订阅 已订阅 订阅中 已确认 已验证 同意 已同意"
)
"""What such a word may be where they still agree."""

_ENDED = _words(
    "unsubscribed unsubscribedat unsubscribeddate unsubscribedon unsubscribedate unsubscribetime unsubscribeat unsubscribeall"
    " isunsubscribed unsubtime unsubreason optout optedout optoutat optoutdate optouttime optedoutat emailoptout isoptout"
    " hasoptedoutofemail donotemail donotcontact donotmail withdrawn withdrawnat withdrawnon revoked revokedat objected"
    " objectedat bounced bouncedat hardbounced hardbounce isbounced complained complainedat iscomplained complaint spamcomplaint"
    " blacklisted blocklisted blocked isblocked suppressed cleaned cleantime"
    " 退订 已退订 是否退订 退订时间 退订日期 退订原因 撤回 已撤回 撤回时间 拒收 是否拒收"
    " 退信 是否退信 硬退信 投诉 是否投诉 黑名单 是否黑名单"
)
"""Columns in which anything but "no" says that they left."""

_AGREES = _words(
    "subscribed issubscribed optin optedin isoptin emailoptin marketingoptin consent hasconsent consented agreed"
    " acceptsmarketing acceptsemailmarketing marketingconsent marketingallowed emailallowed"
    " 是否订阅 是否同意 同意 已同意 已订阅 接收邮件 是否接收邮件"
)
"""Columns in which "no" says that they do not agree."""

_REFUSES = _NO | _words("refused denied declined unsubscribed optedout withdrawn 不同意 未同意 拒绝 未订阅 已退订 不接收 拒收")


def denied(values: Mapping[str, str]) -> tuple[str, str] | None:
    """The column of a row, by its folded name, that speaks against a consent, and what it says; None when none does."""
    return next(_denials(values), None)


def _denials(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, cell in values.items():
        said = folded(cell)
        is_doubtful = (name in _STATUS and said not in _STANDS) or (name in _ENDED and said not in _NO)
        if said and (is_doubtful or (name in _AGREES and said in _REFUSES)):
            yield name, cell
