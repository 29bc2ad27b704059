"""What is remembered of logins, and the password files of the relay's own accounts."""

import pytest

from relay.errors import ConfigurationError
from relay.mail.envelope import Credentials
from relay.upstream.credentials import ACCEPTED_FOR, MAX_REMEMBERED, REFUSED_FOR, Accounts, Remembered
from tests.support.leaving import KEY, a_config

NEWS = "news@example.com"
RIGHT, WRONG = Credentials(NEWS, "right"), Credentials(NEWS, "wrong")
UPSTREAM = '[[upstream]]\nname = "netease"\naddresses = ["127.0.0.1:25"]\ntls = "none"'


@pytest.fixture
def remembered(clock):
    return Remembered(KEY, clock)


def test_an_acceptance_is_remembered_for_five_minutes(remembered, clock):
    mac = remembered.mac("netease", NEWS, RIGHT)
    remembered.accepted(mac, NEWS)
    clock.now += ACCEPTED_FOR - 1
    assert remembered.was_accepted(mac)
    clock.now += 1
    assert not remembered.was_accepted(mac)


def test_a_refusal_is_remembered_for_ten_minutes_with_its_text(remembered, clock):
    mac = remembered.mac("netease", NEWS, WRONG)
    remembered.refused(mac, NEWS, "535 no")
    clock.now += REFUSED_FOR - 1
    assert remembered.refusal(mac) == "535 no"
    clock.now += 1
    assert remembered.refusal(mac) is None


def test_a_refusal_ends_every_acceptance_of_that_identity_only(remembered):
    mine, theirs = remembered.mac("netease", NEWS, RIGHT), remembered.mac("netease", "eve@example.com", RIGHT)
    remembered.accepted(mine, NEWS)
    remembered.accepted(theirs, "eve@example.com")
    remembered.refused(remembered.mac("netease", NEWS, WRONG), NEWS, "535 no")
    assert not remembered.was_accepted(mine)
    assert remembered.was_accepted(theirs)


def test_an_acceptance_ends_an_earlier_refusal_of_the_same_login(remembered):
    mac = remembered.mac("netease", NEWS, RIGHT)
    remembered.refused(mac, NEWS, "535 no")
    remembered.accepted(mac, NEWS)
    assert remembered.refusal(mac) is None


@pytest.mark.parametrize(
    "other",
    [
        ("netease2", NEWS, RIGHT),
        ("netease", "eve@example.com", RIGHT),
        ("netease", NEWS, WRONG),
        ("netease", NEWS, Credentials("newz@example.com", "right")),
        ("netease", NEWS + "n", Credentials("ews@example.com", "right")),
    ],
)
def test_nothing_but_the_same_login_has_the_same_mac(remembered, other):
    assert remembered.mac(*other) != remembered.mac("netease", NEWS, RIGHT)


def test_a_mac_says_nothing_without_the_key_of_the_process(remembered, clock):
    assert Remembered(b"another key", clock).mac("netease", NEWS, RIGHT) != remembered.mac("netease", NEWS, RIGHT)
    assert b"right" not in remembered.mac("netease", NEWS, RIGHT)


def test_guesses_do_not_fill_the_memory(remembered):
    first = remembered.mac("netease", NEWS, WRONG)
    remembered.refused(first, NEWS, "535 no")
    for number in range(MAX_REMEMBERED):
        remembered.refused(number.to_bytes(4), NEWS, "535 no")
    assert remembered.refusal(first) is None
    assert remembered.refusal((MAX_REMEMBERED - 1).to_bytes(4)) == "535 no"


def accounts(folder, *, login="", octets=b"s3cret\n", mode=0o600, identity=NEWS):
    path = folder / "password"
    path.write_bytes(octets)
    path.chmod(mode)
    account = f'[[account]]\nidentity = "{identity}"\nupstream = "netease"\nlogin = "{login}"\npassword_file = "password"'
    return Accounts(a_config(UPSTREAM, account, folder=folder))


@pytest.mark.parametrize("octets", [b"s3cret", b"s3cret\n", b"s3cret\r\n", b"\xef\xbb\xbfs3cret\n"])
def test_the_password_is_the_line_without_its_end(tmp_path, octets):
    assert accounts(tmp_path, octets=octets).find("netease", NEWS) == Credentials(NEWS, "s3cret")


def test_blanks_belong_to_the_password(tmp_path):
    assert accounts(tmp_path, octets=b" a b \n").find("netease", NEWS) == Credentials(NEWS, " a b ")


def test_the_login_may_differ_from_the_identity(tmp_path):
    assert accounts(tmp_path, login="AKIA1").find("netease", NEWS) == Credentials("AKIA1", "s3cret")


def test_the_first_name_that_has_an_account_is_taken(tmp_path):
    held = accounts(tmp_path, identity="@example.com")
    assert held.find("netease", "listener:test", None, "@example.com") is not None
    assert held.find("netease", "listener:test", None) is None
    assert held.find("ses", "@example.com") is None


def test_a_password_that_changed_is_read_again_and_a_file_that_cannot_be_used_changes_nothing(tmp_path):
    held = accounts(tmp_path)
    assert held.reread() == []
    path = tmp_path / "password"
    for spoilt in (lambda: path.write_bytes(b""), path.unlink):
        spoilt()
        assert held.reread() == []
        assert held.find("netease", NEWS) == Credentials(NEWS, "s3cret")
    path.write_bytes(b"another\n")
    path.chmod(0o644)
    assert held.reread() == []
    path.chmod(0o600)
    assert [account.identity for account in held.reread()] == [NEWS]
    assert held.find("netease", NEWS) == Credentials(NEWS, "another")
    assert held.reread() == []
    path.write_bytes(b"another\r\n")
    assert held.reread() == [], "it is the same password"


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "expected the password"),
        (b"\n", "expected the password"),
        (b"one\ntwo\n", "expected the password"),
        (b"x" * 2000, "expected the password"),
        ("密码".encode("gb18030"), "not UTF-8"),
    ],
)
def test_a_wrong_password_file_is_told(tmp_path, octets, said):
    with pytest.raises(ConfigurationError, match=said):
        accounts(tmp_path, octets=octets)


def test_a_password_that_everybody_may_read_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="chmod 600"):
        accounts(tmp_path, mode=0o644)


def test_a_missing_password_file_is_named(tmp_path):
    table = f'[[account]]\nidentity = "{NEWS}"\nupstream = "netease"\npassword_file = "nowhere"'
    with pytest.raises(ConfigurationError, match="nowhere: No such file"):
        Accounts(a_config(UPSTREAM, table, folder=tmp_path))
