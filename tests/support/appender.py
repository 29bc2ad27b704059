"""A process that appends records and says on stdout which ones were acknowledged: PATH FIRST COUNT."""

import asyncio
import sys
import time
from datetime import date
from pathlib import Path

from relay.ids import new_id
from relay.keys import new_keys
from relay.records.append import Records
from relay.records.kinds import Kind, Record


async def append(path: Path, first: int, count: int) -> None:
    """Append `count` records, eight at a time."""
    records = Records.open(path, new_keys(date(2026, 1, 1)), 0, time.time)
    person = records.person("ada@example.org")
    numbers = iter(range(first, first + count))

    async def client() -> None:
        for number in numbers:
            seq = await records.append(
                Record(Kind.RECEIVED, new_id(0, number.to_bytes(10, "big")), time.time(), (person,), {"n": number})
            )
            print(seq, number, flush=True)

    await asyncio.gather(*(client() for _ in range(8)))
    await records.aclose()


if __name__ == "__main__":
    asyncio.run(append(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
