"""Labels of advertising at the front of the subject, where they must stand and where they must not."""

from typing import Annotated, Literal

from pydantic import Field

from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.words.labels import labels_of

Label = Literal["CN", "SG", "KR"]
_SUBJECT = (Spot("subject"),)


class SubjectLabel(RuleTable):
    """Parameters of subject-label."""

    labels: Annotated[tuple[Label, ...], Field(strict=False, min_length=1, description="CN 【广告】 / [AD]; SG <ADV>; KR (광고)")]
    expected: Literal["present", "absent"] = "present"


def ask(case: Case, setting: Setting, parameters: SubjectLabel) -> Finding | None:
    """Object when one of the labels is missing, or when one stands where none may."""
    if case.message is None:
        return None
    present = labels_of(case.message.subject)
    if parameters.expected == "absent":
        wrong = [label for label in parameters.labels if label in present]
        return Finding(f"label of {', '.join(wrong)}", spots=_SUBJECT) if wrong else None
    missing = [label for label in parameters.labels if label not in present]
    return Finding(f"no label of {', '.join(missing)}", spots=_SUBJECT) if missing else None


CHECK = Check(
    name="subject-label",
    summary="The subject does not begin with the advertising labels that the laws in `labels` want (CN, SG, KR), or,"
    ' with `expected = "absent"`, begins with one; labels of other laws may stand before it',
    summary_zh="主题未以 `labels` 中各法域要求的广告标识开头（CN、SG、KR）；"
    '`expected = "absent"` 时为不得带有这些标识；其他法域的标识可以在前',
    parameters=SubjectLabel,
    ask=ask,
    reads=("message.subject",),
    inspects=True,
    text="The subject lacks the label that the law wants at its front",
    text_zh="主题前部缺少法律要求的广告标识",
    fix="Begin the subject with the label, or let the relay write it with a label duty",
    fix_zh="请在主题最前面加上标识，或使用 label 处理由系统添加",
)
