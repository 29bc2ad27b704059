"""Large messages keep nobody waiting: read in a thread, hashed in steps, once for all copies; they leave as small ones do."""

import asyncio
import threading
from dataclasses import replace

import pytest

from relay.cli.dkim import signatures
from relay.consignment import Consignment
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.render.signing import body_hash
from relay.stores.ledger import FirstTry
from tests.support.leaving import NEWS
from tests.support.line import LineHouse
from tests.support.mail_dkim import dns_records
from tests.support.ports import free_port
from tests.support.service import message


class Nobody:
    """An upstream that nobody asks."""

    def __init__(self):
        self.address, self.tls, self.ca_file = f"127.0.0.1:{free_port()}", "none", ""


@pytest.fixture
def house(tmp_path):
    with LineHouse(tmp_path, Nobody()) as house:
        yield house


def a_consignment(house, data: bytes) -> Consignment:
    line = house.line
    submission = house.run(house.begin(NEWS, ["ada@example.org"]))
    submission = replace(submission, recipients=tuple(Recipient(Mailbox.parse(f"{n}@example.org")) for n in range(3)))
    read, stream = Message.parse(data), line.policy.stream(submission.stream)
    routes = line.routing.routes(submission.identity, stream, submission.reverse_path, read)
    first = FirstTry(submission.id, submission.at, "Wed, 15 Nov 2023 06:13:20 +0800", "<1@relay.example.com>")
    return Consignment(submission, read, line.policy, stream, b"k" * 16, first, routes)


def test_a_large_body_is_hashed_in_steps_and_once(house):
    body = "".join(f"{number:070d}\r\n" for number in range(60_000))
    consignment, renderer = a_consignment(house, message(body=body)), house.line.dispatcher.renderer
    route, passes = consignment.routes[0], []

    async def ready():
        tasks = [asyncio.ensure_future(renderer.ready(consignment, route, consignment.submission.recipients)) for _ in range(3)]
        while not all(task.done() for task in tasks):
            passes.append(len(consignment.prepared))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    house.run(ready())
    assert passes.count(0) >= len(body) // 1024**2
    (prepared,) = consignment.prepared.values()
    assert prepared.body_hash == body_hash(consignment.message.body)
    copies = [renderer.copy(consignment, route, (recipient,)) for recipient in consignment.submission.recipients]
    assert list(consignment.prepared.values()) == [prepared]
    assert all(copy.body is consignment.message.body for copy in copies)
    (signer,) = prepared.signers
    (found,) = signatures(copies[0].header + copies[0].body, {n: v.encode() for n, v in dns_records([signer]).items()}.get)
    assert found["valid"]


def test_a_small_message_is_ready_at_once(house):
    consignment, renderer = a_consignment(house, message()), house.line.dispatcher.renderer
    house.run(renderer.ready(consignment, consignment.routes[0], consignment.submission.recipients))
    assert consignment.prepared == {}
    assert renderer.copy(consignment, consignment.routes[0], consignment.submission.recipients[:1]).size > 0


@pytest.mark.parametrize(("lines", "in_the_loop"), [(100, True), (60_000, False)])
def test_a_large_message_is_read_in_a_thread(house, monkeypatch, lines, in_the_loop):
    threads, parse = [], house.line.reader.parse

    def noting(data):
        threads.append(threading.get_ident())
        return parse(data)

    monkeypatch.setattr(house.line.reader, "parse", noting)
    reply = house.send(NEWS, ["ada@example.org"], message(body=("x" * 70 + "\r\n") * lines))
    assert reply.code == 451  # nobody answers there
    loop = house.run(_thread_of_the_loop())
    assert [thread == loop for thread in threads] == [in_the_loop]


async def _thread_of_the_loop() -> int:
    return threading.get_ident()


def test_a_large_message_that_is_none_is_refused_as_a_small_one(house):
    large, small = (house.send(NEWS, ["ada@example.org"], b"no header\r\n\r\n" + b"x\r\n" * n) for n in (400_000, 1))
    assert (large.code, large.rule, large.text[0]) == (small.code, small.rule, small.text[0])
    assert large.code == 554
