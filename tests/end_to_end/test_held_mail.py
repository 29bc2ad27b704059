"""Held mail and people: whose login it leaves with, and what `relay held` does with the real relay."""

import json
import sqlite3
from contextlib import closing, contextmanager

from click.testing import CliRunner

from relay.cli.main import root
from tests.support.courier import report_parts
from tests.support.fixtures import an_upstream
from tests.support.journey import metric
from tests.support.redis_server import RedisServer
from tests.support.service import OFFICE, Relay, message

FIRST, SECOND = "Geheim-4711-first", "Geheim-4712-second"
SEALED = 'held_credentials = "sealed"'
KEYS = '[keys]\nfile = "keys/keys.toml"\n'
ADA = "ada@example.org"
BUSY = "451 4.7.1 come back later"
LOOK = """
[[rule]]
id = "look"
check = "domains"
deny = ["partner.example"]
action = "hold"
"""
upstream = an_upstream(accounts={OFFICE: FIRST})


@contextmanager
def a_relay(folder, upstream, store="sqlite", *, auth=SEALED, policy=None):
    with Relay(folder, upstream, store=store, auth=auth, extra=KEYS, holds=True, policy=policy) as relay:
        yield relay


def send(relay, password, *recipients):
    """Over a connection of its own, which is closed again; the final reply."""
    with relay.connect(OFFICE, password) as client:
        client.mail(OFFICE)
        for recipient in recipients:
            client.rcpt(recipient)
        code, text = client.data(message(sender=OFFICE))
    return code, text.decode()


def run(relay, *words, code=0):
    """In this process: it is the relay that is apart."""
    done = CliRunner().invoke(root, ["--config", str(relay.config), "--lang", "en", *words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def rows(relay, *words):
    return json.loads(run(relay, "held", "list", *words, "--json"))["copies"]


def waiting(relay, why):
    return metric(relay, f'relay_held_copies{{reason="{why}"}}')


def secrets_in(folder, *servers):
    """Where a password can be read: in any file, or in the memory of a Redis."""
    found = [
        path for path in folder.rglob("*") if path.is_file() and any(w.encode() in path.read_bytes() for w in (FIRST, SECOND))
    ]
    for server in servers:
        for name in ("dump.rdb", "appendonlydir"):
            path = server.folder / name
            files = path.rglob("*") if path.is_dir() else [path] if path.exists() else []
            found += [file for file in files if file.is_file() and FIRST.encode() in file.read_bytes()]
    return found


def test_a_client_that_left_has_its_mail_sent_with_its_own_login_which_is_then_forgotten(tmp_path, upstream):
    upstream.fault("RCPT", BUSY)
    with a_relay(tmp_path / "relay", upstream) as relay:
        code, text = send(relay, FIRST, ADA)
        assert (code, "0 delivered, 1 held" in text) == (250, True), text
        assert [row["why"] for row in rows(relay)] == ["upstream"]
        assert secrets_in(relay.folder) == []
        relay.restart()  # nobody who knew the password is left
        assert secrets_in(relay.folder) == []
        upstream.faults.clear()
        run(relay, "held", "retry", "--all", "--by", "Wang Min")
        relay.wait(lambda: upstream.accepted)
        assert [(one.identity, one.recipients) for one in upstream.accepted] == [(OFFICE, [ADA])]
        relay.wait(lambda: rows(relay) == [])
        assert stored_logins(relay) == 0
        handled = relay.command("records", "search", ADA, "--kind", "handled", "--json").stdout.splitlines()
        assert [json.loads(line)["facts"]["by"] for line in handled] == ["Wang Min"]


def stored_logins(relay):
    with closing(sqlite3.connect(f"file:{relay.data / 'relay.db'}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM held_credentials").fetchone()[0]


def test_a_refused_login_is_forgotten_and_the_next_one_frees_the_mail(tmp_path, upstream):
    upstream.fault("RCPT", BUSY)
    with a_relay(tmp_path / "relay", upstream) as relay:
        assert send(relay, FIRST, ADA)[0] == 250
        assert stored_logins(relay) == 1
        relay.restart()
        upstream.faults.clear()
        upstream.accounts[OFFICE] = SECOND  # the password was changed meanwhile
        run(relay, "held", "retry", "--all")
        relay.wait(lambda: [row["why"] for row in rows(relay)] == ["authentication"])
        assert stored_logins(relay) == 0
        relay.wait(lambda: waiting(relay, "authentication") == 1)
        assert "until a person or a login frees it" in run(relay, "held", "list")
        refused = len([1 for _, was_right in upstream.auth_attempts if not was_right])
        relay.connect(OFFICE, SECOND).close()
        relay.wait(lambda: upstream.accepted)
        assert refused == len([1 for _, was_right in upstream.auth_attempts if not was_right]) == 1
        relay.wait(lambda: rows(relay) == [] and stored_logins(relay) == 0)


def test_in_redis_no_password_can_be_read_either(tmp_path, upstream):
    upstream.fault("RCPT", BUSY)
    with RedisServer(tmp_path / "redis") as server, a_relay(tmp_path / "relay", upstream, server.url) as relay:
        assert send(relay, FIRST, ADA)[0] == 250
        assert secrets_in(relay.folder, server) == []
        assert server.command("KEYS", "*login:*").startswith("*1\r\n")
        upstream.faults.clear()
        run(relay, "held", "retry", "--why", "upstream")
        relay.wait(lambda: upstream.accepted)
        assert upstream.accepted[0].identity == OFFICE
        relay.wait(lambda: server.command("KEYS", "*login:*") == "*0\r\n")


def test_without_custody_and_account_the_client_keeps_its_mail(tmp_path, upstream):
    upstream.fault("RCPT", BUSY)
    with a_relay(tmp_path / "relay", upstream, auth="") as relay:
        assert send(relay, FIRST, ADA)[0] == 451
        assert rows(relay) == []


def test_what_a_rule_holds_waits_for_a_person_who_lets_one_go_and_drops_the_other(tmp_path, upstream):
    policy = {"streams/correspondence.toml": [(r"(?s)\Z", LOOK)]}
    one, two = "one@partner.example", "two@partner.example"
    with a_relay(tmp_path / "relay", upstream, policy=policy) as relay:
        code, text = send(relay, FIRST, one, two, ADA)
        assert (code, "1 delivered, 2 held" in text) == (250, True), text
        assert waiting_for_people(relay) == [("rule", None), ("rule", None)]
        run(relay, "held", "retry", "--all")  # nothing but a person's word lets it pass the rule
        relay.wait(lambda: waiting_for_people(relay) == [("rule", None), ("rule", None)])
        assert [delivery.recipients for delivery in upstream.accepted] == [[ADA]]
        shown = json.loads(run(relay, "held", "show", rows(relay)[0]["id"], "--json"))
        assert (shown["stream"], [copy["rule"] for copy in shown["copies"]]) == ("correspondence", ["correspondence/look"] * 2)
        run(relay, "held", "release", "--recipient", one, "--reason", "a real order")
        relay.wait(lambda: len(upstream.accepted) == 2)
        assert upstream.accepted[1].recipients == [one]
        run(relay, "held", "drop", "--recipient", two, "--reason", "wrong address")
        relay.wait(lambda: len(upstream.accepted) == 3)
        report = upstream.accepted[2]
        assert (report.recipients, report.reverse_path) == ([OFFICE], "")
        people, machines = report_parts(report.data)
        assert "wrong address" in people
        assert two in machines
        assert one not in machines
        assert "554 5.7.1 [dropped]" in machines
        relay.wait(lambda: rows(relay) == [])


def waiting_for_people(relay):
    return [(row["why"], row["next_try"]) for row in rows(relay)]
