"""`relay upstream` beside a relay that runs: a pause binds it within seconds, on every worker, and is over as soon."""

import json

import pytest

from tests.support.fixtures import an_upstream
from tests.support.journey import metric, records
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay, message
from tests.support.terminal import LANGUAGES, Terminal

ADA = "ada@example.org"

upstream = an_upstream(accounts=ACCOUNTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pause_binds_marketing_until_it_is_resumed(language, tmp_path, upstream):
    with Relay(tmp_path, upstream, workers=2) as relay:
        assert relay.send(NEWS, [ADA], message())[0] == 250
        typed = Terminal(relay, language)
        typed.run("upstream", "pause", "up", "--reason", "wrong price list", "--by", "Wang Min", code=0)
        relay.wait(lambda: relay.send(NEWS, [ADA], message())[0] == 451)
        assert relay.send(OFFICE, [ADA], message(sender=OFFICE)) == (250, "")
        assert "wrong price list" in typed.run("upstream", "status", code=0)
        relay.wait(lambda: metric(relay, 'relay_upstream_adapted{kind="pause",upstream="up"}') == 1)
        assert "marketing paused: upstream up: wrong price list (by Wang Min)" in relay.get("operators", "/readyz")[1]
        typed.run("upstream", "resume", "up", "--reason", "corrected", "--by", "Wang Min", code=0)
        relay.wait(lambda: relay.send(NEWS, [ADA], message())[0] == 250)
        assert [entry["ended"] for entry in records(relay, kind="adapted")] == ["", "person"]


def test_replies_that_nobody_knows_are_counted(tmp_path, upstream):
    upstream.fault("RCPT", "550 5.7.1 The moon is full", matching="moon@")
    with Relay(tmp_path, upstream) as relay:
        assert [relay.send(OFFICE, ["moon@example.org"], message(str(n), OFFICE))[0] for n in range(2)] == [550, 550]
        done = relay.command("upstream", "replies", "--json")
        assert json.loads(done.stdout) == [
            {"count": 2, "upstream": "up", "code": 550, "enhanced": "5.7.1", "text": "The moon is full"}
        ]
