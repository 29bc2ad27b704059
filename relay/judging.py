"""Rule on recipients, and say what a ruling means to the client: the line does, and `relay explain` the same.

Reads nothing: the facts were gathered before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from relay.answer import Result, Standing
from relay.gathering import Known, cases_of
from relay.mail import replies
from relay.mail.envelope import Recipient, Submission
from relay.mail.message import MessageError
from relay.mail.reply import Reply
from relay.policy.cases.case import Action, Case, Objection, Phase, Ruling
from relay.policy.cases.reputation import Pause
from relay.policy.deciding.decide import Answers, decide
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.deciding.thresholds import objection_to
from relay.policy.sets.model import HOURS
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.records.wording import both, own_rule_texts, sentence
from relay.stores.held import NEVER, Why

_NOT_THE_MAIL = frozenset({replies.MISCONFIGURED, replies.DIRECTORY})
"""Details of what stands in the way for now that say more than "delivery not authorised"."""
_STEP = 500  # recipients: about 2 ms


def stream_of(policy: PolicySet, submission: Submission) -> Stream | None:
    """The stream that took the mail at MAIL; None when another set is in force since and would not take it there."""
    if policy.hash == submission.policy:
        return policy.stream(submission.stream)
    stream = policy.stream_for(submission.identity, submission.client.listener, submission.reverse_path)
    return stream if stream is not None and stream.name == submission.stream else None


def judge_at_rcpt(
    policy: PolicySet,
    stream: Stream,
    submission: Submission,
    recipient: Recipient,
    known: Known,
    upstream_countries: frozenset[str],
    now: datetime,
) -> Ruling:
    """Rule on one recipient before there is a message."""
    case = case_at_rcpt(policy, submission, recipient, known, upstream_countries)
    return decide(policy, stream, case, Phase.RCPT, now)


def is_told_at_rcpt(ruling: Ruling) -> bool:
    """Whether RCPT is answered with the objection: what is held needs its message first."""
    return ruling.action > Action.HOLD


def case_at_rcpt(
    policy: PolicySet,
    submission: Submission,
    recipient: Recipient,
    known: Known,
    upstream_countries: frozenset[str],
) -> Case:
    """What is known of one recipient before there is a message."""
    (case,) = cases_of(replace(submission, recipients=(recipient,)), None, policy, [known], upstream_countries)
    return case


def judge(policy: PolicySet, stream: Stream, cases: Sequence[Case], now: datetime) -> list[Ruling]:
    """Rule on every recipient of one message; what is the same for all of them is asked once."""
    return [ruling for step in judge_in_steps(policy, stream, cases, now) for ruling in step]


def judge_in_steps(policy: PolicySet, stream: Stream, cases: Sequence[Case], now: datetime) -> Iterator[list[Ruling]]:
    """As `judge`, some hundred recipients at a time, so that others can be heard in between."""
    answers = Answers() if len(cases) > 1 else None
    for start in range(0, len(cases), _STEP):
        yield [decide(policy, stream, case, Phase.DATA, now, answers) for case in cases[start : start + _STEP]]


def judge_octets(recipients: Sequence[Recipient], stream: Stream, fault: MessageError) -> list[Ruling]:
    """Rule on octets that cannot be taken as a message."""
    text, fix = own_rule_texts(fault.rule, fault.text, fault.bound)
    rule = next((rule for rule in stream.rules if rule.name == fault.rule), None)
    objection = Objection(
        fault.rule,
        Action.REJECT,
        fault.text,
        text["zh"],
        fix["en"],
        fix["zh"],
        cite=rule.table.cite if rule else "",
        code=fault.detail,
        reply_code=replies.RULE_CODES[fault.rule][0],
    )
    return [Ruling(recipient, Action.REJECT, (objection,)) for recipient in recipients]


def reply_to(ruling: Ruling, page: str = "") -> Reply:
    """The reply that a ruling with an objection makes; its second line is the page that explains it."""
    return _reply(_leading(ruling), page)


def paused(pause: Pause) -> Reply:
    """The reply to mail of a paused stream before there is anything to rule on."""
    return _reply(objection_to(pause), "")


def _reply(objection: Objection, page: str) -> Reply:
    if objection.action is Action.REJECT:
        return replies.refused(objection.rule, objection.text, page, code=objection.reply_code, detail=objection.code)
    detail = objection.code if objection.code in _NOT_THE_MAIL else "7.1"
    return replies.deferred(objection.rule, objection.text, page, seconds=objection.retry_after, detail=detail)


def objected(ruling: Ruling, page: str, now: float) -> Result:
    """What becomes of a recipient whose ruling objects."""
    return result_of(ruling.recipient, _leading(ruling), page, now)


def kept_back(recipient: Recipient, pause: Pause, page: str, now: float) -> Result:
    """What becomes of a recipient when the stream was paused between the ruling and the leaving."""
    return result_of(recipient, objection_to(pause), page, now)


def spoken(recipient: Recipient, standing: Standing, reply: Reply, why: Why | None = None, due: float = 0.0) -> Result:
    """What a rule of our own says after the ruling, which its reply names; for the report in both languages."""
    text, fix = own_rule_texts(reply.rule, str(reply))
    said = sentence(text, fix)
    return Result(recipient, standing, reply, reply.rule, why_zh=said["zh"], why_en=said["en"], why=why, due=due)


def result_of(recipient: Recipient, objection: Objection, page: str, now: float) -> Result:
    """What becomes of a recipient because of this objection."""
    standing = Standing.REFUSED if objection.action is Action.REJECT else Standing.TRANSIENT
    said = sentence(both(objection.text_zh, objection.text), both(objection.fix_zh, objection.fix))
    reply, (why, due) = _reply(objection, page), held_for(objection, now)
    return Result(recipient, standing, reply, objection.rule, why_zh=said["zh"], why_en=said["en"], why=why, due=due)


def held_for(objection: Objection, now: float) -> tuple[Why | None, float]:
    """For what reason this objection holds, and until when; None when it does not hold."""
    if objection.rule == PAUSED:
        return Why.PAUSED, 0.0
    if objection.action is not Action.HOLD:
        return None, 0.0
    return (Why.HOURS, now + objection.retry_after) if objection.rule == HOURS else (Why.RULE, NEVER)


def _leading(ruling: Ruling) -> Objection:
    if ruling.leading is None:
        raise ValueError("this ruling does not object")
    return ruling.leading
