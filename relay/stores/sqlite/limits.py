"""Limits, inside a transaction: never more than N in any window.

A window's length is cut into 60 buckets.  Units count in the bucket of the
moment they were settled, and until that bucket has left the window as a whole
(up to a sixtieth longer than necessary, never shorter).  A living reservation
counts wherever it was made, so that settling it later fits; one whose lease
ran out counts as spent when it was reserved.  Nothing has to happen at the end
of a lease for that: the count itself looks at the time.

A day has one bucket, named by its date.
"""

import math
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.policy.timing.limits import Charge
from relay.stores.limits import OverLimit, Reserved

BUCKETS = 60
LATE = 3600.0
"""Seconds after the end of its lease in which a reservation can still be settled or refunded."""

_ALL = (1 << 63) - 1
_MICROSECONDS = 1_000_000
_TIME_OCTETS, _RANDOM_OCTETS = 7, 9

# Of both: ?1 key, ?2 now, ?3 first, ?4 oldest, ?5 newest (`Usage._window`).
_COUNT = """
SELECT (SELECT coalesce(sum(count), 0) FROM spent WHERE key = ?1 AND bucket BETWEEN ?4 AND ?5)
         + coalesce(sum(CASE WHEN lease_until <= ?2 AND bucket >= ?4 THEN count END), 0),
       coalesce(sum(CASE WHEN lease_until > ?2 THEN count END), 0)
  FROM reserved WHERE key = ?1 AND bucket BETWEEN ?3 AND ?5
"""
_OLDEST = """
SELECT bucket, count FROM spent WHERE key = ?1 AND bucket BETWEEN ?4 AND ?5
 UNION ALL
SELECT bucket, count FROM reserved WHERE key = ?1 AND bucket BETWEEN ?4 AND ?5 AND lease_until <= ?2
 ORDER BY bucket
"""
_RESERVE = "INSERT INTO reserved (id, number, key, bucket, count, length, lease_until, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SETTLE = f"""
INSERT INTO spent (key, bucket, count, ends)
SELECT key, iif(length, :now * {BUCKETS} / length, bucket), count,
       iif(length, (:now * {BUCKETS} / length + {BUCKETS + 1}) * length / {BUCKETS} / {_MICROSECONDS}.0, ends)
  FROM reserved WHERE id = :id
    ON CONFLICT (key, bucket) DO UPDATE SET count = count + excluded.count
"""  # noqa: S608 - numbers only


@dataclass(slots=True)
class _Used:
    """What counts against one limit now; `bucket` is where it counts, `length` that of its window in microseconds."""

    bucket: int
    length: int
    spent: int
    held: int


class Usage:
    """What counts against the limits that one operation asks for, so that a copy with many recipients counts once."""

    def __init__(self, db: sqlite3.Connection, now: float) -> None:
        self._db = db
        self._now = now
        self._used: dict[tuple[bytes, float, str], _Used] = {}

    def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit:
        """Hold all charges, or none and say which limit is in the way."""
        added: dict[int, int] = {}
        met: list[tuple[Charge, _Used, int]] = []
        counted = [(charge, self._of(charge)) for charge in charges]
        for charge, used in counted:
            mine = added.get(id(used), 0)
            if used.spent + used.held + mine + charge.count > charge.window.count:
                met.append((charge, used, mine))
            added[id(used)] = mine + charge.count
        if met:
            return self._over(met)
        return self._hold(counted, lease_seconds)

    def used(self, charges: Sequence[Charge]) -> list[int]:
        """What counts against the limit of each charge."""
        return [used.spent + used.held for used in map(self._of, charges)]

    def _hold(self, counted: Sequence[tuple[Charge, _Used]], lease_seconds: float) -> Reserved:
        name = _microseconds(self._now).to_bytes(_TIME_OCTETS, "big") + os.urandom(_RANDOM_OCTETS)
        lease_until = self._now + lease_seconds
        rows: list[tuple[Any, ...]] = []
        for number, (charge, used) in enumerate(counted):
            window = charge.window
            ends = window.day_ends if window.day else lease_until + window.length + LATE
            rows.append((name, number, charge.key, used.bucket, charge.count, used.length, lease_until, ends))
            used.held += charge.count
        self._db.executemany(_RESERVE, rows)
        return Reserved(name.hex())

    def _of(self, charge: Charge) -> _Used:
        window = charge.window
        place = (charge.key, window.length, window.day)
        used = self._used.get(place)
        if used is None:
            length = 0 if window.day else round(window.length * _MICROSECONDS)
            bucket = int(window.day.replace("-", "")) if window.day else _microseconds(self._now) * BUCKETS // length
            used = self._used[place] = _Used(bucket, length, 0, 0)
            used.spent, used.held = self._db.execute(_COUNT, self._window(charge, used)).fetchone()
        return used

    def _window(self, charge: Charge, used: _Used) -> tuple[bytes, float, int, int, int]:
        """The buckets that count: of what was spent from `oldest`, of what is held from `first`.

        There is no upper end but the day's: after a clock has stepped back,
        what it counted before still counts.
        """
        if charge.window.day:
            return charge.key, self._now, used.bucket, used.bucket, used.bucket
        return charge.key, self._now, 0, used.bucket - BUCKETS, _ALL

    def _over(self, met: list[tuple[Charge, _Used, int]]) -> OverLimit:
        blocked = [(c, used, mine) for c, used, mine in met if used.spent + mine + c.count > c.window.count]
        wait = max((self._wait(c, used, c.window.count - mine - c.count) for c, used, mine in blocked), default=1)
        return OverLimit(met[0][0].name, wait, in_flight=not blocked)

    def _wait(self, charge: Charge, used: _Used, room: int) -> int:
        """Whole seconds until no more than `room` units are spent; a window's length when that never comes."""
        window = charge.window
        if window.day:
            return _whole(window.day_ends - self._now)
        rows = self._db.execute(_OLDEST, self._window(charge, used)).fetchall()
        left = used.spent
        for bucket, count in rows:
            left -= count
            if left <= room:
                free_at = -(-(bucket + BUCKETS + 1) * used.length // BUCKETS)
                return _whole((free_at - _microseconds(self._now)) / _MICROSECONDS)
        return _whole(window.length)


def settle(db: sqlite3.Connection, now: float, reservation: str) -> None:
    """Count the reservation at this moment."""
    if name := _name(reservation):
        db.execute(_SETTLE, {"id": name, "now": _microseconds(now)})
        db.execute("DELETE FROM reserved WHERE id = ?", (name,))


def refund(db: sqlite3.Connection, reservation: str) -> None:
    """Forget the reservation."""
    if name := _name(reservation):
        db.execute("DELETE FROM reserved WHERE id = ?", (name,))


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Remove some of what no window contains any more; whether there may be more."""
    spent = db.execute(
        "DELETE FROM spent WHERE (key, bucket) IN (SELECT key, bucket FROM spent WHERE ends <= ? LIMIT ?)", (now, most)
    ).rowcount
    # ids begin with the time, so the oldest come first; a few of them may have to wait for the end of their day
    reserved = db.execute(
        "DELETE FROM reserved WHERE (id, number) IN (SELECT id, number FROM"
        " (SELECT * FROM reserved ORDER BY id, number LIMIT ?) WHERE ends <= ? AND lease_until <= ?)",
        (most, now, now - LATE),
    ).rowcount
    return most in (spent, reserved)


def _microseconds(now: float) -> int:
    return int(now * _MICROSECONDS)


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def _name(reservation: str) -> bytes:
    try:
        return bytes.fromhex(reservation)
    except ValueError:  # nobody's
        return b""
