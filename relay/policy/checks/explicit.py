"""The label of sexually explicit mail: the first that its readers see, unless they agreed to such mail before."""

from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Spot
from relay.policy.checks.consent import Asking, resting
from relay.policy.consents.consent import Basis
from relay.policy.consents.needs import Needs
from relay.policy.rules.rule import Check, Finding, Rests, Setting
from relay.policy.rules.table import Bases
from relay.policy.words.labels import EXPLICIT


class ExplicitLabel(Asking):
    """Parameters of explicit-label."""

    basis: Annotated[
        Bases, Field(min_length=1, description="Grounds of a consent without a label / 已有此类同意的收件人不需要标识")
    ] = (Basis.EXPLICIT, Basis.SEPARATE)


def ask(case: Case, setting: Setting, parameters: ExplicitLabel) -> Finding | Rests | None:
    """Object to mail of a stream that says `adult` without the label; who agreed may have it without."""
    if case.message is None or not setting.adult or case.message.subject.startswith(EXPLICIT):
        return None
    found = resting(case, setting, parameters, Needs("", frozenset(one.value for one in parameters.basis)))
    return Finding(found.detail, spots=(Spot("subject"),)) if isinstance(found, Finding) else found


CHECK = Check(
    name="explicit-label",
    summary=f'The stream says `adult`, the subject does not begin with "{EXPLICIT}" (nineteen characters, in capitals), and the'
    " consent ledger has no consent of the recipient to each of `consent_to` (default: this stream) that stands, on one of the"
    " grounds in `basis` (default explicit, separate)",
    summary_zh=f"邮件流写明 `adult`，主题却未以“{EXPLICIT}”（大写，连同末尾空格共十九个字符）开头，且同意台账中没有该收件人"
    "对 `consent_to` 各项（默认为本邮件流）仍然有效、依据在 `basis` 中（默认 explicit、separate）的同意",
    parameters=ExplicitLabel,
    ask=ask,
    reads=("message.subject", "recipient.consents", "stream.adult", "stream.name", "stream.purpose"),
    inspects=True,
    scope="recipient",
    text="The subject lacks the label of sexually explicit mail at its front",
    text_zh="主题前部缺少成人内容标识",
    fix='Begin the subject with "SEXUALLY-EXPLICIT: ", or write only to those who agreed to such mail',
    fix_zh="主题请以“SEXUALLY-EXPLICIT: ”开头，或只发给事先同意接收的人",
)
