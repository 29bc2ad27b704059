"""`relay backup`, `restore`, `keys`, `users`, `dkim`: what keeps a relay alive over the years."""

import shutil

import pytest

from tests.support.fixtures import an_upstream
from tests.support.service import ACCOUNTS, NEWS, PASSWORD, Relay, dkim_record, message
from tests.support.terminal import LANGUAGES, Terminal

ADA, BOB = "ada@example.org", "bob@example.org"
UPSTREAM = '[[upstream]]\nname = "up"\naddresses = ["127.0.0.1:25"]\ntls = "none"\n'


upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_relay_comes_back_from_its_backup_with_every_refusal_and_every_link(language, upstream, tmp_path):
    archive = tmp_path / "relay.backup"
    with Relay(tmp_path / "first", upstream) as relay:
        officer = Terminal(relay, language)
        for recipient in (ADA, BOB):
            assert relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
        to_ada, to_bob = (delivery.data for delivery in upstream.accepted[-2:])
        assert relay.unsubscribe(to_ada) == 200
        officer.run("backup", archive)  # while the relay runs
        officer.run("backup", archive, code=1)  # never over another
        officer.run("restore", archive, code=1)  # nor into a place in use
    officer.run("restore", tmp_path / "no.backup", code=2, quiet=True)  # click's own words

    shutil.rmtree(relay.data)
    spoilt = tmp_path / "spoilt.backup"
    spoilt.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    officer.run("restore", spoilt, code=1)
    assert not relay.data.exists() or not list(relay.data.iterdir())
    officer.run("restore", archive)
    assert officer.run("suppress", "check", ADA, code=1, quiet=True)
    with relay:
        assert relay.get("operators", "/readyz")[0] == 200
        assert relay.send(NEWS, [ADA], message(to=ADA))[0] == 550
        assert relay.send(NEWS, [BOB], message(to=BOB, subject="More"))[0] == 250
        assert relay.unsubscribe(to_bob) == 200  # a link from before the loss
        assert relay.send(NEWS, [BOB], message(to=BOB, subject="Still more"))[0] == 550
        officer.run("records", "verify")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_key_generation_keeps_what_the_old_one_made(language, upstream, tmp_path):
    with Relay(tmp_path, upstream) as relay:
        officer = Terminal(relay, language)
        assert relay.send(NEWS, [ADA], message(to=ADA))[0] == 250
        assert relay.send(NEWS, [BOB], message(to=BOB))[0] == 250
        to_ada, to_bob = (delivery.data for delivery in upstream.accepted[-2:])
        assert relay.unsubscribe(to_ada) == 200
        for ring in ("addresses", "records", "tokens", "held"):
            officer.run("keys", "rotate", ring, "--by", "Wang Min")
        rows = officer.json("keys", "show")
        assert [row["number"] for row in rows if row["ring"] == "addresses"] == [2, 1]
        assert rows[0]["fingerprint"] in officer.run("keys", "show", quiet=True)
        relay.restart()
        assert relay.get("operators", "/readyz") == (200, "ready\n")
        assert relay.send(NEWS, [ADA], message(to=ADA))[0] == 550
        assert relay.unsubscribe(to_bob) == 200
        assert relay.send(NEWS, [BOB], message(to=BOB))[0] == 550
        officer.run("records", "verify")
        assert ADA in officer.run("records", "search", ADA, "--addresses")


@pytest.mark.parametrize("language", LANGUAGES)
def test_users_of_the_relay_itself(language, upstream, tmp_path):
    secret = tmp_path / "news.password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    account = f'[[account]]\nidentity = "{NEWS}"\nupstream = "up"\npassword_file = "{secret}"\n'
    relay = Relay(tmp_path, upstream, auth='mode = "users"\nusers_file = "users.toml"', extra=account)
    officer = Terminal(relay, language)
    officer.run("users", "add", NEWS, "--password-stdin", stdin="correct horse\n")
    officer.run("users", "add", NEWS, "--password-stdin", stdin="correct horse\n", code=1)
    officer.run("users", "add", "short", "--password-stdin", stdin="short\n", code=1)
    assert NEWS in officer.run("users", "list", quiet=True)
    assert "argon2" not in officer.run("users", "list", quiet=True)
    with relay:
        assert relay.connect(NEWS, "correct horse").quit()[0] == 221
        with relay.connect(NEWS, "correct horse") as client:
            assert relay.send_over(client, NEWS, [ADA], message(to=ADA))[0] == 250
        assert relay.send(NEWS, [ADA], message(to=ADA), login=NEWS)[0] == 535  # the upstream's password is none here
        officer.run("users", "passwd", NEWS, "--password-stdin", stdin="battery staple\n")
        officer.run("users", "check", NEWS, "--password-stdin", stdin="battery staple\n")
        officer.run("users", "check", NEWS, "--password-stdin", stdin="correct horse\n", code=1)
        relay.wait(lambda: _may_log_in(relay, "battery staple"))
    officer.run("users", "check")
    officer.run("users", "remove", NEWS)
    officer.run("users", "remove", NEWS, code=1)


def _may_log_in(relay, password):
    try:
        relay.connect(NEWS, password).quit()
    except OSError:  # SMTPException is one
        return False
    return True


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_key_is_made_published_and_used(language, upstream, tmp_path):
    with Relay(tmp_path, upstream) as relay:
        officer = Terminal(relay, language)
        made = tmp_path / "new.pem"
        said = officer.run("dkim", "keygen", "--domain", "example.com", "--selector", "s2", "--out", made)
        assert "s2._domainkey.example.com" in said
        assert made.stat().st_mode & 0o777 == 0o600
        officer.run("dkim", "keygen", "--domain", "example.com", "--selector", "s2", "--out", made, code=1)
        officer.run("dkim", "keygen", "--domain", "not a domain", "--selector", "s2", "--out", tmp_path / "x.pem", code=2)
        with relay.config.open("a", encoding="utf-8") as config:
            config.write('[[dkim]]\ndomain = "example.com"\nselector = "s2"\nkey_file = "new.pem"\n')
        records = {record["name"]: record["value"] for record in officer.json("dkim", "dns")}
        assert records["s1._domainkey.example.com"] == dkim_record().decode()
        assert records["s2._domainkey.example.com"] in officer.run("dkim", "dns")
        relay.restart()
        assert relay.send(NEWS, [ADA], message(to=ADA))[0] == 250
        delivered = tmp_path / "delivered.eml"
        delivered.write_bytes(upstream.accepted[-1].data)
        keys = [word for name, value in records.items() for word in ("--key", f"{name}={value}")]
        assert [row["valid"] for row in officer.json("dkim", "verify", delivered, *keys)] == [True, True]
        officer.run("dkim", "verify", delivered, *keys)
        delivered.write_bytes(upstream.accepted[-1].data.replace(b"Hello", b"Hullo"))
        officer.run("dkim", "verify", delivered, *keys, code=1)
