"""A message to hundreds: what is written of each is put together beside the loop, so that everybody else is heard meanwhile."""

import threading

import pytest

from relay import bounced, pipeline
from relay.records.kinds import Kind
from tests.support.courier import CourierHouse
from tests.support.fixtures import an_upstream
from tests.support.service import OFFICE, message

upstream = an_upstream()
MADE = ((pipeline, "received_record"), (bounced, "finished_record"), (bounced, "held_records"), (bounced, "late_record"))


@pytest.mark.parametrize(("number", "is_beside"), [(3, False), (200, True)])
def test_records_on_many_are_made_beside_the_loop(tmp_path, upstream, monkeypatch, number, is_beside):
    people = [f"r{one}@example.org" for one in range(number)]
    with CourierHouse(tmp_path, upstream) as house:
        threads: dict[str, set[bool]] = {}
        for place, name in MADE:
            monkeypatch.setattr(place, name, noted(getattr(place, name), name, house, threads))
        fault = upstream.fault("MAIL", "450 4.2.1 try later")
        assert house.send(OFFICE, people, message(sender=OFFICE)).is_positive
        upstream.faults.remove(fault)
        house.turn(90)
        house.wait_empty()
        late = [one for record in house.records(Kind.LATE) for one in record.facts["outcomes"]]
        assert len(late) == number
    late_threads = threads.pop("late_record")  # the courier has thirty-two in hand
    assert late_threads == {False}
    assert threads == {name: {is_beside} for name in ("received_record", "finished_record", "held_records")}


def noted(work, name, house, threads):
    def noting(*arguments, **options):
        threads.setdefault(name, set()).add(threading.current_thread() is not house._thread)
        return work(*arguments, **options)

    return noting
