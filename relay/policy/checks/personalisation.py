"""Mail whose content a program chooses for each reader, and how they switch that off."""

from relay.mail.replies import MISCONFIGURED
from relay.policy.cases.case import Case, Phase
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import ActionName

PREFERENCES = "preferences_url"


class Personalisation(RuleTable):
    """Parameters of personalisation."""

    action: ActionName = "defer"


def has_no_way_out(setting: Setting) -> bool:
    """Whether a program chooses, and organisation.toml does not say where readers switch it off."""
    return setting.personalised and not setting.facts.says(PREFERENCES)


def ask(case: Case, setting: Setting, parameters: Personalisation) -> Finding | None:
    """Object to such mail; the duty "footer" shows the way out to readers."""
    return Finding(PREFERENCES) if has_no_way_out(setting) else None


CHECK = Check(
    name="personalisation",
    summary="The stream says `personalised`, and organisation.toml has no `preferences_url` where readers switch it off",
    summary_zh="邮件流写明 `personalised`（按个人特征挑选内容），而 organisation.toml 没有可关闭它的 `preferences_url`",
    parameters=Personalisation,
    ask=ask,
    reads=("stream.personalised", "organisation.preferences_url"),
    phase=Phase.RCPT,
    code=MISCONFIGURED,
    text="The recipient has no way to switch off content chosen by a program",
    text_zh="缺少关闭个性化推荐的选项",
    fix="Tell your administrator: organisation.toml lacks preferences_url",
    fix_zh="请通知管理员：在 organisation.toml 中填写 preferences_url",
)
