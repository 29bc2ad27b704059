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
from relay.policy.cases.case import Action, Asked, Case, Counted, Objection, Phase, Ruling
from relay.policy.deciding.asking import left_out_at, plan_of
from relay.policy.deciding.pacing import outside_hours
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.deciding.thresholds import objection_to
from relay.policy.rules.expression import Expression, message_fact, recipient_facts, sender_facts
from relay.policy.rules.organisation import Exempt
from relay.policy.rules.rule import UNREAD_PARTS, Answer, Counts, Finding, Rests, Rule, Setting
from relay.policy.rules.table import ACTIONS
from relay.policy.sets.model import HOURS, Override
from relay.policy.sets.policy_set import Duty, Pack, PolicySet, Stream

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
        self._found: dict[str | tuple[str, str], Answer] = {}
        self._facts: dict[str, Any] = {}  # members of `message`
        self._setting: Setting | None = None
        self.rounds: dict[tuple[object, ...], _Round] = {}

    def find(self, rule: Rule, stream: Stream, case: Case, today: date) -> Answer:
        """Ask the rule, or remember its answer when it reaches further than one recipient."""
        if self._setting is None:
            self._setting = stream.setting_on(today)
        if rule.scope == "recipient":
            return self._ask(rule, stream, case, self._setting)
        key = rule.name if rule.scope == "message" else (rule.name, case.recipient.mailbox.domain)
        found = self._found.get(key, _UNASKED)
        if found is _UNASKED:
            found = self._found[key] = self._ask(rule, stream, case, self._setting)
        return found

    def _ask(self, rule: Rule, stream: Stream, case: Case, setting: Setting) -> Answer:
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
        if expression.is_on_parts and case.message and not case.message.structure.is_complete:
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
    place = (case.recipient.mailbox.domain, case.domain_mail, case.jurisdictions, case.upstream_countries, case.pause, hours)
    round_ = answers.rounds.get(place)
    if round_ is None:
        asked, own = _ask_all(policy, stream, case, phase, today, answers, hours)
        answers.rounds[place] = _round(asked, own)
        return _ruling(case, asked)
    said = [_answer(rule, policy, stream, case, today, answers) for _, rule in round_.own]
    if not round_.objects and not any(one.objection or one.grounds or one.counted for one in said):
        known = case.domain_mail, case.residence
        return Ruling(case.recipient, Action.PERMIT, (), round_.asked, (), (), *known)
    asked = list(round_.asked)
    for (number, _), one in zip(round_.own, said, strict=True):
        asked[number] = one
    return _ruling(case, asked)


def _ask_all(
    policy: PolicySet, stream: Stream, case: Case, phase: Phase, today: date, answers: Answers, hours: Asked | None
) -> tuple[list[Asked], list[tuple[int, Rule]]]:
    """What every rule says, in their order, and which are to be asked of other recipients at this domain anew."""
    asked = [_expired(pack, case, today) for pack in stream.packs if pack.is_expired(today)]
    asked += [_unmet(duty, keys, case, stream) for duty, keys in stream.unmet]
    if case.pause is not None:
        asked.append(Asked(PAUSED, True, "asked", objection_to(case.pause)))
    if hours is not None:
        asked.append(hours)
    own, domain = [], case.recipient.mailbox.domain
    for rule, left_out, looks_at_domain in plan_of(stream, case.jurisdictions, case.upstream_countries, phase):
        answer = left_out_at(rule, domain, case.domain_mail) if looks_at_domain else left_out
        if answer is None:
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
    if isinstance(finding, Counts):
        return _counted(rule, finding, policy, stream, case, today)
    objection = objection_of(rule, finding)
    return Asked(rule.name, True, "asked", objection) if rule.protected else _relaxed(objection, policy, stream, case, today)


def _counted(rule: Rule, counts: Counts, policy: PolicySet, stream: Stream, case: Case, today: date) -> Asked:
    """The answer, and with what weight the rule would object if others took the last places before the copy leaves."""
    said = _relaxed(objection_of(rule, counts.finding or Finding()), policy, stream, case, today)
    action = said.objection.action if said.objection else Action.WARN
    return replace(said if counts.finding else rule.silent, counted=Counted(rule.name, counts.category, action))


def _hours(policy: PolicySet, stream: Stream, case: Case, now: datetime, today: date) -> Asked:
    objection = outside_hours(policy, stream, case.recipient.mailbox.domain, now, case.recorded_countries)
    return Asked(HOURS, True, "asked") if objection is None else _relaxed(objection, policy, stream, case, today)


def _ruling(case: Case, asked: Iterable[Asked]) -> Ruling:
    asked = tuple(asked)
    objections = [one.objection for one in asked if one.objection]
    grounds = tuple(ground for one in asked for ground in one.grounds)
    counted = tuple(one.counted for one in asked if one.counted)
    known = grounds, counted, case.domain_mail, case.residence
    if not objections:
        return Ruling(case.recipient, Action.PERMIT, (), asked, *known)
    objections.sort(key=lambda objection: -objection.action)  # stable: within a rank the first stays first
    return Ruling(case.recipient, objections[0].action, tuple(objections), asked, *known)


def _expired(pack: Pack, case: Case, today: date) -> Asked:
    name = f"{pack.name}/expired"
    if pack.reach is not None and not pack.reach.covers(case):
        return pack.reach.leaves_out(name)
    return Asked(name, True, "asked", replace(EXPIRED, rule=name, detail=f"expired on {pack.until}"))


def _unmet(duty: Duty, keys: Sequence[str], case: Case, stream: Stream) -> Asked:
    """In shadow mode copies leave without the duty, and that is only said."""
    if duty.reach is not None and not duty.reach.covers(case):
        return duty.reach.leaves_out(duty.name)
    objection = replace(UNMET, rule=duty.name, cite=duty.table.cite, detail=", ".join(keys))
    if stream.mode == "shadow":
        return _turned(objection, Action.WARN, "shadow")
    return Asked(duty.name, True, "asked", objection)


def objection_of(rule: Rule, finding: Finding) -> Objection:
    """What the rule says of this finding, with its full weight."""
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
        reply_code=451 if rule.action in _LATER else finding.reply_code or (check.reply_code if check else 550),
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
