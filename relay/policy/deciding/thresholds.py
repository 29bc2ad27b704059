"""When the way in which a stream's mail is received warns, and when it pauses the stream.

A rate means something only from a number of recipients on (`minimum`): one
complaint of fifty is a person, not a rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from relay.policy.cases.case import Action, Objection
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.rules.table import percent_of
from relay.policy.sets.model import Rates, Thresholds
from relay.policy.suppressions.suppression import Purpose

RULE = "paused"
PAUSABLE = frozenset({Purpose.MARKETING, Purpose.SERVICE})
"""What thresholds may pause: people's own letters and legal notices are never held for a rate, it only warns."""

_WIRE_TEXT = 200


@dataclass(frozen=True, slots=True)
class Excess:
    """A rate that is over a threshold, said in both languages; `pauses` when it is over the higher one."""

    measure: Measure
    pauses: bool
    text: str
    text_zh: str


def excesses(tally: Tally, thresholds: Thresholds) -> Iterator[Excess]:
    """Every rate that is over, what pauses first."""
    found = [
        excess
        for measure, rates in ((Measure.COMPLAINTS, thresholds.complaints), (Measure.HARD_BOUNCES, thresholds.hard_bounces))
        if tally.of(measure) >= thresholds.minimum and (excess := _excess(tally, measure, rates, thresholds.window))
    ]
    yield from sorted(found, key=lambda excess: not excess.pauses)


def _excess(tally: Tally, measure: Measure, rates: Rates, window: int) -> Excess | None:
    count, total = tally.count(measure), tally.of(measure)
    met = next((limit for limit in (rates.pause, rates.warn) if count * 100 > percent_of(limit) * total), None)
    if met is None:
        return None
    what, what_zh = _WORDS[measure]
    shown = f"{100 * count / total:.2f}%"
    return Excess(
        measure,
        met == rates.pause,
        f"{what} {shown} ({count} of {total} recipients in {window} days), over {met}",
        f"{what_zh} {shown}（{window} 天内 {total} 位收件人中 {count} 位），超过 {met}",
    )


def objection_to(pause: Pause) -> Objection:
    """What a pause says to the sender. A reason that is not ASCII stays off the wire; the page shows it."""
    said = pause.reason if pause.reason.isascii() and pause.reason.isprintable() else "by an administrator"
    return Objection(
        RULE,
        Action.DEFER,
        f"The stream {pause.stream} is paused: {said[:_WIRE_TEXT]}",
        f"邮件流 {pause.stream} 已暂停：{pause.reason_zh}",
        "Nothing is lost: the mail waits with you. An administrator finds out why and runs `relay streams resume`",
        "邮件没有丢失，仍在您这边等待；请管理员查明原因后运行 relay streams resume",
        asked_for=Action.DEFER,
        reply_code=451,
    )


_WORDS = {Measure.COMPLAINTS: ("complaints", "投诉率"), Measure.HARD_BOUNCES: ("hard bounces", "硬退信率")}
