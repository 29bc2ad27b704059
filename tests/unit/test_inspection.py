"""What `relay check` finds: one wrong thing at a time in an installation that is right."""

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.cli.check_certificate import CERTIFICATE_DAYS
from relay.cli.inspection import inspect
from relay.config import load_config
from tests.support.findings import names_no_place
from tests.support.installation import Installation
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file modes")


@pytest.fixture
def place(tmp_path):
    return Installation(tmp_path)


async def found(place):
    findings = await inspect(load_config(str(place.config)))
    for zh, en in findings.fine + findings.faults + findings.to_do:
        assert zh
        assert en
        assert zh != en or "/" in en or ":" in en  # own texts exist in both languages; others name file and key
    assert [text for both in findings.faults + findings.to_do for text in both if names_no_place(text)] == []
    return [en for _, en in findings.faults], [en for _, en in findings.to_do]


async def fault(place):
    faults, _ = await found(place)
    assert len(faults) == 1, faults
    return faults[0]


async def to_do(place):
    faults, texts = await found(place)
    assert faults == []
    assert len(texts) == 1, texts
    return texts[0]


async def test_what_is_right_has_no_findings(place):
    assert await found(place) == ([], [])


async def test_nothing_is_changed_before_the_first_start(place):
    before = sorted(place.folder.rglob("*"))
    place.set("data_dir", '"elsewhere"')
    _, texts = await found(place)
    assert texts == [
        f"{place.folder / 'elsewhere'} does not exist yet; the first `relay serve` makes it",
        "the first `relay serve` makes the keys",
        "the first `relay serve` makes the store",
    ]
    assert sorted(place.folder.rglob("*")) == before


# The SMTP side


async def test_a_listener_without_auth_names_who_may_send(place):
    place.add('[[listen]]\nname = "lan"\naddress = "127.0.0.1:0"\ntls = "none"\nauth = "none"')
    place.add('[auth]\ntrusted_networks = ["10.0.0.0/8"]')
    assert await to_do(place) == (
        'config.toml [[listen]] "lan": asks for no password: everybody in 10.0.0.0/8 may send; make sure you want that'
    )


async def test_a_listener_without_tls_for_others(place):
    place.set("address", '"0.0.0.0:587"', table="listen").set("tls", '"none"', table="listen")
    _, texts = await found(place)
    assert texts[0].startswith('config.toml [[listen]] "submission": has no TLS, so it offers AUTH on this machine only')
    assert texts[1].startswith("config.toml [http]: help_url is still 127.0.0.1")


async def test_a_private_key_of_another_certificate(place):
    trustme.CA().issue_cert("relay.example.com").private_key_pem.write_to_path(str(place.folder / "relay.key"))
    assert "certificate and private key must be PEM and belong together" in await fault(place)


async def test_a_certificate_that_is_no_certificate(place):
    (place.folder / "relay.crt").write_text("nothing")
    assert (await fault(place)).startswith("config.toml [tls]: ")


async def test_a_certificate_that_is_missing(place):
    (place.folder / "relay.crt").unlink()
    told = await fault(place)
    assert told.startswith(f"config.toml [tls]: {place.folder / 'relay.crt'}: No such file or directory; ")
    assert "relay tls private-ca" in told


async def test_an_encrypted_private_key(place):
    place.write_key("relay.key", password=b"secret")
    assert "private key is encrypted" in await fault(place)


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [(-30, -1, "expired on "), (1, 90, "is not valid before ")],
)
async def test_a_certificate_out_of_its_time(place, begins, ends, expected):
    now = datetime.now(UTC)
    place.write_certificate(now + timedelta(days=begins), now + timedelta(days=ends))
    assert expected in await fault(place)


async def test_a_certificate_that_is_about_to_expire(place):
    now = datetime.now(UTC)
    place.write_certificate(now - timedelta(days=60), now + timedelta(days=CERTIFICATE_DAYS - 1, minutes=1))
    told = await to_do(place)
    assert told.startswith(f"{place.folder / 'relay.crt'} expires in {CERTIFICATE_DAYS - 1} days: renew it")
    assert "relay tls private-ca" in told


async def test_a_certificate_for_another_name(place):
    place.set("hostname", '"mail.example.net"')
    assert "is for relay.example.com, not for hostname = mail.example.net" in await to_do(place)


@pytest.mark.parametrize("name", ["relay.key", "dkim.pem", "data"])
async def test_a_secret_that_everybody_may_read(place, name):
    path = place.folder / name
    path.chmod(0o755 if path.is_dir() else 0o644)
    mode = "700" if path.is_dir() else "600"
    assert await to_do(place) == f"{path}: everybody may read it; run: chmod {mode} {path}"


# Logins


async def test_users_mode_without_users(place):
    place.add('[auth]\nmode = "users"\nusers_file = "users.toml"')
    assert "users.toml" in await fault(place)
    (place.folder / "users.toml").touch(0o600)
    assert await to_do(place) == "there are no users, nobody can log in: run relay users add"


async def test_users_without_an_account_upstream(place):
    place.add('[auth]\nmode = "users"\nusers_file = "users.toml"').set("auth", '"account"', table="upstream")
    place.write_users("news@acme-mail.cn", "desk")
    assert "no [[account]] at upstream up for these users, their mail cannot leave there: news@acme-mail.cn, desk" in await to_do(
        place
    )


async def test_a_missing_password_file(place):
    place.add('[[account]]\nidentity = "news@acme-mail.cn"\nupstream = "up"\npassword_file = "secret"')
    assert "password_file" in await fault(place)
    (place.folder / "secret").write_text("hunter2\n")
    (place.folder / "secret").chmod(0o644)
    assert "everybody may read this file" in await fault(place)
    (place.folder / "secret").chmod(0o600)
    assert await found(place) == ([], [])


async def whose_mail_is_held(place):
    """Of clients with their own account; None where nothing is said of it."""
    fine = [en for _, en in (await inspect(load_config(str(place.config)))).fine]
    said = [text.rpartition("with an [[account]]: ")[2] for text in fine if "hold means defer" in text]
    return said[0] if said else None


async def test_for_whom_hold_means_defer(place):
    assert await whose_mail_is_held(place) == "-"
    place.add('[[account]]\nidentity = "news@acme-mail.cn"\nupstream = "up"\npassword_file = "secret"')
    (place.folder / "secret").write_text("hunter2\n")
    assert await whose_mail_is_held(place) == "news@acme-mail.cn"
    place.add('[delivery]\non_transient = "defer"')
    assert await whose_mail_is_held(place) is None


async def test_an_unknown_provider(place):
    place.set("provider", '"nobody"', table="upstream")
    assert 'provider "nobody" is not known' in await fault(place)


async def test_an_upstream_without_tls_elsewhere(place):
    place.set("addresses", '["mail.example.net:25"]', table="upstream")
    assert (await to_do(place)).startswith('config.toml [[upstream]] "up": tls = "none": passwords and mail')


# Signing


async def test_a_missing_dkim_key(place):
    (place.folder / "dkim.pem").unlink()
    assert "`relay dkim keygen` makes one" in await fault(place)


async def test_a_short_dkim_key(place):
    short = rsa.generate_private_key(65537, 1024)
    (place.folder / "dkim.pem").write_bytes(short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "1024 bits is too weak" in await fault(place)


async def test_a_domain_without_a_dkim_key(place):
    place.set("domain", '"example.net"', table="dkim")
    assert await to_do(place) == (
        "streams/newsletter.toml: mail must be signed, but there is no [[dkim]] domain = acme-mail.cn, so it is refused:"
        " run relay dkim keygen"
    )


# Policies


async def test_one_click_without_a_base_url(place):
    place.set("base_url", '""', table="unsubscribe")
    assert await fault(place) == (
        "streams/newsletter.toml: one_click needs [unsubscribe] base_url in config.toml: that is how recipients unsubscribe"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mailto = false", "mailto = true", "mailto"),
        ('over = "hold"', 'over = "keep"', "expected 'hold' or 'defer'"),
        ('mode = "enforce"', 'mode = "loud"', "mode"),
        ("upstream = []", 'upstream = ["nowhere"]', 'no [[upstream]] named "nowhere"'),
    ],
)
async def test_a_policy_file_that_is_wrong(place, old, new, expected):
    place.replace("policies/streams/newsletter.toml", old, new)
    text = await fault(place)
    assert text.startswith("streams/newsletter.toml: ")
    assert expected in text


async def test_a_policy_folder_that_is_not_there(place):
    place.set("policies", '"nowhere"')
    assert "nowhere" in await fault(place)


async def test_a_pack_by_upstream_wants_to_know_where_each_is(place):
    (place.folder / "policies/packs/host.toml").write_text('[pack]\nversion = "1"\n[applies]\nany = [{ upstream = "CN" }]\n')
    assert await found(place) == ([], [])  # no stream uses it
    place.replace("policies/streams/newsletter.toml", 'packs = ["base"]', 'packs = ["base", "host"]')
    assert (await to_do(place)).startswith(
        'config.toml [[upstream]] "up": say where it is, such as country = "CN"; packs go by it'
    )
    place.set("provider", '"netease"', table="upstream")
    assert await found(place) == ([], [])
    place.set("provider", '"generic"\ncountry = "SG"', table="upstream")
    assert await found(place) == ([], [])


async def test_a_rule_on_transfers_wants_to_know_where_each_is(place):
    rule = '[[rule]]\nid = "transfer"\ncheck = "transfer"\nfrom_countries = ["{}"]\nbases = ["exempt"]\naction = "reject"\n'
    pack = place.folder / "policies/packs/law.toml"
    place.replace("policies/streams/newsletter.toml", 'packs = ["base"]', 'packs = ["base", "law"]')
    pack.write_text('[pack]\nversion = "1"\n' + rule.format("BR"))
    assert await found(place) == ([], [])  # it is not asked of organisations elsewhere
    pack.write_text('[pack]\nversion = "1"\n' + rule.format("CN"))
    assert (await to_do(place)).startswith(
        'config.toml [[upstream]] "up": say where it is, such as country = "CN"; packs go by it: law'
    )
    place.set("provider", '"generic"\ncountry = "CN"', table="upstream")
    assert await found(place) == ([], [])


async def test_a_pack_that_expires_and_one_that_needs_a_fact(place):
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    pack = place.folder / "policies/packs/law.toml"
    rule = '[[rule]]\nid = "facts"\ncheck = "organisation-facts"\nfacts = ["contact"]\n'
    pack.write_text(f'[pack]\nversion = "1"\nexpires_on = {today + timedelta(days=30)}\n')
    place.replace("policies/streams/newsletter.toml", 'packs = ["base"]', 'packs = ["base", "law"]')
    assert (await to_do(place)).startswith("policies/packs/law.toml: The pack law expires on ")
    pack.write_text(f'[pack]\nversion = "1"\nexpires_on = {today - timedelta(days=1)}\n{rule}')
    faults, later = await found(place)
    assert later == []
    assert [fault.partition(" on ")[0] for fault in faults] == [
        "policies/packs/law.toml: The pack law expired",
        "policies/organisation.toml: contact: law/facts needs it; mail it applies to waits (451)",
    ]


async def test_a_shadow_stream(place):
    place.replace("policies/streams/newsletter.toml", 'mode = "enforce"', 'mode = "shadow"')
    assert await to_do(place) == "streams/newsletter.toml: shadow mode, its rules only observe"


async def test_what_still_says_example(place):
    place.replace("policies/organisation.toml", "艾克美邮件", "示例公司")
    assert await to_do(place) == "policies/organisation.toml: legal_name: 示例公司: still an example, write your own"


# Pages and later versions


async def test_the_help_page_that_others_cannot_open(place):
    place.set("address", '"0.0.0.0:465"', table="listen")
    assert (await to_do(place)).startswith("config.toml [http]: help_url is still 127.0.0.1")
    place.set("help_url", '"http://relay.lan:8027"', table="http")
    assert await found(place) == ([], [])


async def test_metrics_for_everybody(place):
    place.set("address", '"0.0.0.0:8025"', table="http")
    assert (await to_do(place)).startswith("config.toml [http]: address = 0.0.0.0:8025: metrics and status are for operators")


async def test_a_base_url_on_this_machine(place):
    place.set("base_url", '"http://127.0.0.1:8026"', table="unsubscribe")
    assert "recipients cannot open it" in await to_do(place)


async def test_unsubscribing_by_mail_alone(place):
    place.add(
        '[[account]]\nidentity = "news@acme-mail.cn"\nupstream = "up"\npassword_file = "secret"\nimap = "imap.example.net:993"'
    )
    (place.folder / "secret").write_text("hunter2")
    (place.folder / "secret").chmod(0o600)
    place.replace("policies/streams/newsletter.toml", "mailto = false", "mailto = true")
    assert await found(place) == ([], [])
    place.replace("policies/streams/newsletter.toml", "one_click = true", "one_click = false")
    assert (await to_do(place)).startswith("streams/newsletter.toml: unsubscribing by mail only. Gmail wants one-click")


# What is kept


async def test_a_lost_key_file(place):
    (place.folder / "data" / "keys.toml").unlink()
    assert "the key file is missing" in await fault(place)


async def test_a_key_file_that_everybody_may_read(place):
    (place.folder / "data" / "keys.toml").chmod(0o644)
    assert "everybody may read this key file" in await fault(place)


async def test_a_store_that_is_gone(place):
    (place.folder / "data" / "relay.db").unlink()
    assert (await fault(place)).startswith("config.toml [store]: empty: ")


async def test_a_disk_that_is_nearly_full(place):
    place.set("min_free", '"900000GiB"', table="records")
    assert "less than [records] min_free: mail is deferred" in await fault(place)


async def test_a_redis_that_cannot_be_reached(place):
    place.set("url", f'"redis://:hunter2@127.0.0.1:{free_port()}/0"', table="store").set("data_dir", '"elsewhere"')
    text = await fault(place)
    assert text.startswith("config.toml [store]: unreachable: ")
    assert "hunter2" not in text


async def test_settings_of_redis_that_deserve_a_thought(place):
    place.set("url", '"redis://user:hunter2@192.0.2.1:6379/0"', table="store").set("timeout_ms", "10", table="store")
    place.set("durability_confirmed", "true", table="store").set("data_dir", '"elsewhere"')
    _, texts = await found(place)
    assert "config.toml [store]: url is not encrypted: use rediss:// between machines" in texts
    assert any("you vouch for Redis" in text for text in texts)


async def test_all_faults_are_found_at_once(place):
    (place.folder / "dkim.pem").unlink()
    (place.folder / "relay.crt").unlink()
    place.set("policies", '"nowhere"').set("provider", '"nobody"', table="upstream")
    faults, _ = await found(place)
    assert len(faults) == 4
