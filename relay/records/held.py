"""Build the record of what the relay takes into its keeping: who, why, until when."""

from collections.abc import Callable, Sequence
from enum import Enum
from math import isfinite
from typing import Protocol

from relay.records.facts import Outcome, Roll
from relay.records.kinds import Kind, Person, Record


class Kept(Outcome, Protocol):
    """An outcome that says why its recipient is held, and until when at least, epoch seconds."""

    @property
    def why(self) -> Enum | None: ...
    @property
    def due(self) -> float: ...


def held_records(
    submission_id: str, outcomes: Sequence[Kept], report: Enum, at: float, until: float, person: Callable[[str], Person]
) -> list[Record]:
    """Whose mail is held from now on, and of whom the sender is still to be told; nothing when of nobody.

    `report` is `relay.answer.ReportFate`.  What is held is given up at `until`.
    """
    copies = [one for one in outcomes if one.standing.value == "held" and not one.earlier]
    refused = [one for one in outcomes if one.standing.value == "refused" and one.recipient.wants_failure_report]
    untold = refused if report.value == "held" else []
    if not copies and not untold:
        return []
    roll = Roll(person)
    facts = {
        "copies": [
            {
                "person": roll.number(one.recipient.key),
                "why": one.why.value if one.why else "",
                "due": (one.due or at) if isfinite(one.due) else None,
            }
            for one in copies
        ],
        "report_on": [roll.number(one.recipient.key) for one in untold],
        "until": until,
    }
    return [Record(Kind.HELD, submission_id, at, roll.people, facts)]
