"""How long refusals took to reach the store is counted before the journal forgets them."""

from relay.policy.suppressions.suppression import Reason
from relay.records.append import REMEMBERED_SECONDS
from relay.records.timeliness import LONGER, Effects, effects_between
from tests.support.records import opened, refuse


def numbers(records):
    return records.take_pending(100)


async def test_each_refusal_counts_once_and_is_not_forgotten_with_its_row(records, clock):
    start = clock()
    for number in range(3):
        await refuse(records, number, clock)
    await refuse(records, 3, clock, reason=Reason.HARD_BOUNCE)  # nobody's refusal
    first, second, third, bounce = numbers(records)
    assert effects_between(records.reader, start, start + 1) == Effects({}, 3, start)
    clock.now += 0.5
    await records.applied([first, bounce])
    await records.applied([first])  # a second process carried it over too
    clock.now += 30
    await records.applied([second])
    clock.now += 2 * REMEMBERED_SECONDS
    await records.applied([third])
    clock.now += 2 * REMEMBERED_SECONDS
    assert effects_between(records.reader, start, start + 1) == Effects({1: 1, 60: 1, LONGER: 1})
    assert effects_between(records.reader, start + 900, start + 9000) == Effects({})


async def test_records_of_an_earlier_version_tell_nothing_and_learn_it_at_the_next_start(tmp_path, clock):
    path = tmp_path / "records.db"
    with opened(path, clock=clock) as records:
        records.reader._connection.execute("PRAGMA query_only = OFF")
        records.reader._connection.execute("DROP TABLE effects")
        assert effects_between(records.reader, 0, clock()) == Effects({})
    with opened(path, clock=clock) as records:
        await refuse(records, 1, clock)
        await records.applied(numbers(records))
        assert effects_between(records.reader, clock(), clock() + 1) == Effects({1: 1})
