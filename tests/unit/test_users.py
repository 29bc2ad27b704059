"""`relay users` and the file it writes: what it holds, what it refuses, and that a running relay sees changes."""

import stat

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.cli.users import users
from relay.doors.users import User, Users, dump_users, hash_password, load_users, parse_users, save_users
from relay.errors import ConfigurationError
from relay.logins import fold_login
from tests.support.clocks import Clock

HASH = hash_password("right password")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_text(
        'hostname = "relay.example.com"\n[[listen]]\nname = "s"\naddress = "127.0.0.1:0"\ntls = "none"\n'
        '[auth]\nmode = "users"\nusers_file = "users.toml"\n[[upstream]]\nname = "m"\naddresses = ["127.0.0.1:1"]\n'
    )
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RELAY_LANG", "en")
    return tmp_path


def relay_users(*arguments: str, password: str | None = None):
    extra = ["--password-stdin"] if password else []
    return CliRunner().invoke(users, [*arguments, *extra], input=f"{password}\n" if password else None)


def test_a_user_is_added_checked_changed_and_removed(folder):
    assert relay_users("add", "News@Example.com", "--owns", "@Brand.example", password="first password").exit_code == 0
    assert relay_users("check", "news@example.com", password="first password").exit_code == 0
    assert relay_users("passwd", "news@example.com", password="other password").exit_code == 0
    assert relay_users("check", "news@example.com", password="first password").exit_code == 1
    assert '"owns"' in relay_users("list", "--json").output
    assert relay_users("remove", "news@example.com").exit_code == 0
    assert load_users(folder / "users.toml") == {}


def test_an_address_owns_itself_and_what_is_named(folder):
    relay_users("add", "news@example.com", password="a password")
    relay_users("add", "script", "--owns", "Shop@Example.com", "--owns", "@bücher.example", password="a password")
    held = load_users(folder / "users.toml")
    assert held["news@example.com"].owns == {"news@example.com"}
    assert held["script"].owns == {"shop@example.com", "@xn--bcher-kva.example"}


def test_the_file_is_for_the_relay_only_and_holds_no_password(folder):
    relay_users("add", "news@example.com", password="very secret words")
    path = folder / "users.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "very secret words" not in path.read_text()
    assert "$argon2id$" in path.read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "users.toml"]


@pytest.mark.parametrize(
    ("arguments", "password", "text"),
    [
        (["add", "a@example.com"], "short", "8 printable characters"),
        (["add", "a@example.com", "--owns", "nonsense"], "long enough", "nonsense"),
        (["remove", "nobody@example.com"], None, "There is no user"),
        (["add", "a@example.com"], None, "No password came"),
        (["add", " "], "long enough", "Name the user"),
    ],
)
def test_what_cannot_be_done_is_said(folder, arguments, password, text):
    result = relay_users(*arguments, password=password)
    assert result.exit_code != 0
    assert text in result.output


def test_no_file_is_written_that_could_not_be_read_again(folder):
    relay_users("add", "news@example.com", password="a password")
    result = relay_users("add", "a" * 256, password="a password")
    assert "user.2.name: String should have at most 255 characters" in str(result.exception)
    assert set(load_users(folder / "users.toml")) == {"news@example.com"}


def test_a_name_is_taken_once(folder):
    relay_users("add", "news@example.com", password="a password")
    assert relay_users("add", "NEWS@example.com", password="a password").exit_code == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[user]]\nname = "a"\npassword_hash = "plain"\n', "user.1.password_hash: not an argon2id hash"),
        (f'[[user]]\nname = "a"\npassword_hash = "{HASH}"\nowns = ["x y"]\n', "user.1.owns"),
        (f'[[user]]\nname = "a"\npassword_hash = "{HASH}"\ncolour = "red"\n', "user.1.colour: there is no such key"),
        (f'[[user]]\nname = "a"\npassword_hash = "{HASH}"\n' * 2, "is there already"),
        ("[[user]]\nname = ", "users.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(text, fault):
    with pytest.raises(ConfigurationError, match=fault.replace(".", r"\.")):
        parse_users(text.encode(), "users.toml")


def test_a_file_that_everybody_may_read_is_refused(tmp_path):
    path = tmp_path / "users.toml"
    save_users(path, [])
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_users(path)


owned = st.sampled_from(["ada@example.com", "@example.com", "@xn--bcher-kva.example", '"a b"@example.com', "用户@example.com"])


@given(st.dictionaries(st.text(min_size=1, max_size=40).filter(str.isprintable).map(fold_login), st.frozensets(owned)))
@settings(max_examples=50)
def test_what_is_written_is_what_is_read(held):
    written = {name: User(name, HASH, owns) for name, owns in held.items() if name and name.isprintable()}
    assert parse_users(dump_users(written.values()).encode(), "users.toml") == written


def test_a_running_relay_sees_a_change_and_keeps_the_old_file_when_the_new_one_is_wrong(tmp_path):
    path, clock = tmp_path / "users.toml", Clock()
    save_users(path, [User("ada", HASH, frozenset())])
    running = Users(path, clock)
    assert running.check("Ada", "right password")
    save_users(path, [User("ada", HASH, frozenset()), User("bob", HASH, frozenset())])
    assert running.check("bob", "right password") is None
    clock.pass_(1)
    assert running.check("bob", "right password")
    path.write_text("nonsense")
    clock.pass_(1)
    assert running.check("bob", "right password")
    path.unlink()
    clock.pass_(1)
    assert running.check("bob", "right password")
