"""Large messages are read and judged beside the loop."""

import threading

import pytest

from relay.config import Smtp
from relay.mail.message import Message
from relay.reading import MessageReader

HEADER = b"From: news@example.com\r\nSubject: News\r\n\r\n"
SMALL, LARGE = (HEADER + b"line\r\n" * lines for lines in (100, 100_000))


@pytest.fixture
def reader():
    one = MessageReader(Smtp())
    yield one
    one.close()


@pytest.mark.parametrize(("data", "beside"), [(SMALL, False), (LARGE, True)])
async def test_a_large_message_is_judged_beside_the_loop(reader, data, beside):
    message = Message.parse(data)
    name = await reader.apart(message, lambda: threading.current_thread().name)
    assert name.startswith("reader") == beside


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_what_fails_there_fails_here(reader, data):
    def fail() -> None:
        raise LookupError("rule")

    with pytest.raises(LookupError, match="rule"):
        await reader.apart(Message.parse(data), fail)
