"""Who shares a copy: recipients who are owed the same duties in the same language, and nobody else."""

from dataclasses import replace

import pytest

from relay.consignment import Consignment
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.stores.ledger import FirstTry
from tests.support.line import LineHouse
from tests.support.ports import free_port
from tests.support.service import OFFICE, SHOP, message

LAW = """[pack]
version = "1"
[applies]
any = [{{ recipient = "{0}" }}]
[[duty]]
id = "fields"
do = "remove-fields"
fields = ["X-{0}"]
[[duty]]
id = "footer"
do = "footer"
purposes = ["service", "correspondence"]
show = ["identity"]
"""
PEOPLE = ["a@x.cn", "b@x.kr", "c@y.kr", "d@x.de", "e@x.org", "f@x.cn"]


class Nobody:
    """An upstream that nobody asks."""

    def __init__(self):
        self.address, self.tls, self.ca_file = f"127.0.0.1:{free_port()}", "none", ""


def the_house(folder, mode="enforce"):
    packs = {f"streams/{name}.toml": [(r"(?m)^packs = .*", 'packs = ["base", "china", "korea"]')] for name in STREAMS}
    packs["streams/receipts.toml"].append(('mode = "enforce"', f'mode = "{mode}"'))
    house = LineHouse(folder, Nobody(), policy=packs)
    house.relay.write_policy("packs/china.toml", LAW.format("CN"))
    house.relay.write_policy("packs/korea.toml", LAW.format("KR"))
    return house


STREAMS = ("receipts", "correspondence")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with the_house(tmp_path_factory.mktemp("house")) as running:
        yield running


def a_consignment(house, login: str, data: bytes) -> Consignment:
    line = house.line
    submission = house.run(house.begin(login, PEOPLE, admitted_only=False))
    submission = replace(submission, recipients=tuple(Recipient(Mailbox.parse(one)) for one in PEOPLE))
    read, stream = Message.parse(data), line.policy.stream(submission.stream)
    routes = line.routing.routes(submission.identity, stream, submission.reverse_path, read)
    first = FirstTry(submission.id, submission.at, "Wed, 15 Nov 2023 06:13:20 +0800", "<1@relay.example.com>")
    return Consignment(submission, read, line.policy, stream, b"k" * 16, first, routes)


def groups(house, login, cap=50, subject="Hello"):
    consignment = a_consignment(house, login, message("x@example.org", login, subject))
    renderer = house.line.dispatcher.renderer
    found = renderer.groups(consignment, consignment.submission.recipients, cap)
    return [[recipient.mailbox.wire for recipient in group] for group in found]


def test_recipients_of_one_law_share_a_copy(house):
    """Whoever has no country is under the shipped unknown_recipient, CN, and reads the language of the subject."""
    assert groups(house, SHOP) == [["a@x.cn", "f@x.cn"], ["b@x.kr", "c@y.kr"], ["d@x.de"], ["e@x.org"]]
    assert groups(house, SHOP, subject="=?utf-8?B?5L2g5aW9?=")[0] == ["a@x.cn", "e@x.org", "f@x.cn"]


def test_the_cap_of_the_upstream_holds_in_each_group(house):
    assert groups(house, SHOP, cap=1) == [["a@x.cn"], ["f@x.cn"], ["b@x.kr"], ["c@y.kr"], ["d@x.de"], ["e@x.org"]]


def test_correspondence_is_not_split(house):
    assert groups(house, OFFICE) == [PEOPLE]


def test_each_group_gets_what_it_is_owed(house):
    extra = "Content-Transfer-Encoding: 8bit\r\nX-CN: 1\r\nX-KR: 1\r\nX-FR: 1\r\n"
    mail = message("x@example.org", SHOP, extra=extra).replace(b"text/plain", b"text/plain; charset=utf-8")
    consignment = a_consignment(house, SHOP, mail)
    renderer, route = house.line.dispatcher.renderer, consignment.routes[0]
    kept = {}
    for group in renderer.groups(consignment, consignment.submission.recipients, 50):
        copy = renderer.copy(consignment, route, group)
        names = {field.name for field in Message.parse(copy.header + copy.body).fields}
        kept[group[0].mailbox.wire] = sorted(names & {b"x-cn", b"x-kr", b"x-fr"}), copy.body.decode().splitlines()[-1]
    assert kept == {
        "a@x.cn": ([b"x-fr", b"x-kr"], "发件单位：示例公司"),
        "b@x.kr": ([b"x-cn", b"x-fr"], "전송자 명칭 / Sent by: Example Company Ltd."),
        "d@x.de": ([b"x-cn", b"x-fr", b"x-kr"], "Hello"),
        "e@x.org": ([b"x-fr", b"x-kr"], "Sent by: Example Company Ltd."),
    }
    assert len(consignment.prepared) == 4


def test_a_stream_in_shadow_mode_refuses_nothing_for_a_duty(tmp_path):
    sealed = message("x@example.org", SHOP).replace(b"text/plain", b"application/pkcs7-mime")
    with the_house(tmp_path, mode="shadow") as house:
        consignment = a_consignment(house, SHOP, sealed)
        copy = house.line.dispatcher.renderer.copy(consignment, consignment.routes[0], consignment.submission.recipients[:1])
    assert [name for name, _ in copy.skipped] == ["china/footer"]
    assert copy.body == consignment.message.body
