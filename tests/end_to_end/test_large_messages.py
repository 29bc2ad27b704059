"""Large messages are read in threads that do nothing else, and keep none that others need."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.line import LineHouse
from tests.support.service import OFFICE
from tests.support.upstream import RecordingUpstream

LARGE = b"From: %s\r\nTo: bob@example.org\r\nSubject: Large\r\n\r\n" % OFFICE.encode() + b"A line of text.\r\n" * 100_000


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader_")]


def test_a_large_message_is_read_while_the_threads_of_the_loop_are_busy(tmp_path):
    released = threading.Event()
    with RecordingUpstream() as upstream, LineHouse(tmp_path, upstream) as house:
        busy = ThreadPoolExecutor(1)
        house.loop.call_soon_threadsafe(house.loop.set_default_executor, busy)
        holding = busy.submit(released.wait, 30)
        try:
            assert house.send(OFFICE, ["bob@example.org"], LARGE).is_positive
            assert not holding.done()
        finally:
            released.set()
        assert len(upstream.deliveries) == 1


def test_however_many_wait_to_be_read_the_threads_of_the_loop_are_free(tmp_path):
    released = threading.Event()
    with RecordingUpstream() as upstream, LineHouse(tmp_path, upstream) as house:
        for _ in range(2):
            house.line.reader._threads.submit(released.wait, 60)
        waiting = asyncio.run_coroutine_threadsafe(house._send(OFFICE, ["bob@example.org"], LARGE, {}), house.loop)
        try:
            house.run(asyncio.wait_for(asyncio.to_thread(int), 20))  # as look-ups of names do
            assert not waiting.done()
        finally:
            released.set()
        assert waiting.result(60).is_positive
        assert len(readers()) == 2
    end = time.monotonic() + 30
    while readers() and time.monotonic() < end:
        time.sleep(0.01)
    assert not readers()
