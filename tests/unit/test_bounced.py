"""One rule for "no such mailbox", said at once or by a mail that comes back; written with the outcome or not at all."""

import os
import sqlite3
from contextlib import closing, contextmanager

import pytest

from relay.answer import ReportFate, Result, Standing
from relay.bounced import Outcomes
from relay.errors import RecordsUnavailable
from relay.mail.reply import reply
from relay.policy.suppressions.bounces import BOUNCE_SECONDS, is_confirmed
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.records.search import Query, search, verify
from relay.upstream.outcome import UpstreamReply, outcome_of
from relay.upstream.profile import load_profiles
from tests.support import letters
from tests.support.records import KEYS, NOW, a_submission, an_id
from tests.unit.test_effects import bare, node

ADA, BOB = "ada@example.org", "bob@example.org"
SAID = reply(550, "1.1", "The upstream server said: no such user")
PROFILES = load_profiles()


class Upstream:
    """What the relay writes down of an upstream's answers; `now` is the clock."""

    def __init__(self, here):
        self.here = here
        self.log = Outcomes(KEYS, here.records, clock=lambda: here.now, entropy=os.urandom)

    async def says(self, number, *gone, late=False):
        """(mailbox, status) of each recipient of one mail."""
        submission = a_submission(number, [mailbox for mailbox, _ in gone])
        pairs = zip(submission.recipients, gone, strict=True)
        results = [Result(who, Standing.REFUSED, SAID, upstream="up", gone=status) for who, (_, status) in pairs]
        if late:
            await self.log.late(submission.id, results)
        else:
            await self.log.finished(submission, results, ReportFate.NOT_NEEDED, SAID, 0.0)

    def suppressed(self):
        entries = search(self.here.records.reader, Query())
        return [entry.record for entry in entries if entry.record.kind == "suppressed"]


@contextmanager
def upstream(tmp_path):
    with node(tmp_path) as here:
        yield Upstream(here)


def test_the_rule():
    assert is_confirmed("5.1.1", "a", ())
    assert not is_confirmed("550", "a", ())
    assert not is_confirmed("5.1.10", "a", {"a"})
    assert is_confirmed("550", "a", {"a", "b"})
    assert is_confirmed("559", "a", (), needed=1)
    assert not is_confirmed("5.1.1", "a", {"b"}, needed=3)
    assert is_confirmed("5.1.1", "a", {"a", "b", "c"}, needed=3)


@pytest.mark.parametrize("late", [False, True])
async def test_5_1_1_suppresses_with_the_outcome(tmp_path, late):
    with upstream(tmp_path) as said:
        await said.says(1, (ADA, "5.1.1"), (BOB, ""), late=late)
        ((_, entry),) = said.here.records.take_pending(10)
        assert (entry.digest, entry.scope, entry.reason) == (KEYS.addresses.digest(ADA), ORGANISATION, Reason.HARD_BOUNCE)
        assert (entry.origin, entry.expires_at) == ("upstream:up", NOW + BOUNCE_SECONDS)
        (record,) = said.suppressed()
        assert (record.facts["by"], record.facts["submission"]) == ("relay", an_id(1))
        assert said.here.records.reader.reveal(record.people[0]) == ADA
        assert verify(said.here.records.reader).broken is None


async def test_other_words_for_it_must_be_said_of_two_mails_within_180_days(tmp_path):
    with upstream(tmp_path) as said:
        await said.says(1, (ADA, "550"), (BOB, "550"))
        await said.says(1, (ADA, "550"))  # the same mail once more
        said.here.now += BOUNCE_SECONDS + 1
        await said.says(2, (ADA, "5.2.1"))
        assert said.here.pending() == []
        await said.says(3, (ADA, "550"))
        assert said.here.pending() == [(ADA, Reason.HARD_BOUNCE, ORGANISATION, "upstream:up")]
        assert len(said.suppressed()) == 1


async def test_what_was_said_at_once_and_a_mail_that_came_back_confirm_each_other(tmp_path):
    with upstream(tmp_path) as said:
        ours = await said.here.sent(2, ADA, BOB)
        await said.says(1, (ADA, "550"))
        await said.here.gets(letters.netease_bounce(ADA, bare(ours)))
        assert said.here.pending() == [(ADA, Reason.HARD_BOUNCE, ORGANISATION, "bounce")]
        await said.here.gets(letters.netease_bounce(BOB, bare(ours)))
        await said.says(3, (BOB, "550"))
        assert said.here.pending()[1:] == [(BOB, Reason.HARD_BOUNCE, ORGANISATION, "upstream:up")]


async def test_outcome_and_suppression_are_written_together(tmp_path):
    with upstream(tmp_path) as said:
        with closing(sqlite3.connect(said.here.records.path)) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON refusals BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(RecordsUnavailable):
            await said.says(1, (ADA, "5.1.1"))
        assert said.here.kinds() == {}
        with closing(sqlite3.connect(said.here.records.path)) as db:
            db.execute("DROP TRIGGER full")
        await said.says(2, (ADA, "5.1.1"))
        assert said.here.kinds() == {"finished": 1, "suppressed": 1}


@pytest.mark.parametrize(
    ("code", "text", "gone"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "no such user", "550"),
        (550, "5.1.10 recipient not found", "5.1.10"),
        (450, "4.1.1 user unknown", ""),
        (550, "5.1.1 too many messages, slow down", ""),  # a throttle
        (554, "5.7.1 Suspected spam", ""),
        (552, "5.2.2 mailbox full", ""),
        (550, "5.7.26 unauthenticated mail is prohibited", ""),
        (250, "2.1.5 no such user, will forward", ""),
    ],
)
def test_which_replies_say_it(code, text, gone):
    said = UpstreamReply(code, (text,))
    assert outcome_of(PROFILES["generic"], said, before_dot=True, own=True).gone == gone
    assert outcome_of(PROFILES["generic"], said, before_dot=True).gone == ""  # about the whole transaction
