"""The mailbox collector: a real relay, a real Dovecot, mails that come back, and kill -9 in between.

RELAY_TEST_MAILS   how many mails the large test puts into the mailbox (default 2000)
"""

import json
import os
import random
import re
import sqlite3
import time
from collections import Counter
from contextlib import closing
from itertools import islice

import pytest

from tests.support import letters
from tests.support.business import business_texts
from tests.support.corpus import corpus
from tests.support.dovecot import Dovecot
from tests.support.fixtures import an_upstream
from tests.support.journey import metric, records
from tests.support.service import ACCOUNTS, NEWS, PASSWORD, Relay, message

MAILS = int(os.environ.get("RELAY_TEST_MAILS", "2000"))
MAILTO = {"streams/newsletter.toml": [("mailto = false", "mailto = true")]}


def account(folder, server, tls=True, poll="1s") -> str:
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    where = f'imap = "127.0.0.1:{server.tls_port}"\nimap_ca_file = "{server.ca_file}"\n'
    if not tls:
        where = f'imap = "127.0.0.1:{server.port}"\nimap_tls = "none"\n'
    return f'[[account]]\nidentity = "{NEWS}"\nupstream = "up"\npassword_file = "{secret}"\n{where}[collector]\npoll = "{poll}"\n'


upstream = an_upstream(accounts=ACCOUNTS)


def copies_of(relay, upstream, recipients, *, size=20, extra="") -> dict[str, bytes]:
    """Send a newsletter to everybody and return each one's copy."""
    before = len(upstream.accepted)
    for start in range(0, len(recipients), size):
        group = recipients[start : start + size]
        own = extra.replace("NUMBER", f"{start}.{time.monotonic_ns()}")
        assert relay.send(NEWS, group, message("readers@example.org", extra=own)) == (250, "")
    return {delivery.recipients[0]: delivery.data for delivery in upstream.accepted[before:]}


def token_of(copy: bytes) -> str:
    """The subject that the copy's List-Unsubscribe mailto asks for."""
    return re.search(rb"<mailto:news@example\.com\?subject=([A-Za-z0-9_-]{75})>", copy)[1].decode()


def message_id_of(copy: bytes) -> str:
    return re.search(rb"(?im)^Message-ID:\s*(<[^>]+>)", copy)[1].decode()


def rates(relay, stream="newsletter") -> dict:
    """What `relay streams` says of a stream."""
    answer = relay.command("streams", "--json")
    assert answer.returncode == 0, answer.stderr
    return next(row for row in json.loads(answer.stdout) if row["stream"] == stream)


def is_refused(relay, recipient) -> bool:
    code, text = relay.send(NEWS, [recipient], message(recipient))
    assert code == 250 or "[base/suppression]" in text or "suppress" in text.lower()
    return code != 250


@pytest.mark.parametrize("idle", [True, False], ids=["pushed", "polled"])
def test_a_refusal_by_mail_takes_effect_with_the_next_look(tmp_path, upstream, idle):
    with Dovecot(idle=idle) as server:
        server.maildir(NEWS)
        extra = account(tmp_path, server, tls=idle)
        with Relay(tmp_path / "relay", upstream, policy=MAILTO, extra=extra) as relay:
            copy = copies_of(relay, upstream, ["ada@example.org"])["ada@example.org"]
            assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in copy
            relay.wait(lambda: metric(relay, "relay_collector_up") == 1)
            refusal = letters.mail("ada@example.org", token_of(copy), "")
            server.drop(NEWS, refusal)
            relay.wait(lambda: metric(relay, 'relay_collected_total{kind="refusal_by_token"}') == 1, 30)
            assert is_refused(relay, "ada@example.org")
            relay.wait(lambda: server.flags(NEWS)[refusal] == "S")
            assert relay.get("operators", "/readyz")[0] == 200
            (entry,) = records(relay, "ada@example.org", "suppressed")
            assert (entry["reason"], entry["origin"], entry["scope"]) == ("unsubscribe", "mailto", "organisation")
            assert metric(relay, "relay_suppressions_total") == 1


def test_a_mailbox_that_cannot_be_read_stops_no_mail(tmp_path, upstream):
    server = Dovecot()
    with Relay(tmp_path / "relay", upstream, policy=MAILTO, extra=account(tmp_path, server, tls=False)) as relay:
        copy = copies_of(relay, upstream, ["ada@example.org"])["ada@example.org"]
        assert metric(relay, "relay_collector_up") == 0
        assert relay.get("operators", "/readyz")[0] == 200
        server.maildir(NEWS)
        server.drop(NEWS, letters.mail("ada@example.org", token_of(copy), ""))
        with server:
            relay.wait(lambda: metric(relay, "relay_collector_up") == 1, 60)
            assert is_refused(relay, "ada@example.org")
        relay.wait(lambda: metric(relay, "relay_collector_up") == 0, 60)


def test_without_a_public_url_a_mailto_alone_is_enough(tmp_path, upstream):
    alone = {"streams/newsletter.toml": [("one_click = true", "one_click = false"), ("mailto = false", "mailto = true")]}
    with Dovecot() as server, Relay(tmp_path / "relay", upstream, policy=alone, extra=account(tmp_path, server)) as relay:
        copy = copies_of(relay, upstream, ["ada@example.org", "bob@example.org"])
        assert b"List-Unsubscribe-Post" not in copy["ada@example.org"]
        assert token_of(copy["ada@example.org"]) != token_of(copy["bob@example.org"])
        server.drop(NEWS, letters.mail("ada@example.org", token_of(copy["ada@example.org"]), ""))
        relay.wait(lambda: metric(relay, 'relay_collected_total{kind="refusal_by_token"}') == 1, 30)
        assert is_refused(relay, "ada@example.org")
        assert not is_refused(relay, "bob@example.org")
        said = relay.command("check")
        assert "unsubscribing by mail only. Gmail" in said.stdout


def test_what_cannot_be_read_is_left_unread_and_counted(tmp_path, upstream):
    odd = [b"no header at all\r\n\r\n", b"From: a@example.org\r\nSubject: x\r\nthis line is no field\r\n\r\nHello\r\n"]
    forged = letters.dsn("ada@example.org", b"Message-ID: <not@ours.example>\r\n\r\n")
    plain = letters.mail("bob@example.org", "Hello", "stop by")
    with Dovecot() as server:
        server.drop(NEWS, *odd, forged, plain)
        with Relay(tmp_path / "relay", upstream, policy=MAILTO, extra=account(tmp_path, server)) as relay:
            relay.wait(lambda: metric(relay, "relay_collected_total") == 4, 30)
            assert metric(relay, 'relay_collected_total{kind="unreadable"}') == 2
            assert metric(relay, 'relay_collected_total{kind="unmatched"}') == 1
            assert metric(relay, 'relay_collected_total{kind="innocent"}') == 1
            assert set(server.flags(NEWS).values()) == {""}
            relay.restart()
            relay.wait(lambda: metric(relay, "relay_collector_up") == 1, 30)
            assert metric(relay, "relay_collected_total") == 0
            assert not records(relay, kind="collected")


def test_no_stranger_can_stop_the_reading(tmp_path, upstream):
    """Mails on which a parser raises, or works for hours, lie before a refusal."""
    poison = [letters.mail("eve@example.org", "Hello", "", html=html) for html in letters.POISON]
    poison.append(letters.mail("eve@example.org", "re  " * 60 + "!" * 75, "Hello"))
    with Dovecot() as server, Relay(tmp_path / "relay", upstream, policy=MAILTO, extra=account(tmp_path, server)) as relay:
        copy = copies_of(relay, upstream, ["ada@example.org"])["ada@example.org"]
        server.drop(NEWS, *poison, letters.mail("ada@example.org", token_of(copy), ""))
        relay.wait(lambda: metric(relay, 'relay_collected_total{kind="refusal_by_token"}') == 1, 30)
        assert metric(relay, 'relay_collected_total{kind="innocent"}') == len(poison)
        assert is_refused(relay, "ada@example.org")


def test_two_thousand_mails_and_kill_at_random(tmp_path, upstream):
    """Each refusal, bounce and complaint takes effect exactly once, none is missed, and no innocent mail suppresses anybody.

    The mails of the corpus lie among them: bounces and complaints there are about mails of others.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    share = max(4, MAILS // 40)
    with Dovecot() as server, Relay(tmp_path / "relay", upstream, policy=MAILTO, extra=account(tmp_path, server)) as relay:
        mails, expected = _what_comes_back(relay, upstream, share)
        awkward = [octets for _, octets in corpus()]
        innocent = max(MAILS - len(mails) - len(awkward), 20)
        thread = message_id_of(next(iter(copies_of(relay, upstream, ["thread@example.org"]).values())))
        answers = innocent // 3
        mails_of_others = [
            *letters.business_mails(answers, thread),
            *letters.auto_replies(innocent // 6, thread),
            *letters.newsletters(innocent // 6),
        ]
        business = innocent - len(mails_of_others) + answers
        assert MAILS < 2000 or len(set(business_texts(business))) >= 500
        mails_of_others += islice(letters.business_mails(business), answers, None)  # other texts than those that answer
        every = [*mails, *mails_of_others, *awkward]
        chance.shuffle(every)
        server.drop(NEWS, *every)
        for _ in range(4):
            time.sleep(chance.uniform(0.05, 1.5))
            relay.kill()
            relay.start()
        relay.wait(lambda: _last_number(relay) == len(every), 120)
        relay.wait(lambda: metric(relay, "relay_collector_up") == 1)  # a mail is on record before it is marked as read
        flagged = {mail for mail, flags in server.flags(NEWS).items() if "S" in flags}
        suppressed = Counter((entry["people"][0], entry["reason"]) for entry in records(relay, kind="suppressed"))
        assert suppressed == Counter(expected), f"seed {seed}"
        assert len(records(relay, kind="collected")) == len(mails), f"seed {seed}"
        assert flagged == set(mails), f"seed {seed}"
        out = relay.command("suppress", "export", "--out", "-", "--in-force")
        assert out.returncode == 0, out.stderr
        exported = set(re.findall(r"[a-z0-9.-]+@example\.org", out.stdout))
        assert exported == {who for who, _ in expected}
        # Gone, once, and twice in two mails each; and those in the shapes of real servers, of which one complains.
        counted = ("complaints", share + 1), ("hard_bounces", 4 * share + len(letters.SHIPPED_REPORTS) - 1)
        relay.wait(lambda: [(what, rates(relay)[what]["count"]) for what, _ in counted] == list(counted), 30)
        assert relay.command("records", "verify").returncode == 0


def _what_comes_back(relay, upstream, share) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Mails with an effect, or that are one of two confirmations, and the suppressions that must follow from all of them."""
    kinds = ("token", "words", "gone", "complaint", "once", "twice")
    people = {kind: [f"{kind}{n}@example.org" for n in range(share)] for kind in kinds}
    everybody = [who for group in people.values() for who in group]
    first = copies_of(relay, upstream, everybody)
    second = copies_of(relay, upstream, people["twice"], extra="Message-ID: <NUMBER@client.example>\r\n")
    shapes = (letters.dsn, letters.netease_bounce, letters.tencent_bounce, letters.alimail_bounce, letters.qmail_bounce)
    answers = ("退订", "TD", "unsubscribe", "请取消订阅，谢谢", "Please unsubscribe me", "stop")
    mails = [letters.mail(who, token_of(first[who]), "") for who in people["token"]]
    mails += [letters.reply(who, message_id_of(first[who]), answers[n % 6]) for n, who in enumerate(people["words"])]
    mails += [letters.dsn(who, first[who], whole=n % 2 == 0) for n, who in enumerate(people["gone"])]
    mails += [letters.complaint(first[who], recipient=who) for who in people["complaint"]]
    mails += [shapes[1 + n % 3](who, first[who]) for n, who in enumerate(people["once"])]  # said once: only on record
    mails += [shapes[1 + n % 3](who, first[who]) for n, who in enumerate(people["twice"])]
    mails += [
        letters.dsn(who, second[who], status="5.2.1", diagnostic="550 5.2.1 deactivated mailbox") for who in people["twice"]
    ]
    reasons = {
        "token": "unsubscribe",
        "words": "objection",
        "gone": "hard_bounce",
        "complaint": "complaint",
        "twice": "hard_bounce",
    }
    expected = [(who, reason) for kind, reason in reasons.items() for who in people[kind]]
    for name, (_, _, suppressed) in letters.SHIPPED_REPORTS.items():
        who = f"{name}@example.org"
        mails.append(letters.shipped_report(name, message_id_of(copies_of(relay, upstream, [who])[who]), who))
        expected += [(who, suppressed)] if suppressed else []
    return mails, expected


def _last_number(relay) -> int:
    """The UID up to which the mailbox was handled."""
    with closing(sqlite3.connect(f"file:{relay.data / 'records.db'}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT max(number) FROM mailboxes").fetchone()[0]
        return found or 0
