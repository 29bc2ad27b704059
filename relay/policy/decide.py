"""Decide what happens to one recipient of one message.

This is the only place where rules meet.  It is pure: the same set and the same
case give the same ruling, so `relay explain` can replay it.

A rule objects or says nothing; no rule can permit.  Every rule that applies is
asked and every objection kept.  The gravest wins (reject, defer, hold, warn),
within a rank the first: a suppressed recipient must not be retried merely
because something else said "later" before.

An exemption, an override or a stream in shadow mode turns an objection into a
warning that remembers what it would have been.  Protected rules, expired
packs and a paused stream are not turned.

A rule that raises has decided nothing: RuleFailed names it, and the line
answers 451.  The one exception is a rule of a stream in shadow mode, whose
failure is recorded as an objection and lets the mail pass, as any objection
of that rule would have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any

from relay.errors import RuleFailed
from relay.mail.replies import MISCONFIGURED
from relay.policy.case import Action, Asked, Case, Objection, Phase, Ruling
from relay.policy.expression import Expression, message_fact, recipient_facts, sender_facts
from relay.policy.model import Override
from relay.policy.organisation import Exempt
from relay.policy.pacing import RULE as HOURS
from relay.policy.pacing import outside_hours
from relay.policy.rule import UNREAD_PARTS, Finding, Rests, Rule, Setting
from relay.policy.sets import Duty, Pack, PolicySet, Stream
from relay.policy.table import ACTIONS, domain_fits
from relay.policy.thresholds import RULE as PAUSED
from relay.policy.thresholds import objection_to

EXPIRED = Objection(
    rule="",
    action=Action.DEFER,
    text="A rule pack of this relay has expired and must be reviewed",
    text_zh="规则包已过期，须由管理员复核后才能继续发送",
    fix="Tell your administrator: the pack needs a review and a new expires_on",
    fix_zh="请通知管理员：复核规则包并更新 expires_on",
    code=MISCONFIGURED,
    reply_code=451,
    asked_for=Action.DEFER,
    retry_after=3600,
)


UNMET = replace(
    EXPIRED,
    text="The relay lacks what a law wants written into every copy",
    text_zh="缺少法律要求写入每封邮件的信息",
    fix="Tell your administrator: relay check names what is missing",
    fix_zh="请通知管理员：relay check 会指出缺少的内容",
)

_ON_PARTS = frozenset({"attachments", "sealed"})
"""What an expression says of these is not to be believed when the parts could not all be found."""


_LATER = frozenset({Action.HOLD, Action.DEFER})
"""Where a copy cannot be held, the client keeps it."""

_UNASKED = Finding("not asked yet")
_RAISED = Finding("error")


@dataclass(frozen=True, slots=True)
class _Round:
    """What the rules said of everybody at one domain, all of them silent where they are asked of each recipient anew."""

    asked: tuple[Asked, ...]
    own: tuple[tuple[int, Rule], ...]  # what is asked of each recipient anew, and where its answer stands in `asked`
    objects: bool


class Answers:
    """What was found once for all recipients of one message, so that nothing is asked a thousand times.

    Make one per message and stream and hand it to every `decide` on it, of one phase and moment; it changes no ruling.
    """

    __slots__ = ("_facts", "_found", "_setting", "rounds")

    def __init__(self) -> None:
        self._found: dict[str | tuple[str, str], Finding | Rests | None] = {}
        self._facts: dict[str, Any] = {}  # members of `message`
        self._setting: Setting | None = None
        self.rounds: dict[tuple[object, ...], _Round] = {}

    def find(self, rule: Rule, stream: Stream, case: Case, today: date) -> Finding | Rests | None:
        """Ask the rule, or remember its answer when it reaches further than one recipient."""
        if self._setting is None:
            self._setting = replace(stream.setting, today=today)
        if rule.scope == "recipient":
            return self._ask(rule, stream, case, self._setting)
        key = rule.name if rule.scope == "message" else (rule.name, case.recipient.mailbox.domain)
        found = self._found.get(key, _UNASKED)
        if found is _UNASKED:
            found = self._found[key] = self._ask(rule, stream, case, self._setting)
        return found

    def _ask(self, rule: Rule, stream: Stream, case: Case, setting: Setting) -> Finding | Rests | None:
        try:
            if rule.check is not None:
                return rule.check.ask(case, setting, rule.table)
            return self._evaluate(rule, stream, case)
        except Exception as error:
            if stream.mode == "shadow" and not rule.protected:
                return _RAISED
            raise RuleFailed(rule.name) from error

    def _evaluate(self, rule: Rule, stream: Stream, case: Case) -> Finding | None:
        expression = rule.expression
        if expression is None:
            raise ValueError(f"{rule.name} has neither check nor expression")
        if expression.reads & _ON_PARTS and case.message and not case.message.structure.is_complete:
            return UNREAD_PARTS
        facts = {name: self._fact(name, expression, stream, case) for name in expression.variables}
        return Finding() if expression.holds(facts) else None

    def _fact(self, name: str, expression: Expression, stream: Stream, case: Case) -> dict[str, Any]:
        if name == "stream":
            return {"name": stream.name, "purpose": stream.purpose.value}
        if name == "sender":
            return sender_facts(case)
        if name == "recipient":
            return recipient_facts(case)
        for member in expression.reads - self._facts.keys():
            self._facts[member] = message_fact(member, case)
        return {member: self._facts[member] for member in expression.reads}


def decide(policy: PolicySet, stream: Stream, case: Case, phase: Phase, now: datetime, answers: Answers | None = None) -> Ruling:
    """Ask every rule of the stream about `case` and rule on the gravest objection.

    In phase RCPT only the rules that need no message are asked, in phase DATA
    all of them.  `now` is aware.

    Raises RuleFailed from whatever a rule raises, except in shadow mode.
    """
    today = now.astimezone(policy.zone).date()
    hours = _hours(policy, stream, case, now, today) if stream.limits.hours else None
    if answers is None:
        asked, _ = _ask_all(policy, stream, case, phase, today, Answers(), hours)
        return _ruling(case, asked)
    place = (case.recipient.mailbox.domain, case.jurisdictions, case.upstream_countries, case.pause, hours)
    round_ = answers.rounds.get(place)
    if round_ is None:
        asked, own = _ask_all(policy, stream, case, phase, today, answers, hours)
        answers.rounds[place] = _round(asked, own)
        return _ruling(case, asked)
    said = [_answer(rule, policy, stream, case, today, answers) for _, rule in round_.own]
    if not round_.objects and not any(one.objection or one.grounds for one in said):
        return Ruling(case.recipient, Action.PERMIT, (), round_.asked)
    asked = list(round_.asked)
    for (number, _), one in zip(round_.own, said, strict=True):
        asked[number] = one
    return _ruling(case, asked)


def _ask_all(
    policy: PolicySet, stream: Stream, case: Case, phase: Phase, today: date, answers: Answers, hours: Asked | None
) -> tuple[list[Asked], list[tuple[int, Rule]]]:
    """What every rule says, in their order, and which are to be asked of other recipients at this domain anew."""
    asked = [_expired(pack, case, today) for pack in stream.packs if pack.is_expired(today)]
    asked += [_unmet(duty, keys, case) for duty, keys in stream.unmet]
    if case.pause is not None:
        asked.append(Asked(PAUSED, True, "asked", objection_to(case.pause)))
    if hours is not None:
        asked.append(hours)
    own = []
    for rule in stream.rules:
        if rule.never:
            answer = rule.silent
        elif rule.reach is not None and not rule.reach.covers(case):
            answer = rule.outside
        elif left_out := _left_out(rule, case, phase):
            answer = left_out
        else:
            answer = _answer(rule, policy, stream, case, today, answers)
            if rule.scope == "recipient" or answer is not rule.silent:  # an objection may be exempt for one mailbox alone
                own.append((len(asked), rule))
        asked.append(answer)
    return asked, own


def _round(asked: Sequence[Asked], own: Sequence[tuple[int, Rule]]) -> _Round:
    silent = list(asked)
    for number, rule in own:
        silent[number] = rule.silent
    return _Round(tuple(silent), tuple(own), any(one.objection for one in silent))


def _answer(rule: Rule, policy: PolicySet, stream: Stream, case: Case, today: date, answers: Answers) -> Asked:
    finding = answers.find(rule, stream, case, today)
    if finding is None:
        return rule.silent
    if isinstance(finding, Rests):
        return replace(rule.silent, grounds=tuple(replace(ground, rule=rule.name) for ground in finding.grounds))
    objection = _objection(rule, finding)
    return Asked(rule.name, True, "asked", objection) if rule.protected else _relaxed(objection, policy, stream, case, today)


def _hours(policy: PolicySet, stream: Stream, case: Case, now: datetime, today: date) -> Asked:
    objection = outside_hours(policy, stream, case.recipient.mailbox.domain, now)
    return Asked(HOURS, True, "asked") if objection is None else _relaxed(objection, policy, stream, case, today)


def _ruling(case: Case, asked: Iterable[Asked]) -> Ruling:
    asked = tuple(asked)
    objections = [one.objection for one in asked if one.objection]
    grounds = tuple(ground for one in asked for ground in one.grounds)
    if not objections:
        return Ruling(case.recipient, Action.PERMIT, (), asked, grounds)
    objections.sort(key=lambda objection: -objection.action)  # stable: within a rank the first stays first
    return Ruling(case.recipient, objections[0].action, tuple(objections), asked, grounds)


def _expired(pack: Pack, case: Case, today: date) -> Asked:
    name = f"{pack.name}/expired"
    if pack.reach is not None and not pack.reach.covers(case):
        return pack.reach.leaves_out(name)
    return Asked(name, True, "asked", replace(EXPIRED, rule=name, detail=f"expired on {pack.until}"))


def _unmet(duty: Duty, keys: Sequence[str], case: Case) -> Asked:
    if duty.reach is not None and not duty.reach.covers(case):
        return duty.reach.leaves_out(duty.name)
    return Asked(duty.name, True, "asked", replace(UNMET, rule=duty.name, cite=duty.table.cite, detail=", ".join(keys)))


def _left_out(rule: Rule, case: Case, phase: Phase) -> Asked | None:
    """What is said of a rule of the stream that is not asked about this case, None when it is asked."""
    if phase is Phase.RCPT and rule.phase is Phase.DATA:
        return Asked(rule.name, False, "phase", why_zh="尚无邮件内容")
    domains = rule.table.recipient_domains
    if domains and not domain_fits(case.recipient.mailbox.domain, domains):
        return Asked(rule.name, False, "does not apply", why_zh="不适用于该收件域名")
    return None


def _objection(rule: Rule, finding: Finding) -> Objection:
    check = rule.check
    return Objection(
        rule=rule.name,
        action=rule.action,
        text=rule.text,
        text_zh=rule.text_zh,
        fix=rule.fix,
        fix_zh=rule.fix_zh,
        cite=rule.table.cite,
        detail=finding.detail,
        code=finding.code or (check.code if check else "7.1"),
        reply_code=451 if rule.action in _LATER else check.reply_code if check else 550,
        asked_for=rule.action,
        spots=finding.spots,
    )


def _relaxed(objection: Objection, policy: PolicySet, stream: Stream, case: Case, today: date) -> Asked:
    """The objection of a rule that is not protected as it counts, and why."""
    for exempt in policy.exemptions(today):
        if case.recipient.key in exempt.recipients and any(fnmatchcase(objection.rule, pattern) for pattern in exempt.rules):
            return _turned(objection, Action.WARN, "exempt", exempt)
    if stream.mode == "shadow":
        return _turned(objection, Action.WARN, "shadow")
    override = stream.overrides.get(objection.rule)
    if override is not None and today <= override.until:
        return _turned(objection, ACTIONS[override.action], "override", override)
    return Asked(objection.rule, True, "asked", objection)


_TURNED_ZH = {"exempt": "已豁免", "shadow": "仅观察", "override": "已放宽"}


def _turned(objection: Objection, action: Action, observed: str, grant: Exempt | Override | None = None) -> Asked:
    """The objection with the weight that is left, and who let it go until when."""
    reply_code = 451 if action in _LATER else objection.reply_code
    lighter = replace(objection, action=action, observed=observed, reply_code=reply_code)
    why, why_zh = observed, _TURNED_ZH[observed]
    if grant:
        why += f" until {grant.until} ({grant.by}: {grant.reason})"
        why_zh += f"，至 {grant.until}（{grant.by}：{grant.reason}）"
    return Asked(objection.rule, True, why, lighter, why_zh)
