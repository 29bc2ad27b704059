"""Mails of 25 MB that are made to be expensive are refused over SMTP, and the relay goes on as before."""

from tests.support.bombs import BOMBS
from tests.support.service import NEWS, Relay, message
from tests.support.upstream import RecordingUpstream

CONTENT = {"streams/newsletter.toml": [(r'packs = \["base"\]', 'packs = ["base", "content"]')]}
SENT = ("deep", "many", "encoded_parts", "open_pages")  # the others in tests/unit/test_bombs.py
PROPER = message(body="A text.\r\nUnsubscribe: https://www.example.com/out\r\n")


def test_each_bomb_is_refused_and_the_next_mail_is_delivered(tmp_path):
    with RecordingUpstream(accounts={NEWS: "secret"}) as upstream, Relay(tmp_path, upstream, policy=CONTENT) as relay:
        for name in SENT:
            code, text = relay.send(NEWS, ["ada@example.org"], BOMBS[name]())
            assert (code, "5.7.1 [" in text) == (550, True), (name, code, text)
        assert not upstream.deliveries
        assert relay.send(NEWS, ["ada@example.org"], PROPER)[0] == 250
        assert len(upstream.deliveries) == 1
