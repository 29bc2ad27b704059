"""Workers seldom look for garbage, so no mail may wait for that: whatever became of it, its octets go when it is answered."""

import gc
from types import FrameType

import pytest

from relay.consignment import Consignment
from relay.mail.message import Message
from relay.render.copy import Copy
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.service import OFFICE, message

OCTETS = 50_000
MAIL = message(sender=OFFICE, body="text\r\n" * (OCTETS // 6 + 1))

upstream = an_upstream()


def refuse(house, upstream):
    upstream.fault("DOT", "554 5.7.1 no")


def hang_up(house, upstream):
    upstream.fault("DOT", close=True)


def answer_nobody(house, upstream):
    upstream.fault("CONNECT", close=True, times=-1)


def lose_the_store(house, upstream):
    (house.relay.data / "relay.db").unlink()


CASES = {
    "it left": (lambda *_: None, MAIL, 250),
    "a rule refused it": (lambda *_: None, MAIL.replace(b"Subject: ", b"Subject: \0"), 554),
    "the upstream refused it": (refuse, MAIL, 554),
    "the upstream hung up": (hang_up, MAIL, 451),
    "there is no upstream": (answer_nobody, MAIL, 451),
    "there is no store": (lose_the_store, MAIL, 451),
}


def holds_a_mail(one: object) -> bool:
    if isinstance(one, FrameType) and one.f_globals["__name__"].startswith("relay."):
        return any(isinstance(value, bytes | bytearray) and len(value) >= OCTETS for value in one.f_locals.values())
    return isinstance(one, Message | Consignment | Copy)


@pytest.mark.parametrize("case", CASES)
def test_no_mail_waits_for_a_garbage_collection(tmp_path, upstream, case):
    arrange, mail, code = CASES[case]
    with LineHouse(tmp_path, upstream) as house:
        arrange(house, upstream)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            assert house.send(OFFICE, ["ada@example.org"], mail).code == code
            gc.collect()
            assert not [one for one in gc.garbage if holds_a_mail(one)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
