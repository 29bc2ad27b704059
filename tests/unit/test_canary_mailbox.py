"""The mailbox that a canary is awaited in: what a server does not let anybody look into costs nothing but that look."""

import pytest

from relay.cli.canary_mailbox import Arrival, Mailroom
from relay.doors.mailbox.folders import Folder
from relay.doors.mailbox.imap import CommandRefused, MailboxUnavailable

CANARY = "canary-1"


class Server:
    """A session with an inbox and some junk folders, of which `closed` ones cannot be selected."""

    can_idle = False

    def __init__(self, *folders: str) -> None:
        self.mails: dict[str, list[bytes]] = {"INBOX": [], **{name: [] for name in folders}}
        self.closed: set[str] = set()
        self._selected = ""

    async def folders(self):
        return [Folder(name, name, is_junk=name != "INBOX") for name in self.mails]

    async def select(self, name):
        self._selected = ""
        if name in self.closed:
            raise CommandRefused(f"NO [NOPERM] {name}")
        self._selected = name

    async def numbers(self, criteria):
        return list(range(1, len(self.mails[self._selected]) + 1))

    async def fetch(self, number):
        return self.mails[self._selected][number - 1]


@pytest.fixture
def server():
    return Server("Junk", "Spam")


async def test_a_junk_folder_that_cannot_be_selected_does_not_end_the_look(server):
    server.closed.add("Junk")
    mailroom = Mailroom(server)
    await mailroom.open()
    assert mailroom.junk == ("Spam",)
    server.mails["Spam"].append(b"Subject: canary-1\r\n")
    assert await mailroom.wait_for(CANARY, 5) == Arrival(b"Subject: canary-1\r\n", "Spam")


async def test_nor_does_one_that_is_closed_later(server):
    mailroom = Mailroom(server)
    await mailroom.open()
    server.closed |= {"Junk", "Spam"}
    server.mails["INBOX"].append(b"Subject: canary-1\r\n")
    assert await mailroom.wait_for(CANARY, 5) == Arrival(b"Subject: canary-1\r\n")


async def test_an_inbox_that_cannot_be_selected_does(server):
    server.closed.add("INBOX")
    with pytest.raises(MailboxUnavailable):
        await Mailroom(server).open()
