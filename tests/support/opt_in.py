"""Double opt-in: a desk, a form, and a line that keeps what it is handed; and a whole relay that has forms."""

import os
import re
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

from relay.config import parse_config
from relay.doors.consents import ConsentDesk
from relay.doors.opt_in import OptIn, Wish
from relay.mail.mailbox import Mailbox
from tests.support.documents import ROOT, blocks
from tests.support.policies import a_policy
from tests.support.records import KEYS
from tests.support.service import PASSWORD, SHOP, Relay
from tests.support.small import SMALL_CONFIG

SENDER, ADA = "receipts@example.com", "ada@example.org"
WORDS = {"zh": "我同意每月收到产品通讯", "en": "I agree to a monthly newsletter"}
FORM = f"""
[unsubscribe]
base_url = "https://www.example.com/mail"
[consents]
sender = "{SENDER}"
[[form]]
name = "newsletter"
purpose = "marketing:newsletter"
words = {{ zh = "{WORDS["zh"]}", en = "{WORDS["en"]}" }}
notice_version = "2026-1"
page = "https://www.example.com/join"
public = true
[[form]]
name = "inside"
purpose = "marketing:offers"
words = {{ en = "I agree to offers" }}
"""
WISH = Wish("en", {"ip": "192.0.2.9", "user_agent": "Mozilla"}, "form")


def a_config(text=FORM, small=SMALL_CONFIG):
    return parse_config((small + text).encode(), "config.toml", Path())


class Line:
    """Takes mail as the line does; `reply` is its answer, an exception is raised."""

    def __init__(self):
        self.mails = []
        self.reply = (250, "2.0.0")

    async def post(self, sender, recipient, octets):
        if isinstance(self.reply, Exception):
            raise self.reply
        self.mails.append((sender.wire, recipient.wire, octets))
        return self.reply

    def text(self, number=-1):
        """The words of a mail that was handed in."""
        return message_from_bytes(self.mails[number][2], policy=policy.default).get_content()

    def token(self, number=-1):
        return token_in(self.text(number))


def token_in(text):
    """The token of a confirmation mail; its link stands there twice, once for each language."""
    (token,) = set(re.findall(r"/u/confirm/([A-Za-z0-9_-]+)", text))
    return token


class Desk:
    """An OptIn and what is around it."""

    def __init__(self, records, store, clock, config=None, policy_set=None):
        self.records, self.store, self.clock, self.line = records, store, clock, Line()
        self.config = config or a_config()
        self.policy = policy_set or a_policy()
        self.consents = ConsentDesk(KEYS, records, lambda: self.store, origin="api", clock=clock, entropy=os.urandom)
        self.opt_in = OptIn(self.config, KEYS, self.consents, self.line.post, lambda: self.policy, clock)

    async def ask(self, address=ADA, form="newsletter", wish=WISH):
        """Ask and send; what came of it, in one word."""
        found = self.opt_in.form(form)
        assert found
        asked = await self.opt_in.ask(found, Mailbox.parse(address), wish)
        if asked.kept is not None:
            return asked.kept.value
        return "sent" if await self.opt_in.send(asked) else "failed"

    async def press(self, token=None, language="en", **origin):
        """What the page says after its button was pressed."""
        request = await self.opt_in.request(token or self.line.token())
        assert request
        return (await self.opt_in.confirm(request, language, origin)).value

    async def state(self, token=None):
        request = await self.opt_in.request(token or self.line.token())
        assert request
        return request.state.value

    async def events(self, address=ADA):
        """The ledger's events of the mailbox, the oldest first."""
        return await self.consents.events(Mailbox.parse(address))


def documented_form():
    """The [[form]] that docs/consent.md shows."""
    (text,) = [one for one in blocks((ROOT / "docs/consent.md").read_text("utf-8"), "toml") if one.startswith("[[form]]")]
    return text


@contextmanager
def a_relay_with_forms(folder, upstream, *, sender=SHOP, api="", token="0" * 32, forms=None, **options):
    """A relay that runs with the documented form; confirmation mails are of `sender`, and the API is at `api`."""
    for name, text in (("password", PASSWORD), ("token", token)):
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    extra = f'[consents]\nsender = "{sender}"\naddress = "{api}"\ntoken_file = "{folder / "token"}"\n{forms or documented_form()}'
    for one in {SHOP, sender}:
        extra += f'[[account]]\nidentity = "{one}"\nupstream = "up"\npassword_file = "{folder / "password"}"\n'
    with Relay(folder / "relay", upstream, extra=extra, **options) as relay:
        yield relay
