"""What follows from a mail that came back: the right person, the right reason, once; and nothing from innocent mail."""

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from relay.doors.mailbox.effects import Effects
from relay.doors.refusals import Refusals
from relay.policy.suppressions.bounces import BOUNCE_SECONDS
from relay.policy.suppressions.suppression import Reason
from relay.records.collected import Handled, last_number, message_id_digests, still_to_mark
from relay.records.facts import received_record
from relay.records.search import Query, search, verify
from relay.render.token import UnsubscribeToken, make_token, stream_number
from relay.upstream.profile import load_profiles
from tests.support import letters
from tests.support.corpus import corpus
from tests.support.policies import a_policy
from tests.support.records import KEYS, NOW, a_first_try, a_message, a_submission, an_id, has_all_keys, opened, permitted

POLICY = a_policy()
PROFILES = load_profiles()
BOX = b"mailbox of news"
BOTH = ("ada@example.org", "bob@example.org")


class Node:
    """Records, and the effects of one mailbox on them; `now` is the clock."""

    def __init__(self, records, provider="netease"):
        self.records = records
        self.now = NOW
        self.numbers = 0
        store: Any = None
        refusals = Refusals(
            KEYS, records, lambda: store, lambda: POLICY, has_all_keys, clock=lambda: self.now, entropy=os.urandom
        )
        self.effects = Effects(
            "netease", PROFILES[provider], "relay.example.com",
            keys=KEYS, records=records, refusals=refusals, policy=lambda: POLICY, clock=lambda: self.now, entropy=os.urandom,
        )  # fmt: skip

    async def sent(self, number, *recipients, stream="newsletter", message_id=""):
        """A mail of ours left; its Message-ID."""
        submission = replace(a_submission(number, recipients), stream=stream)
        rulings = [permitted(recipient) for recipient in submission.recipients]
        marks = message_id_digests(KEYS, message_id)[:1] if message_id else ()
        first = a_first_try(submission)
        await self.records.append(received_record(submission, a_message(), rulings, "p", first, self.records.person, marks=marks))
        return message_id or first.message_id

    async def gets(self, mail):
        self.numbers += 1
        return await self.effects.handle(mail, Handled(BOX, 1, self.numbers, to_mark=True))

    def pending(self):
        """(mailbox, reason, scope, origin) of every refusal in the journal."""
        reader = self.records.reader
        found = [entry for _, entry in self.records.take_pending(10_000)]
        return [(KEYS.records.open(e.sealed, b"address").decode(), e.reason, e.scope, e.origin) for e in found] if reader else []

    def kinds(self):
        return Counter(entry.record.kind.value for entry in search(self.records.reader, Query()))


@contextmanager
def node(tmp_path, provider="netease"):
    with opened(tmp_path / "records.db") as records:
        yield Node(records, provider)


def copy(number, mailbox, message_id, *, stream="newsletter", whole=True):
    """A copy of ours with its token."""
    token = token_for(number, mailbox, stream, whole=whole)
    return f"From: news@example.com\r\nMessage-ID: {message_id}\r\nList-Unsubscribe: <https://u.example/u/{token}>\r\n\r\nHi\r\n".encode()


def token_for(number, mailbox, stream="newsletter", *, whole=True):
    digest = KEYS.addresses.digest(mailbox)
    return make_token(UnsubscribeToken(digest, 1, stream_number(stream), whole, an_id(number)), KEYS.tokens.keys[0])


def bare(message_id):
    """A returned mail without a token."""
    return f"From: news@example.com\r\nMessage-ID: {message_id}\r\n\r\nHi\r\n".encode()


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("whole", "scope"), [(True, "organisation"), (False, "stream:newsletter")])
async def test_a_token_refuses_for_whom_it_was_made_whoever_sends_it(tmp_path, whole, scope):
    with node(tmp_path) as here:
        await here.sent(1, *BOTH)
        mail = letters.mail("someone@else.example", token_for(1, "ada@example.org", whole=whole), "")
        assert await here.gets(mail) == "refusal_by_token"
        assert here.pending() == [("ada@example.org", Reason.UNSUBSCRIBE, scope, "mailto")]


async def test_a_token_of_another_node_refuses_without_its_records(tmp_path):
    with node(tmp_path) as here:
        assert await here.gets(letters.mail("ada@example.org", token_for(9, "ada@example.org"), "")) == "refusal_by_token"
        ((_, entry),) = here.records.take_pending(10)
        assert (entry.digest, entry.sealed) == (KEYS.addresses.digest("ada@example.org"), b"")


async def test_a_forged_token_refuses_nobody(tmp_path):
    with node(tmp_path) as here:
        assert await here.gets(letters.mail("ada@example.org", "A" * 75, "")) == "unmatched"
        assert here.pending() == []


async def test_words_refuse_for_their_writer(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        assert await here.gets(letters.reply("Bob@example.org", ours, "退订")) == "refusal_by_words"
        assert here.pending() == [("bob@example.org", Reason.OBJECTION, "organisation", "reply")]


async def test_references_alone_say_what_is_answered(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        answer = letters.mail("bob@example.org", "Re: News", "退订", extra={"References": f"<first@thread.example> {ours}"})
        assert await here.gets(answer) == "refusal_by_words"
        assert here.pending() == [("bob@example.org", Reason.OBJECTION, "organisation", "reply")]


async def test_the_clients_own_message_id_is_found_too(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH, message_id="<Own.1@client.example>")
        assert await here.gets(letters.reply("ada@example.org", ours, "unsubscribe")) == "refusal_by_words"
        assert await here.gets(letters.reply("bob@example.org", "<own.1@client.example>", "unsubscribe")) == "unmatched"


async def test_a_writer_we_did_not_write_to_refuses_only_where_one_person_can_be_meant(tmp_path):
    with node(tmp_path) as here:
        ours, alone = await here.sent(1, *BOTH), await here.sent(2, "eve@example.org")
        assert await here.gets(letters.reply("private@elsewhere.example", ours, "退订")) == "unmatched"
        assert await here.gets(letters.reply("private@elsewhere.example", alone, "退订")) == "refusal_by_words"
        assert [who for who, *_ in here.pending()] == ["eve@example.org"]


async def test_a_quoted_link_says_who_refuses(tmp_path):
    with node(tmp_path) as here:
        await here.sent(1, *BOTH)
        text = f"退订\n\n> https://u.example/u/{token_for(1, 'ada@example.org')}\n"
        assert await here.gets(letters.mail("private@elsewhere.example", "Re: News", text)) == "refusal_by_words"
        assert [who for who, *_ in here.pending()] == ["ada@example.org"]


async def test_words_that_answer_nothing_of_ours_refuse_nothing(tmp_path):
    with node(tmp_path) as here:
        await here.sent(1, *BOTH)
        assert await here.gets(letters.mail("ada@example.org", "退订", "退订")) == "unmatched"
        assert await here.gets(letters.reply("ada@example.org", "<other@client.example>", "unsubscribe")) == "unmatched"
        assert here.pending() == []
        assert not here.kinds()["collected"]


async def test_stop_in_correspondence_is_a_word_to_a_person(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, "ada@example.org", stream="correspondence")
        assert await here.gets(letters.reply("ada@example.org", ours, "stop")) == "unmatched"
        assert here.pending() == []


# Bounces -------------------------------------------------------------------------------------------------------------


async def test_no_such_mailbox_binds_at_once_and_for_180_days(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        assert await here.gets(letters.dsn("bob@example.org", copy(1, "bob@example.org", ours))) == "bounce"
        ((_, entry),) = here.records.take_pending(10)
        assert (entry.reason, entry.expires_at) == (Reason.HARD_BOUNCE, NOW + BOUNCE_SECONDS)
        assert here.pending() == [("bob@example.org", Reason.HARD_BOUNCE, "organisation", "bounce")]


@pytest.mark.parametrize("shape", [letters.netease_bounce, letters.tencent_bounce, letters.alimail_bounce])
async def test_other_words_for_it_must_be_said_of_two_mails(tmp_path, shape):
    with node(tmp_path) as here:
        first, second = await here.sent(1, *BOTH), await here.sent(2, *BOTH)
        assert await here.gets(shape("ada@example.org", bare(first))) == "bounce"
        assert await here.gets(shape("ada@example.org", bare(first) + b"again\r\n")) == "bounce"  # the same mail once more
        assert await here.gets(shape("bob@example.org", bare(second))) == "bounce"  # somebody else
        assert here.pending() == []
        assert await here.gets(shape("ada@example.org", bare(second))) == "bounce"
        assert here.pending() == [("ada@example.org", Reason.HARD_BOUNCE, "organisation", "bounce")]


@pytest.mark.parametrize("name", letters.SHIPPED_REPORTS)
async def test_reports_in_the_shapes_of_real_servers(tmp_path, name):
    kind, _, suppressed = letters.SHIPPED_REPORTS[name]
    with node(tmp_path) as here:
        first, second = await here.sent(1, *BOTH), await here.sent(2, *BOTH)
        assert await here.gets(letters.shipped_report(name, first, "ada@example.org")) == kind
        assert [(who, reason) for who, reason, *_ in here.pending()] == ([("ada@example.org", suppressed)] if suppressed else [])
        await here.gets(letters.shipped_report(name, second, "ada@example.org"))
        assert here.pending()[0][:2] == ("ada@example.org", suppressed or "hard_bounce")
        assert {who for who, *_ in here.pending()} == {"ada@example.org"}


async def test_confirmations_that_are_far_apart_confirm_nothing(tmp_path):
    with node(tmp_path) as here:
        first, second = await here.sent(1, *BOTH), await here.sent(2, *BOTH)
        await here.gets(letters.netease_bounce("ada@example.org", bare(first)))
        here.now = NOW + BOUNCE_SECONDS + 1
        await here.gets(letters.netease_bounce("ada@example.org", bare(second)))
        assert here.pending() == []


@pytest.mark.parametrize(
    ("status", "diagnostic"),
    [
        ("5.2.2", "552 5.2.2 mailbox full"),
        ("5.7.1", "554 5.7.1 DT:SPM looks like spam"),
        ("5.1.1", "550 RP:TRC too many today"),  # a throttle dressed as a missing mailbox
        ("5.0.0", "550 Mailbox unavailable or access denied"),
        ("4.4.7", "delivery time expired"),
        ("5.7.26", "550 5.7.26 unauthenticated mail is prohibited"),
    ],
)
async def test_what_says_nothing_about_the_mailbox_never_suppresses(tmp_path, status, diagnostic):
    with node(tmp_path) as here:
        for number in range(1, 5):
            ours = await here.sent(number, "ada@example.org")
            assert await here.gets(letters.dsn("ada@example.org", bare(ours), status=status, diagnostic=diagnostic)) == "bounce"
        assert here.pending() == []
        assert here.kinds()["collected"] == 4


async def test_a_forwarded_address_bounces_for_whom_we_wrote_to(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        mail = letters.dsn("ada@forwarded.example", copy(1, "ada@example.org", ours))
        assert await here.gets(mail) == "bounce"
        assert [who for who, *_ in here.pending()] == ["ada@example.org"]
        assert await here.gets(letters.dsn("x@forwarded.example", bare(ours))) == "unmatched"


# Complaints ----------------------------------------------------------------------------------------------------------


async def test_a_complaint_suppresses_and_an_opt_out_unsubscribes(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        assert await here.gets(letters.complaint(copy(1, "ada@example.org", ours))) == "complaint"
        assert await here.gets(letters.complaint(bare(ours), recipient="bob@example.org", kind="opt-out")) == "complaint"
        assert await here.gets(letters.complaint(bare(ours))) == "unmatched"  # one of two, but which?
        assert here.pending() == [
            ("ada@example.org", Reason.COMPLAINT, "organisation", "feedback"),
            ("bob@example.org", Reason.UNSUBSCRIBE, "organisation", "feedback"),
        ]


# Once ----------------------------------------------------------------------------------------------------------------


async def test_a_mail_takes_effect_once_under_whatever_number(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *BOTH)
        mail = letters.dsn("ada@example.org", copy(1, "ada@example.org", ours))
        assert [await here.gets(mail), await here.gets(mail)] == ["bounce", "repeated"]
        assert len(here.pending()) == 1


async def test_effect_and_place_are_written_together(tmp_path):
    with node(tmp_path) as here:
        await here.sent(1, "ada@example.org")
        reader = here.records.reader
        assert last_number(reader, BOX, 1) is None
        await here.gets(letters.mail("x@example.org", "Hello", "innocent"))
        await here.gets(letters.mail("ada@example.org", token_for(1, "ada@example.org"), ""))
        assert (last_number(reader, BOX, 1), still_to_mark(reader, BOX, 1)) == (2, [2])
        await here.records.marked(Handled(BOX, 1, 2))
        await here.records.handle(Handled(BOX, 1, 1))  # never back
        assert (last_number(reader, BOX, 1), still_to_mark(reader, BOX, 1)) == (2, [])
        await here.records.handle(Handled(BOX, 2, 1))  # numbered anew
        assert (last_number(reader, BOX, 1), last_number(reader, BOX, 2)) == (None, 1)
        assert verify(reader).broken is None
        assert here.kinds() == {"received": 1, "collected": 1, "suppressed": 1}
        (sent, collected, suppressed) = (entry.record for entry in search(reader, Query()))
        assert suppressed.facts["submission"] == collected.facts["submission"] == sent.id


async def test_a_mail_that_is_none_is_unreadable(tmp_path):
    with node(tmp_path) as here:
        assert await here.gets(b"") == "unreadable"
        assert await here.gets(b"no header\r\n\r\n") == "unreadable"


async def test_innocent_mail_suppresses_nobody(tmp_path):
    with node(tmp_path) as here:
        ours = await here.sent(1, *(f"customer{n}@example.{('org', 'net', 'cn')[n % 3]}" for n in range(600)))
        mails = [
            *letters.business_mails(600, ours),
            *letters.business_mails(200),
            *letters.auto_replies(120, ours),
            *letters.newsletters(120),
            *(octets for _, octets in corpus()),
        ]
        for mail in mails:
            await here.gets(mail)
        assert here.pending() == []
        assert here.kinds() == {"received": 1}
