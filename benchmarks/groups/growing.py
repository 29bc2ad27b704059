"""7. What grows: the cost of a submission by its recipients, and of a message by what is on record already."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Figures, Section
from benchmarks.cost import Point, cpu_per_message, growth_rows
from benchmarks.figures import FLAT, Claim, growth, short, slope, table
from benchmarks.load import Load, Sink
from benchmarks.peers.relay import BenchRelay
from benchmarks.plot import lines
from relay.config import load_config
from relay.ids import new_id
from relay.records.append import Records
from relay.records.kinds import Kind, Record
from relay.stores.opening import load_or_create_keys

RECIPIENTS = [1, 10, 100, 1000]
HISTORY, QUICK = [100, 10_000, 100_000], [100, 2000]
BATCH = 500
NOTE = """\
CPU of the workers, signatures and all, at 4 KB. A submission with more recipients costs more, and no more than each of them by
itself would; a message costs the same whatever is on record. (Rules and lists have sections of their own.)"""


def measure(bench: Bench) -> Figures:
    """CPU by recipients and by history."""
    found: dict[str, Any] = {"recipients": {}, "history": {}}
    with bench.folder() as folder, Sink(folder) as sink:
        with BenchRelay(folder / "recipients", sink.port, workers=1) as relay:
            for recipients in RECIPIENTS[: 3 if bench.quick else 4]:
                load = Load(sessions=1 if recipients > 10 else 5, recipients=recipients)
                messages = max(load.sessions, (100 if bench.quick else 1000) // recipients)
                rounds = [cpu_per_message(relay, sink, messages, load) for _ in range(bench.rounds)]
                found["recipients"][str(recipients)] = rounds
                bench.say(f"{recipients} recipients: {rounds}")
        for messages in QUICK if bench.quick else HISTORY:
            relay = BenchRelay(folder / f"history-{messages}", sink.port, workers=1)
            asyncio.run(_fill(relay, messages))
            with relay:
                rounds = [cpu_per_message(relay, sink, 100 if bench.quick else 500) for _ in range(bench.rounds)]
            found["history"][str(messages)] = rounds
            bench.say(f"{messages:,} messages on record: {rounds}")
    return found


async def _fill(relay: BenchRelay, messages: int) -> None:
    """The records of so many earlier messages, each to somebody else."""
    relay.data.mkdir(exist_ok=True)
    config = load_config(str(relay.config))
    keys = load_or_create_keys(config, datetime.now(UTC).date())
    path: Path = config.data_path / "records.db"
    records = Records.open(path, keys, 0, time.time)
    begun = time.time() - messages
    try:
        for start in range(0, messages, BATCH):
            numbers = range(start, min(messages, start + BATCH))
            await records.append_many([record for number in numbers for record in _both(records, begun, number)])
    finally:
        await records.aclose()


def _both(records: Records, begun: float, number: int) -> list[Record]:
    """What a message leaves: that it was judged, and what became of it."""
    at = begun + number
    people = (records.person("news@example.com"), records.person(f"earlier-{number}@example.org"))
    received = {"reverse_path": 0, "stream": "newsletter", "rulings": [{"person": 1, "action": "permit", "objections": []}]}
    finished = {"stream": "newsletter", "outcomes": [{"person": 1, "state": "delivered", "reply": "250 2.0.0 Ok: queued"}]}
    record_id = new_id(at, number.to_bytes(10, "big"))
    return [Record(Kind.RECEIVED, record_id, at, people, received), Record(Kind.FINISHED, record_id, at, people, finished)]


def describe(figures: Figures) -> Section:
    """Each line flat or linear."""
    parts, plotted = [NOTE], {}
    claims = []
    for name, heading, target in (
        ("recipients", "recipients of a submission", 1.1),
        ("history", "messages on record", FLAT),
    ):
        points, rows = growth_rows(figures[name])
        power = slope(points)
        parts += [table([heading, "CPU", "times the first"], rows), _said(heading, points)]
        plotted[heading] = points
        word = "linear" if target > 1 else "flat"
        claims.append(Claim(f"Cost by {heading} is {word}: power of growth", target, power, at_most=True))
    plot = lines("Cost by what grows", "recipients, messages on record", "CPU, microseconds", plotted)
    return Section("What grows", "\n\n".join(parts), {"growing.svg": plot}, tuple(claims))


def _said(heading: str, points: list[Point]) -> str:
    power = slope(points)
    return f"By {heading} the cost grows with the power {short(power)}: {growth(power)}."
