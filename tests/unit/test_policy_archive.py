"""The archive: every set by its hash, one durable line per switch, whole or not at all."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.config import parse_config
from relay.errors import ConfigurationError
from relay.service.policies import MAX_FILE, PolicyArchive, config_faults, read_folder
from relay.upstream.profile import load_profiles
from tests.support.policies import SHIPPED, a_policy, newsletter, shipped_files

PROFILES = load_profiles()

CONFIG = b'hostname = "relay.example.com"\n[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\n'
UPSTREAM = b'[[upstream]]\nname = "netease"\naddresses = ["127.0.0.1:25"]\n'


@pytest.fixture
def archive(tmp_path):
    return PolicyArchive(tmp_path)


def test_a_kept_set_comes_back_compiled(archive):
    name = archive.keep(shipped_files())
    assert archive.load(name).hash == name
    assert archive.keep(shipped_files()) == name
    assert archive.in_force() is None


def test_a_switch_is_seen_by_every_process(archive, tmp_path):
    name = archive.keep(shipped_files())
    archive.put_in_force(name, 100.0, "Wang Min", "first")
    other = PolicyArchive(tmp_path)
    assert other.in_force() == name
    assert [(s.at, s.by, s.reason) for s in other.history()] == [(100.0, "Wang Min", "first")]


def test_the_past_is_remembered(archive):
    first = archive.keep(shipped_files())
    second = archive.keep(shipped_files() | {"organisation.toml": shipped_files()["organisation.toml"] + b"\n"})
    archive.put_in_force(first, 100.0, "a", "r")
    archive.put_in_force(second, 200.0, "b", "r")
    found = [archive.in_force_at(at) for at in (99.0, 100.0, 199.9, 200.0)]
    assert [switch and switch.hash for switch in found] == [None, first, first, second]


@pytest.mark.parametrize("torn", [b'{"hash": "0123', b"\xff\xfe"])
def test_a_switch_that_a_crash_cut_off_never_happened(archive, tmp_path, torn):
    name = archive.keep(shipped_files())
    archive.put_in_force(name, 100.0, "a", "r")
    with (tmp_path / "policies" / "history.jsonl").open("ab") as file:
        file.write(torn)
    assert archive.in_force() == name
    archive.put_in_force(name, 200.0, "b", "again")
    assert [switch.by for switch in archive.history()] == ["a", "b"]


def test_a_set_that_was_never_kept_cannot_come_into_force(archive):
    with pytest.raises(ConfigurationError, match="never kept"):
        archive.put_in_force("0" * 16, 100.0, "a", "r")


def test_an_altered_set_is_not_believed_and_can_be_kept_again(archive, tmp_path):
    name = archive.keep(shipped_files())
    altered = tmp_path / "policies" / "sets" / name / "streams" / "newsletter.toml"
    altered.write_bytes(altered.read_bytes().replace(b'mode = "enforce"', b'mode = "shadow"'))
    with pytest.raises(ConfigurationError, match="was altered"):
        archive.load(name)
    archive.keep(shipped_files())
    assert archive.load(name).stream("newsletter").mode == "enforce"


# Reading a folder ----------------------------------------------------------------------------------------------------


def test_only_toml_files_are_read(tmp_path):
    (tmp_path / "streams").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("a.toml", "streams/b.toml", "streams/b.toml~", "README.md", ".git/c.toml", ".hidden.toml"):
        (tmp_path / name).write_text(name)
    assert read_folder(tmp_path) == {"a.toml": b"a.toml", "streams/b.toml": b"streams/b.toml"}


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.toml").write_text("x")
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(ConfigurationError, match="leads out"):
        read_folder(folder)


def test_a_folder_may_itself_be_a_link(tmp_path):
    link = tmp_path / "policies"
    link.symlink_to(SHIPPED)
    assert read_folder(link) == shipped_files()


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_an_empty_or_missing_folder_is_said(tmp_path, make):
    make(tmp_path / "policies")
    with pytest.raises(ConfigurationError, match="no policy files here"):
        read_folder(tmp_path / "policies")


def test_a_file_that_nobody_wrote_by_hand_is_refused(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        read_folder(tmp_path)


# Against config.toml -------------------------------------------------------------------------------------------------


def test_what_a_set_names_must_be_in_the_configuration():
    config = parse_config(CONFIG + UPSTREAM, "config.toml", Path())
    assert config_faults(a_policy(), config, PROFILES) == []
    assert config_faults(newsletter(upstream='["netease"]'), config, PROFILES) == []
    (unknown,) = config_faults(newsletter(upstream='["netease", "ses"]'), config, PROFILES)
    assert unknown.startswith('streams/newsletter.toml: upstream: config.toml has no [[upstream]] named "ses"')
    policy = a_policy(changes={"streams/newsletter.toml": ("listeners = []", 'listeners = ["people"]')})
    (unheard,) = config_faults(policy, config, PROFILES)
    assert 'no [[listen]] named "people"' in unheard
    assert config_faults(replace(policy, streams=()), config, PROFILES) == []


@pytest.mark.parametrize("route", ["the first", "named", "of the login"])
def test_no_one_click_where_the_provider_adds_its_own(route):
    adding = PROFILES["generic"].model_copy(update={"own_list_unsubscribe": True})
    first, second = ("adding", "generic") if route != "named" else ("generic", "adding")
    upstreams = f'[[upstream]]\nname = "a"\nprovider = "{first}"\naddresses = ["h:25"]\n'
    upstreams += f'[[upstream]]\nname = "b"\nprovider = "{second}"\naddresses = ["h:25"]\n'
    config = parse_config(CONFIG + upstreams.encode(), "config.toml", Path())
    policy = newsletter(upstream={"the first": "[]", "named": '["b"]', "of the login": '["b"]'}[route])
    assert config_faults(policy, config, PROFILES) == []
    (fault,) = config_faults(policy, config, {**PROFILES, "adding": adding})
    assert fault.startswith('streams/newsletter.toml: one_click: the provider of [[upstream]] "')
    without = newsletter(upstream='["b"]', one_click="false")
    assert config_faults(without, config, {**PROFILES, "adding": adding}) == []


def watched(identity: str, imap: str = "imap.example.net:993") -> bytes:
    imap = f'imap = "{imap}"\n' if imap else ""
    return f'[[account]]\nidentity = "{identity}"\nupstream = "netease"\npassword_file = "secret"\n{imap}'.encode()


@pytest.mark.parametrize(
    ("account", "reads"),
    [
        pytest.param(watched("news@example.com"), True, id="the sender's own"),
        pytest.param(watched("News@Example.com"), True, id="folded"),
        pytest.param(watched("unsubscribe@example.com"), True, id="the refusal mailbox"),
        pytest.param(watched("news@example.com", imap=""), False, id="not watched"),
        pytest.param(watched("office@example.com"), False, id="somebody else's"),
        pytest.param(b"", False, id="none"),
    ],
)
def test_refusals_by_mail_need_a_mailbox_that_is_read(account, reads):
    config = parse_config(CONFIG + UPSTREAM + account, "config.toml", Path())
    faults = config_faults(newsletter(mailto="true"), config, PROFILES)
    assert bool(faults) is not reads
    if not reads:
        (fault,) = faults
        assert fault.startswith("streams/newsletter.toml: unsubscribe.mailto: nobody would read the refusals: config.toml needs")
        assert "news@example.com" in fault
    assert config_faults(newsletter(mailto="false"), config, PROFILES) == []


def test_a_stream_for_everybody_needs_the_refusal_mailbox():
    policy = newsletter(mailto="true", match="{ sender_domains = ['example.com'] }")
    alone = parse_config(CONFIG + UPSTREAM + watched("news@example.com"), "config.toml", Path())
    (fault,) = config_faults(policy, alone, PROFILES)
    assert "refusal_mailbox" in fault
    both = parse_config(CONFIG + UPSTREAM + watched("unsubscribe@example.com"), "config.toml", Path())
    assert config_faults(policy, both, PROFILES) == []
