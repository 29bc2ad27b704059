"""How long refusals took from being said to being in the store, counted for as long as there are records.

On this node a refusal binds from the moment it is written down; other nodes
know it once the store has it.  The journal forgets its rows after a day, so
what they tell is counted here.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from relay.policy.suppressions.suppression import REFUSALS
from relay.records.reading import Reader

QUARTER_SECONDS = 900
LONGER = 1 << 31
BOUNDS = (1, 10, 60, 600, 3600, 86400, LONGER)
"""A refusal counts under the first of these seconds that it did not exceed."""

_LAST_AT = "coalesce(again_at, at)"  # when the refusal was said last
_BOUND = "CASE " + " ".join(f"WHEN :now - :said <= {bound} THEN {bound}" for bound in BOUNDS) + f" ELSE {LONGER} END"
_REASONS = ", ".join(f"'{reason.value}'" for reason in sorted(REFUSALS))
_COUNT = (
    f"INSERT INTO effects SELECT CAST(:said / {QUARTER_SECONDS} AS INTEGER), {_BOUND}, 1 FROM refusals"  # noqa: S608 - our own constants
    f" WHERE number = :number AND {_LAST_AT} = :said AND applied_at IS NULL AND reason IN ({_REASONS})"
    " ON CONFLICT (quarter, seconds) DO UPDATE SET count = count + 1"
)
_MARK = f"UPDATE refusals SET applied_at = :now WHERE number = :number AND {_LAST_AT} = :said"  # noqa: S608 - a column name


@dataclass(frozen=True, slots=True)
class Effects:
    """How many refusals the store had within so many seconds, by bound; how many it does not have yet, since when."""

    within: dict[int, int]
    waiting: int = 0
    waiting_since: float | None = None


def write_applied(connection: sqlite3.Connection, carried: Sequence[tuple[int, float]], now: float) -> None:
    """The store has these refusals, by number and when they were last said: count each once, inside the writer's transaction."""
    for number, said in carried:
        connection.execute(_COUNT, {"now": now, "number": number, "said": said})
        connection.execute(_MARK, {"now": now, "number": number, "said": said})


def effects_between(reader: Reader, since: float, until: float) -> Effects:
    """Of the refusals said in this time, to the quarter of an hour. Raises RecordsUnavailable."""
    if not reader.read("SELECT 1 FROM sqlite_master WHERE name = 'effects'"):
        return Effects({})  # a file that only an earlier version has written to
    within = reader.read(
        "SELECT seconds, sum(count) FROM effects WHERE quarter >= ? AND quarter < ? GROUP BY seconds ORDER BY seconds",
        (since // QUARTER_SECONDS, -(-until // QUARTER_SECONDS)),
    )
    ((waiting, oldest),) = reader.read(
        f"SELECT count(*), min({_LAST_AT}) FROM refusals"  # noqa: S608 - our own constants
        f" WHERE applied_at IS NULL AND reason IN ({_REASONS}) AND {_LAST_AT} >= ? AND {_LAST_AT} < ?",
        (since, until),
    )
    return Effects(dict(within), int(waiting), oldest)
