"""What the processes of tests/unit/test_sqlite_processes.py do with one relay.db; each is a worker of its own."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from relay.errors import StoreUnavailable
from relay.policy.cases.transfers import Category, Crossing
from relay.stores.held import Holding
from relay.stores.ledger import Cleared, Opening
from relay.stores.limits import Reserved
from relay.stores.sqlite import SQLiteStore
from tests.support.held import held_copy, held_message, hold
from tests.support.stores import ADA, META, charge, delivered, digest, first_try, refusal, request

HOUR = 3600.0


def open_here(path: str) -> SQLiteStore:
    return SQLiteStore.open(Path(path), META)


def spend(path, worker, start, answers, limit, tries):
    """Try to spend a limit, many at once; answer how often it worked."""

    async def work() -> None:
        store = open_here(path)
        start.wait()

        async def one() -> bool:
            reserved = await store.reserve([charge(limit, unit=HOUR), charge(limit, unit=HOUR, key="other")], 60.0)
            if isinstance(reserved, Reserved):
                await store.settle(reserved.id)
            return isinstance(reserved, Reserved)

        worked = [any_of for _ in range(tries // 20) for any_of in await asyncio.gather(*(one() for _ in range(20)))]
        answers.put(sum(worked))
        await store.aclose()

    asyncio.run(work())


def let_leave(path, worker, start, answers, most, people):
    """Let people leave the country, each in a mail of its own, while no more than `most` may; answer who was cleared."""

    async def work() -> None:
        store = open_here(path)
        start.wait()
        crossing = Crossing(2027, Category.ORDINARY, 4e9, most)

        async def one(number: int) -> int | None:
            asked = replace(request(digest(f"person {number}")), crossing=crossing)
            key = digest(f"mail {worker} {number}")
            (answer,) = await store.clear(key, first_try(worker).submission_id, [asked], 60.0, HOUR)
            return number if isinstance(answer, Cleared) else None

        order = sorted(range(people), key=lambda number: digest(f"{worker} {number}"))
        let = await asyncio.gather(*map(one, order))
        answers.put([number for number in let if number is not None])
        await store.aclose()

    asyncio.run(work())


def try_to_deliver(path, worker, start, answers, recipients):
    """One try of the same submission, recipient by recipient; answer who was cleared."""

    async def work() -> None:
        store = open_here(path)
        start.wait()
        name = first_try(worker).submission_id
        key = digest("submission")
        await store.open_submission(key, Opening(first_try(worker), HOUR))

        async def one(number: int) -> int | None:
            (answer,) = await store.clear(key, name, [request(digest(number))], 60.0, HOUR)
            if isinstance(answer, Cleared):
                await store.finish(key, [delivered(digest(number), answer.reservation, name)])
            return number if isinstance(answer, Cleared) else None

        cleared = await asyncio.gather(*(one(number) for number in range(recipients)))
        answers.put([number for number in cleared if number is not None])
        await store.aclose()

    asyncio.run(work())


def deliver_until_told(path, worker, told, answers, afterwards):
    """Clear ADA in one new submission after the other, `afterwards` of them begun after `told`.

    Answers how many of those were cleared, and why the store was unavailable at any time.
    """

    async def work() -> None:
        store = open_here(path)
        cleared = {False: 0, True: 0}
        faults = set()
        number, left = 0, afterwards
        while left:
            number += 1
            begun_after = told.is_set()
            left -= begun_after
            try:
                (answer,) = await store.clear(digest((worker, number)), first_try().submission_id, [request(ADA)], 60.0, HOUR)
                cleared[begun_after] += isinstance(answer, Cleared)
            except StoreUnavailable as fault:
                faults.add(fault.reason)
                await asyncio.sleep(0.001)
            if number == 5:
                answers.put("busy")
        answers.put((cleared[True], sorted(faults)))
        await store.aclose()

    asyncio.run(work())


def write_until_killed(path, pipe):
    """Record refusals and say the number of each as soon as the store has acknowledged it."""

    async def work() -> None:
        store = open_here(path)

        async def one(lane: int) -> None:
            for number in range(lane, 10**9, 8):
                await store.suppress(refusal(digest(number)))
                os.write(pipe.fileno(), number.to_bytes(8, "big"))

        await asyncio.gather(*(one(lane) for lane in range(8)))

    asyncio.run(work())


def hold_until_killed(path, answers):
    """Hold one message after another; answer each that was acknowledged."""

    async def work() -> None:
        store = open_here(path)
        for number in range(1_000_000):
            message = held_message(number, 50_000)
            await hold(store, message, [held_copy(message, "ada")])
            answers.send(number)

    asyncio.run(work())


def hold_unopened(path):
    """Hold one message of which the ledger knows nothing, so that holding is the first that is written."""

    async def work() -> None:
        message = held_message(octets=200_000)
        await open_here(path).hold(digest("submission"), Holding(message, [held_copy(message, "ada")], {}, max_octets=1 << 30))

    asyncio.run(work())
