"""Rule on recipients: what the line does with their cases, and `relay explain` with the same.

Reads nothing: the facts were gathered before.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from relay.gathering import cases_of
from relay.mail.envelope import Recipient, Submission
from relay.policy.case import Case, Phase, Ruling
from relay.policy.decide import Answers, decide
from relay.policy.sets import PolicySet, Stream
from relay.policy.suppression import Suppression


def judge_at_rcpt(
    policy: PolicySet, stream: Stream, submission: Submission, recipient: Recipient, found: Sequence[Suppression], today: date
) -> Ruling:
    """Rule on one recipient before there is a message."""
    alone = replace(submission, recipients=(recipient,))
    (case,) = cases_of(alone, None, policy, [tuple(found)])
    return decide(policy, stream, case, Phase.RCPT, today)


def judge(policy: PolicySet, stream: Stream, cases: Sequence[Case], today: date) -> list[Ruling]:
    """Rule on every recipient of one message; what is the same for all of them is asked once."""
    answers = Answers()
    return [decide(policy, stream, case, Phase.DATA, today, answers) for case in cases]
